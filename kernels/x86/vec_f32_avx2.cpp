// SPDX-License-Identifier: Apache-2.0
// Float functions and norms with AVX2: eight at once.
#include "kernels/vec_f32_loops.h"

namespace firn::kernels {

extern const VecF32 vec_f32_avx2;
const VecF32 vec_f32_avx2 = VecF32Loops<32>::entry("vec_f32_avx2", Isa::avx2);

}  // namespace firn::kernels
