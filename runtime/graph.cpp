// SPDX-License-Identifier: Apache-2.0
// Building and rewriting graphs: values, uses, dead parts, order.
#include "runtime/graph.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <queue>

namespace firn {
namespace {

// From this size on a block is made of pages of its own, which are the system's again when it goes:
// in the heap, what a model's constants were made in would stay with the process between what
// outlives them.
constexpr size_t kPages = size_t{64} << 10;

}  // namespace

Result<std::pair<std::shared_ptr<const Buffer>, std::span<std::byte>>> Buffer::allocate(
    size_t bytes) {
  constexpr size_t kAlignment = 64;
  const size_t all = bytes + kSlack + kAlignment;
  void* block = nullptr;
  if (bytes <= PTRDIFF_MAX - kSlack - kAlignment)
    block = all < kPages
                ? std::calloc(1, all)
                : mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == nullptr || block == MAP_FAILED)
    return Status(Code::out_of_memory, "no memory for " + std::to_string(bytes) + " bytes");
  std::shared_ptr<const void> owner(block, [all](void* p) {
    if (all < kPages)
      std::free(p);
    else
      munmap(p, all);
  });
  const size_t past = reinterpret_cast<uintptr_t>(block) % kAlignment;
  const std::span<std::byte> span(static_cast<std::byte*>(block) + (kAlignment - past) % kAlignment,
                                  bytes);
  auto buffer = std::make_shared<Buffer>(std::move(owner), span);
  buffer->allocated_ = true;
  return std::pair{std::shared_ptr<const Buffer>(std::move(buffer)), span};
}

std::shared_ptr<const Buffer> Buffer::released() const {
  return std::shared_ptr<const Buffer>(new Buffer(nullptr, {}, size_, id_));
}

std::shared_ptr<const Buffer> Buffer::with_id(uint64_t id) const {
  auto buffer = std::make_shared<Buffer>(*this);
  buffer->id_ = id;
  return buffer;
}

uint64_t Buffer::next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

ValueId Graph::add(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size() - 1);
}

Result<ValueId> Graph::add_constant_bytes(std::string name, DType type, const Shape& shape,
                                          std::span<const std::byte> bytes) {
  FIRN_ASSIGN(const size_t elements, checked_elements(shape));
  if (bytes.size() != elements * dtype_bytes(type))
    return Status(Code::malformed, "constant " + name + " of " + dtype_name(type) + " " +
                                       to_string(shape) + " has " + std::to_string(bytes.size()) +
                                       " bytes");
  FIRN_ASSIGN(auto memory, Buffer::allocate(bytes.size()));
  std::ranges::copy(bytes, memory.second.begin());
  return add({unique_name(name), type, shape, std::nullopt, std::move(memory.first)});
}

bool Graph::is_output(ValueId id) const {
  return std::ranges::find(outputs, id) != outputs.end();
}

std::string Graph::unique_name(const std::string& name) const {
  const auto taken = [this](const std::string& candidate) {
    return std::ranges::any_of(values, [&](const Value& v) { return v.name == candidate; });
  };
  std::string candidate = name;
  for (int n = 2; taken(candidate); ++n) candidate = name + "_" + std::to_string(n);
  return candidate;
}

bool Graph::any_released() const {
  return std::ranges::any_of(
      values, [](const Value& v) { return v.constant != nullptr && v.constant->is_released(); });
}

Uses::Uses(const Graph& graph) : producer(graph.values.size(), -1), consumers(graph.values.size()) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId id : graph.nodes[n].out) producer[index(id)] = static_cast<int>(n);
    for (ValueId id : graph.nodes[n].in)
      if (id != ValueId::none) consumers[index(id)].push_back(static_cast<int>(n));
  }
}

bool replace_uses(Graph& graph, ValueId from, ValueId to) {
  if (from == to) return false;
  for (Node& node : graph.nodes) std::ranges::replace(node.in, from, to);
  if (!graph.is_output(from)) return true;
  // `to` has a name of its own to keep: then both values must live on.
  if (graph.is_output(to) || std::ranges::find(graph.inputs, to) != graph.inputs.end())
    return false;
  std::ranges::replace(graph.outputs, from, to);
  std::swap(graph.value(from).name, graph.value(to).name);
  return true;
}

