// SPDX-License-Identifier: Apache-2.0
// What the 256-bit depthwise convolutions share: requantizing and storing. Interleaving is done by
// unpacks, which work within halves of 128 bits; the packs of the way back do too and undo it.
#ifndef FIRN_KERNELS_DWCONV_S8_YMM_H_
#define FIRN_KERNELS_DWCONV_S8_YMM_H_

#include <immintrin.h>

#include "kernels/dwconv_s8_loops.h"

namespace firn::kernels {
namespace {

// N accumulators of a strip of 8 N channels: half h of accumulator v holds channels
// [4 (h N + v), 4 (h N + v) + 4).
template <int N>
struct YmmOutput {
  const ConvS8Args& args;
  __m256 scale[N], offset[N];  // where sums are floats
  __m256i zero, low, most;
  int32_t channel, channels;  // the first, and how many
  bool floats;                // sums are
  bool from_zero;             // and the lower limit is 0, to which low is added as bytes
  bool adjusted;              // then: packs, which saturate from 0 to 255, are not enough

  YmmOutput(const ConvS8Args& of, int32_t begin, int32_t count, const DwSums& sums)
      : args(of),
        zero(_mm256_set1_epi16(static_cast<int16_t>(of.clamp.zero))),
        channel(begin),
        channels(count),
        floats(sums.floats),
        from_zero(floats && of.clamp.lo == of.clamp.zero),
        adjusted(of.clamp.lo > -128 || of.clamp.hi < 127 || !of.unsigned_output) {
    low = _mm256_set1_epi8(
        static_cast<int8_t>(of.clamp.lo + (from_zero && of.unsigned_output ? 128 : 0)));
    most = _mm256_set1_epi8(static_cast<int8_t>(of.clamp.hi - (from_zero ? of.clamp.lo : 0)));
    FIRN_UNROLL
    for (int v = 0; v < N; ++v) {
      scale[v] = _mm256_load_ps(sums.scale + 8 * v);
      offset[v] = _mm256_load_ps(sums.offset + 8 * v);
    }
  }

  // What becomes of sums until all accumulators of R pixels are done.
  template <int R>
  struct Pixels {
    __m256i words[R][N / 2];
  };

  // Takes accumulators v to v + M - 1, of which there are an even number.
  template <int R, int M>
  __attribute__((always_inline)) void take(Pixels<R>& pixels, const __m256i (&acc)[M][R],
                                           int v) const {
    __m256 x[M][R];
    if (floats) [[likely]] {
      FIRN_UNROLL
      for (int i = 0; i < M * R; ++i)
        x[i / R][i % R] = _mm256_fmadd_ps(_mm256_castsi256_ps(acc[i / R][i % R]), scale[v + i / R],
                                          offset[v + i / R]);
    } else {
      of_integers<R, M>(acc, v, x);
    }
    FIRN_UNROLL
    for (int r = 0; r < R; ++r) {
      FIRN_UNROLL
      for (int i = 0; i < M; i += 2)
        pixels.words[r][(v + i) / 2] =
            _mm256_packs_epi32(_mm256_cvtps_epi32(x[i][r]), _mm256_cvtps_epi32(x[i + 1][r]));
    }
  }

  template <int R>
  __attribute__((always_inline)) void store(const Pixels<R>& pixels, int8_t* const* out) const {
    if (from_zero) [[likely]] {
      FIRN_UNROLL
      for (int r = 0; r < R; ++r) put(out[r], from_zero_bytes(pixels.words[r]));
    } else {
      FIRN_UNROLL
      for (int r = 0; r < R; ++r) put(out[r], any_bytes(pixels.words[r]));
    }
  }

 private:
  // Sums that cannot be floats. As in the 512-bit variant the upper limit comes before the
  // conversion, which turns what is too small into INT32_MIN.
  template <int R, int M>
  __attribute__((always_inline)) void of_integers(const __m256i (&acc)[M][R], int v,
                                                  __m256 (&x)[M][R]) const {
    const __m256 high = _mm256_set1_ps(static_cast<float>(args.clamp.hi - args.clamp.zero));
    FIRN_UNROLL
    for (int i = 0; i < M; ++i) {
      const int from = 4 * (v + i);
      const __m256 by =
          _mm256_insertf128_ps(_mm256_castps128_ps256(scales(from)), scales(from + 4 * N), 1);
      FIRN_UNROLL
      for (int r = 0; r < R; ++r)
        x[i][r] = _mm256_min_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc[i][r]), by), high);
    }
  }
  // Of four channels from `from` on.
  __attribute__((always_inline)) __m128 scales(int from) const {
    const __m128i left = _mm_sub_epi32(_mm_set1_epi32(channels - from), _mm_setr_epi32(0, 1, 2, 3));
    return _mm_maskload_ps(args.scale + channel + from, _mm_cmpgt_epi32(left, _mm_setzero_si128()));
  }

  __attribute__((always_inline)) __m256i from_zero_bytes(const __m256i (&words)[N / 2]) const {
    const __m256i y = _mm256_packus_epi16(words[0], words[N / 2 - 1]);
    return adjusted ? _mm256_add_epi8(_mm256_min_epu8(y, most), low) : y;
  }
  __attribute__((always_inline)) __m256i any_bytes(const __m256i (&words)[N / 2]) const {
    const __m256i a = _mm256_adds_epi16(words[0], zero);
    const __m256i b = _mm256_adds_epi16(words[N / 2 - 1], zero);
    const __m256i y = _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(a, b), low), most);
    return _mm256_xor_si256(y, _mm256_set1_epi8(args.unsigned_output ? -128 : 0));
  }

  // Without memcpy(): a call in the loop would have clang keep in memory what it needs behind it.
  __attribute__((always_inline)) void put_some(int8_t* to, __m256i bytes) const {
    __m128i x = _mm256_castsi256_si128(bytes);
    if ((channels & 16) != 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x);
      x = _mm256_extracti128_si256(bytes, 1);
      to += 16;
    }
    if ((channels & 8) != 0) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), x);
      x = _mm_srli_si128(x, 8);
      to += 8;
    }
    if ((channels & 4) != 0) {
      _mm_storeu_si32(to, x);
      x = _mm_srli_si128(x, 4);
      to += 4;
    }
    if ((channels & 2) != 0) {
      _mm_storeu_si16(to, x);
      x = _mm_srli_si128(x, 2);
      to += 2;
    }
    if ((channels & 1) != 0) *to = static_cast<int8_t>(_mm_extract_epi8(x, 0));
  }

  __attribute__((always_inline)) void put(int8_t* to, __m256i bytes) const {
    if constexpr (N == 2) bytes = _mm256_permute4x64_epi64(bytes, 0x08);
    if (channels < 8 * N) {
      put_some(to, bytes);
    } else if constexpr (N == 2) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(bytes));
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_YMM_H_
