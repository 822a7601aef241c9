// SPDX-License-Identifier: Apache-2.0
// Makes models from imported graphs, and says what is in them.
#include "firn/model.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "runtime/int8_ops.h"
#include "runtime/model_impl.h"
#include "runtime/passes/passes.h"
#include "runtime/quant_check.h"
#include "runtime/utf8.h"

namespace firn {
namespace {

// Names go into reports, tables and other languages' strings.
Status check_names(const Graph& graph) {
  for (size_t i = 0; i < graph.values.size(); ++i) {
    if (!is_utf8(graph.values[i].name)) {
      return Status(Code::malformed, "the name of value " + std::to_string(i) + " is not UTF-8");
    }
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!is_utf8(graph.nodes[i].name)) {
      return Status(Code::malformed, "the name of node " + std::to_string(i) + " is not UTF-8");
    }
  }
  return {};
}

// What stands for open dimensions: the outermost (the batch), and all others.
struct OpenSizes {
  int32_t outermost, other;
};

// A copy with the open dimensions of its inputs filled in.
Graph closed(Graph graph, const OpenSizes& sizes) {
  for (ValueId id : graph.inputs) {
    Shape& shape = graph.value(id).shape;
    for (int i = 0; i < shape.rank; ++i) {
      if (shape[i] < 0) shape[i] = i == 0 ? sizes.outermost : sizes.other;
    }
  }
  return graph;
}

std::vector<Shape> shapes_of(const Graph& graph, std::span<const ValueId> ids) {
  std::vector<Shape> shapes;
  for (ValueId id : ids) shapes.push_back(graph.value(id).shape);
  return shapes;
}

bool any_open(const Graph& graph) {
  return std::ranges::any_of(graph.inputs,
                             [&](ValueId id) { return !graph.value(id).shape.known(); });
}

struct Start {
  Cut cut;
  Graph optimised;  // the body
  OpenSizes sizes;
};

// For open dimensions of these sizes.
Result<Start> start_with(const Graph& graph, const OpenSizes& sizes) {
  Start start{{}, {}, sizes};
  {
    Graph inferred = closed(graph, sizes);
    FIRN_TRY(infer_shapes(inferred));
    for (const Value& value : inferred.values) FIRN_TRY(check_quant(value, value.shape.known()));
    start.cut = cut_tail(graph, inferred);
  }
  start.optimised = closed(start.cut.body, sizes);
  Diag diag;
  FIRN_TRY(optimize(start.optimised, diag));
  return start;
}

// For the first sizes that the network runs on; the error is that of the last.
Result<Start> optimise_for_start(const Graph& graph) {
  constexpr std::array<OpenSizes, 3> kSizes{{{1, 1}, {1, 64}, {1, 256}}};
  Status status;
  for (const OpenSizes& sizes : kSizes) {
    Result<Start> start = start_with(graph, sizes);
    if (start.ok() || !any_open(graph)) return start;
    status = start.status();
  }
  return status;
}

// The outputs' shapes; a dimension that follows an open one of the inputs is -1. Found by trying
// other sizes, or, where the model does not run on those, taken from what it declares.
std::vector<Shape> output_shapes(const Graph& graph, const Graph& optimised, OpenSizes start) {
  std::vector<Shape> shapes = shapes_of(optimised, optimised.outputs);
  if (!any_open(graph)) return shapes;
  Graph larger = closed(graph, {2, start.other == 256 ? 512 : 256});
  const bool ran = infer_shapes(larger).ok();
  const Graph& other = ran ? larger : graph;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Shape& there = other.value(other.outputs[i]).shape;
    for (int d = 0; d < shapes[i].rank && there.rank == shapes[i].rank; ++d) {
      if (ran ? shapes[i][d] != there[d] : there[d] < 0) shapes[i][d] = -1;
    }
  }
  return shapes;
}

std::vector<TensorInfo> tensor_infos(const Graph& optimised, std::span<const ValueId> ids,
                                     const std::vector<Shape>& shapes) {
  std::vector<TensorInfo> infos;
  for (size_t i = 0; i < ids.size(); ++i) {
    const Value& value = optimised.value(ids[i]);
    infos.push_back({value.name, value.type, shapes[i], value.quant});
  }
  return infos;
}

// Takes the states, which come last, from inputs and outputs: they are not the user's.
Status split_states(size_t count, ModelImpl& impl) {
  const size_t inputs = impl.inputs.size() - count, outputs = impl.outputs.size() - count;
  for (size_t i = 0; i < count; ++i) {
    const TensorInfo& from = impl.outputs[outputs + i];
    const TensorInfo& to = impl.inputs[inputs + i];
    if (from.type == to.type && from.shape == to.shape && from.quant == to.quant &&
        to.shape.known())
      continue;
    return {Code::malformed, "state " + to.name + ": the next is " + dtype_name(from.type) + " " +
                                 to_string(from.shape) + ", expected " + dtype_name(to.type) + " " +
                                 to_string(to.shape)};
  }
  impl.states.assign(impl.inputs.begin() + static_cast<std::ptrdiff_t>(inputs), impl.inputs.end());
  impl.inputs.resize(inputs);
  impl.outputs.resize(outputs);
  return {};
}

