// SPDX-License-Identifier: Apache-2.0
// Adds values and nodes to the graph and its probes; folds constants on the way.
#include "runtime/import/graph_builder.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "runtime/parameters.h"
#include "runtime/passes/match.h"

namespace firn::imports {
namespace {

// Values up to this size are computed in probes, so that shapes may depend on them.
constexpr size_t kMaxProbeBytes = size_t{8} << 10;

// Weights are transposed at import; the reference would take seconds for large ones.
template <typename T>
void transpose(const Value& from, const std::vector<int32_t>& perm, const Shape& to,
               std::span<std::byte> out) {
  std::array<size_t, kMaxRank> stride{};
  size_t step = 1;
  for (int d = from.shape.rank - 1; d >= 0; --d) {
    stride[static_cast<size_t>(d)] = step;
    step *= static_cast<size_t>(from.shape[d]);
  }
  const T* source = reinterpret_cast<const T*>(from.constant->bytes().data());
  T* target = reinterpret_cast<T*>(out.data());
  const int last = to.rank - 1;
  const size_t inner = static_cast<size_t>(to[last]);
  const size_t inner_stride = stride[static_cast<size_t>(perm[static_cast<size_t>(last)])];
  std::array<int32_t, kMaxRank> at{};
  for (T* const end = target + to.elements(); target != end; target += inner) {
    size_t offset = 0;
    for (int d = 0; d < last; ++d) {
      offset += static_cast<size_t>(at[static_cast<size_t>(d)]) *
                stride[static_cast<size_t>(perm[static_cast<size_t>(d)])];
    }
    for (size_t i = 0; i < inner; ++i) target[i] = source[offset + i * inner_stride];
    for (int d = last - 1; d >= 0 && ++at[static_cast<size_t>(d)] == to[d]; --d) {
      at[static_cast<size_t>(d)] = 0;
    }
  }
}

// The transposed constant, shapes inferred; empty for types that are left to the reference.
Result<std::shared_ptr<const Buffer>> transposed(const Value& from,
                                                 const std::vector<int32_t>& perm,
                                                 const Shape& to) {
  if (to.rank == 0 || to.elements() == 0) return std::shared_ptr<const Buffer>();
  FIRN_ASSIGN(auto memory, Buffer::allocate(from.constant->bytes().size()));
  switch (dtype_bytes(from.type)) {
    case 1:
      transpose<uint8_t>(from, perm, to, memory.second);
      break;
    case 4:
      transpose<uint32_t>(from, perm, to, memory.second);
      break;
    default:
      return std::shared_ptr<const Buffer>();
  }
  return std::move(memory.first);
}

bool all_constant(const Graph& graph, const Node& node) {
  return std::ranges::all_of(
      node.in, [&](ValueId id) { return id == ValueId::none || graph.is_constant(id); });
}

bool any_quantized(const Graph& graph, const Node& node) {
  const auto quantized = [&](ValueId id) {
    return id != ValueId::none && graph.value(id).quant.has_value();
  };
  return std::ranges::any_of(node.in, quantized) || std::ranges::any_of(node.out, quantized);
}

}  // namespace

std::string GraphBuilder::unique_name(const std::string& name) {
  std::string candidate = name;
  for (int n = 2; !names_.insert(candidate).second; ++n) candidate = name + "_" + std::to_string(n);
  return candidate;
}

ValueId GraphBuilder::add_value(Value value) {
  Value probed{value.name, value.type, value.shape, std::nullopt, value.constant};
  // Shapes do not depend on the scales, of which weights have one a channel.
  if (value.quant)
    probed.quant = Quant{value.quant->axis, value.quant->bits, value.quant->block, {}, {}};
  for (Probe& probe : probes_) {
    probe.graph.add(probed);
    probe.failed.push_back(false);
  }
  return graph_.add(std::move(value));
}

ValueId GraphBuilder::add_constant(Value value) {
  return add_value(std::move(value));
}

// Weights are transposed, converted and perhaps reshaped on the way: a few times their size.
void GraphBuilder::raise_budget(size_t file_bytes) {
  budget_ += 8 * file_bytes;
}

bool GraphBuilder::spend(size_t bytes) {
  if (bytes > budget_) return false;
  budget_ -= bytes;
  return true;
}

void GraphBuilder::rename(ValueId id, const std::string& name) {
  graph_.value(id).name = name;
  for (Probe& probe : probes_) probe.graph.value(id).name = name;
}

// What probe number `probe` has in place of the open dimension `name`, or of any without a name at
// `axis`. The first probe is all ones, as a session starts. Two have multiples of 32, which
// networks that halve their input fit; the last does not, for those that pad it. All differ by
// dimension, so that no two are mistaken for one.
int32_t GraphBuilder::sample(size_t probe, std::string_view name, size_t axis) {
  const std::string key = name.empty() ? "#" + std::to_string(axis) : std::string(name);
  const size_t n = open_dims_.emplace(key, open_dims_.size()).first->second;
  constexpr size_t kSamples =
      1000;  // small numbers: three of them and channels are to fit a tensor
  const size_t odd = 2 * (n % kSamples) + 2 * probe + 1;
  return probe == 0 ? 1 : static_cast<int32_t>(32 * odd + (probe == 3 ? 17 : 0));
}

Status GraphBuilder::add_inputs(const std::vector<InputInfo>& inputs) {
  bool open = false;
  for (const InputInfo& info : inputs) {
    if (info.shape.known()) {
      const Result<size_t> elements = checked_elements(info.shape);
      if (!elements.ok()) {
        return {Code::malformed, format_ + ": input '" + std::string(info.name) +
                                     "': " + elements.status().message()};
      }
    }
    open = open || !info.shape.known();
    Value value;
    value.name = info.name;
    value.type = info.type;
    value.shape = info.shape;
    value.quant = info.quant;
    graph_.inputs.push_back(graph_.add(std::move(value)));
  }
  probes_.resize(open ? 4 : 1);
  for (size_t p = 0; p < probes_.size(); ++p) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      Value value = graph_.value(graph_.inputs[i]);
      for (int d = 0; d < value.shape.rank; ++d) {
        const size_t axis = static_cast<size_t>(d);
        if (value.shape[d] < 0) value.shape[d] = sample(p, inputs[i].dim_names[axis], axis);
      }
      probes_[p].graph.add(std::move(value));
      probes_[p].failed.push_back(false);
    }
  }
  return {};
}

