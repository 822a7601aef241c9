// SPDX-License-Identifier: Apache-2.0
// Exports of layers with weights, windows, norms and recurrences.
#include <algorithm>
#include <cmath>

#include "runtime/export/onnx_exporter.h"

namespace firn::onnx {
namespace {

template <size_t N>
Ints ints(const std::array<int32_t, N>& values) {
  return {values.begin(), values.end()};
}

std::vector<Attribute> window_attributes(const Window& window) {
  return {{"kernel_shape", ints(window.kernel)},
          {"strides", ints(window.stride)},
          {"dilations", ints(window.dilation)},
          {"pads", ints(window.pad)}};
}

const char* activation_name(Unary::Kind kind) {
  switch (kind) {
    case Unary::Kind::sigmoid:
      return "Sigmoid";
    case Unary::Kind::tanh:
      return "Tanh";
    case Unary::Kind::hard_sigmoid:
      return "HardSigmoid";
    case Unary::Kind::elu:
      return "Elu";
    case Unary::Kind::leaky_relu:
      return "LeakyRelu";
    case Unary::Kind::softplus:
      return "Softplus";
    case Unary::Kind::softsign:
      return "Softsign";
    default:
      return nullptr;
  }
}

}  // namespace

Status Exporter::write(const Node& node, const Conv2d& op) {
  std::vector<std::string> inputs{read(node.in[0], Layout::planar),
                                  constant(node.in[1], kToPlanar, "_oihw")};
  if (node.in.size() > 2) inputs.push_back(read(node.in[2], Layout::plain));
  std::vector<Attribute> attributes = window_attributes(op.window);
  attributes.push_back({"group", int64_t{op.groups}});
  emit("Conv", node, inputs, Layout::planar, attributes, op.clamp);
  return {};
}

Status Exporter::write(const Node& node, const ConvTranspose2d& op) {
  const Value& weights = graph_.value(node.in[1]);
  if (weights.type != DType::f32 || !graph_.is_constant(node.in[1]))
    return unsupported(node, "its weights are not constant floats");
  // [Cout,KH,KW,Cin/groups] to [Cin,Cout/groups,KH,KW].
  const std::span<const float> from = weights.as<float>();
  const int64_t groups = op.groups, outputs = weights.shape[0] / groups;
  const int64_t inputs_per_group = weights.shape[3], taps = weights.shape[1] * weights.shape[2];
  std::vector<float> to;
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = 0; i < inputs_per_group; ++i)
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t tap = 0; tap < taps; ++tap)
          to.push_back(
              from[static_cast<size_t>(((g * outputs + o) * taps + tap) * inputs_per_group + i)]);
  std::vector<std::string> inputs{
      read(node.in[0], Layout::planar),
      constant_of(weights.name + "_iohw",
                  {groups * inputs_per_group, outputs, weights.shape[1], weights.shape[2]}, to)};
  if (node.in.size() > 2) inputs.push_back(read(node.in[2], Layout::plain));
  std::vector<Attribute> attributes = window_attributes(op.window);
  attributes.push_back({"output_padding", ints(op.output_pad)});
  attributes.push_back({"group", groups});
  emit("ConvTranspose", node, inputs, Layout::planar, attributes, op.clamp);
  return {};
}

Status Exporter::write(const Node& node, const Dense& op) {
  const std::string x = read(node.in[0], Layout::plain);
  const bool biased = node.in.size() > 2 && node.in[2] != ValueId::none;
  if (graph_.value(node.in[0]).shape.rank == 2) {
    std::vector<std::string> inputs{x, read(node.in[1], Layout::plain)};
    if (biased) inputs.push_back(read(node.in[2], Layout::plain));
    emit("Gemm", node, inputs, Layout::plain, {{"transB", int64_t{1}}}, op.clamp);
    return {};
  }
  const std::string w =
      graph_.is_constant(node.in[1])
          ? constant(node.in[1], {1, 0}, "_t")
          : step("Transpose", node.name, {read(node.in[1], Layout::plain)}, {{"perm", Ints{1, 0}}});
  if (!biased) {
    emit("MatMul", node, {x, w}, Layout::plain, {}, op.clamp);
    return {};
  }
  const std::string product = step("MatMul", node.name, {x, w});
  emit("Add", node, {product, read(node.in[2], Layout::plain)}, Layout::plain, {}, op.clamp);
  return {};
}

Status Exporter::write(const Node& node, const MatMul&) {
  emit("MatMul", node, {read(node.in[0], Layout::plain), read(node.in[1], Layout::plain)},
       Layout::plain);
  return {};
}

Status Exporter::write(const Node& node, const Pool2d& op) {
  std::vector<Attribute> attributes = window_attributes(op.window);
  attributes.push_back({"ceil_mode", int64_t{op.ceil}});
  const bool average = op.kind == Pool2d::Kind::average;
  if (average) {
    if (op.window.dilation != std::array{1, 1}) return unsupported(node, "a dilated average");
    std::erase_if(attributes,
                  [](const Attribute& a) { return a.name == std::string("dilations"); });
    attributes.push_back({"count_include_pad", int64_t{op.count_pad}});
  }
  emit(average ? "AveragePool" : "MaxPool", node, {read(node.in[0], Layout::planar)},
       Layout::planar, attributes);
  return {};
}

