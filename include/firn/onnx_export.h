// SPDX-License-Identifier: Apache-2.0
// Writes models as ONNX files, so that what firn froze can be run, compared and looked at
// elsewhere.
#ifndef FIRN_ONNX_EXPORT_H_
#define FIRN_ONNX_EXPORT_H_

#include <string>

#include "firn/export.h"
#include "firn/model.h"
#include "firn/status.h"

namespace firn {

struct OnnxExportOptions {
  // Activations as uint8, which is what ONNX Runtime is fast with on x86: the same values, zero
  // points 128 higher. Weights are int8 either way.
  bool uint8_activations = false;
};

// Opset 17. Int8 layers become float operators between DequantizeLinear and QuantizeLinear (QDQ)
// with the model's own scales: weights int8 per channel, biases int32, activations int8 per tensor.
// Model::load reads the file back as the same int8 layers. Inputs and outputs keep names, types and
// shapes; channels come first inside wherever the operators of ONNX want that.
// unsupported names a node that ONNX has no such operator for, or that makes 16-bit activations,
// which QuantizeLinear does not give before opset 21; and models whose shapes follow from
// data. io_error.
FIRN_API Status export_onnx(const Model& model, const std::string& path,
                            const OnnxExportOptions& options = {});

}  // namespace firn

#endif  // FIRN_ONNX_EXPORT_H_
