// SPDX-License-Identifier: Apache-2.0
// Layers, that is Conv2d, ConvTranspose2d and Dense, as y = weights x + bias, and the per-channel
// arithmetic around them.
#ifndef FIRN_RUNTIME_PASSES_LAYER_H_
#define FIRN_RUNTIME_PASSES_LAYER_H_

#include <optional>
#include <vector>

#include "runtime/passes/match.h"
#include "runtime/passes/rewrite.h"

namespace firn {

// The clamp that an operator can apply to its output, or null: of layers and of arithmetic.
const Clamp* clamp_of(const Op& op);
Op with_clamp(Op op, const Clamp& clamp);

// What can be folded into: float, weights constant, bias constant or absent.
bool is_foldable_layer(const Rewrite& rewrite, int n);
// Output channels of such a layer.
int32_t channels_of(const Rewrite& rewrite, int n);
// Its bias, or as many zeros.
std::vector<double> bias_of(const Rewrite& rewrite, int n);
// Gives the layer new constants. False, with nothing changed, where a number is too large for
// float.
Result<bool> set_constants(Rewrite& rewrite, int n, std::vector<float> weights,
                           const std::vector<double>& bias);

// A Binary as scale * x + shift, one of each for every channel along an axis of x.
struct Affine {
  ValueId x = ValueId::none;
  std::vector<double> scale, shift;
};
// Add, Sub, Mul and Div of float x and a constant; x is not broadcast.
std::optional<Affine> affine_of(const Rewrite& rewrite, int n, int axis);

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_LAYER_H_
