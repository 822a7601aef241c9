// SPDX-License-Identifier: Apache-2.0
// Joins the operator groups into the one table that the importer looks in.
#include "runtime/import/onnx_ops.h"

#include <algorithm>
#include <array>

#include "runtime/import/onnx.h"

namespace firn {
namespace onnx {
namespace {

auto groups() {
  return std::array{
      attention_operators(), binary_operators(),  constant_operators(), conv_operators(),
      index_operators(),     integer_operators(), layout_operators(),   matrix_operators(),
      norm_operators(),      pool_operators(),    qlinear_operators(),  quant_operators(),
      recurrent_operators(), reduce_operators(),  region_operators(),   resize_operators(),
      select_operators(),    shape_operators(),   unary_operators()};
}

// Everything is as it was in opset 7. These are as they were before, too, but for attributes that
// no translation reads.
constexpr int64_t kFirstOpset = 7;
constexpr std::string_view kContribDomain = "com.microsoft";
constexpr std::string_view kUnchanged[] = {"Abs",           "ArgMax",
                                           "ArgMin",        "AveragePool",
                                           "Ceil",          "Constant",
                                           "Conv",          "DepthToSpace",
                                           "Elu",           "Exp",
                                           "Flatten",       "Floor",
                                           "Gather",        "GlobalAveragePool",
                                           "GlobalMaxPool", "HardSigmoid",
                                           "Identity",      "LRN",
                                           "LeakyRelu",     "Log",
                                           "LogSoftmax",    "MatMul",
                                           "MaxPool",       "Neg",
                                           "Not",           "Reciprocal",
                                           "ReduceL1",      "ReduceL2",
                                           "ReduceLogSum",  "ReduceLogSumExp",
                                           "ReduceMax",     "ReduceMean",
                                           "ReduceMin",     "ReduceProd",
                                           "ReduceSum",     "ReduceSumSquare",
                                           "Relu",          "Selu",
                                           "Shape",         "Sigmoid",
                                           "Size",          "Slice",
                                           "Softmax",       "Softplus",
                                           "Softsign",      "SpaceToDepth",
                                           "Sqrt",          "Squeeze",
                                           "Tanh",          "Transpose",
                                           "Unsqueeze"};

}  // namespace

const Operator* find_operator(std::string_view domain, std::string_view type, int64_t opset) {
  const auto find = [&](std::span<const Operator> group) -> const Operator* {
    const auto found = std::ranges::find(group, type, &Operator::type);
    return found == group.end() ? nullptr : &*found;
  };
  if (domain == kContribDomain) {
    // Exporters state the standard's own there, too, for types that it has only had of late.
    for (const auto group : {contrib_operators(), qlinear_contrib_operators(), quant_operators()})
      if (const Operator* op = find(group)) return op;
    return nullptr;
  }
  if (!domain.empty()) return nullptr;
  if (opset < kFirstOpset && !std::ranges::binary_search(kUnchanged, type)) return nullptr;
  for (const std::span<const Operator> group : groups())
    if (const Operator* op = find(group)) return op;
  return nullptr;
}

}  // namespace onnx

std::vector<std::string> onnx_operators() {
  std::vector<std::string> names;
  for (const std::span<const onnx::Operator> group : onnx::groups()) {
    for (const onnx::Operator& op : group) names.emplace_back(op.type);
  }
  for (const auto group : {onnx::contrib_operators(), onnx::qlinear_contrib_operators()}) {
    for (const onnx::Operator& op : group)
      names.push_back(std::string(onnx::kContribDomain) + "." + std::string(op.type));
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace firn