void sweep(Graph& graph) {
  const Uses uses(graph);
  std::vector<bool> live_value(graph.values.size()), live_node(graph.nodes.size());
  std::vector<ValueId> pending = graph.outputs;
  while (!pending.empty()) {
    const ValueId id = pending.back();
    pending.pop_back();
    if (live_value[index(id)]) continue;
    live_value[index(id)] = true;
    const int n = uses.producer_of(id);
    // A folded value needs its node no more.
    if (n < 0 || graph.is_constant(id) || live_node[static_cast<size_t>(n)]) continue;
    live_node[static_cast<size_t>(n)] = true;
    for (ValueId in : graph.nodes[static_cast<size_t>(n)].in)
      if (in != ValueId::none) pending.push_back(in);
  }
  // The other outputs of a live node and inputs that nobody reads stay.
  for (ValueId id : graph.inputs) live_value[index(id)] = true;
  std::vector<Node> nodes;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!live_node[n]) continue;
    for (ValueId id : graph.nodes[n].out) live_value[index(id)] = true;
    nodes.push_back(std::move(graph.nodes[n]));
  }
  graph.nodes = std::move(nodes);

  std::vector<ValueId> renamed(graph.values.size(), ValueId::none);
  std::vector<Value> values;
  for (size_t v = 0; v < graph.values.size(); ++v) {
    if (!live_value[v]) continue;
    renamed[v] = static_cast<ValueId>(values.size());
    values.push_back(std::move(graph.values[v]));
  }
  graph.values = std::move(values);
  const auto rename = [&](std::vector<ValueId>& ids) {
    for (ValueId& id : ids)
      if (id != ValueId::none) id = renamed[index(id)];
  };
  for (Node& node : graph.nodes) {
    rename(node.in);
    rename(node.out);
  }
  rename(graph.inputs);
  rename(graph.outputs);
}

namespace {

// A node on a cycle among those not `done`: from any of them, producers lead back to it.
size_t node_on_cycle(const Graph& graph, const Uses& uses, const std::vector<bool>& done) {
  size_t n = static_cast<size_t>(std::ranges::find(done, false) - done.begin());
  std::vector<bool> seen(done.size());
  while (!seen[n]) {
    seen[n] = true;
    for (ValueId id : graph.nodes[n].in) {
      const int p = id == ValueId::none ? -1 : uses.producer_of(id);
      if (p < 0 || done[static_cast<size_t>(p)]) continue;
      n = static_cast<size_t>(p);
      break;
    }
  }
  return n;
}

}  // namespace

Status sort_topologically(Graph& graph) {
  FIRN_TRY(check_ids(graph));
  const Uses uses(graph);
  std::vector<int> waiting_for(graph.nodes.size(), 0);
  // The least index first keeps the order of what is in order already.
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId id : graph.nodes[n].in)
      if (id != ValueId::none && uses.producer_of(id) >= 0) ++waiting_for[n];
    if (waiting_for[n] == 0) ready.push(static_cast<int>(n));
  }
  std::vector<bool> done(graph.nodes.size());
  std::vector<size_t> order;
  while (!ready.empty()) {
    const size_t n = static_cast<size_t>(ready.top());
    ready.pop();
    done[n] = true;
    order.push_back(n);
    for (ValueId id : graph.nodes[n].out)
      for (int consumer : uses.consumers_of(id))
        if (--waiting_for[static_cast<size_t>(consumer)] == 0) ready.push(consumer);
  }
  if (order.size() != graph.nodes.size())
    return Status(Code::malformed,
                  describe(graph.nodes[node_on_cycle(graph, uses, done)]) + ": is part of a cycle");
  std::vector<Node> sorted;
  sorted.reserve(order.size());
  for (size_t n : order) sorted.push_back(std::move(graph.nodes[n]));
  graph.nodes = std::move(sorted);
  return {};
}

std::string describe(const Node& node) {
  return node.name + " (" + op_name(node.op) + ")";
}

size_t macs(const Graph& graph, const Node& node) {
  const auto elements = [&](ValueId id) { return graph.value(id).shape.elements(); };
  const auto last_dim = [&](ValueId id) {
    const Shape& shape = graph.value(id).shape;
    return static_cast<size_t>(std::max(shape[shape.rank - 1], 0));
  };
  const auto filter = [&](ValueId weights) {  // elements of one output channel's filter
    const Shape& shape = graph.value(weights).shape;
    return shape.elements() / static_cast<size_t>(std::max(shape[0], 1));
  };
  if (std::holds_alternative<Conv2d>(node.op)) return elements(node.out[0]) * filter(node.in[1]);
  if (std::holds_alternative<ConvTranspose2d>(node.op))  // each input pixel meets every weight
    return elements(node.in[0]) / std::max<size_t>(last_dim(node.in[0]), 1) * elements(node.in[1]);
  if (std::holds_alternative<Dense>(node.op) || std::holds_alternative<MatMul>(node.op))
    return elements(node.out[0]) * last_dim(node.in[0]);
  return 0;
}

}  // namespace firn
