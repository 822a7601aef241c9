// SPDX-License-Identifier: Apache-2.0
// Shape and type inference of nodes and graphs, and the folding of the constants that shapes need.
#include <algorithm>

#include "runtime/graph.h"
#include "runtime/infer_context.h"
#include "runtime/int8_ops.h"
#include "runtime/packed.h"
#include "runtime/parameters.h"

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
  } else if (const auto* regions = std::get_if<RegionPool>(&node.op)) {
    const double samples = regions->samples;
    each = 4 * std::max(static_cast<double>(x[1]) * x[2], samples * samples);
  } else if (std::holds_alternative<Recurrent>(node.op)) {
    const double sequences = static_cast<double>(x[0]) * static_cast<double>(x[1]);
    return sequences * (elements(node.in[1]) + elements(node.in[2]));
  }
  return each * elements(node.out[0]);
}

// Shape arithmetic; quantized constants are left to the passes that fuse their Converts.
bool folds_early(const Graph& graph, const Node& node) {
  for (ValueId id : node.out) {
    const Value& out = graph.value(id);
    if (out.quant || out.shape.elements() > kMaxShapeElements) return false;
  }
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

Status expect_ids(const Graph& graph, const Node& node) {
  const auto expect = [&](const char* what, ValueId id) -> Status {
    if (index(id) < graph.values.size()) return {};
    return fail(node, Code::malformed,
                std::string(what) + " value " + std::to_string(index(id)) + " of " +
                    std::to_string(graph.values.size()));
  };
  for (const ValueId id : node.in)
    if (id != ValueId::none) FIRN_TRY(expect("input", id));
  for (const ValueId id : node.out) FIRN_TRY(expect("output", id));
  return {};
}

Result<std::vector<Inferred>> all_outputs(Result<Inferred> one) {
  FIRN_TRY(one.status());
  return std::vector<Inferred>{*one};
}

Result<std::vector<Inferred>> all_outputs(Result<std::vector<Inferred>> all) {
  return all;
}

}  // namespace

Status infer(Graph& graph, const Node& node) {
  FIRN_TRY(expect_ids(graph, node));
  if (has_parameter_inputs(node.op)) {
    FIRN_ASSIGN(const Node resolved, resolve_parameters(graph, node));
    return infer(graph, resolved);
  }
  const InferContext context{graph, node};
  FIRN_ASSIGN(
      const std::vector<Inferred> outputs,
      std::visit([&](const auto& op) { return all_outputs(infer_op(context, op)); }, node.op));
  if (node.out.size() != outputs.size())
    return fail(node, Code::malformed,
                "has " + std::to_string(node.out.size()) + " outputs, expected " +
                    std::to_string(outputs.size()));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Inferred& inferred = outputs[i];
    if (const Result<size_t> size = checked_elements(inferred.shape); !size.ok())
      return context.malformed("output: " + size.status().message());
    Value& out = graph.value(node.out[i]);
    out.shape = inferred.shape;
    const bool quantized_real = inferred.type == DType::f32 && out.quant &&
                                (out.type == DType::i8 || out.type == DType::u8 || is_wide(out));
    if (!quantized_real) out.type = inferred.type;
  }
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
    FIRN_TRY(expect_ids(graph, node));
    // What an earlier call has folded may not hold for today's input shapes.
    for (ValueId id : node.out) graph.value(id).constant = nullptr;
    if (depends_on_data(graph, node)) {
      FIRN_TRY(infer_open(graph, node));
      continue;
    }
    FIRN_TRY(infer(graph, node));
    if (folds_early(graph, node)) FIRN_TRY(fold_node(graph, node));
  }
  return {};
}

Status fold_node(Graph& graph, const Node& node, FoldLimit limit) {
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
    if (bytes.size() != constant_bytes(value))
      return fail(
          node, Code::malformed,
          "constant " + value.name + " is not as large as its shape " + to_string(value.shape));
    tensor.data = const_cast<std::byte*>(bytes.data());  // inputs are only read
  }

  if (limit == FoldLimit::load && summands(graph, node) > kMaxFoldedSummands)
    return fail(node, Code::refused, "its constant result takes too long to compute");
  std::vector<Tensor> out;
  std::vector<std::shared_ptr<const Buffer>> memory;
  for (ValueId id : node.out) {
    const Value& value = graph.value(id);
    Tensor& tensor = out.emplace_back(Tensor{value.type, value.shape, nullptr});
    if (limit == FoldLimit::load && tensor.bytes() > kMaxFoldedBytes)
      return fail(node, Code::refused,
                  "its constant result " + to_string(value.shape) + " passes " +
                      std::to_string(kMaxFoldedBytes) + " bytes");
    FIRN_ASSIGN(auto block, Buffer::allocate(tensor.bytes()));
    tensor.data = block.second.data();
    memory.push_back(std::move(block.first));
  }
  FIRN_TRY(reference(graph, node, in, out));
  for (size_t i = 0; i < memory.size(); ++i)
    graph.value(node.out[i]).constant = std::move(memory[i]);
  return {};
}

}  // namespace firn
