// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution with AVX-512: blocks of 16 channels, one, two or four at once,
// vpdpbusd over byte quads. Of four blocks unpacks interleave them, within 128 bits, and the packs
// of the way back undo it; two fill a register with two rows, and one with four, which takes
// permutations.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's header reads a variable of its own before writing it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "kernels/dwconv_s8_loops.h"
#include "kernels/zmm.h"

namespace firn::kernels {
namespace {

struct Avx512 {
  static constexpr int kVecs = 1, kMaxVecs = 4, kLanes = 16;
  static constexpr bool kManyRegisters = true;
  static constexpr int kMaxTile = 7;
  // vpdpbusd multiplies unsigned by signed bytes: x ^ 0x80 is x + 128.
  static constexpr int32_t kOffset = 128;
  static constexpr bool kFloatSums = true;
  using Tap = int8_t;
  static constexpr int channel(int n, int vec, int lane) {
    return n == 4 ? unpacked_channel(n, vec, lane) : vec * kLanes + lane;
  }
  static constexpr int tap(int lane, int i) { return lane * 4 + i; }

  using Acc = __m512i;
  using Weight = __m512i;
  template <int N>
  struct Quad {
    __m512i v[N];
  };

  static Acc bias(const int32_t* p) { return _mm512_load_si512(p); }
  static Acc none() { return _mm512_setzero_si512(); }
  static Acc add(Acc a, Acc b) { return _mm512_add_epi32(a, b); }
  static Weight weight(const Tap* p) { return _mm512_load_si512(p); }

  struct Interleave {
    __m512i sign = _mm512_set1_epi32(static_cast<int32_t>(0x80808080));
    // Pairs of bytes of a register's halves. Within 128 bits the channels are 4 i to 4 i + 3, whose
    // pairs unpacklo() joins with those of another register, and the 16 after, for unpackhi().
    __m512i pairs = _mm512_add_epi32(
        _mm512_mullo_epi32(
            _mm512_setr_epi32(0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30),
            _mm512_set1_epi32(0x01010101)),
        _mm512_set1_epi32(0x21012000));
    // Byte i of each 128 bits.
    __m512i fours = _mm512_add_epi32(
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(0x01010101)),
        _mm512_set1_epi32(0x30201000));
    bool is_unsigned;

    // Hides that these are constants, which GCC would make anew for every column.
    explicit Interleave(bool unsigned_input) : is_unsigned(unsigned_input) {
      __asm__("" : "+v"(sign), "+v"(pairs), "+v"(fours));
    }

    // Byte i of lane l of v[n] is channel(N, n, l) of the i-th pointer; the last one counts where
    // four are used.
    template <int N, int kUsed>
    Quad<N> quad(const int8_t* p0, const int8_t* p1, const int8_t* p2, const int8_t* p3) const {
      if constexpr (N == 4) {
        __m512i r0 = load(p0), r1 = load(p1), r2 = load(p2), r3 = kUsed == 4 ? load(p3) : r2;
        make_unsigned(r0, r1, r2, r3);
        const __m512i a = _mm512_unpacklo_epi8(r0, r1), b = _mm512_unpacklo_epi8(r2, r3);
        const __m512i c = _mm512_unpackhi_epi8(r0, r1), d = _mm512_unpackhi_epi8(r2, r3);
        return {{_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b),
                 _mm512_unpacklo_epi16(c, d), _mm512_unpackhi_epi16(c, d)}};
      }
      if constexpr (N == 1) {
        __m512i all = _mm512_castsi128_si512(load16(p0));
        all = _mm512_inserti32x4(all, load16(p1), 1);
        all = _mm512_inserti32x4(all, load16(p2), 2);
        if constexpr (kUsed == 4) all = _mm512_inserti32x4(all, load16(p3), 3);
        make_unsigned(all);
        return {{_mm512_permutexvar_epi8(fours, all)}};
      }
      __m512i a = load2(p0, p1), b = kUsed == 4 ? load2(p2, p3) : load1(p2);
      make_unsigned(a, b);
      // vpermt2b would do it with half as many instructions, of three parts each on Intel's CPUs.
      const __m512i ab = _mm512_permutexvar_epi8(pairs, a), cd = _mm512_permutexvar_epi8(pairs, b);
      Quad<N> q;
      q.v[0] = _mm512_unpacklo_epi16(ab, cd);
      q.v[N - 1] = _mm512_unpackhi_epi16(ab, cd);
      return q;
    }

