// SPDX-License-Identifier: Apache-2.0
// Float functions and norms with AVX-512: sixteen at once.
#include "kernels/vec_f32_loops.h"

namespace firn::kernels {

extern const VecF32 vec_f32_avx512vnni;
const VecF32 vec_f32_avx512vnni = VecF32Loops<64>::entry("vec_f32_avx512vnni", Isa::avx512vnni);

}  // namespace firn::kernels
