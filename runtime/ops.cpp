// SPDX-License-Identifier: Apache-2.0
// Names of operators, and how they are copied, moved and destroyed.
#include "runtime/ops.h"

#include <iterator>

namespace firn {

Op::Op() = default;
Op::Op(const Op& other) = default;
Op::Op(Op&& other) noexcept = default;
Op& Op::operator=(const Op& other) = default;
Op& Op::operator=(Op&& other) noexcept = default;
Op::~Op() = default;

namespace {

constexpr const char* kBinary[] = {
    "Add",     "Sub", "Mul", "Div", "Max",  "Min",   "Pow",        "Equal",     "Less",
    "Greater", "And", "Or",  "Mod", "FMod", "Atan2", "BitwiseAnd", "BitwiseOr", "BitwiseXor"};
static_assert(std::size(kBinary) == static_cast<size_t>(Binary::Kind::bitwise_xor) + 1);

constexpr const char* kUnary[] = {
    "Clamp",     "Sigmoid", "Tanh",  "Exp",      "Log",      "Sqrt", "Reciprocal", "Abs",
    "Neg",       "Floor",   "Ceil",  "Round",    "Erf",      "Sin",  "Cos",        "HardSigmoid",
    "HardSwish", "Silu",    "Mish",  "Softplus", "Softsign", "Elu",  "LeakyRelu",  "Gelu",
    "GeluTanh",  "Not",     "Sign",  "Trunc",    "Tan",      "Asin", "Acos",       "Atan",
    "Sinh",      "Cosh",    "Asinh", "Acosh",    "Atanh",    "IsNan"};
static_assert(std::size(kUnary) == static_cast<size_t>(Unary::Kind::is_nan) + 1);

constexpr const char* kReduce[] = {"ReduceMean", "ReduceSum",  "ReduceMax",
                                   "ReduceMin",  "ReduceProd", "ReduceSumSquare",
                                   "ReduceL1",   "ReduceL2",   "ReduceLogSumExp"};
static_assert(std::size(kReduce) == static_cast<size_t>(Reduce::Kind::log_sum_exp) + 1);

// Overloads, one an operator: a missing one does not compile.
const char* name_of(const Conv2d&) {
  return "Conv2d";
}
const char* name_of(const ConvTranspose2d&) {
  return "ConvTranspose2d";
}
const char* name_of(const Dense&) {
  return "Dense";
}
const char* name_of(const MatMul&) {
  return "MatMul";
}
const char* name_of(const Binary& op) {
  return kBinary[static_cast<size_t>(op.kind)];
}
const char* name_of(const Unary& op) {
  return kUnary[static_cast<size_t>(op.kind)];
}
const char* name_of(const PRelu&) {
  return "PRelu";
}
const char* name_of(const Pool2d& op) {
  return op.kind == Pool2d::Kind::max ? "MaxPool2d" : "AveragePool2d";
}
const char* name_of(const Reduce& op) {
  return kReduce[static_cast<size_t>(op.kind)];
}
const char* name_of(const Softmax& op) {
  return op.log ? "LogSoftmax" : "Softmax";
}
const char* name_of(const Concat&) {
  return "Concat";
}
const char* name_of(const Slice&) {
  return "Slice";
}
const char* name_of(const Pad&) {
  return "Pad";
}
const char* name_of(const Reshape&) {
  return "Reshape";
}
const char* name_of(const Transpose&) {
  return "Transpose";
}
const char* name_of(const Resize2d&) {
  return "Resize2d";
}
const char* name_of(const LocalResponseNorm&) {
  return "LocalResponseNorm";
}
const char* name_of(const InstanceNorm&) {
  return "InstanceNorm";
}
const char* name_of(const LayerNorm& op) {
  return op.centred ? "LayerNorm" : "RMSNorm";
}
const char* name_of(const DepthToSpace&) {
  return "DepthToSpace";
}
const char* name_of(const Gather&) {
  return "Gather";
}
const char* name_of(const ShapeOf&) {
  return "ShapeOf";
}
const char* name_of(const Expand&) {
  return "Expand";
}
const char* name_of(const Fill&) {
  return "Fill";
}
const char* name_of(const Range&) {
  return "Range";
}
const char* name_of(const Where&) {
  return "Where";
}
const char* name_of(const ArgMax& op) {
  return op.min ? "ArgMin" : "ArgMax";
}
const char* name_of(const Convert&) {
  return "Convert";
}
const char* name_of(const Squeeze& op) {
  return op.insert ? "Unsqueeze" : "Squeeze";
}
const char* name_of(const Tile&) {
  return "Tile";
}
const char* name_of(const GatherElements&) {
  return "GatherElements";
}
const char* name_of(const GatherNd&) {
  return "GatherNd";
}
const char* name_of(const Scatter& op) {
  return op.kind == Scatter::Kind::elements ? "ScatterElements" : "ScatterNd";
}
const char* name_of(const CumSum&) {
  return "CumSum";
}
const char* name_of(const NonZero&) {
  return "NonZero";
}
const char* name_of(const NonMaxSuppression&) {
  return "NonMaxSuppression";
}
const char* name_of(const GridSample&) {
  return "GridSample";
}
const char* name_of(const Resize&) {
  return "Resize";
}
const char* name_of(const Recurrent& op) {
  constexpr const char* kCells[] = {"Lstm", "Gru", "Rnn"};
  return kCells[static_cast<size_t>(op.cell)];
}
const char* name_of(const DetectionPostProcess&) {
  return "DetectionPostProcess";
}
const char* name_of(const TopK&) {
  return "TopK";
}
const char* name_of(const DetectionOutput&) {
  return "DetectionOutput";
}

const char* name_of(const RegionPool& op) {
  constexpr const char* kKinds[] = {"RegionMaxPool", "RegionPositionPool", "RegionAlign",
                                    "RegionAlignMax", "RegionAlignInside"};
  return kKinds[static_cast<size_t>(op.kind)];
}

}  // namespace

const char* op_name(const Op& op) {
  return std::visit([](const auto& o) { return name_of(o); }, op);
}

}  // namespace firn
