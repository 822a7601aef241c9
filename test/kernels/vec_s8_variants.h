// SPDX-License-Identifier: Apache-2.0
// The elementwise kernels of this machine, one after the other.
#ifndef FIRN_TEST_KERNELS_VEC_S8_VARIANTS_H_
#define FIRN_TEST_KERNELS_VEC_S8_VARIANTS_H_

#include <doctest/doctest.h>

#include <string>

#include "kernels/vec_s8.h"

namespace firn::test {

// Calls fn for every variant that this machine runs.
template <typename F>
void for_kernels(F&& fn) {
  for (const kernels::VecS8& kernel : kernels::vec_s8_table()) {
    if ((kernels::supported_isas() & bit(kernel.isa)) == 0) continue;
    CAPTURE(std::string(kernel.name));
    fn(kernel);
  }
}

}  // namespace firn::test

#endif  // FIRN_TEST_KERNELS_VEC_S8_VARIANTS_H_
