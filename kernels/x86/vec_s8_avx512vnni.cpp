// SPDX-License-Identifier: Apache-2.0
// 8-bit elementwise work, pools and conversions with AVX-512 (F, BW, VBMI): 64 bytes at once.
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's header reads a variable of its own before writing it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels/vec_s8_convert.h"
#include "kernels/vec_s8_map.h"
#include "kernels/vec_s8_pool.h"
#include "kernels/vec_s8_wide.h"

namespace firn::kernels {
namespace {

struct Zmm {
  using Int = __m512i;
  using Float = __m512;
  static constexpr size_t kBytes = 64;

  static Int load(const int8_t* p) { return _mm512_loadu_si512(p); }
  static void store(int8_t* p, Int x) { _mm512_storeu_si512(p, x); }
  static __mmask64 first(size_t n) { return ~uint64_t{0} >> (64 - n); }
  static Int load(const int8_t* p, size_t n) { return _mm512_maskz_loadu_epi8(first(n), p); }
  static void store(int8_t* p, Int x, size_t n) { _mm512_mask_storeu_epi8(p, first(n), x); }
  static Float load_floats(const float* p) { return _mm512_loadu_ps(p); }
  static void store_floats(float* p, Float x) { _mm512_storeu_ps(p, x); }
  static Int load_widened(const int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  static Int load_widened(const int16_t* p) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }

  static Float set(float x) { return _mm512_set1_ps(x); }
  static Int set8(int32_t x) { return _mm512_set1_epi8(static_cast<int8_t>(x)); }
  static Int set16(int32_t x) { return _mm512_set1_epi16(static_cast<int16_t>(x)); }
  static Int set32(int32_t x) { return _mm512_set1_epi32(x); }

  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fused(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }  // b where a is NaN
  static Int round(Float x) { return _mm512_cvtps_epi32(x); }
  static Float to_float(Int x) { return _mm512_cvtepi32_ps(x); }
  static Float as_float(Int x) { return _mm512_castsi512_ps(x); }
  static Int as_int(Float x) { return _mm512_castps_si512(x); }

  static Int add16(Int a, Int b) { return _mm512_add_epi16(a, b); }
  static Int add32(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int sub32(Int a, Int b) { return _mm512_sub_epi32(a, b); }
  static Int adds16(Int a, Int b) { return _mm512_adds_epi16(a, b); }
  static Int high16(Int x) { return _mm512_srai_epi16(x, 8); }
  static Int low16(Int x) { return high16(_mm512_slli_epi16(x, 8)); }
  // acc and sums of two neighbouring products.
  static Int madd16(Int acc, Int a, Int b) { return _mm512_dpwssd_epi32(acc, a, b); }
  static Int min8(Int a, Int b) { return _mm512_min_epi8(a, b); }
  static Int max8(Int a, Int b) { return _mm512_max_epi8(a, b); }
  // Sums of bytes of the lower and upper halves of 128 bits.
  static Int sumlo8(Int a, Int b) { return _mm512_maddubs_epi16(set8(1), unpacklo8(a, b)); }
  static Int sumhi8(Int a, Int b) { return _mm512_maddubs_epi16(set8(1), unpackhi8(a, b)); }
  static Int flip(Int x) { return _mm512_xor_si512(x, set8(-128)); }
  static Int packs32(Int a, Int b) { return _mm512_packs_epi32(a, b); }
  static Int packs16(Int a, Int b) { return _mm512_packs_epi16(a, b); }
  static Int unpacklo8(Int a, Int b) { return _mm512_unpacklo_epi8(a, b); }
  static Int unpackhi8(Int a, Int b) { return _mm512_unpackhi_epi8(a, b); }
  static Int unpacklo16(Int a, Int b) { return _mm512_unpacklo_epi16(a, b); }
  static Int unpackhi16(Int a, Int b) { return _mm512_unpackhi_epi16(a, b); }

  // As VecMap tells: byte i of each four. Without unpacks, for which there is but one port.
  static VecLanes<Zmm>::Floats split(Int x);
  // Back to their order from that which packs of these four leave.
  static Int joined(Int x) {
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                       6, 10, 14, 3, 7, 11, 15)));
  }

  // From the order that packs of four vectors in sequence leave to theirs.
  static Int unpacked(Int x) {
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), x);
  }

  // The same of two.
  static Int unpacked2(Int x) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), x);
  }

  // 64 pixels of four bytes, without their last bytes.
  static void store_threes(int8_t* p, const Int (&pixels)[4]) {
    alignas(64) uint8_t index[3][64];
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 64; ++i) {
        const int byte = 64 * j + i;  // of the output; its pixel relative to those of pixels[j]
        index[j][i] = static_cast<uint8_t>((byte / 3 - 16 * j) * 4 + byte % 3);
      }
    for (int j = 0; j < 3; ++j)
      store(p + 64 * j,
            _mm512_permutex2var_epi8(pixels[j], _mm512_load_si512(index[j]), pixels[j + 1]));
  }

  // The table in four registers: the low seven bits of an index pick from two of them, its sign
  // which two. Entry x + 128 of a negative x is entry x & 127 of the first half.
  struct Lut {
    Int t[4];
    explicit Lut(const int8_t* table) {
      for (int i = 0; i < 4; ++i) t[i] = load(table + 64 * i);
    }
    Int operator()(Int x) const {
      const Int negative = _mm512_permutex2var_epi8(t[0], x, t[1]);
      const Int positive = _mm512_permutex2var_epi8(t[2], x, t[3]);
      return _mm512_mask_mov_epi8(positive, _mm512_movepi8_mask(x), negative);
    }
  };
};

inline VecLanes<Zmm>::Floats Zmm::split(Int x) {
  constexpr int kMaskedXor = (0xf0 & 0xcc) ^ 0xaa;
  const Int low = set32(0xff), high = set32(0xff00);
  const Int low_bits = set32(0x4b00'0080), high_bits = set32(0x4b00'8000);
  const Int upper = _mm512_srli_epi32(x, 16);
  return {{as_float(_mm512_ternarylogic_epi32(x, low, low_bits, kMaskedXor)),
           as_float(_mm512_ternarylogic_epi32(x, high, high_bits, kMaskedXor)),
           as_float(_mm512_ternarylogic_epi32(upper, low, low_bits, kMaskedXor)),
           as_float(_mm512_ternarylogic_epi32(upper, high, high_bits, kMaskedXor))}};
}

// Without these the same bytes would be made, only later.
static_assert(VecMap<Zmm>::kSplits && VecMap<Zmm>::kFuses);

}  // namespace

extern const VecS8 vec_s8_avx512vnni;
const VecS8 vec_s8_avx512vnni = {
    "vec_s8_avx512vnni",
    Isa::avx512vnni,
    VecMap<Zmm>::add,
    VecMap<Zmm>::add_row,
    VecMap<Zmm>::mul,
    VecMap<Zmm>::mul_row,
    VecMap<Zmm>::min_row,
    VecMap<Zmm>::max_row,
    VecMap<Zmm>::lut,
    VecPool<Zmm>::max_pool,
    VecPool<Zmm>::average_pool,
    VecPool<Zmm>::mean,
    VecConvert<Zmm>::quantize,
    VecConvert<Zmm>::quantize_planar,
    VecConvert<Zmm>::dequantize,
    VecWide<Zmm>::split16,
    VecWide<Zmm>::join16,
    VecWide<Zmm>::dwconv16,
    VecWide<Zmm>::quantize16,
    VecWide<Zmm>::dequantize16,
};

}  // namespace firn::kernels
