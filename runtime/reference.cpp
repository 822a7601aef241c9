// SPDX-License-Identifier: Apache-2.0
// The slow oracle: runs one node, or a whole graph, by the reference operators.
#include <algorithm>
#include <new>

#include "runtime/packed.h"
#include "runtime/parameters.h"
#include "runtime/quant_check.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

Result<Operand> allocate(DType type, const Shape& shape) {
  Operand operand{{type, shape, nullptr}, nullptr};
  operand.owned.reset(new (std::nothrow) std::byte[operand.tensor.bytes() + 1]);
  if (operand.owned == nullptr)
    return Status(Code::out_of_memory,
                  "no memory for " + std::to_string(operand.tensor.bytes()) + " bytes");
  operand.tensor.data = operand.owned.get();
  return operand;
}

Operand view_of(const Tensor& tensor) {
  return {tensor, nullptr};
}

// That a tensor is what the graph says, so that no operator reads or writes past its end.
Status expect(const Graph& graph, const Node& node, ValueId id, const Tensor& tensor) {
  const Value& value = graph.value(id);
  if (tensor.type != value.type || tensor.shape != value.shape)
    return {Code::internal, describe(node) + ": " + value.name + " is given as " +
                                dtype_name(tensor.type) + " " + to_string(tensor.shape) +
                                ", expected " + dtype_name(value.type) + " " +
                                to_string(value.shape)};
  const bool reads_data = !std::holds_alternative<ShapeOf>(node.op);
  if (tensor.data == nullptr && reads_data && tensor.shape.elements() > 0)
    return {Code::internal, describe(node) + ": " + value.name + " has no data"};
  return check_quant(value, true);
}

}  // namespace

bool Call::on_integers(size_t i) const {
  return !in_quant(i) && (in[i].type == DType::i32 || in[i].type == DType::i64);
}

Result<Operand> Call::load(size_t i, DType type) const {
  if (in[i].type == type && !in_quant(i)) return view_of(in[i]);
  FIRN_ASSIGN(Operand operand, allocate(type, in[i].shape));
  convert(in[i], in_quant(i), operand.tensor, std::nullopt);
  return operand;
}

Result<Operand> Call::load_bias(size_t i) const {
  if (i >= in.size() || in[i].data == nullptr) return view_of({DType::f32, Shape{0}, nullptr});
  if (in[i].type != DType::i32 || in_quant(i)) return load(i, DType::f32);
  Quant accumulator;
  accumulator.axis = 0;
  const Quant& x = *in_quant(0);
  const Quant& w = *in_quant(1);
  for (int32_t n = 0; n < in[i].shape[0]; ++n) {
    const size_t s = w.per_tensor() ? 0 : static_cast<size_t>(n);
    accumulator.scale.push_back(x.scale[0] * w.scale[s]);
    accumulator.zero.push_back(0);
  }
  FIRN_ASSIGN(Operand operand, allocate(DType::f32, in[i].shape));
  convert(in[i], accumulator, operand.tensor, std::nullopt);
  return operand;
}

Result<Operand> Call::load_as_output(size_t i) const {
  const std::optional<Quant>& from = in_quant(i);
  const std::optional<Quant>& to = out_quant();
  // Scales of channels and blocks move with their elements: those are the passes' to keep right.
  const bool requantizes =
      from && to && from != to &&
      ((from->per_tensor() && to->per_tensor()) || is_packed(graph.value(node.in[i])));
  if (in[i].type == out.type && !requantizes) return view_of(in[i]);
  FIRN_ASSIGN(Operand operand, allocate(out.type, in[i].shape));
  convert(in[i], from, operand.tensor, to);
  return operand;
}

Result<Operand> Call::open(DType type) const {
  return open_output(0, type);
}

Result<Operand> Call::open_output(size_t i, DType type) const {
  if (outs[i].type == type && !graph.value(node.out[i]).quant) return view_of(outs[i]);
  return allocate(type, outs[i].shape);
}

void Call::store(const Operand& result, size_t i) const {
  if (result.owned != nullptr)
    convert(result.tensor, std::nullopt, outs[i], graph.value(node.out[i]).quant);
}

Status Call::invalid(const std::string& what) const {
  return {Code::invalid_argument, describe(node) + ": " + what};
}

