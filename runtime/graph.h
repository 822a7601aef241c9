// SPDX-License-Identifier: Apache-2.0
// The graph of logical values: built by importers, rewritten by passes, annotated by the quantizer,
// lowered to a Program.
#ifndef FIRN_RUNTIME_GRAPH_H_
#define FIRN_RUNTIME_GRAPH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firn/model.h"
#include "firn/status.h"
#include "firn/tensor.h"
#include "runtime/ops.h"

namespace firn {

// Bytes that never change, and what keeps them alive: a heap block, a mapped file, the caller.
class Buffer {
 public:
  Buffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : Buffer(std::move(owner), bytes, bytes.size(), next_id()) {}
  // Zeroed, 64-byte aligned, with kSlack readable bytes behind; the span is for filling it before
  // it is shared. out_of_memory.
  static Result<std::pair<std::shared_ptr<const Buffer>, std::span<std::byte>>> allocate(
      size_t bytes);
  // What is left of a buffer whose bytes were given back: its size and its id.
  std::shared_ptr<const Buffer> released() const;
  // These bytes under the id of the buffer that had them before.
  std::shared_ptr<const Buffer> with_id(uint64_t id) const;

  // None of one whose bytes were given back.
  std::span<const std::byte> bytes() const { return bytes_; }
  size_t size() const { return size_; }
  bool is_released() const { return bytes_.size() != size_; }
  // Whether it is a block of its own, so that it is memory that can be given back.
  bool allocated() const { return allocated_; }
  // The same for the same bytes, never given to others.
  uint64_t id() const { return id_; }

  static constexpr size_t kSlack = 64;

 private:
  Buffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes, size_t size,
         uint64_t id)
      : owner_(std::move(owner)), bytes_(bytes), size_(size), id_(id) {}
  static uint64_t next_id();

  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
  size_t size_;
  uint64_t id_;
  bool allocated_ = false;
};

enum class ValueId : uint32_t { none = UINT32_MAX };
constexpr size_t index(ValueId id) {
  return static_cast<size_t>(id);
}

// One tensor. `shape` may hold -1 until shapes are inferred. 8-bit values carry a Quant; a constant
// has its bytes.
struct Value {
  std::string name;
  DType type = DType::f32;
  Shape shape;
  std::optional<Quant> quant;
  std::shared_ptr<const Buffer> constant;

  template <typename T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(constant->bytes().data()), shape.elements()};
  }
};

// in: ValueId::none stands for an optional input that is left out; trailing ones are dropped.
struct Node {
  std::string name;
  Op op;
  std::vector<ValueId> in, out;
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // every producer before its consumers
  std::vector<ValueId> inputs, outputs;
  // That many of the last inputs and outputs, pair by pair, are not the user's: what a run leaves
  // in such an output, the next finds in the input.
  size_t states = 0;
  // Layers whose weights are stored in few bits are to multiply in integers, their activations
  // quantized row by row as they come, unless the session's options say otherwise.
  bool dynamic = false;

  Value& value(ValueId id) { return values[index(id)]; }
  const Value& value(ValueId id) const { return values[index(id)]; }
  ValueId add(Value value);
  // A constant of T. out_of_memory; malformed where the data is not as large as the shape. The name
  // is made unique.
  template <typename T>
  Result<ValueId> add_constant(std::string name, const Shape& shape, std::span<const T> data) {
    return add_constant_bytes(std::move(name), DTypeOf<T>::value, shape, std::as_bytes(data));
  }
  Result<ValueId> add_constant_bytes(std::string name, DType type, const Shape& shape,
                                     std::span<const std::byte> bytes);
  Node& add(Node node) { return nodes.emplace_back(std::move(node)); }

  bool is_constant(ValueId id) const {
    return id != ValueId::none && value(id).constant != nullptr;
  }
  bool is_output(ValueId id) const;
  // `name`, or `name_2`, ... where another value has it.
  std::string unique_name(const std::string& name) const;
  // Whether bytes of some constant were given back.
  bool any_released() const;
};

