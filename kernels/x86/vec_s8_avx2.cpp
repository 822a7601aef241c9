// SPDX-License-Identifier: Apache-2.0
// 8-bit elementwise work, pools and conversions with AVX2: 32 bytes at once.
#include <immintrin.h>

#include "kernels/vec_s8_convert.h"
#include "kernels/vec_s8_map.h"
#include "kernels/vec_s8_pool.h"
#include "kernels/vec_s8_wide.h"

namespace firn::kernels {
namespace {

struct Ymm {
  using Int = __m256i;
  using Float = __m256;
  static constexpr size_t kBytes = 32;

  static Int load(const int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(int8_t* p, Int x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
  static Int load(const int8_t* p, size_t n) {
    int8_t all[kBytes] = {};
    memcpy(all, p, n);
    return load(all);
  }
  static void store(int8_t* p, Int x, size_t n) {
    int8_t all[kBytes];
    store(all, x);
    memcpy(p, all, n);
  }
  static Float load_floats(const float* p) { return _mm256_loadu_ps(p); }
  static void store_floats(float* p, Float x) { _mm256_storeu_ps(p, x); }
  static Int load_widened(const int8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }

  static Int load_widened(const int16_t* p) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  static Float set(float x) { return _mm256_set1_ps(x); }
  static Int set8(int32_t x) { return _mm256_set1_epi8(static_cast<int8_t>(x)); }
  static Int set16(int32_t x) { return _mm256_set1_epi16(static_cast<int16_t>(x)); }
  static Int set32(int32_t x) { return _mm256_set1_epi32(x); }

  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fused(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }  // b where a is NaN
  static Int round(Float x) { return _mm256_cvtps_epi32(x); }
  static Float to_float(Int x) { return _mm256_cvtepi32_ps(x); }
  static Float as_float(Int x) { return _mm256_castsi256_ps(x); }
  static Int as_int(Float x) { return _mm256_castps_si256(x); }

  static Int add16(Int a, Int b) { return _mm256_add_epi16(a, b); }
  static Int add32(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int sub32(Int a, Int b) { return _mm256_sub_epi32(a, b); }
  static Int adds16(Int a, Int b) { return _mm256_adds_epi16(a, b); }
  static Int high16(Int x) { return _mm256_srai_epi16(x, 8); }
  static Int low16(Int x) { return high16(_mm256_slli_epi16(x, 8)); }
  // acc and sums of two neighbouring products.
  static Int madd16(Int acc, Int a, Int b) { return add32(acc, _mm256_madd_epi16(a, b)); }
  static Int min8(Int a, Int b) { return _mm256_min_epi8(a, b); }
  static Int max8(Int a, Int b) { return _mm256_max_epi8(a, b); }
  // Sums of bytes of the lower and upper halves of 128 bits.
  static Int sumlo8(Int a, Int b) { return _mm256_maddubs_epi16(set8(1), unpacklo8(a, b)); }
  static Int sumhi8(Int a, Int b) { return _mm256_maddubs_epi16(set8(1), unpackhi8(a, b)); }
  static Int flip(Int x) { return _mm256_xor_si256(x, set8(-128)); }
  static Int packs32(Int a, Int b) { return _mm256_packs_epi32(a, b); }
  static Int packs16(Int a, Int b) { return _mm256_packs_epi16(a, b); }
  static Int unpacklo8(Int a, Int b) { return _mm256_unpacklo_epi8(a, b); }
  static Int unpackhi8(Int a, Int b) { return _mm256_unpackhi_epi8(a, b); }
  static Int unpacklo16(Int a, Int b) { return _mm256_unpacklo_epi16(a, b); }
  static Int unpackhi16(Int a, Int b) { return _mm256_unpackhi_epi16(a, b); }

  // From the order that packs of four vectors in sequence leave to theirs.
  static Int unpacked(Int x) {
    return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

  // The same of two.
  static Int unpacked2(Int x) { return _mm256_permute4x64_epi64(x, 0xd8); }

  // 32 pixels of four bytes, without their last bytes.
  static void store_threes(int8_t* p, const Int (&pixels)[4]) {
    const Int within = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,  //
                                        0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const Int across = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
    for (int j = 0; j < 4; ++j) {
      const Int x = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(pixels[j], within), across);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 24 * j), _mm256_castsi256_si128(x));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p + 24 * j + 16), _mm256_extracti128_si256(x, 1));
    }
  }

  // Sixteen entries at a time: vpshufb yields 0 where the index is negative, and indices go down by
  // 16 (saturating, so that they stay negative) from step to step. An index of step k thus gathers
  // from steps 0..k; as each step holds the exclusive-or of its entries and the step's before, what
  // remains is step k's entry. Negative x use the first half of the table, by flipped signs.
  struct Lut {
    Int t[16];
    explicit Lut(const int8_t* table) {
      for (int i = 0; i < 16; ++i) {
        t[i] = entries(table, i);
        if (i % 8 != 0) t[i] = _mm256_xor_si256(t[i], entries(table, i - 1));
      }
    }
    static Int entries(const int8_t* table, int i) {
      return _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * i)));
    }
    Int operator()(Int x) const {
      Int negative = flip(x);
      Int y = _mm256_xor_si256(_mm256_shuffle_epi8(t[0], negative), _mm256_shuffle_epi8(t[8], x));
      for (int i = 1; i < 8; ++i) {
        negative = _mm256_subs_epi8(negative, set8(16));
        x = _mm256_subs_epi8(x, set8(16));
        y = _mm256_xor_si256(y, _mm256_xor_si256(_mm256_shuffle_epi8(t[i], negative),
                                                 _mm256_shuffle_epi8(t[8 + i], x)));
      }
      return y;
    }
  };
};

// Without it the same bytes would be made, only later.
static_assert(VecMap<Ymm>::kFuses);

}  // namespace

extern const VecS8 vec_s8_avx2;
const VecS8 vec_s8_avx2 = {
    "vec_s8_avx2",
    Isa::avx2,
    VecMap<Ymm>::add,
    VecMap<Ymm>::add_row,
    VecMap<Ymm>::mul,
    VecMap<Ymm>::mul_row,
    VecMap<Ymm>::min_row,
    VecMap<Ymm>::max_row,
    VecMap<Ymm>::lut,
    VecPool<Ymm>::max_pool,
    VecPool<Ymm>::average_pool,
    VecPool<Ymm>::mean,
    VecConvert<Ymm>::quantize,
    VecConvert<Ymm>::quantize_planar,
    VecConvert<Ymm>::dequantize,
    VecWide<Ymm>::split16,
    VecWide<Ymm>::join16,
    VecWide<Ymm>::dwconv16,
    VecWide<Ymm>::quantize16,
    VecWide<Ymm>::dequantize16,
};

}  // namespace firn::kernels