Status reference(const Graph& graph, const Node& node, std::span<const Tensor> in,
                 std::span<const Tensor> out) {
  if (in.size() != node.in.size() || out.size() != node.out.size() || out.empty())
    return {Code::internal, describe(node) + ": is given " + std::to_string(in.size()) +
                                " inputs and " + std::to_string(out.size()) + " outputs"};
  for (size_t i = 0; i < in.size(); ++i)
    if (node.in[i] != ValueId::none) FIRN_TRY(expect(graph, node, node.in[i], in[i]));
  for (size_t i = 0; i < out.size(); ++i) FIRN_TRY(expect(graph, node, node.out[i], out[i]));
  // Other dimensions of what is empty may be huge, and are not to be looped over.
  if (std::ranges::all_of(out, [](const Tensor& t) { return t.shape.elements() == 0; })) return {};
  if (has_parameter_inputs(node.op)) {
    FIRN_ASSIGN(const Node resolved, resolve_parameters(graph, node));
    return reference(graph, resolved, in.first(resolved.in.size()), out);
  }
  const Call call{graph, node, in, out[0], out};
  return std::visit([&](const auto& op) { return compute(call, op); }, node.op);
}

Result<std::vector<Value>> reference_run(const Graph& graph, std::span<const Tensor> inputs) {
  FIRN_TRY(check(graph));
  if (inputs.size() != graph.inputs.size())
    return Status(Code::invalid_argument, std::to_string(inputs.size()) + " inputs, expected " +
                                              std::to_string(graph.inputs.size()));
  // Every value's memory until its last reader has run.
  std::vector<std::shared_ptr<const Buffer>> memory(graph.values.size());
  std::vector<Tensor> tensor(graph.values.size());
  for (size_t v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    tensor[v] = {value.type, value.shape, nullptr};
    if (value.constant == nullptr) continue;
    memory[v] = value.constant;
    tensor[v].data = const_cast<std::byte*>(value.constant->bytes().data());  // only read
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& value = graph.value(graph.inputs[i]);
    Tensor& expected = tensor[index(graph.inputs[i])];
    if (inputs[i].type != value.type || inputs[i].shape != value.shape)
      return Status(Code::invalid_argument,
                    "input " + value.name + " is " + dtype_name(inputs[i].type) + " " +
                        to_string(inputs[i].shape) + ", expected " + dtype_name(value.type) + " " +
                        to_string(value.shape));
    expected.data = inputs[i].data;
  }

  std::vector<size_t> last_use(graph.values.size(), 0);
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    for (ValueId id : graph.nodes[n].in)
      if (id != ValueId::none) last_use[index(id)] = n;
  for (ValueId id : graph.outputs) last_use[index(id)] = graph.nodes.size();

  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    std::vector<Tensor> in;
    for (ValueId id : node.in) in.push_back(id == ValueId::none ? Tensor{} : tensor[index(id)]);
    for (ValueId id : node.out) {
      const Value& value = graph.value(id);
      if (!value.shape.known())
        return Status(Code::failed_precondition,
                      describe(node) + ": the shape of output " + value.name + " is not inferred");
      FIRN_ASSIGN(auto block, Buffer::allocate(tensor[index(id)].bytes()));
      memory[index(id)] = std::move(block.first);
      tensor[index(id)].data = block.second.data();
    }
    std::vector<Tensor> out;
    for (ValueId id : node.out) out.push_back(tensor[index(id)]);
    FIRN_TRY(reference(graph, node, in, out));
    for (ValueId id : node.in)
      if (id != ValueId::none && last_use[index(id)] == n) memory[index(id)] = nullptr;
  }

  std::vector<Value> results;
  for (ValueId id : graph.outputs) {
    Value& result = results.emplace_back(graph.value(id));
    if (memory[index(id)] == nullptr) {  // an input passed through
      const Tensor& source = tensor[index(id)];
      FIRN_ASSIGN(auto copy, Buffer::allocate(source.bytes()));
      convert(source, std::nullopt, {source.type, source.shape, copy.second.data()}, std::nullopt);
      memory[index(id)] = std::move(copy.first);
    }
    result.constant = memory[index(id)];
  }
  return results;
}

}  // namespace firn