// For each value the index of the node that makes it, or -1; and of those that read it, in order,
// once per use. Good until the graph changes.
struct Uses {
  explicit Uses(const Graph& graph);
  std::vector<int> producer;
  std::vector<std::vector<int>> consumers;
  int producer_of(ValueId id) const { return producer[index(id)]; }
  std::span<const int> consumers_of(ValueId id) const { return consumers[index(id)]; }
};

// Makes every reader of `from`, and the graph's outputs where `from` is one, read `to`. An output
// keeps its name: the two values swap names then. false where `from` stays in use: it is an output,
// and `to` has to keep its name because it is an input or output itself.
bool replace_uses(Graph& graph, ValueId from, ValueId to);
// Removes nodes whose outputs nobody reads or are constant by now, and values that nothing
// mentions; ValueIds change.
void sweep(Graph& graph);
// Sorts nodes so that producers come first. malformed names a node of a cycle.
Status sort_topologically(Graph& graph);
// Ids in range and one producer a value; inputs are not produced. Uses, sweep and everything below
// rely on it.
Status check_ids(const Graph& graph);
// check_ids, check_quant, order, inputs and outputs present and with names of their own, constants
// as large as their shape: what importers and every pass must leave behind. malformed names the
// offender.
Status check(const Graph& graph);

// Infers shapes and types of all node outputs; input shapes must be known. Small values that follow
// from constants and known shapes are computed and become constants themselves, so that shapes may
// depend on them; those of an earlier call are computed anew. What depends on data keeps -1 in its
// shape. malformed and unsupported name node, value, expected and got.
Status infer_shapes(Graph& graph);
// One node: its outputs' shapes and types, from its inputs'. Quantization is left alone; an output
// that has it keeps its 8-bit type where the operator computes real numbers.
Status infer(Graph& graph, const Node& node);
// Whether the shapes of a node's outputs follow only from data that the graph computes: an input of
// it is such, or stands for a shape, an axis, a number of elements and is not constant.
bool depends_on_data(const Graph& graph, const Node& node);
// Infers what holds of such outputs anyway: types and ranks. Their dimensions are -1. unsupported
// where the rank follows from data, too.
Status infer_open(Graph& graph, const Node& node);
// Computes a node whose inputs are all constant (or, for ShapeOf, known shapes) and makes its
// outputs constants. failed_precondition where an input is not; refused where the result passes
// kMaxFoldedBytes or would take long to compute, unless there is no limit. The node stays, for
// sweep() to remove.
enum class FoldLimit : uint8_t { load, none };
Status fold_node(Graph& graph, const Node& node, FoldLimit limit = FoldLimit::load);
inline constexpr size_t kMaxFoldedBytes = size_t{256} << 20;

// The slow oracle: computes one node on plain f32, integer and boolean tensors. 8-bit quantized
// values are dequantized, computed in float and quantized again.
// in[i].data is null for an input that is left out; out[] has the inferred shapes and memory.
Status reference(const Graph& graph, const Node& node, std::span<const Tensor> in,
                 std::span<const Tensor> out);
// The same for a whole graph, in order. `inputs` in the order of graph.inputs.
Result<std::vector<Value>> reference_run(const Graph& graph, std::span<const Tensor> inputs);

// What reference() computes for one element in double precision; look-up tables are made of it.
// Defined in the file of the elementwise reference. Comparisons and logic give 0 or 1.
double evaluate(const Unary& op, double x);
double evaluate(Binary::Kind kind, double a, double b);

// A name for messages: "conv_12 (Conv2d)".
std::string describe(const Node& node);

// Multiply-accumulates of one run of the node, shapes inferred.
size_t macs(const Graph& graph, const Node& node);
// 64 bits over operators, attributes, wiring, node names, constants, and the inputs' and outputs'
// names and shapes of inputs; the same for the same network, shapes inferred or not.
uint64_t fingerprint(const Graph& graph);

}  // namespace firn

#endif  // FIRN_RUNTIME_GRAPH_H_
