// SPDX-License-Identifier: Apache-2.0
// Turns a canonical graph into ONNX nodes. Every value is exported as the floats it stands for: an
// int8 one as QuantizeLinear and DequantizeLinear behind the operator that makes it.
#ifndef FIRN_RUNTIME_EXPORT_ONNX_EXPORTER_H_
#define FIRN_RUNTIME_EXPORT_ONNX_EXPORTER_H_

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "firn/onnx_export.h"
#include "runtime/export/onnx_writer.h"
#include "runtime/graph.h"

namespace firn::onnx {

// Where the channels of a value of four dimensions are: last, as in the canonical graph, or first,
// as ONNX's spatial operators have them. All other values have one layout only, the plain one.
enum class Layout : uint8_t { plain, planar };

class Exporter {
 public:
  Exporter(const Graph& graph, const OnnxExportOptions& options);

  // Inputs and outputs as the user knows them; their names are the graph's.
  Result<std::string> run(std::span<const TensorInfo> inputs, std::span<const TensorInfo> outputs);

 private:
  // One per operator; unsupported for the others.
  template <typename T>
  Status write(const Node& node, const T&) {
    return unsupported(node, "ONNX has no such operator");
  }
  Status write(const Node& node, const Conv2d& op);
  Status write(const Node& node, const ConvTranspose2d& op);
  Status write(const Node& node, const Dense& op);
  Status write(const Node& node, const MatMul& op);
  Status write(const Node& node, const Binary& op);
  Status write(const Node& node, const Unary& op);
  Status write(const Node& node, const PRelu& op);
  Status write(const Node& node, const Pool2d& op);
  Status write(const Node& node, const Reduce& op);
  Status write(const Node& node, const Softmax& op);
  Status write(const Node& node, const Concat& op);
  Status write(const Node& node, const Slice& op);
  Status write(const Node& node, const Pad& op);
  Status write(const Node& node, const Reshape& op);
  Status write(const Node& node, const Transpose& op);
  Status write(const Node& node, const Resize2d& op);
  Status write(const Node& node, const LocalResponseNorm& op);
  Status write(const Node& node, const InstanceNorm& op);
  Status write(const Node& node, const LayerNorm& op);
  Status write(const Node& node, const DepthToSpace& op);
  Status write(const Node& node, const Gather& op);
  Status write(const Node& node, const Where& op);
  Status write(const Node& node, const ArgMax& op);
  Status write(const Node& node, const Recurrent& op);
  Status write(const Node& node, const Convert& op);

  Status unsupported(const Node& node, const std::string& why) const;

  // The name of a value's floats in this layout; a Transpose is written where it is not there yet.
  std::string read(ValueId id, Layout layout);
  // Planar where the value is there so, and nothing has to be moved.
  Layout layout_of(ValueId id) const;
  // A constant with its dimensions in another order; "" is for the name of what is new.
  std::string constant(ValueId id, const std::vector<int32_t>& order, const std::string& suffix);
  // The same as the dimensions of a value of rank 4, for a Binary in that layout.
  std::string operand(ValueId id, Layout layout);
  template <typename T>
  std::string constant_of(const std::string& name, std::vector<int64_t> dims,
                          const std::vector<T>& data) {
    const std::string unique = fresh(name);
    writer_.initializer(unique, DTypeOf<T>::value, dims, std::as_bytes(std::span(data)));
    return unique;
  }
  std::string scalar(const std::string& name, float value) {
    return constant_of<float>(name, {}, {value});
  }

  // An operator whose only output is the value: with the clamp behind it, and, for an int8 value,
  // its quantization.
  void emit(const std::string& op_type, const Node& node, const std::vector<std::string>& inputs,
            Layout layout, const std::vector<Attribute>& attributes = {}, const Clamp& clamp = {});
  // An operator in between; the name of what it gives.
  std::string step(const std::string& op_type, const std::string& name,
                   const std::vector<std::string>& inputs,
                   const std::vector<Attribute>& attributes = {});
  // Where an operator is to write the floats of this value, and what follows when it has.
  std::string target(ValueId id, Layout layout);
  void written(ValueId id, Layout layout, const std::string& floats);
  // Floats that QuantizeLinear is to make from what is there.
  void quantize(ValueId id, Layout layout, const std::string& floats);
  std::string dequantize(ValueId id, Layout layout, const std::string& quantized);
  // Scale and zero point, in this order, as the model has them for a value.
  std::vector<std::string> parameters(const Value& value, bool activation);
  DType activation_type(const Value& value) const;

  std::string fresh(const std::string& name);

  const Graph& graph_;
  const OnnxExportOptions options_;
  ModelWriter writer_;
  std::set<std::string> names_;
  std::map<std::pair<ValueId, Layout>, std::string> views_;
  std::map<std::string, std::string> constants_;  // by name and order
};

// Dimensions of the planar layout, and where those of the plain one go.
inline const std::vector<int32_t> kToPlanar{0, 3, 1, 2};
inline const std::vector<int32_t> kToPlain{0, 2, 3, 1};
// Whether it is exported as what QuantizeLinear gives.
bool is_int8(const Value& value);
int32_t axis_in(Layout layout, int32_t axis, int rank);

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_EXPORT_ONNX_EXPORTER_H_
