// SPDX-License-Identifier: Apache-2.0
// A graph under edit: who makes and who reads each value, kept current while a pass rewires nodes.
#ifndef FIRN_RUNTIME_PASSES_REWRITE_H_
#define FIRN_RUNTIME_PASSES_REWRITE_H_

#include <cstddef>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "runtime/graph.h"
#include "runtime/passes/passes.h"

namespace firn {

// Nodes are named by index. New ones are appended and found their place by finish(); nodes that
// nobody reads any more die at once, so that "one reader" means one reader.
class Rewrite {
 public:
  Rewrite(Graph& graph, Diag& diag, const char* pass);

  int size() const { return static_cast<int>(graph_.nodes.size()); }
  bool alive(int n) const { return alive_[static_cast<size_t>(n)]; }
  // References last until the next add(), insert_before() or insert_after().
  const Node& node(int n) const { return graph_.nodes[static_cast<size_t>(n)]; }
  void set_op(int n, Op op) { graph_.nodes[static_cast<size_t>(n)].op = std::move(op); }
  void set_name(int n, std::string name) {
    graph_.nodes[static_cast<size_t>(n)].name = std::move(name);
  }

  Graph& graph() { return graph_; }
  const Graph& graph() const { return graph_; }
  const Value& value(ValueId id) const { return graph_.value(id); }
  const Shape& shape(ValueId id) const { return graph_.value(id).shape; }
  bool is_constant(ValueId id) const { return graph_.is_constant(id); }

  // The node that computes `id`, or -1: an input, a constant, or none.
  int producer(ValueId id) const;
  // Its operator, where it is a T.
  template <typename T>
  const T* made_by(ValueId id) const {
    const int n = producer(id);
    return n < 0 ? nullptr : std::get_if<T>(&node(n).op);
  }
  std::span<const int> readers(ValueId id) const { return readers_[index(id)]; }
  // Whether one node reads it, once, and it is not an output of the graph: then nobody misses it.
  bool has_one_reader(ValueId id) const;

  void set_inputs(int n, std::vector<ValueId> in);
  void set_input(int n, size_t i, ValueId id);
  // A new node and its output, shapes inferred. It is computed at once where all inputs are
  // constant.
  Result<ValueId> add(Op op, std::vector<ValueId> in, std::string name);
  template <typename T>
  Result<ValueId> add_constant(const std::string& name, const Shape& shape,
                               std::span<const T> data) {
    FIRN_ASSIGN(const ValueId id, graph_.add_constant<T>(name, shape, data));
    return track(id);
  }
  // The real numbers behind a quantized constant, which stays as it is.
  Result<ValueId> add_dequantize(ValueId quantized, std::string name);
  // A constant of floats, each rounded once.
  Result<ValueId> add_floats(const std::string& name, const Shape& shape,
                             std::span<const double> data);
  // The constant `id` takes the place of `old` for one reader: if that was the only one, then under
  // its name.
  void inherit_name(ValueId old, ValueId id);
  // Input i of node n goes through `op` first.
  Status insert_before(int n, size_t i, Op op);
  // Node n, whose operator or inputs were just changed, makes a new value; `op` turns that into
  // what n made before, whose shape must come out the same.
  Status insert_after(int n, Op op);
  // Infers the outputs of a node whose input changed shape.
  Status infer_again(int n) { return infer(graph_, node(n)); }
  // Node n makes `id`, instead of the node that made it so far. Types and shapes are the same.
  void make(int n, ValueId id);
  // Node n dies: all it makes is constant by now.
  void drop(int n);
  // Computes node n, whose inputs are constant, and drops it; false, with a note, where the result
  // is refused.
  Result<bool> fold(int n);
  // Everybody reads `to` for `from`, equal in every respect but its name. False where both must
  // live on, as `from` is an output of the graph and `to` an output, an input or a constant.
  bool forward(ValueId from, ValueId to);

  // Says why node n was left as it is.
  void note(int n, const std::string& why);
  // Puts nodes in order and drops what died.
  Status finish();

 private:
  // Makes room in the tables for a value that was added to the graph.
  ValueId track(ValueId id);
  void append(Node node);
  void link(int n);
  void unlink(int n);
  // Kills the node if nobody reads what it makes, and then those that worked for it alone.
  void release(int n);
  Status internal(int n, const std::string& what) const;

  Graph& graph_;
  Diag& diag_;
  const char* pass_;
  std::vector<bool> alive_;
  std::vector<bool> is_output_;
  std::vector<int> producer_;
  std::vector<std::vector<int>> readers_;
};

// Applies `rule(rewrite, n)` -> Result<bool> to all nodes, new ones too, producers first; returns
// how often it was true.
template <typename Rule>
Result<int> rewrite_nodes(Graph& graph, Diag& diag, const char* pass, Rule rule) {
  Rewrite rewrite(graph, diag, pass);
  int fired = 0;
  for (int n = 0; n < rewrite.size(); ++n) {
    if (!rewrite.alive(n)) continue;
    FIRN_ASSIGN(const bool hit, rule(rewrite, n));
    if (hit) ++fired;
  }
  FIRN_TRY(rewrite.finish());
  return fired;
}

}  // namespace firn

#endif  // FIRN_RUNTIME_PASSES_REWRITE_H_
