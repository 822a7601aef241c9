// SPDX-License-Identifier: Apache-2.0
// 8-bit depthwise convolution with AVX2: strips of 16 channels widened to 16 bits, two vpmaddwd a
// quad, so that nothing saturates.
#include <immintrin.h>

#include "kernels/dwconv_s8_ymm.h"

namespace firn::kernels {
namespace {

struct Avx2 {
  static constexpr int kVecs = 2, kMaxVecs = 2, kLanes = 8;
  static constexpr bool kManyRegisters = false;
  static constexpr int kMaxTile = 7;
  static constexpr int32_t kOffset = 0;
  static constexpr bool kFloatSums = true;
  using Tap = int16_t;
  template <int N>
  using Output = YmmOutput<N>;
  static constexpr int channel(int n, int vec, int lane) { return unpacked_channel(n, vec, lane); }
  static constexpr int tap(int lane, int i) { return i / 2 * 2 * kLanes + lane * 2 + i % 2; }

  using Acc = __m256i;
  // Taps 0 and 1 of every lane, and taps 2 and 3.
  struct Weight {
    __m256i first, second;
  };
  template <int N>
  struct Quad {
    __m256i first[N], second[N];
  };

  static Acc bias(const int32_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }

  static Acc none() { return _mm256_setzero_si256(); }
  static Acc add(Acc a, Acc b) { return _mm256_add_epi32(a, b); }
  static Weight weight(const Tap* p) {
    const auto* pairs = reinterpret_cast<const __m256i*>(p);
    return {_mm256_load_si256(pairs), _mm256_load_si256(pairs + 1)};
  }

  struct Interleave {
    explicit Interleave(bool) {}
    template <int N, int kUsed>
    Quad<N> quad(const int8_t* p0, const int8_t* p1, const int8_t* p2, const int8_t* p3) const {
      const __m256i r0 = load(p0), r1 = load(p1), r2 = load(p2), r3 = kUsed == 4 ? load(p3) : r2;
      return {{_mm256_unpacklo_epi16(r0, r1), _mm256_unpackhi_epi16(r0, r1)},
              {_mm256_unpacklo_epi16(r2, r3), _mm256_unpackhi_epi16(r2, r3)}};
    }
  };

  template <int N>
  static Acc dot(Acc acc, const Quad<N>& quad, int v, Weight w) {
#if defined(__clang__)
    const __m256i first = _mm256_madd_epi16(quad.first[v], w.first);
    const __m256i second = _mm256_madd_epi16(quad.second[v], w.second);
    acc = _mm256_add_epi32(acc, _mm256_add_epi32(first, second));
    asm("" : "+x"(acc));  // or it makes all products first and spills them
#else
    // g++ 12 does so all the same, and copies accumulators; clang would put every "xm" into memory.
    __m256i first, second;
    asm("vpmaddwd %4, %3, %1\n\t"
        "vpmaddwd %6, %5, %2\n\t"
        "vpaddd %1, %2, %1\n\t"
        "vpaddd %1, %0, %0"
        : "+x"(acc), "=&x"(first), "=&x"(second)
        : "x"(quad.first[v]), "xm"(w.first), "x"(quad.second[v]), "xm"(w.second));
#endif
    return acc;
  }

 private:
  static __m256i load(const int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace

extern const DwConvS8 dwconv_s8_avx2;
const DwConvS8 dwconv_s8_avx2 = DwConv<Avx2>::entry("dwconv_s8_avx2", Isa::avx2);

}  // namespace firn::kernels
