// SPDX-License-Identifier: Apache-2.0
// Shape and type inference of nodes and graphs, and the folding of the constants that shapes need.
#include <algorithm>

#include "runtime/graph.h"
#include "runtime/infer_context.h"

namespace firn {
namespace {

// Values up to this size are folded, from such values, while shapes are inferred: any shape, axes
// or scales fit, and folding them costs next to nothing.
constexpr size_t kMaxShapeElements = 1024;

// What a fold may add up: a load is not to take minutes.
constexpr double kMaxFoldedSummands = 1 << 27;

bool all_constant(const Graph& graph, const Node& node) {
  if (std::holds_alternative<ShapeOf>(node.op)) return true;
  for (ValueId id : node.in)
    if (id != ValueId::none && !graph.is_constant(id)) return false;
  return true;
}

// What the reference computes for the node, in terms of sums; only of operators that may take much
// longer than reading their inputs and writing their outputs. In double: it may be any number.
double summands(const Graph& graph, const Node& node) {
  const auto shape = [&](ValueId id) -> const Shape& { return graph.value(id).shape; };
  const auto elements = [&](ValueId id) { return static_cast<double>(shape(id).elements()); };
  const Shape& x = shape(node.in.empty() ? node.out[0] : node.in[0]);
  double each = 0;
  if (const auto* pool = std::get_if<Pool2d>(&node.op)) {
    each = 1;
    for (size_t a = 0; a < 2; ++a)
      each *= std::min(pool->window.kernel[a], x[static_cast<int>(a) + 1]);
  } else if (const auto* norm = std::get_if<LocalResponseNorm>(&node.op)) {
    each = std::min(norm->size, x[3]);
  } else if (std::holds_alternative<MatMul>(node.op)) {
    each = x[x.rank - 1];
  } else if (std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op) ||
             std::holds_alternative<ConvTranspose2d>(node.op)) {
    each = elements(node.in[1]) / std::max(1, shape(node.in[1])[0]);
  }
  return each * elements(node.out[0]);
}

// Shape arithmetic; quantized constants are left to the passes that fuse their Converts.
bool folds_early(const Graph& graph, const Node& node) {
  const Value& out = graph.value(node.out[0]);
  if (out.quant || out.shape.elements() > kMaxShapeElements) return false;
  for (ValueId id : node.in) {
    if (id == ValueId::none) continue;
    const Value& in = graph.value(id);
    if (in.quant || (in.constant != nullptr && in.shape.elements() > kMaxShapeElements))
      return false;
  }
  return all_constant(graph, node);
}

Status fail(const Node& node, Code code, const std::string& what) {
  return {code, describe(node) + ": " + what};
}

}  // namespace

Status infer(Graph& graph, const Node& node) {
  for (ValueId id : node.in)
    if (id != ValueId::none && index(id) >= graph.values.size())
      return fail(node, Code::malformed,
                  "input value " + std::to_string(index(id)) + " of " +
                      std::to_string(graph.values.size()));
  if (node.out.size() != 1 || index(node.out[0]) >= graph.values.size())
    return fail(node, Code::malformed,
                "has " + std::to_string(node.out.size()) + " outputs, expected one");
  const InferContext context{graph, node};
  FIRN_ASSIGN(const Inferred inferred,
              std::visit([&](const auto& op) { return infer_op(context, op); }, node.op));
  if (const Result<size_t> size = checked_elements(inferred.shape); !size.ok())
    return context.malformed("output: " + size.status().message());

  Value& out = graph.value(node.out[0]);
  out.shape = inferred.shape;
  const bool quantized_real =
      inferred.type == DType::f32 && out.quant && (out.type == DType::i8 || out.type == DType::u8);
  if (!quantized_real) out.type = inferred.type;
  return {};
}

Status infer_shapes(Graph& graph) {
  for (ValueId id : graph.inputs) {
    if (index(id) >= graph.values.size())
      return {Code::malformed, "graph input " + std::to_string(index(id)) + " of " +
                                   std::to_string(graph.values.size()) + " values"};
    const Value& input = graph.value(id);
    if (!input.shape.known())
      return {Code::failed_precondition,
              "the shape of input " + input.name + " is not known: " + to_string(input.shape)};
  }
  for (const Node& node : graph.nodes) {
    // What an earlier call has folded may not hold for today's input shapes.
    for (ValueId id : node.out)
      if (index(id) < graph.values.size()) graph.value(id).constant = nullptr;
    FIRN_TRY(infer(graph, node));
    if (folds_early(graph, node)) FIRN_TRY(fold_node(graph, node));
  }
  return {};
}

Status fold_node(Graph& graph, const Node& node) {
  if (!all_constant(graph, node))
    return fail(node, Code::failed_precondition, "has inputs that are not constant");
  FIRN_TRY(infer(graph, node));

  std::vector<Tensor> in;
  for (ValueId id : node.in) {
    Tensor& tensor = in.emplace_back();
    if (id == ValueId::none) continue;
    const Value& value = graph.value(id);
    tensor.type = value.type;
    tensor.shape = value.shape;
    if (value.constant == nullptr) continue;  // ShapeOf's input
    const std::span<const std::byte> bytes = value.constant->bytes();
    if (bytes.size() != tensor.bytes())
      return fail(
          node, Code::malformed,
          "constant " + value.name + " is not as large as its shape " + to_string(value.shape));
    tensor.data = const_cast<std::byte*>(bytes.data());  // inputs are only read
  }

  Value& value = graph.value(node.out[0]);
  Tensor out{value.type, value.shape, nullptr};
  if (out.bytes() > kMaxFoldedBytes)
    return fail(node, Code::refused,
                "its constant result " + to_string(value.shape) + " passes " +
                    std::to_string(kMaxFoldedBytes) + " bytes");
  if (summands(graph, node) > kMaxFoldedSummands)
    return fail(node, Code::refused, "its constant result takes too long to compute");
  FIRN_ASSIGN(auto memory, Buffer::allocate(out.bytes()));
  out.data = memory.second.data();
  FIRN_TRY(reference(graph, node, in, std::span(&out, 1)));
  value.constant = std::move(memory.first);
  return {};
}

}  // namespace firn
