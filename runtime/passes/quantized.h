// SPDX-License-Identifier: Apache-2.0
// What patterns ask about the Converts between real numbers and their 8-bit forms.
#ifndef FIRN_RUNTIME_PASSES_QUANTIZED_H_
#define FIRN_RUNTIME_PASSES_QUANTIZED_H_

#include <optional>
#include <vector>

#include "runtime/passes/rewrite.h"

namespace firn {

// i8 with one scale and zero point, what int8 kernels compute with.
bool is_int8(const Value& value);

// The quantized value whose real numbers `id` is, straight from a Convert; or none.
ValueId dequantized_from(const Rewrite& rewrite, ValueId id);
// A constant, or the real numbers behind a quantized one.
bool is_constant_like(const Rewrite& rewrite, ValueId id);

// The numbers of a plain constant, or of one that is dequantized with scales along its first axis.
std::optional<std::vector<double>> constant_numbers(const Rewrite& rewrite, ValueId id);

// Whether int8 values have the real numbers of `id`, seen through Transposes and Reshapes.
bool is_from_int8(const Rewrite& rewrite, ValueId id);
// Those values, moved as `id` is.
Result<ValueId> int8_behind(Rewrite& rewrite, ValueId id);

// Whether node n quantizes plain floats to int8.
bool is_quantize(const Rewrite& rewrite, int n);
// The node that does so with `id`, and is alone in reading it; or -1.
int quantizer_of(const Rewrite& rewrite, ValueId id);

// Conv2d or Dense n on int8 values and weights, where those are behind its operands, to its
// quantizer's output; or, where there is none and `float_output`, to floats. False where that is
// not so, or its kernels do not take it.
Result<bool> make_int8_layer(Rewrite& rewrite, int n, bool float_output);

// The same on 16-bit values and 8-bit weights, to the quantizer of either width: see is_wide().
Result<bool> make_wide_layer(Rewrite& rewrite, int n, bool float_output);

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_QUANTIZED_H_