// Whether two graphs are equal, shapes aside; constants are the same where their bytes are shared.
bool equal_but_for_shapes(const Graph& a, const Graph& b) {
  const auto same_value = [](const Value& x, const Value& y) {
    return x.name == y.name && x.type == y.type && x.constant == y.constant && x.quant == y.quant;
  };
  const auto same_node = [](const Node& x, const Node& y) {
    return x.name == y.name && x.op == y.op && x.in == y.in && x.out == y.out;
  };
  return a.inputs == b.inputs && a.outputs == b.outputs && a.states == b.states &&
         a.dynamic == b.dynamic && std::ranges::equal(a.nodes, b.nodes, same_node) &&
         std::ranges::equal(a.values, b.values, same_value);
}

bool is_8_bit(DType type) {
  return type == DType::i8 || type == DType::u8;
}

bool multiplies_weights(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
         std::holds_alternative<Dense>(op) || std::holds_alternative<MatMul>(op);
}

}  // namespace

Result<Model> make_model(std::string format, Graph graph, const MappedFile& file) {
  FIRN_TRY(check(graph));
  FIRN_TRY(check_names(graph));
  if (graph.outputs.empty()) return Status(Code::malformed, "the graph has no outputs");
  auto impl = std::make_shared<ModelImpl>();
  impl->format = std::move(format);
  impl->packed = std::make_shared<PackedWeights>(file);
  // Checksums and copies have been made. What is left to read is read again by who packs it.
  impl->packed->forget_all();
  FIRN_ASSIGN(auto started, optimise_for_start(graph));
  impl->optimised = std::move(started.optimised);
  const Graph& optimised = impl->optimised;
  impl->start_shapes = shapes_of(optimised, optimised.inputs);
  const Cut& cut = started.cut;
  impl->declared_shapes = shapes_of(cut.body, cut.body.inputs);
  impl->inputs = tensor_infos(optimised, optimised.inputs, impl->declared_shapes);
  const std::vector<TensorInfo> of_body =
      tensor_infos(optimised, optimised.outputs, output_shapes(cut.body, optimised, started.sizes));
  const std::vector<TensorInfo> of_tail =
      tensor_infos(cut.tail, cut.tail.outputs, shapes_of(cut.tail, cut.tail.outputs));
  for (const Source& source : cut.outputs) {
    const bool in_tail = source.from == Source::From::tail;
    impl->outputs.push_back((in_tail ? of_tail : of_body)[source.index]);
  }
  FIRN_TRY(split_states(cut.states, *impl));
  if (!equal_but_for_shapes(cut.body, optimised)) impl->source = std::move(started.cut.body);
  started.cut.body = {};
  impl->cut = std::make_shared<const Cut>(std::move(started.cut));
  return Model(std::move(impl));
}

Graph ModelImpl::imported() const {
  if (source.has_value()) return *source;
  Graph graph = optimised;
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    graph.value(graph.inputs[i]).shape = declared_shapes[i];
  return graph;
}

const std::vector<TensorInfo>& Model::inputs() const {
  return impl_->inputs;
}
const std::vector<TensorInfo>& Model::outputs() const {
  return impl_->outputs;
}

ModelInfo Model::info() const {
  const Graph& graph = impl_->optimised;
  ModelInfo info;
  info.format = impl_->format;
  info.inputs = impl_->inputs;
  info.outputs = impl_->outputs;
  for (const Value& value : graph.values) {
    if (value.constant == nullptr) continue;
    info.parameters += value.shape.elements();
    info.weight_bytes += value.constant->bytes().size();
  }
  std::map<std::string, int> counts;
  for (const Node& node : graph.nodes) {
    ++counts[op_name(node.op)];
    info.macs += macs(graph, node);
    if (!multiplies_weights(node.op)) continue;
    const Value& x = graph.value(node.in[0]);
    ++(is_8_bit(x.type) ? info.layers_int8 : is_wide(x) ? info.layers_i16 : info.layers_float);
  }
  for (const Node& node : impl_->cut->tail.nodes) ++counts[op_name(node.op)];
  info.ops.assign(counts.begin(), counts.end());
  std::ranges::stable_sort(info.ops, std::ranges::greater(), &std::pair<std::string, int>::second);
  return info;
}

}  // namespace firn
