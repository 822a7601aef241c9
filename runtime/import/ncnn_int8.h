// SPDX-License-Identifier: Apache-2.0
// Layers that ncnn's tools have quantized: int8 weights by output channel, int8 inputs, and with a
// scale for it an int8 output, too. ncnn's scales multiply, a Quant's divide.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_INT8_H_
#define FIRN_RUNTIME_IMPORT_NCNN_INT8_H_

#include <optional>
#include <vector>

#include "runtime/import/ncnn_context.h"

namespace firn::ncnn {

struct Int8Scales {
  std::vector<float> weight;  // one an output channel; 0: all its weights are 0
  float bottom = 1;
  std::optional<float> top;
};

// The scales that follow a layer's weights and bias where parameter 8 is not 0.
struct ScaleCounts {
  int32_t channels = 0;
  std::optional<int32_t> groups{};  // a depthwise layer has one a group, or one for all
  bool top = true;                  // whether its output may have one
  size_t inputs = 1;                // of a sum; for those that are made up
};
Result<std::optional<Int8Scales>> read_int8_scales(Context& c, const ScaleCounts& counts);

// Weights [O,...] and a bias [O], or none, in int8 and int32. The weights are taken from f32 where
// they are stored so. `perm` orders the weights' dimensions, as c.transpose() does; empty: as they
// are.
struct Int8Operands {
  ValueId weights = ValueId::none, bias = ValueId::none;
};
Result<Int8Operands> quantize_operands(Context& c, Value weights, ValueId bias,
                                       const std::vector<int32_t>& perm, const Int8Scales& scales);

// x in int8 with that scale; x itself where it is so already.
Result<ValueId> quantize_input(Context& c, ValueId x, float scale);
// The quantization of the output, where it has one.
std::optional<Quant> output_quant(const Int8Scales& scales);

// For layers that firn computes in f32: int8 weights over their scales, of which each holds for
// equally many elements. f32 as it is.
Result<Value> dequantized(const Context& c, Value weights, const std::vector<float>& scales);

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_INT8_H_
