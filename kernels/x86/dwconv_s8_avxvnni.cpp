// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution with AVX-VNNI: strips of 32 or 16 channels, 256-bit vpdpbusd over
// byte quads made by unpacks.
#include <immintrin.h>

#include "kernels/dwconv_s8_ymm.h"

namespace firn::kernels {
namespace {

struct AvxVnni {
  static constexpr int kVecs = 2, kMaxVecs = 4, kLanes = 8;
  static constexpr bool kManyRegisters = false;
  static constexpr int kMaxTile = 7;
  // vpdpbusd multiplies unsigned by signed bytes: x ^ 0x80 is x + 128.
  static constexpr int32_t kOffset = 128;
  static constexpr bool kFloatSums = true;
  using Tap = int8_t;
  template <int N>
  using Output = YmmOutput<N>;
  static constexpr int channel(int n, int vec, int lane) { return unpacked_channel(n, vec, lane); }
  static constexpr int tap(int lane, int i) { return lane * 4 + i; }

  using Acc = __m256i;
  using Weight = __m256i;
  template <int N>
  struct Quad {
    __m256i v[N];
  };

  static Acc bias(const int32_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }

  static Acc none() { return _mm256_setzero_si256(); }
  static Acc add(Acc a, Acc b) { return _mm256_add_epi32(a, b); }
  static Weight weight(const Tap* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }

  struct Interleave {
    const bool is_unsigned;
    const __m256i sign = _mm256_set1_epi8(-128);

    explicit Interleave(bool of) : is_unsigned(of) {}

    template <int N, int kUsed>
    Quad<N> quad(const int8_t* p0, const int8_t* p1, const int8_t* p2, const int8_t* p3) const {
      if constexpr (N == 2) {
        __m256i x = _mm256_unpacklo_epi8(halves(p0), halves(p1));
        __m256i y = _mm256_unpacklo_epi8(halves(p2), halves(kUsed == 4 ? p3 : p2));
        make_unsigned(x, y);
        return {{_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y)}};
      } else {
        __m256i r0 = load(p0), r1 = load(p1), r2 = load(p2), r3 = kUsed == 4 ? load(p3) : r2;
        make_unsigned(r0, r1, r2, r3);
        const __m256i a = _mm256_unpacklo_epi8(r0, r1), b = _mm256_unpacklo_epi8(r2, r3);
        const __m256i c = _mm256_unpackhi_epi8(r0, r1), d = _mm256_unpackhi_epi8(r2, r3);
        return {{_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b),
                 _mm256_unpacklo_epi16(c, d), _mm256_unpackhi_epi16(c, d)}};
      }
    }

   private:
    // Where the input is signed. The statement that does nothing keeps this a branch: clang would
    // xor with zero where it need not.
    template <class... Vec>
    __attribute__((always_inline)) void make_unsigned(Vec&... x) const {
      if (is_unsigned) return;
      ((x = _mm256_xor_si256(x, sign)), ...);
      __asm__ volatile("");
    }
  };

  template <int N>
  static Acc dot(Acc acc, const Quad<N>& quad, int v, Weight w) {
#if defined(__clang__)
    return _mm256_dpbusd_avx_epi32(acc, quad.v[v], w);
#else
    // g++ 12 copies accumulators around the intrinsic; clang would put every "xm" into memory.
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(quad.v[v]), "xm"(w));
    return acc;
#endif
  }

 private:
  // Sixteen bytes, eight to each half.
  static __m256i halves(const int8_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_permute4x64_epi64(_mm256_castsi128_si256(x), 0x10);
  }
  static __m256i load(const int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
};

}  // namespace

extern const DwConvS8 dwconv_s8_avxvnni;
const DwConvS8 dwconv_s8_avxvnni = DwConv<AvxVnni>::entry("dwconv_s8_avxvnni", Isa::avxvnni);

}  // namespace firn::kernels
