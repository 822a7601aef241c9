// SPDX-License-Identifier: Apache-2.0
// Tensors of any type as floats.
#ifndef FIRN_EXAMPLES_FIRN_FLOATS_H_
#define FIRN_EXAMPLES_FIRN_FLOATS_H_

#include <optional>
#include <vector>

#include "firn/status.h"
#include "firn/tensor.h"

namespace firn::tool {

// The elements as floats: of a tensor quantized with one scale the real values, of other integers
// the numbers themselves. unsupported for f16 and for more scales than one.
Result<std::vector<float>> floats_of(const Tensor& tensor, const std::optional<Quant>& quant = {});

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_FLOATS_H_
