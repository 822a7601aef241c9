// SPDX-License-Identifier: Apache-2.0
// The table of float matrix products, and its first entry: vectors of 16 bytes, which every machine
// has.
#include "kernels/gemm_f32.h"

#include "kernels/gemm_f32_tile.h"

namespace firn::kernels {
namespace {

struct Portable {
  typedef float Float __attribute__((vector_size(16)));
  static constexpr size_t kLanes = 4, kRows = 4, kVectors = 2;

  static Float load(const float* p) {
    Float x;
    memcpy(&x, p, sizeof x);
    return x;
  }
  static void store(float* p, Float x) { memcpy(p, &x, sizeof x); }
  static Float set(float x) { return Float{x, x, x, x}; }
  static Float add(Float a, Float b) { return a + b; }
  static Float multiply_add(Float a, Float b, Float c) { return a * b + c; }
  static Float min(Float a, Float b) { return a < b ? a : b; }
  static Float max(Float a, Float b) { return a > b ? a : b; }
};

}  // namespace

#define FIRN_VARIANT(isa) extern const GemmF32Kernel gemm_f32_##isa;
#include "kernels/gemm_f32.inc"
#undef FIRN_VARIANT

const GemmF32Kernel gemm_f32_scalar = {"gemm_f32_scalar", Isa::scalar,
                                       GemmF32Tile<Portable>::kColumns, GemmF32Tile<Portable>::run};

std::span<const GemmF32Kernel> gemm_f32_table() {
#define FIRN_VARIANT(isa) gemm_f32_##isa,
  static const GemmF32Kernel table[] = {
#include "kernels/gemm_f32.inc"
  };
#undef FIRN_VARIANT
  return table;
}

}  // namespace firn::kernels
