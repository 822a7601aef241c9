// SPDX-License-Identifier: Apache-2.0
// Makes models from imported graphs, and says what is in them.
#include "firn/model.h"

#include <algorithm>
#include <array>
#include <iterator>
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

Result<Cut> cut_for(Graph graph, const OpenSizes& sizes) {
  Graph inferred = closed(graph, sizes);
  FIRN_TRY(infer_shapes(inferred));
  for (const Value& value : inferred.values) FIRN_TRY(check_quant(value, value.shape.known()));
  return cut_tail(std::move(graph), inferred);
}

// What `graph` says of its outputs' shapes for other open dimensions: inferred, or, where the model
// does not run on those, declared.
struct OtherShapes {
  std::vector<Shape> shapes;  // none where nothing is open
  bool inferred = false;
};

OtherShapes other_shapes(const Graph& graph, const OpenSizes& start) {
  if (!any_open(graph)) return {};
  Graph larger = closed(graph, {2, start.other == 256 ? 512 : 256});
  const bool inferred = infer_shapes(larger).ok();
  return {shapes_of(inferred ? larger : graph, graph.outputs), inferred};
}

// A dimension that follows an open one of the inputs is -1.
std::vector<Shape> output_shapes(std::vector<Shape> shapes, const OtherShapes& other) {
  for (size_t i = 0; i < other.shapes.size(); ++i) {
    const Shape& there = other.shapes[i];
    for (int d = 0; d < shapes[i].rank && there.rank == shapes[i].rank; ++d) {
      if (other.inferred ? shapes[i][d] != there[d] : there[d] < 0) shapes[i][d] = -1;
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

bool same_node(const Node& x, const Node& y) {
  return x.name == y.name && x.op == y.op && x.in == y.in && x.out == y.out;
}

uint64_t id_of(const Value& value) {
  return value.constant == nullptr ? 0 : value.constant->id();
}

// Whether two graphs are equal, shapes aside; constants are where they have the same id.
bool equal_but_for_shapes(const Graph& a, const Graph& b) {
  const auto same_value = [](const Value& x, const Value& y) {
    return x.name == y.name && x.type == y.type && id_of(x) == id_of(y) && x.quant == y.quant;
  };
  return a.inputs == b.inputs && a.outputs == b.outputs && a.states == b.states &&
         a.dynamic == b.dynamic && std::ranges::equal(a.nodes, b.nodes, same_node) &&
         std::ranges::equal(a.values, b.values, same_value);
}

bool takes_memory(const Value& value) {
  return value.constant != nullptr && value.constant->allocated();
}

// A copy that holds no memory.
Graph without_bytes(Graph graph) {
  for (Value& value : graph.values)
    if (takes_memory(value)) value.constant = value.constant->released();
  return graph;
}

Status another_file() {
  return {Code::failed_precondition, "the model's file is not the one that was loaded"};
}

// Gives the constants of a graph that was made anew the ids that they have in `before`.
// failed_precondition: it is another one.
Status adopt_ids(const Graph& before, Graph& graph) {
  const auto size = [](const Value& v) { return v.constant == nullptr ? 0 : v.constant->size(); };
  const auto same_value = [&](const Value& x, const Value& y) {
    return x.name == y.name && x.type == y.type && x.shape == y.shape && x.quant == y.quant &&
           size(x) == size(y);
  };
  if (!std::ranges::equal(before.values, graph.values, same_value) ||
      !std::ranges::equal(before.nodes, graph.nodes, same_node))
    return another_file();
  for (size_t i = 0; i < graph.values.size(); ++i)
    if (std::shared_ptr<const Buffer>& constant = graph.values[i].constant; constant != nullptr)
      constant = constant->with_id(before.values[i].constant->id());
  return {};
}

bool is_8_bit(DType type) {
  return type == DType::i8 || type == DType::u8;
}

bool has_int8_weights(const Graph& graph) {
  return std::ranges::any_of(graph.nodes, [&](const Node& node) {
    const bool layer = std::holds_alternative<Conv2d>(node.op) ||
                       std::holds_alternative<ConvTranspose2d>(node.op) ||
                       std::holds_alternative<Dense>(node.op);
    return layer && graph.value(node.in[1]).type == DType::i8;
  });
}

bool multiplies_weights(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
         std::holds_alternative<Dense>(op) || std::holds_alternative<MatMul>(op);
}

}  // namespace

Result<Graph> ModelImpl::read() const {
  FIRN_ASSIGN(Graph graph, read_());
  FIRN_TRY(check(graph));
  FIRN_TRY(check_names(graph));
  if (graph.outputs.empty()) return Status(Code::malformed, "the graph has no outputs");
  return graph;
}

Result<Graph> ModelImpl::read_again() const {
  FIRN_ASSIGN(Graph graph, read());
  if (graph.values.size() != ids_.size()) return another_file();
  for (size_t i = 0; i < ids_.size(); ++i) {
    std::shared_ptr<const Buffer>& constant = graph.values[i].constant;
    if ((constant == nullptr) != (ids_[i] == 0)) return another_file();
    if (constant != nullptr) constant = constant->with_id(ids_[i]);
  }
  return graph;
}

Status ModelImpl::start(const OpenSizes& sizes, bool& open) {
  sizes_ = sizes;
  FIRN_ASSIGN(Graph graph, read());
  // Checksums and copies have been made. What is left to read is read again by who packs it.
  packed->forget_all();
  open = any_open(graph);
  ids_.clear();
  std::ranges::transform(graph.values, std::back_inserter(ids_), id_of);
  FIRN_ASSIGN(Cut made, cut_for(std::move(graph), sizes));
  const OtherShapes other = other_shapes(made.body, sizes);
  declared_shapes_ = shapes_of(made.body, made.body.inputs);
  const Graph before = without_bytes(made.body);
  Graph optimised = closed(std::exchange(made.body, {}), sizes);
  Diag diag;
  FIRN_TRY(optimize(optimised, diag));
  as_imported_ = equal_but_for_shapes(before, optimised);

  start_shapes = shapes_of(optimised, optimised.inputs);
  inputs = tensor_infos(optimised, optimised.inputs, declared_shapes_);
  const std::vector<TensorInfo> of_body = tensor_infos(
      optimised, optimised.outputs, output_shapes(shapes_of(optimised, optimised.outputs), other));
  const std::vector<TensorInfo> of_tail =
      tensor_infos(made.tail, made.tail.outputs, shapes_of(made.tail, made.tail.outputs));
  outputs.clear();
  for (const Source& source : made.outputs) {
    const bool in_tail = source.from == Source::From::tail;
    outputs.push_back((in_tail ? of_tail : of_body)[source.index]);
  }
  FIRN_TRY(split_states(made.states, *this));
  cut = std::make_shared<const Cut>(std::move(made));
  if (std::ranges::any_of(optimised.values, takes_memory)) {
    fresh_ = std::move(optimised);
  } else {
    graph_ = std::make_shared<const Graph>(std::move(optimised));
  }
  return {};
}

Result<std::shared_ptr<const ModelImpl>> ModelImpl::make(std::string format, ReadGraph read,
                                                         const MappedFile& file) {
  auto impl = std::make_shared<ModelImpl>();
  impl->read_ = std::move(read);
  impl->packed = std::make_shared<PackedWeights>(file);
  // The first sizes that the network runs on; the error is that of the last.
  constexpr std::array<OpenSizes, 3> kSizes{{{1, 1}, {1, 64}, {1, 256}}};
  Status status;
  for (const OpenSizes& sizes : kSizes) {
    bool open = false;
    status = impl->start(sizes, open);
    if (status.ok() || !open) break;
  }
  FIRN_TRY(status);
  impl->describe(std::move(format), impl->fresh_.has_value() ? *impl->fresh_ : *impl->graph_);
  return std::shared_ptr<const ModelImpl>(std::move(impl));
}

Result<Model> make_model(std::string format, ReadGraph read, const MappedFile& file) {
  FIRN_ASSIGN(auto impl, ModelImpl::make(std::move(format), std::move(read), file));
  return Model(std::move(impl));
}

Result<Model> make_model(std::string format, Graph graph) {
  const auto shared = std::make_shared<const Graph>(std::move(graph));
  return make_model(std::move(format), [shared]() -> Result<Graph> { return *shared; });
}

std::optional<Graph> ModelImpl::whole() const {
  const std::lock_guard lock(mutex_);
  if (fresh_.has_value()) return fresh_;
  if (graph_ != nullptr && !graph_->any_released()) return *graph_;
  return std::nullopt;
}

Result<Graph> ModelImpl::imported() const {
  if (as_imported_) {
    if (std::optional<Graph> graph = whole()) {
      for (size_t i = 0; i < graph->inputs.size(); ++i)
        graph->value(graph->inputs[i]).shape = declared_shapes_[i];
      return *std::move(graph);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    if (source_ != nullptr) return *source_;
  }
  FIRN_ASSIGN(Graph graph, read_again());
  FIRN_ASSIGN(Cut made, cut_for(std::move(graph), sizes_));
  return std::move(made.body);
}

Result<Graph> ModelImpl::optimised() const {
  if (std::optional<Graph> graph = whole()) return *std::move(graph);
  FIRN_ASSIGN(Graph made, imported());
  made = closed(std::move(made), sizes_);
  Diag diag;
  FIRN_TRY(optimize(made, diag));
  if (const auto before = graph()) FIRN_TRY(adopt_ids(*before, made));
  return made;
}

Result<Graph> ModelImpl::optimised_for(std::span<const Shape> shapes) const {
  if (std::ranges::equal(shapes, start_shapes)) return optimised();
  FIRN_ASSIGN(Graph made, imported());
  for (size_t i = 0; i < shapes.size(); ++i) made.value(made.inputs[i]).shape = shapes[i];
  Diag diag;
  FIRN_TRY(optimize(made, diag));
  return made;
}

Status ModelImpl::keep_imported() const {
  {
    const std::lock_guard lock(mutex_);
    if (source_ != nullptr) return {};
  }
  FIRN_ASSIGN(Graph graph, imported());
  const std::lock_guard lock(mutex_);
  if (source_ == nullptr) source_ = std::make_shared<const Graph>(std::move(graph));
  return {};
}

void ModelImpl::drop() const {
  const std::lock_guard lock(mutex_);
  if (!fresh_.has_value()) return;
  graph_ = std::make_shared<const Graph>(without_bytes(*std::exchange(fresh_, std::nullopt)));
}

std::optional<Graph> ModelImpl::take() const {
  const std::lock_guard lock(mutex_);
  return std::exchange(fresh_, std::nullopt);
}

std::shared_ptr<const Graph> ModelImpl::graph() const {
  const std::lock_guard lock(mutex_);
  return graph_;
}

void ModelImpl::give(std::shared_ptr<const Graph> graph) const {
  const std::lock_guard lock(mutex_);
  if (graph_ == nullptr) graph_ = std::move(graph);
}

const std::vector<TensorInfo>& Model::inputs() const {
  return impl_->inputs;
}
const std::vector<TensorInfo>& Model::outputs() const {
  return impl_->outputs;
}

ModelInfo Model::info() const {
  return impl_->info;
}

void ModelImpl::describe(std::string format, const Graph& graph) {
  info.format = std::move(format);
  info.inputs = inputs;
  info.outputs = outputs;
  for (const Value& value : graph.values) {
    if (value.constant == nullptr) continue;
    info.parameters += value.shape.elements();
    info.weight_bytes += value.constant->size();
  }
  std::map<std::string, int> counts;
  for (const Node& node : graph.nodes) {
    ++counts[op_name(node.op)];
    info.macs += macs(graph, node);
    if (!multiplies_weights(node.op)) continue;
    const Value& x = graph.value(node.in[0]);
    ++(is_8_bit(x.type) ? info.layers_int8 : is_wide(x) ? info.layers_i16 : info.layers_float);
  }
  for (const Node& node : cut->tail.nodes) ++counts[op_name(node.op)];
  info.ops.assign(counts.begin(), counts.end());
  std::ranges::stable_sort(info.ops, std::ranges::greater(), &std::pair<std::string, int>::second);
  int8_weights = has_int8_weights(graph);
}

}  // namespace firn