   private:
    static __m512i load(const int8_t* p) { return _mm512_loadu_si512(p); }
    // Where the input is signed. The statement that does nothing keeps this a branch: clang would
    // xor with zero where it need not.
    template <class... Vec>
    __attribute__((always_inline)) void make_unsigned(Vec&... x) const {
      if (is_unsigned) return;
      ((x = _mm512_xor_si512(x, sign)), ...);
      __asm__ volatile("");
    }
  };

  template <int N>
  static Acc dot(Acc acc, const Quad<N>& quad, int v, Weight w) {
#if defined(__clang__)
    return _mm512_dpbusd_epi32(acc, quad.v[v], w);
#else
    // g++ 12 copies accumulators around the intrinsic; clang would put every "vm" into memory.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(quad.v[v]), "vm"(w));
    return acc;
#endif
  }

  // Requantizes and stores N accumulators of R rows.
  template <int N>
  struct Output {
    const ConvS8Args& args;
    __m512 scale[N], offset[N];  // where sums are floats
    __m512i zero, low, high;
    int32_t channel, channels;  // the first, and how many
    bool floats;                // sums are
    bool from_zero;             // and the lower limit is 0, to which low is added as bytes
    bool adjusted;              // packs saturate to int8, or from 0 to 255, which is not all

    Output(const ConvS8Args& of, int32_t begin, int32_t count, const DwSums& sums)
        : args(of),
          zero(_mm512_set1_epi16(static_cast<int16_t>(of.clamp.zero))),
          channel(begin),
          channels(count),
          floats(sums.floats),
          from_zero(floats && of.clamp.lo == of.clamp.zero),
          adjusted(of.clamp.lo > -128 || of.clamp.hi < 127 || (from_zero && !of.unsigned_output)) {
      low = _mm512_set1_epi8(
          static_cast<int8_t>(of.clamp.lo + (from_zero && of.unsigned_output ? 128 : 0)));
      high = _mm512_set1_epi8(static_cast<int8_t>(of.clamp.hi - (from_zero ? of.clamp.lo : 0)));
      FIRN_UNROLL
      for (int v = 0; v < N; ++v) {
        scale[v] = _mm512_load_ps(sums.scale + kLanes * v);
        offset[v] = _mm512_load_ps(sums.offset + kLanes * v);
      }
    }

    template <int R>
    struct Pixels {
      Acc acc[R][N];
    };

    template <int R>
    __attribute__((always_inline)) void take(Pixels<R>& pixels, const Acc (&acc)[N][R], int) const {
      FIRN_UNROLL
      for (int i = 0; i < R * N; ++i) pixels.acc[i / N][i % N] = acc[i % N][i / N];
    }

    template <int R>
    __attribute__((always_inline)) void store(const Pixels<R>& pixels, int8_t* const* out) const {
      const Acc(&acc)[R][N] = pixels.acc;
      __m512 x[R * N];
      if (floats) [[likely]] {
        FIRN_UNROLL
        for (int i = 0; i < R * N; ++i)
          x[i] =
              _mm512_fmadd_ps(_mm512_castsi512_ps(acc[i / N][i % N]), scale[i % N], offset[i % N]);
      } else {
        of_integers<R>(acc, x);
      }
      if (from_zero) [[likely]] {
        store_of<true, R>(x, out);
      } else {
        store_of<false, R>(x, out);
      }
    }

