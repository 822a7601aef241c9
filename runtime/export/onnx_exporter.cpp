// SPDX-License-Identifier: Apache-2.0
// What all operators' exports share: names, layouts, constants and quantization.
#include "runtime/export/onnx_exporter.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/file.h"
#include "runtime/model_impl.h"

namespace firn::onnx {
namespace {

std::vector<int64_t> dims_of(const Shape& shape) {
  return {shape.dim.begin(), shape.dim.begin() + shape.rank};
}

// Elements of `bytes` each, in the new order of dimensions.
std::vector<std::byte> reordered(const Shape& shape, std::span<const std::byte> data, size_t bytes,
                                 const std::vector<int32_t>& order) {
  const size_t rank = order.size();
  std::vector<size_t> stride(rank, 1), at(rank);
  for (size_t i = rank; i-- > 1;)
    stride[i - 1] = stride[i] * static_cast<size_t>(shape[static_cast<int>(i)]);
  std::vector<std::byte> out(shape.elements() * bytes);
  for (size_t k = 0; k < shape.elements(); ++k) {
    size_t from = 0;
    for (size_t i = 0; i < rank; ++i) from += at[i] * stride[static_cast<size_t>(order[i])];
    std::memcpy(out.data() + k * bytes, data.data() + from * bytes, bytes);
    for (size_t i = rank; i-- > 0;) {
      if (++at[i] < static_cast<size_t>(shape[order[i]])) break;
      at[i] = 0;
    }
  }
  return out;
}

}  // namespace

bool is_int8(const Value& value) {
  return (value.type == DType::i8 || value.type == DType::u8) && value.quant.has_value();
}

int32_t axis_in(Layout layout, int32_t axis, int rank) {
  if (axis < 0) axis += rank;
  if (layout == Layout::plain) return axis;
  return static_cast<int32_t>(std::ranges::find(kToPlanar, axis) - kToPlanar.begin());
}

Exporter::Exporter(const Graph& graph, const OnnxExportOptions& options)
    : graph_(graph), options_(options) {
  for (const ValueId id : graph.inputs) names_.insert(graph.value(id).name);
  for (const ValueId id : graph.outputs) names_.insert(graph.value(id).name);
}

Status Exporter::unsupported(const Node& node, const std::string& why) const {
  return {Code::unsupported, "export to ONNX: " + describe(node) + ": " + why};
}

std::string Exporter::fresh(const std::string& name) {
  std::string unique = name.empty() ? "value" : name;
  for (int i = 2; !names_.insert(unique).second; ++i) unique = name + "_" + std::to_string(i);
  return unique;
}

DType Exporter::activation_type(const Value& value) const {
  return value.type == DType::i8 && options_.uint8_activations ? DType::u8 : value.type;
}

std::vector<std::string> Exporter::parameters(const Value& value, bool activation) {
  const Quant& quant = *value.quant;
  std::vector<int64_t> dims;
  if (!quant.per_tensor()) dims = {static_cast<int64_t>(quant.scale.size())};
  const std::string key = value.name + (activation ? "" : " constant") + " parameters";
  if (!constants_.contains(key)) {
    constants_[key] = constant_of(value.name + "_scale", dims, quant.scale);
    if (value.type != DType::i32) {
      const bool shifted = activation && activation_type(value) != value.type;
      const std::string zero = fresh(value.name + "_zero_point");
      std::vector<std::byte> zeros;
      for (const int32_t z : quant.zero)
        zeros.push_back(static_cast<std::byte>(shifted ? z + 128 : z));
      writer_.initializer(zero, activation ? activation_type(value) : value.type, dims, zeros);
      constants_[key + " zero"] = zero;
    }
  }
  std::vector<std::string> both{constants_[key]};
  if (const auto zero = constants_.find(key + " zero"); zero != constants_.end())
    both.push_back(zero->second);
  return both;
}

std::string Exporter::constant(ValueId id, const std::vector<int32_t>& order,
                               const std::string& suffix) {
  const Value& value = graph_.value(id);
  const bool moved = !std::ranges::is_sorted(order);
  std::string& known = constants_[value.name + (moved ? " " + suffix : "")];
  if (!known.empty()) return known;
  std::vector<int64_t> dims;
  for (const int32_t from : order) dims.push_back(value.shape[from]);
  const size_t bytes = value.shape.elements() * dtype_bytes(value.type);
  std::span<const std::byte> data = value.constant->bytes().first(bytes);
  std::vector<std::byte> copy;
  if (moved) {
    copy = reordered(value.shape, data, dtype_bytes(value.type), order);
    data = copy;
  }
  const std::string name = fresh(value.name + (moved ? suffix : ""));
  writer_.initializer(name, value.type, dims, data);
  if (value.type == DType::f16) return known = step("Cast", name, {name}, {{"to", int64_t{1}}});
  if (!value.quant || value.type == DType::f32) return known = name;
  std::vector<std::string> inputs = parameters(value, false);
  inputs.insert(inputs.begin(), name);
  std::vector<Attribute> attributes;
  if (!value.quant->per_tensor()) {
    const auto axis = std::ranges::find(order, static_cast<int32_t>(value.quant->axis));
    attributes.push_back({"axis", static_cast<int64_t>(axis - order.begin())});
  }
  return known = step("DequantizeLinear", name, inputs, attributes);
}

Layout Exporter::layout_of(ValueId id) const {
  return graph_.value(id).shape.rank == 4 && views_.contains({id, Layout::planar}) ? Layout::planar
                                                                                   : Layout::plain;
}

std::string Exporter::read(ValueId id, Layout layout) {
  if (id == ValueId::none) return "";
  const Value& value = graph_.value(id);
  if (graph_.is_constant(id)) {
    std::vector<int32_t> order(value.shape.rank);
    std::iota(order.begin(), order.end(), 0);
    return constant(id, layout == Layout::planar ? kToPlanar : order, "_nchw");
  }
  const auto found = views_.find({id, layout});
  if (found != views_.end()) return found->second;
  const bool to_planar = layout == Layout::planar;
  const Layout other = to_planar ? Layout::plain : Layout::planar;
  const std::vector<int32_t>& order = to_planar ? kToPlanar : kToPlain;
  return views_[{id, layout}] =
             step("Transpose", value.name + (to_planar ? "_nchw" : "_nhwc"), {read(id, other)},
                  {{"perm", Ints(order.begin(), order.end())}});
}

std::string Exporter::operand(ValueId id, Layout layout) {
  const Value& value = graph_.value(id);
  if (layout == Layout::plain || !graph_.is_constant(id) || value.shape.rank == 4 ||
      value.shape.elements() == 1)
    return read(id, value.shape.rank == 4 ? layout : Layout::plain);
  // Fewer dimensions are the last ones: [C], [W, C], [H, W, C], of which the channels move.
  const int rank = value.shape.rank;
  std::vector<int32_t> order(static_cast<size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.end() - 1, order.end());
  std::vector<int64_t> dims{value.shape[rank - 1], 1, 1};
  for (int i = 0; i < rank - 1; ++i) dims[static_cast<size_t>(4 - rank + i)] = value.shape[i];
  const std::string moved = constant(id, order, "_chw");
  return step("Reshape", value.name,
              {moved, constant_of<int64_t>(value.name + "_dims", {3}, dims)});
}

std::string Exporter::step(const std::string& op_type, const std::string& name,
                           const std::vector<std::string>& inputs,
                           const std::vector<Attribute>& attributes) {
  const std::string out = fresh(name + "_" + op_type + "_Output");
  writer_.node(op_type, name + "_" + op_type, inputs, {out}, attributes);
  return out;
}

std::string Exporter::target(ValueId id, Layout layout) {
  const Value& value = graph_.value(id);
  const bool own_name = layout == Layout::plain && !is_int8(value);
  if (own_name && graph_.is_output(id)) return value.name;
  return fresh(value.name + (layout == Layout::planar ? "_nchw" : "") +
               (is_int8(value) ? "_float" : ""));
}

std::string Exporter::dequantize(ValueId id, Layout layout, const std::string& quantized) {
  const Value& value = graph_.value(id);
  std::vector<std::string> inputs = parameters(value, true);
  inputs.insert(inputs.begin(), quantized);
  return views_[{id, layout}] = step("DequantizeLinear", value.name, inputs);
}

void Exporter::quantize(ValueId id, Layout layout, const std::string& floats) {
  const Value& value = graph_.value(id);
  std::vector<std::string> inputs = parameters(value, true);
  inputs.insert(inputs.begin(), floats);
  dequantize(id, layout, step("QuantizeLinear", value.name, inputs));
}

void Exporter::written(ValueId id, Layout layout, const std::string& floats) {
  if (is_int8(graph_.value(id)))
    quantize(id, layout, floats);
  else
    views_[{id, layout}] = floats;
}

void Exporter::emit(const std::string& op_type, const Node& node,
                    const std::vector<std::string>& inputs, Layout layout,
                    const std::vector<Attribute>& attributes, const Clamp& clamp) {
  const ValueId out = node.out[0];
  const std::string floats = target(out, layout);
  if (clamp.none()) {
    writer_.node(op_type, node.name, inputs, {floats}, attributes);
  } else {
    const std::string free = fresh(node.name + "_unclamped");
    writer_.node(op_type, node.name, inputs, {free}, attributes);
    if (clamp.lo == 0 && clamp.hi == Clamp{}.hi) {
      writer_.node("Relu", node.name + "_Relu", {free}, {floats});
    } else {
      const auto limit = [&](float value, float none, const char* name) {
        return value == none ? std::string() : scalar(node.name + name, value);
      };
      writer_.node("Clip", node.name + "_Clip",
                   {free, limit(clamp.lo, Clamp{}.lo, "_min"), limit(clamp.hi, Clamp{}.hi, "_max")},
                   {floats});
    }
  }
  written(out, layout, floats);
}

Result<std::string> Exporter::run(std::span<const TensorInfo> inputs,
                                  std::span<const TensorInfo> outputs) {
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const ValueId id = graph_.inputs[i];
    const Value& value = graph_.value(id);
    const DType type = is_int8(value) ? activation_type(value) : value.type;
    writer_.input(value.name, type, dims_of(inputs[i].shape));
    if (is_int8(value))
      dequantize(id, Layout::plain, value.name);
    else
      views_[{id, Layout::plain}] = value.name;
  }
  for (const Node& node : graph_.nodes) {
    for (const ValueId id : node.in)
      if (graph_.is_constant(id) && graph_.value(id).quant &&
          (graph_.value(id).quant->block != 0 || graph_.value(id).quant->bits < 8))
        return unsupported(
            node, "weights of " + std::to_string(graph_.value(id).quant->bits) + " bits in blocks");
    for (const ValueId id : node.out)
      if (graph_.value(id).type == DType::i16 && graph_.value(id).quant)
        return unsupported(node, "16-bit activations: QuantizeLinear gives 8 bits up to opset 20");
    FIRN_TRY(std::visit([&](const auto& op) { return write(node, op); }, node.op));
  }
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    const ValueId id = graph_.outputs[i];
    const Value& value = graph_.value(id);
    const std::string floats = read(id, Layout::plain);
    if (is_int8(value)) {
      std::vector<std::string> from = parameters(value, true);
      from.insert(from.begin(), floats);
      writer_.node("QuantizeLinear", value.name + "_output", from, {value.name});
    } else if (floats != value.name) {
      writer_.node("Identity", value.name + "_output", {floats}, {value.name});
    }
    writer_.output(value.name, is_int8(value) ? activation_type(value) : value.type,
                   dims_of(outputs[i].shape));
  }
  return writer_.finish();
}

}  // namespace firn::onnx

namespace firn {

Status export_onnx(const Model& model, const std::string& path, const OnnxExportOptions& options) {
  const ModelImpl& impl = model.impl();
  if (impl.cut->has_tail())
    return {Code::unsupported, "export to ONNX: some of the model's shapes follow from data"};
  if (!impl.states.empty())
    return {Code::unsupported, "export to ONNX: the model keeps state between runs"};
  FIRN_ASSIGN(const Graph graph, impl.optimised());
  FIRN_ASSIGN(const std::string file,
              onnx::Exporter(graph, options).run(impl.inputs, impl.outputs));
  if (file.size() > INT32_MAX)
    return {Code::unsupported, "export to ONNX: a file of more than 2 GB cannot be read"};
  return write_file(path, std::as_bytes(std::span(file)));
}

}  // namespace firn