// Computes a node of constants in the graph itself and hands the result to the probes. False where
// the result is too large to keep: then it is computed at run time.
Result<bool> GraphBuilder::fold(const Node& node) {
  FIRN_TRY(infer(graph_, node));
  size_t bytes = 0;
  for (const ValueId id : node.out) {
    bytes += graph_.value(id).shape.elements() * dtype_bytes(graph_.value(id).type);
  }
  const auto* op = std::get_if<Transpose>(&node.op);
  // Most layers' weights are those of 1x1 windows, which lie as they should.
  const bool shares = std::holds_alternative<Reshape>(node.op) ||
                      (op != nullptr && moves_only_units(graph_.value(node.in[0]).shape, op->perm));
  if (!shares && !spend(bytes)) return false;
  Value& out = graph_.value(node.out[0]);
  if (shares) {
    out.constant = graph_.value(node.in[0]).constant;
  } else if (op != nullptr) {
    FIRN_ASSIGN(out.constant, transposed(graph_.value(node.in[0]), op->perm, out.shape));
  }
  if (out.constant == nullptr) {
    const Status status = fold_node(graph_, node);
    if (status.code() == Code::refused) return false;
    FIRN_TRY(status);
  }
  for (Probe& probe : probes_) {
    for (const ValueId id : node.out) probe.graph.value(id) = graph_.value(id);
  }
  FIRN_TRY(move_origin(node));
  return true;
}

Status GraphBuilder::infer_in(Probe& probe, const Node& node) {
  const auto failed = [&](ValueId id) { return id != ValueId::none && probe.failed[index(id)]; };
  if (std::ranges::any_of(node.in, failed)) {
    return {Code::unsupported, "the shape of an input is not known"};
  }
  FIRN_TRY(infer(probe.graph, node));
  if ((all_constant(probe.graph, node) && !any_quantized(probe.graph, node)) ||
      std::holds_alternative<ShapeOf>(node.op)) {
    // Without the value, a shape that depends on it fails later, and says so.
    size_t bytes = 0;
    for (const ValueId id : node.out) {
      const Value& out = probe.graph.value(id);
      bytes += out.shape.elements() * dtype_bytes(out.type);
    }
    if (bytes <= kMaxProbeBytes && spend(bytes)) {
      const Status ignored = fold_node(probe.graph, node);
      static_cast<void>(ignored);
    }
  }
  return {};
}

Status GraphBuilder::infer_all(const Node& node) {
  size_t passed = 0;
  Status first;
  for (Probe& probe : probes_) {
    const Status status = infer_in(probe, node);
    for (const ValueId id : node.out) probe.failed[index(id)] = !status.ok();
    if (status.ok()) ++passed;
    if (first.ok()) first = status;
  }
  return passed > 0 ? Status() : first;
}

void GraphBuilder::merge(ValueId id) {
  Value& merged = graph_.value(id);
  size_t passed = 0;
  for (const Probe& probe : probes_) {
    if (probe.failed[index(id)]) continue;
    const Value& value = probe.graph.value(id);
    if (passed++ == 0) {
      merged.type = value.type;
      merged.shape = value.shape;
      continue;
    }
    for (int d = 0; d < merged.shape.rank; ++d) {
      if (d >= value.shape.rank || merged.shape[d] != value.shape[d]) merged.shape[d] = -1;
    }
  }
  // One sample of several cannot tell what moves.
  if (passed == 1 && probes_.size() > 1) {
    for (int d = 0; d < merged.shape.rank; ++d) merged.shape[d] = -1;
  }
}

