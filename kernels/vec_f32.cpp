// SPDX-License-Identifier: Apache-2.0
// The table of float functions and norms, and its first entry: vectors of 16 bytes, which every
// machine has.
#include "kernels/vec_f32.h"

#include "kernels/vec_f32_loops.h"

namespace firn::kernels {

#define FIRN_VARIANT(isa) extern const VecF32 vec_f32_##isa;
#include "kernels/vec_f32.inc"
#undef FIRN_VARIANT

const VecF32 vec_f32_scalar = VecF32Loops<16>::entry("vec_f32_scalar", Isa::scalar);

std::span<const VecF32> vec_f32_table() {
#define FIRN_VARIANT(isa) vec_f32_##isa,
  static const VecF32 table[] = {
#include "kernels/vec_f32.inc"
  };
#undef FIRN_VARIANT
  return table;
}

}  // namespace firn::kernels
