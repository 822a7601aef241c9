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
  bool floats;     // sums are
  bool from_zero;  // and the lower limit is 0, to which low is added as bytes
  __m256 scale[N], offset[N], high;
  __m256i zero, low, most, sign;
  int32_t channels;

  YmmOutput(const ConvS8Args& args, int32_t channel, int32_t count, const DwSums& sums)
      : floats(sums.floats),
        from_zero(floats && args.clamp.lo == args.clamp.zero),
        high(_mm256_set1_ps(static_cast<float>(args.clamp.hi - args.clamp.zero))),
        zero(_mm256_set1_epi16(static_cast<int16_t>(args.clamp.zero))),
        low(_mm256_set1_epi8(
            static_cast<int8_t>(args.clamp.lo + (from_zero && args.unsigned_output ? 128 : 0)))),
        most(
            _mm256_set1_epi8(static_cast<int8_t>(args.clamp.hi - (from_zero ? args.clamp.lo : 0)))),
        sign(_mm256_set1_epi8(args.unsigned_output ? -128 : 0)),
        channels(count) {
    if (floats) {
      FIRN_UNROLL
      for (int v = 0; v < N; ++v) {
        scale[v] = _mm256_load_ps(sums.scale + 8 * v);
        offset[v] = _mm256_load_ps(sums.offset + 8 * v);
      }
      return;
    }
    const float* from = args.scale + channel;
    float padded[8 * N] = {};
    if (count < 8 * N) {
      memcpy(padded, from, sizeof(float) * static_cast<size_t>(count));
      from = padded;
    }
    FIRN_UNROLL
    for (int v = 0; v < N; ++v) {
      scale[v] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + 4 * v)),
                                      _mm_loadu_ps(from + 4 * (N + v)), 1);
      offset[v] = scale[v];
    }
  }

  // Equal to requantize(), as in the 512-bit variant: the upper limit comes before the conversion,
  // which turns what is too small into INT32_MIN; the lower one is applied to bytes.
  template <bool kFloats>
  __m256i round(__m256i acc, int v) const {
    if constexpr (kFloats)
      return _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_castsi256_ps(acc), scale[v], offset[v]));
    const __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale[v]);
    return _mm256_cvtps_epi32(_mm256_min_ps(x, high));
  }
  template <bool kFloats>
  __m256i words(const __m256i (&acc)[N], int v) const {
    return _mm256_packs_epi32(round<kFloats>(acc[v], v), round<kFloats>(acc[v + 1], v + 1));
  }
  template <bool kFloats>
  __m256i pack(const __m256i (&acc)[N]) const {
    const __m256i a = words<kFloats>(acc, 0), b = words<kFloats>(acc, N - 2);
    if (kFloats && from_zero)
      return _mm256_add_epi8(_mm256_min_epu8(_mm256_packus_epi16(a, b), most), low);
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_adds_epi16(a, zero), _mm256_adds_epi16(b, zero));
    const __m256i x = _mm256_max_epi8(bytes, low);
    return _mm256_xor_si256(kFloats ? _mm256_min_epi8(x, most) : x, sign);
  }

  template <int R>
  void store(const __m256i (&acc)[R][N], int8_t* const* out) const {
    FIRN_UNROLL
    for (int j = 0; j < R; ++j) {
      __m256i bytes = floats ? pack<true>(acc[j]) : pack<false>(acc[j]);
      if constexpr (N == 2) bytes = _mm256_permute4x64_epi64(bytes, 0x08);
      if (channels == 8 * N) {
        if constexpr (N == 2) {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(out[j]), _mm256_castsi256_si128(bytes));
        } else {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[j]), bytes);
        }
      } else {
        int8_t all[32];
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(all), bytes);
        memcpy(out[j], all, static_cast<size_t>(channels));
      }
    }
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_YMM_H_
