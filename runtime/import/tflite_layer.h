// SPDX-License-Identifier: Apache-2.0
// Layers that multiply by weights: in int8 where the model does, in float otherwise.
#ifndef FIRN_RUNTIME_IMPORT_TFLITE_LAYER_H_
#define FIRN_RUNTIME_IMPORT_TFLITE_LAYER_H_

#include <utility>
#include <vector>

#include "runtime/import/tflite_context.h"

namespace firn::tflite {

// Inputs of such a layer: int8 with an int32 bias where `int8`, else real numbers.
struct LayerInputs {
  ValueId x = ValueId::none, w = ValueId::none, bias = ValueId::none;
  bool int8 = false;
};

// Reads the inputs at these places; the bias may be left out. int8 only where the layer has kernels
// for it and the output is int8, too. `perm`: the weights are transposed, and their scales with
// them.
Result<LayerInputs> layer_inputs(Context& c, size_t x, size_t w, size_t bias, bool has_kernels,
                                 const std::vector<int32_t>& perm = {});

// Emits the layer and what its activation asks for.
template <typename Layer>
Result<ValueId> emit_layer(Context& c, Layer layer, const LayerInputs& in,
                           wire::Activation activation) {
  const bool clamps = activation != wire::Activation::tanh;
  if (clamps) {
    FIRN_ASSIGN(layer.clamp, c.clamp_of(activation));
  }
  FIRN_ASSIGN(const ValueId y, c.emit("", std::move(layer), {in.x, in.w, in.bias},
                                      in.int8 ? c.int8_output() : std::nullopt));
  return clamps ? y : c.activate(y, activation);
}

}  // namespace firn::tflite

#endif  // FIRN_RUNTIME_IMPORT_TFLITE_LAYER_H_