Status Exporter::write(const Node& node, const Resize2d& op) {
  constexpr const char* kCoordinates[] = {"half_pixel", "pytorch_half_pixel", "asymmetric",
                                          "align_corners"};
  constexpr const char* kNearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  const Shape& in = graph_.value(node.in[0]).shape;
  const Shape& out = graph_.value(node.out[0]).shape;
  std::vector<std::string> inputs{read(node.in[0], Layout::planar), "", "", ""};
  if (op.size[0] != 0 || op.size[1] != 0)
    inputs[3] = constant_of<int64_t>(node.name + "_sizes", {4}, {in[0], in[3], out[1], out[2]});
  else
    inputs[2] = constant_of<float>(node.name + "_scales", {4}, {1, 1, op.scale[0], op.scale[1]});
  if (inputs[3].empty()) inputs.pop_back();
  const bool nearest = op.kind == Resize2d::Kind::nearest;
  emit("Resize", node, inputs, Layout::planar,
       {{"mode", std::string(nearest ? "nearest" : "linear")},
        {"coordinate_transformation_mode",
         std::string(kCoordinates[static_cast<size_t>(op.coordinates)])},
        {"nearest_mode", std::string(kNearest[static_cast<size_t>(op.nearest)])}});
  return {};
}

Status Exporter::write(const Node& node, const LocalResponseNorm& op) {
  emit("LRN", node, {read(node.in[0], Layout::planar)}, Layout::planar,
       {{"size", int64_t{op.size}}, {"alpha", op.alpha}, {"beta", op.beta}, {"bias", op.bias}});
  return {};
}

Status Exporter::write(const Node& node, const InstanceNorm& op) {
  emit("InstanceNormalization", node,
       {read(node.in[0], Layout::planar), read(node.in[1], Layout::plain),
        read(node.in[2], Layout::plain)},
       Layout::planar, {{"epsilon", op.epsilon}});
  return {};
}

Status Exporter::write(const Node& node, const LayerNorm& op) {
  const std::string x = read(node.in[0], Layout::plain);
  const auto optional = [&](size_t i) {
    return node.in.size() > i ? read(node.in[i], Layout::plain) : std::string();
  };
  std::string scale = optional(1);
  const std::string bias = optional(2);
  const Shape& shape = graph_.value(node.in[0]).shape;
  if (op.centred) {
    const int64_t width = shape[shape.rank - 1];
    if (scale.empty())
      scale = constant_of<float>(node.name + "_scale", {width},
                                 std::vector<float>(static_cast<size_t>(width), 1.0f));
    std::vector<std::string> inputs{x, scale};
    if (!bias.empty()) inputs.push_back(bias);
    emit("LayerNormalization", node, inputs, Layout::plain,
         {{"axis", int64_t{-1}}, {"epsilon", op.epsilon}});
    return {};
  }
  const std::string square = step("Mul", node.name + "_square", {x, x});
  const std::string mean =
      step("ReduceMean", node.name, {square}, {{"axes", Ints{-1}}, {"keepdims", int64_t{1}}});
  const std::string lifted =
      step("Add", node.name + "_epsilon", {mean, scalar(node.name + "_epsilon", op.epsilon)});
  const std::string root = step("Sqrt", node.name, {lifted});
  std::string y = step("Div", node.name, {x, root});
  if (!scale.empty() && !bias.empty()) y = step("Mul", node.name, {y, scale});
  if (!bias.empty())
    emit("Add", node, {y, bias}, Layout::plain);
  else if (!scale.empty())
    emit("Mul", node, {y, scale}, Layout::plain);
  else
    emit("Identity", node, {y}, Layout::plain);
  return {};
}

Status Exporter::write(const Node& node, const Recurrent& op) {
  constexpr const char* kCells[] = {"LSTM", "GRU", "RNN"};
  constexpr const char* kDirections[] = {"forward", "reverse", "bidirectional"};
  constexpr float kNone = std::numeric_limits<float>::infinity();
  if (op.cell_clip != kNone || op.output_clip != kNone || node.in.size() > 8)
    return unsupported(node, "its projection, or clipping of its state, is not in ONNX");
  std::vector<std::string> inputs;
  for (const ValueId id : node.in) inputs.push_back(read(id, Layout::plain));
  std::vector<Attribute> attributes{
      {"direction", std::string(kDirections[static_cast<size_t>(op.direction)])},
      {"hidden_size", int64_t{graph_.value(node.in[2]).shape[2]}}};
  if (op.clip != kNone) attributes.push_back({"clip", op.clip});
  if (op.cell == Recurrent::Cell::gru)
    attributes.push_back({"linear_before_reset", int64_t{op.linear_before_reset}});
  if (op.cell == Recurrent::Cell::lstm)
    attributes.push_back({"input_forget", int64_t{op.couple_input_forget}});
  if (!op.activations.empty()) {
    Texts names;
    Floats alpha, beta;
    for (const Unary& activation : op.activations) {
      const bool relu = activation.kind == Unary::Kind::clamp && activation.alpha == 0 &&
                        activation.beta == kNone;
      const char* name = relu ? "Relu" : activation_name(activation.kind);
      if (name == nullptr) return unsupported(node, "one of its activations is not in ONNX");
      names.push_back(name);
      if (activation.kind == Unary::Kind::hard_sigmoid || activation.kind == Unary::Kind::elu ||
          activation.kind == Unary::Kind::leaky_relu)
        alpha.push_back(activation.alpha);
      if (activation.kind == Unary::Kind::hard_sigmoid) beta.push_back(activation.beta);
    }
    attributes.push_back({"activations", names});
    if (!alpha.empty()) attributes.push_back({"activation_alpha", alpha});
    if (!beta.empty()) attributes.push_back({"activation_beta", beta});
  }
  std::vector<std::string> outputs;
  for (const ValueId id : node.out)
    outputs.push_back(id == ValueId::none ? std::string() : target(id, Layout::plain));
  writer_.node(kCells[static_cast<size_t>(op.cell)], node.name, inputs, outputs, attributes);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (!outputs[i].empty()) written(node.out[i], Layout::plain, outputs[i]);
  return {};
}

}  // namespace firn::onnx
