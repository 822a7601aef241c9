// SPDX-License-Identifier: Apache-2.0
// Rewiring of nodes, with uses kept current.
#include "runtime/passes/rewrite.h"

#include <algorithm>
#include <utility>

#include "runtime/passes/match.h"
#include "runtime/quant_axis.h"

namespace firn {
namespace {

std::string suffix_of(const Op& op) {
  std::string suffix = "_";
  for (const char* c = op_name(op); *c != 0; ++c)
    suffix += static_cast<char>(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
  return suffix;
}

}  // namespace

Rewrite::Rewrite(Graph& graph, Diag& diag, const char* pass)
    : graph_(graph),
      diag_(diag),
      pass_(pass),
      alive_(graph.nodes.size(), true),
      is_output_(graph.values.size()),
      producer_(graph.values.size(), -1),
      readers_(graph.values.size()) {
  for (ValueId id : graph.outputs) is_output_[index(id)] = true;
  for (int n = 0; n < size(); ++n) {
    const Node& made = node(n);
    if (std::ranges::all_of(made.out, [&](ValueId id) { return graph.is_constant(id); }))
      alive_[static_cast<size_t>(n)] = false;  // folded already
    else
      link(n);
  }
}

ValueId Rewrite::track(ValueId id) {
  is_output_.resize(graph_.values.size());
  producer_.resize(graph_.values.size(), -1);
  readers_.resize(graph_.values.size());
  return id;
}

void Rewrite::link(int n) {
  for (ValueId id : node(n).out) producer_[index(id)] = n;
  for (ValueId id : node(n).in)
    if (id != ValueId::none) readers_[index(id)].push_back(n);
}

void Rewrite::unlink(int n) {
  for (ValueId id : node(n).in) {
    if (id == ValueId::none) continue;
    std::vector<int>& readers = readers_[index(id)];
    readers.erase(std::ranges::find(readers, n));
  }
}

int Rewrite::producer(ValueId id) const {
  return id == ValueId::none || is_constant(id) ? -1 : producer_[index(id)];
}

bool Rewrite::has_one_reader(ValueId id) const {
  return readers_[index(id)].size() == 1 && !is_output_[index(id)];
}

void Rewrite::release(int n) {
  std::vector<int> pending{n};
  while (!pending.empty()) {
    const int next = pending.back();
    pending.pop_back();
    const bool needed = std::ranges::any_of(node(next).out, [&](ValueId id) {
      return producer_[index(id)] == next && (!readers(id).empty() || is_output_[index(id)]);
    });
    if (needed || !alive(next)) continue;
    alive_[static_cast<size_t>(next)] = false;
    for (ValueId id : node(next).out)
      if (producer_[index(id)] == next) producer_[index(id)] = -1;
    unlink(next);
    for (ValueId id : node(next).in)
      if (const int p = producer(id); p >= 0) pending.push_back(p);
  }
}

void Rewrite::set_inputs(int n, std::vector<ValueId> in) {
  unlink(n);
  std::vector<ValueId>& inputs = graph_.nodes[static_cast<size_t>(n)].in;
  const std::vector<ValueId> before = std::exchange(inputs, std::move(in));
  for (ValueId id : inputs)
    if (id != ValueId::none) readers_[index(id)].push_back(n);
  for (ValueId id : before)
    if (const int p = producer(id); p >= 0) release(p);
}

void Rewrite::set_input(int n, size_t i, ValueId id) {
  std::vector<ValueId> in = node(n).in;
  in[i] = id;
  set_inputs(n, std::move(in));
}

Result<ValueId> Rewrite::add(Op op, std::vector<ValueId> in, std::string name) {
  Value made;
  made.name = graph_.unique_name(name);
  made.type = value(in[0]).type;
  std::optional<Quant> quant = moves_data(op) ? value(in[0]).quant : std::nullopt;
  const bool fold = std::ranges::all_of(in, [&](ValueId id) { return is_constant(id); });
  const ValueId out = track(graph_.add(std::move(made)));

  Node node{std::move(name), std::move(op), std::move(in), {out}};
  FIRN_TRY(infer(graph_, node));
  if (quant) {
    quant = moved_quant(*quant, node.op, shape(node.in[0]), shape(out));
    if (!quant)
      return Status(Code::internal, std::string(pass_) + ": " + describe(node) +
                                        ": scales do not move with their elements");
    graph_.value(out).quant = std::move(quant);
  }
  if (fold) {
    Status folded = fold_node(graph_, node);
    if (folded.ok()) {
      inherit_name(node.in[0], out);
      return out;
    }
    if (folded.code() != Code::refused) return folded;  // refused: too large, computed by each run
  }
  append(std::move(node));
  return out;
}

Result<ValueId> Rewrite::add_dequantize(ValueId quantized, std::string name) {
  const ValueId out = track(graph_.add({graph_.unique_name(name), DType::f32, {}, {}, nullptr}));
  Node node{std::move(name), Convert{DType::f32}, {quantized}, {out}};
  FIRN_TRY(infer(graph_, node));
  append(std::move(node));
  return out;
}

void Rewrite::append(Node node) {
  graph_.add(std::move(node));
  alive_.push_back(true);
  link(size() - 1);
}

Result<ValueId> Rewrite::add_floats(const std::string& name, const Shape& shape,
                                    std::span<const double> data) {
  const std::vector<float> rounded(data.begin(), data.end());
  return add_constant<float>(name, shape, rounded);
}

void Rewrite::inherit_name(ValueId old, ValueId id) {
  if (readers(old).size() <= 1 && !is_output_[index(old)])
    std::swap(graph_.value(old).name, graph_.value(id).name);
}

Status Rewrite::insert_before(int n, size_t i, Op op) {
  const std::string name = node(n).name + suffix_of(op);
  FIRN_ASSIGN(const ValueId id, add(std::move(op), {node(n).in[i]}, name));
  set_input(n, i, id);
  return {};
}

Status Rewrite::insert_after(int n, Op op) {
  const ValueId old = node(n).out[0];
  const Shape expected = shape(old);
  // The fresh value takes over the name: it is the one to stay when `op` is optimised away.
  const std::string moved_name = graph_.unique_name(value(old).name + suffix_of(op));
  Value fresh{moved_name, value(old).type, {}, value(old).quant, nullptr};
  if (!is_output_[index(old)]) std::swap(fresh.name, graph_.value(old).name);
  const ValueId made = track(graph_.add(std::move(fresh)));
  producer_[index(made)] = n;
  graph_.nodes[static_cast<size_t>(n)].out[0] = made;
  FIRN_TRY(infer(graph_, node(n)));

  append({node(n).name + suffix_of(op), std::move(op), {made}, {old}});
  FIRN_TRY(infer(graph_, node(size() - 1)));
  if (shape(old) != expected)
    return internal(size() - 1,
                    "makes " + to_string(shape(old)) + " where " + to_string(expected) + " was");
  return {};
}

void Rewrite::make(int n, ValueId id) {
  const int before = producer(id);
  std::vector<ValueId>& out = graph_.nodes[static_cast<size_t>(n)].out;
  producer_[index(out[0])] = -1;
  out[0] = id;
  producer_[index(id)] = n;
  if (before >= 0) release(before);
}

void Rewrite::drop(int n) {
  for (ValueId id : node(n).out) producer_[index(id)] = -1;
  release(n);
}

Result<bool> Rewrite::fold(int n) {
  const Status folded = fold_node(graph_, node(n));
  if (folded.code() == Code::refused) {
    note(n, folded.message());
    return false;
  }
  FIRN_TRY(folded);
  drop(n);
  return true;
}

bool Rewrite::forward(ValueId from, ValueId to) {
  const int old = producer(from);
  if (!is_output_[index(from)]) {
    for (int reader : std::vector<int>(readers(from).begin(), readers(from).end())) {
      std::vector<ValueId> in = node(reader).in;
      std::ranges::replace(in, from, to);
      set_inputs(reader, std::move(in));
    }
    if (old >= 0) release(old);
    return true;
  }
  // `from` has a name to keep: what makes `to` makes it from now on, and everybody reads it.
  const int source = producer(to);
  if (source < 0 || old < 0 || is_output_[index(to)]) return false;
  std::ranges::replace(graph_.nodes[static_cast<size_t>(source)].out, to, from);
  producer_[index(from)] = source;
  producer_[index(to)] = -1;
  for (int reader : std::vector<int>(readers(to).begin(), readers(to).end())) {
    std::vector<ValueId> in = node(reader).in;
    std::ranges::replace(in, to, from);
    set_inputs(reader, std::move(in));
  }
  release(old);
  return true;
}

void Rewrite::note(int n, const std::string& why) {
  diag_.notes.push_back(std::string(pass_) + ": " + node(n).name + ": " + why);
}

Status Rewrite::internal(int n, const std::string& what) const {
  return {Code::internal, std::string(pass_) + ": " + describe(node(n)) + ": " + what};
}

Status Rewrite::finish() {
  // Depth first over the old order: what was in order stays so, and a new node comes right before
  // its first reader.
  enum class Mark : uint8_t { open, entered, done };
  std::vector<Mark> mark(alive_.size(), Mark::open);
  std::vector<int> order, stack;
  for (int n = 0; n < size(); ++n) {
    if (alive(n)) stack.push_back(n);
    while (!stack.empty()) {
      const int top = stack.back();
      Mark& state = mark[static_cast<size_t>(top)];
      if (state != Mark::open) {
        stack.pop_back();
        if (state == Mark::entered) order.push_back(top);
        state = Mark::done;
        continue;
      }
      state = Mark::entered;
      for (size_t i = node(top).in.size(); i-- > 0;) {
        const int p = producer(node(top).in[i]);
        if (p < 0 || mark[static_cast<size_t>(p)] == Mark::done) continue;
        if (mark[static_cast<size_t>(p)] == Mark::entered) return internal(p, "is part of a cycle");
        stack.push_back(p);
      }
    }
  }
  std::vector<Node> nodes;
  nodes.reserve(order.size());
  for (int n : order) nodes.push_back(std::move(graph_.nodes[static_cast<size_t>(n)]));
  graph_.nodes = std::move(nodes);
  sweep(graph_);
  return {};
}

}  // namespace firn