std::optional<std::vector<std::optional<int64_t>>> GraphBuilder::known_ints(ValueId id) const {
  const auto read = [](const Value& value) {
    std::vector<std::optional<int64_t>> ints;
    const size_t count = value.shape.elements();
    for (size_t i = 0; i < count; ++i) {
      ints.push_back(value.type == DType::i64 ? value.as<int64_t>()[i] : value.as<int32_t>()[i]);
    }
    return ints;
  };
  if (type(id) != DType::i64 && type(id) != DType::i32) return std::nullopt;
  if (is_constant(id)) return read(graph_.value(id));
  std::optional<std::vector<std::optional<int64_t>>> merged;
  size_t passed = 0;
  for (const Probe& probe : probes_) {
    if (probe.failed[index(id)]) continue;
    if (!probe.graph.is_constant(id)) return std::nullopt;
    const std::vector<std::optional<int64_t>> ints = read(probe.graph.value(id));
    if (passed++ == 0) {
      merged = ints;
      continue;
    }
    if (merged->size() != ints.size()) return std::nullopt;
    for (size_t i = 0; i < ints.size(); ++i) {
      if ((*merged)[i] != ints[i]) (*merged)[i].reset();
    }
  }
  if (passed < 2) return std::nullopt;
  return merged;
}

// Not the same as in the graph: there, what follows from open dimensions is not constant either.
bool GraphBuilder::depends_on_data(const Node& node) const {
  const auto is_open = [&](ValueId id) { return id != ValueId::none && open_.contains(index(id)); };
  if (std::ranges::any_of(node.in, is_open)) return true;
  return std::ranges::any_of(shaping_inputs(node), [&](ValueId id) {
    return std::ranges::none_of(probes_, [&](const Probe& probe) {
      return probe.failed[index(id)] || probe.graph.is_constant(id);
    });
  });
}

Status GraphBuilder::infer_open(const Node& node) {
  FIRN_TRY(firn::infer_open(graph_, node));
  for (const ValueId id : node.out) {
    open_.insert(index(id));
    for (Probe& probe : probes_) {
      probe.graph.value(id) = graph_.value(id);
      probe.failed[index(id)] = true;
    }
  }
  return {};
}

Status GraphBuilder::add(Node node) {
  while (!node.in.empty() && node.in.back() == ValueId::none) node.in.pop_back();
  if (!node.in.empty() && all_constant(graph_, node) && !any_quantized(graph_, node)) {
    FIRN_ASSIGN(const bool folded, fold(node));
    if (folded) return {};
  }
  if (depends_on_data(node)) {
    FIRN_TRY(infer_open(node));
  } else {
    FIRN_TRY(infer_all(node));
    for (const ValueId id : node.out) merge(id);
  }
  note_bare(node);
  graph_.add(std::move(node));
  return {};
}

Result<ValueId> GraphBuilder::add_node(std::string name, Op op, std::vector<ValueId> in,
                                       std::optional<Quant> quant) {
  Value value;
  value.name = unique_name(name);
  value.quant = std::move(quant);
  if (value.quant) value.type = DType::i8;  // inference knows better where elements only move
  const ValueId out = add_value(std::move(value));
  Node node{std::move(name), std::move(op), std::move(in), {out}};
  inherit_quant(node);
  FIRN_TRY(add(std::move(node)));
  return out;
}

Result<std::vector<ValueId>> GraphBuilder::add_node(std::string name, Op op,
                                                    std::vector<ValueId> in, size_t outputs) {
  std::vector<ValueId> out;
  for (size_t i = 0; i < outputs; ++i) {
    Value value;
    value.name = unique_name(name);
    out.push_back(add_value(std::move(value)));
  }
  FIRN_TRY(add({std::move(name), std::move(op), std::move(in), out}));
  return out;
}

Result<ValueId> GraphBuilder::add_copy(const std::string& name, ValueId of) {
  ValueId copy = ValueId::none;
  if (is_constant(of)) {
    copy = add_constant(graph_.value(of));
  } else {
    FIRN_ASSIGN(copy, add_node(name, Convert{type(of)}, {of}, graph_.value(of).quant));
  }
  rename(copy, name);
  return copy;
}

Result<Graph> GraphBuilder::finish(const std::vector<ValueId>& outputs) {
  restore_quantized(outputs);
  graph_.outputs = outputs;
  sweep(graph_);
  FIRN_TRY(check(graph_));
  return std::move(graph_);
}

}  // namespace firn::imports