   private:
    // Sums that cannot be floats. Not called, or clang would keep in memory what it needs behind
    // it.
    template <int R>
    __attribute__((always_inline)) void of_integers(const Acc (&acc)[R][N],
                                                    __m512 (&x)[R * N]) const {
      __m512 by[N];
      FIRN_UNROLL
      for (int v = 0; v < N; ++v) {
        const auto mask = static_cast<__mmask16>(first(channels) >> kLanes * v);
        by[v] = _mm512_maskz_loadu_ps(mask, args.scale + channel + kLanes * v);
      }
      if constexpr (N == 4) transpose_quarters(by);  // as channel() tells
      const __m512 most = _mm512_set1_ps(static_cast<float>(args.clamp.hi - args.clamp.zero));
      FIRN_UNROLL
      for (int i = 0; i < R * N; ++i)
        x[i] = _mm512_min_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i / N][i % N]), by[i % N]), most);
    }

    // Equal to requantize(): clamping commutes with rounding as the limits are integers, so it is
    // left to the bytes, if the way there keeps the order. The packs saturate, and the conversion
    // turns what is too small, or no number, into INT32_MIN; it would do so to what is too large as
    // well, which float sums never are and integers' products are kept from.
    template <bool kFromZero, int R>
    __attribute__((always_inline)) void store_of(const __m512 (&x)[R * N],
                                                 int8_t* const* out) const {
      FIRN_UNROLL
      for (int i = 0; i < R * N; i += 4) {
        const __m512i a = words(x[i], x[i + 1 < R * N ? i + 1 : i]);
        const __m512i b = i + 2 < R * N ? words(x[i + 2], x[i + 3 < R * N ? i + 3 : i + 2]) : a;
        __m512i bytes;
        if constexpr (kFromZero) {
          bytes = _mm512_packus_epi16(a, b);
          if (adjusted) bytes = _mm512_add_epi8(_mm512_min_epu8(bytes, high), low);
        } else {
          bytes = _mm512_packs_epi16(_mm512_adds_epi16(a, zero), _mm512_adds_epi16(b, zero));
          if (adjusted) bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, low), high);
          if (args.unsigned_output) bytes = _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
        }
        // Dword k of each 128 bits came from accumulator i + k.
        if constexpr (N < 4)
          bytes = _mm512_permutexvar_epi32(
              _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
        put<R>(i / N, bytes, out);
      }
    }

    static __m512i words(__m512 x, __m512 y) {
      return _mm512_packs_epi32(_mm512_cvtps_epi32(x), _mm512_cvtps_epi32(y));
    }
    // As many rows from j on as there are in 64 bytes.
    template <int R>
    void put(int j, __m512i bytes, int8_t* const* out) const {
      if constexpr (N == 4) {
        put(out[j], bytes);
      } else if constexpr (N == 2) {
        put(out[j], _mm512_castsi512_si256(bytes));
        if (j + 1 < R) put(out[j + 1], _mm512_extracti64x4_epi64(bytes, 1));
      } else {
        put(out[j], _mm512_castsi512_si128(bytes));
        if (j + 1 < R) put(out[j + 1], _mm512_extracti32x4_epi32(bytes, 1));
        if (j + 2 < R) put(out[j + 2], _mm512_extracti32x4_epi32(bytes, 2));
        if (j + 3 < R) put(out[j + 3], _mm512_extracti32x4_epi32(bytes, 3));
      }
    }
    void put(int8_t* to, __m512i bytes) const {
      if (channels == 64) {
        _mm512_storeu_si512(to, bytes);
      } else {
        _mm512_mask_storeu_epi8(to, first(channels), bytes);
      }
    }
    void put(int8_t* to, __m256i bytes) const {
      if (channels == 32) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
      } else {
        _mm256_mask_storeu_epi8(to, static_cast<__mmask32>(first(channels)), bytes);
      }
    }
    void put(int8_t* to, __m128i bytes) const {
      if (channels == 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
      } else {
        _mm_mask_storeu_epi8(to, static_cast<__mmask16>(first(channels)), bytes);
      }
    }
  };

 private:
  static __mmask64 first(int32_t count) {
    return ~__mmask64{0} >> (64 - count);
  }
  static __m128i load16(const int8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static __m512i load1(const int8_t* low) {
    return _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(low)));
  }
  static __m512i load2(const int8_t* low, const int8_t* high) {
    return _mm512_inserti64x4(load1(low),
                              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high)), 1);
  }
};

}  // namespace

extern const DwConvS8 dwconv_s8_avx512vnni;
const DwConvS8 dwconv_s8_avx512vnni =
    DwConv<Avx512>::entry("dwconv_s8_avx512vnni", Isa::avx512vnni);

}  // namespace firn::kernels
