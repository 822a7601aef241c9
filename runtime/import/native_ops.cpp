// SPDX-License-Identifier: Apache-2.0
// One pack and one unpack function per operator. A new alternative of Op without them does not
// compile; neither does one that the schema's union lacks.
#include "runtime/import/native_ops.h"

#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/import/native_fields.h"

namespace firn {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;

static_assert(std::variant_size_v<OpVariant> == static_cast<size_t>(wire::Op::MAX));

Offset<wire::Conv2d> pack(Builder& b, const Conv2d& op) {
  const wire::Window window = pack(op.window);
  const wire::Clamp clamp = pack(op.clamp);
  return wire::CreateConv2d(b, &window, op.groups, &clamp);
}
Conv2d unpack(const wire::Conv2d& op, bool& valid) {
  return {unpack(*op.window()), op.groups(), unpack(*op.clamp(), valid)};
}

Offset<wire::ConvTranspose2d> pack(Builder& b, const ConvTranspose2d& op) {
  const wire::Window window = pack(op.window);
  const wire::Clamp clamp = pack(op.clamp);
  return wire::CreateConvTranspose2d(b, &window, op.groups, &clamp, op.output_pad[0],
                                     op.output_pad[1]);
}
ConvTranspose2d unpack(const wire::ConvTranspose2d& op, bool& valid) {
  return {unpack(*op.window()),
          {op.output_pad_h(), op.output_pad_w()},
          op.groups(),
          unpack(*op.clamp(), valid)};
}

Offset<wire::Dense> pack(Builder& b, const Dense& op) {
  const wire::Clamp clamp = pack(op.clamp);
  return wire::CreateDense(b, &clamp);
}
Dense unpack(const wire::Dense& op, bool& valid) {
  return {unpack(*op.clamp(), valid)};
}

Offset<wire::MatMul> pack(Builder& b, const MatMul&) {
  return wire::CreateMatMul(b);
}
MatMul unpack(const wire::MatMul&, bool&) {
  return {};
}

Offset<wire::Binary> pack(Builder& b, const Binary& op) {
  const wire::Clamp clamp = pack(op.clamp);
  return wire::CreateBinary(b, BinaryKinds::pack(op.kind), &clamp);
}
Binary unpack(const wire::Binary& op, bool& valid) {
  return {BinaryKinds::unpack(op.kind(), valid), unpack(*op.clamp(), valid)};
}

Offset<wire::Unary> pack(Builder& b, const Unary& op) {
  return wire::CreateUnary(b, UnaryKinds::pack(op.kind), op.alpha, op.beta);
}
Unary unpack(const wire::Unary& op, bool& valid) {
  if (std::isnan(op.alpha()) || std::isnan(op.beta())) valid = false;
  return {UnaryKinds::unpack(op.kind(), valid), op.alpha(), op.beta()};
}

Offset<wire::PRelu> pack(Builder& b, const PRelu&) {
  return wire::CreatePRelu(b);
}
PRelu unpack(const wire::PRelu&, bool&) {
  return {};
}

Offset<wire::Pool2d> pack(Builder& b, const Pool2d& op) {
  const wire::Window window = pack(op.window);
  return wire::CreatePool2d(b, PoolKinds::pack(op.kind), &window, op.count_pad, op.ceil);
}
Pool2d unpack(const wire::Pool2d& op, bool& valid) {
  return {PoolKinds::unpack(op.kind(), valid), unpack(*op.window()), op.count_pad(), op.ceil()};
}

Offset<wire::Reduce> pack(Builder& b, const Reduce& op) {
  return wire::CreateReduce(b, ReduceKinds::pack(op.kind), pack(b, op.axes), op.keep, op.from_input,
                            op.none_if_empty);
}
Reduce unpack(const wire::Reduce& op, bool& valid) {
  return {ReduceKinds::unpack(op.kind(), valid), unpack(op.axes(), valid), op.keep(),
          op.from_input(), op.none_if_empty()};
}

Offset<wire::Softmax> pack(Builder& b, const Softmax& op) {
  return wire::CreateSoftmax(b, op.axis, op.log);
}
Softmax unpack(const wire::Softmax& op, bool&) {
  return {op.axis(), op.log()};
}

Offset<wire::Concat> pack(Builder& b, const Concat& op) {
  return wire::CreateConcat(b, op.axis);
}
Concat unpack(const wire::Concat& op, bool&) {
  return {op.axis()};
}

Offset<wire::Slice> pack(Builder& b, const Slice& op) {
  const auto begin = pack(b, op.begin), end = pack(b, op.end), step = pack(b, op.step);
  return wire::CreateSlice(b, begin, end, step, op.from_input);
}
Slice unpack(const wire::Slice& op, bool& valid) {
  return {unpack(op.begin(), valid), unpack(op.end(), valid), unpack(op.step(), valid),
          op.from_input()};
}

Offset<wire::Pad> pack(Builder& b, const Pad& op) {
  const auto before = pack(b, op.before), after = pack(b, op.after);
  return wire::CreatePad(b, PadModes::pack(op.mode), before, after, op.value, op.from_input);
}
Pad unpack(const wire::Pad& op, bool& valid) {
  return {PadModes::unpack(op.mode(), valid), unpack(op.before(), valid), unpack(op.after(), valid),
          op.value(), op.from_input()};
}

Offset<wire::Reshape> pack(Builder& b, const Reshape& op) {
  return wire::CreateReshape(b, pack(b, op.shape), op.from_input, op.plain_zero);
}
Reshape unpack(const wire::Reshape& op, bool& valid) {
  return {unpack(op.shape(), valid), op.from_input(), op.plain_zero()};
}

Offset<wire::Transpose> pack(Builder& b, const Transpose& op) {
  return wire::CreateTranspose(b, pack(b, op.perm));
}
Transpose unpack(const wire::Transpose& op, bool& valid) {
  return {unpack(op.perm(), valid)};
}

Offset<wire::Resize2d> pack(Builder& b, const Resize2d& op) {
  return wire::CreateResize2d(
      b, ResizeKinds::pack(op.kind), ResizeCoordinates::pack(op.coordinates),
      ResizeNearests::pack(op.nearest), op.size[0], op.size[1], op.scale[0], op.scale[1]);
}
Resize2d unpack(const wire::Resize2d& op, bool& valid) {
  return {ResizeKinds::unpack(op.kind(), valid),
          ResizeCoordinates::unpack(op.coordinates(), valid),
          ResizeNearests::unpack(op.nearest(), valid),
          {op.size_h(), op.size_w()},
          {op.scale_h(), op.scale_w()}};
}

Offset<wire::LocalResponseNorm> pack(Builder& b, const LocalResponseNorm& op) {
  return wire::CreateLocalResponseNorm(b, op.size, op.alpha, op.beta, op.bias);
}
LocalResponseNorm unpack(const wire::LocalResponseNorm& op, bool&) {
  return {op.size(), op.alpha(), op.beta(), op.bias()};
}

Offset<wire::InstanceNorm> pack(Builder& b, const InstanceNorm& op) {
  return wire::CreateInstanceNorm(b, op.epsilon);
}
InstanceNorm unpack(const wire::InstanceNorm& op, bool&) {
  return {op.epsilon()};
}

Offset<wire::LayerNorm> pack(Builder& b, const LayerNorm& op) {
  return wire::CreateLayerNorm(b, op.epsilon, op.centred);
}
LayerNorm unpack(const wire::LayerNorm& op, bool&) {
  return {op.epsilon(), op.centred()};
}

Offset<wire::DepthToSpace> pack(Builder& b, const DepthToSpace& op) {
  return wire::CreateDepthToSpace(b, op.block, op.crd);
}
DepthToSpace unpack(const wire::DepthToSpace& op, bool&) {
  return {op.block(), op.crd()};
}

Offset<wire::Gather> pack(Builder& b, const Gather& op) {
  return wire::CreateGather(b, op.axis);
}
Gather unpack(const wire::Gather& op, bool&) {
  return {op.axis()};
}

Offset<wire::ShapeOf> pack(Builder& b, const ShapeOf& op) {
  return wire::CreateShapeOf(b, op.begin, op.end);
}
ShapeOf unpack(const wire::ShapeOf& op, bool&) {
  return {op.begin(), op.end()};
}

Offset<wire::Expand> pack(Builder& b, const Expand&) {
  return wire::CreateExpand(b);
}
Expand unpack(const wire::Expand&, bool&) {
  return {};
}

Offset<wire::Fill> pack(Builder& b, const Fill& op) {
  return wire::CreateFill(b, DTypes::pack(op.type), op.value);
}
Fill unpack(const wire::Fill& op, bool& valid) {
  return {DTypes::unpack(op.type(), valid), op.value()};
}

Offset<wire::Range> pack(Builder& b, const Range&) {
  return wire::CreateRange(b);
}
Range unpack(const wire::Range&, bool&) {
  return {};
}

Offset<wire::Where> pack(Builder& b, const Where&) {
  return wire::CreateWhere(b);
}
Where unpack(const wire::Where&, bool&) {
  return {};
}

Offset<wire::ArgMax> pack(Builder& b, const ArgMax& op) {
  return wire::CreateArgMax(b, op.axis, op.keep, op.min);
}
ArgMax unpack(const wire::ArgMax& op, bool&) {
  return {op.axis(), op.keep(), op.min()};
}

Offset<wire::Convert> pack(Builder& b, const Convert& op) {
  return wire::CreateConvert(b, DTypes::pack(op.to));
}
Convert unpack(const wire::Convert& op, bool& valid) {
  return {DTypes::unpack(op.to(), valid)};
}

Offset<wire::Squeeze> pack(Builder& b, const Squeeze& op) {
  return wire::CreateSqueeze(b, op.insert);
}
Squeeze unpack(const wire::Squeeze& op, bool&) {
  return {op.insert()};
}

Offset<wire::Tile> pack(Builder& b, const Tile&) {
  return wire::CreateTile(b);
}
Offset<wire::DetectionOutput> pack(Builder& b, const DetectionOutput& op) {
  return wire::CreateDetectionOutput(b, op.first_class, op.best_class, op.score_threshold,
                                     op.iou_threshold, op.candidates, op.keep);
}
DetectionOutput unpack(const wire::DetectionOutput& op, bool&) {
  return {op.first_class(),   op.best_class(), op.score_threshold(),
          op.iou_threshold(), op.candidates(), op.keep()};
}

Tile unpack(const wire::Tile&, bool&) {
  return {};
}

Offset<wire::GatherElements> pack(Builder& b, const GatherElements& op) {
  return wire::CreateGatherElements(b, op.axis);
}
GatherElements unpack(const wire::GatherElements& op, bool&) {
  return {op.axis()};
}

Offset<wire::GatherNd> pack(Builder& b, const GatherNd& op) {
  return wire::CreateGatherNd(b, op.batch);
}
GatherNd unpack(const wire::GatherNd& op, bool&) {
  return {op.batch()};
}

Offset<wire::Scatter> pack(Builder& b, const Scatter& op) {
  return wire::CreateScatter(b, ScatterKinds::pack(op.kind), ScatterReductions::pack(op.reduction),
                             op.axis);
}
Scatter unpack(const wire::Scatter& op, bool& valid) {
  return {ScatterKinds::unpack(op.kind(), valid), ScatterReductions::unpack(op.reduction(), valid),
          op.axis()};
}

Offset<wire::CumSum> pack(Builder& b, const CumSum& op) {
  return wire::CreateCumSum(b, op.axis, op.exclusive, op.reverse);
}
CumSum unpack(const wire::CumSum& op, bool&) {
  return {op.axis(), op.exclusive(), op.reverse()};
}

Offset<wire::NonZero> pack(Builder& b, const NonZero&) {
  return wire::CreateNonZero(b);
}
NonZero unpack(const wire::NonZero&, bool&) {
  return {};
}

Offset<wire::NonMaxSuppression> pack(Builder& b, const NonMaxSuppression& op) {
  return wire::CreateNonMaxSuppression(b, op.center);
}
NonMaxSuppression unpack(const wire::NonMaxSuppression& op, bool&) {
  return {op.center()};
}

Offset<wire::GridSample> pack(Builder& b, const GridSample& op) {
  return wire::CreateGridSample(b, GridSampleKinds::pack(op.kind),
                                GridSamplePaddings::pack(op.padding), op.align_corners);
}
GridSample unpack(const wire::GridSample& op, bool& valid) {
  return {GridSampleKinds::unpack(op.kind(), valid),
          GridSamplePaddings::unpack(op.padding(), valid), op.align_corners()};
}

Offset<wire::Resize> pack(Builder& b, const Resize& op) {
  const auto axes = pack(b, op.axes), size = pack(b, op.size);
  const auto scale = pack(b, op.scale), begin = pack(b, op.begin), end = pack(b, op.end);
  return wire::CreateResize(
      b, AxisResizeKinds::pack(op.kind), AxisResizeCoordinates::pack(op.coordinates),
      ResizeNearests::pack(op.nearest), ResizeFroms::pack(op.from), ResizeAspects::pack(op.aspect),
      axes, size, scale, begin, end, op.cubic, op.exclude_outside, op.antialias, op.extrapolation);
}
Resize unpack(const wire::Resize& op, bool& valid) {
  return {AxisResizeKinds::unpack(op.kind(), valid),
          AxisResizeCoordinates::unpack(op.coordinates(), valid),
          ResizeNearests::unpack(op.nearest(), valid),
          ResizeFroms::unpack(op.from(), valid),
          ResizeAspects::unpack(op.aspect(), valid),
          unpack(op.axes(), valid),
          unpack(op.size(), valid),
          unpack(op.scale(), valid),
          unpack(op.begin(), valid),
          unpack(op.end(), valid),
          op.cubic(),
          op.exclude_outside(),
          op.antialias(),
          op.extrapolation()};
}

Offset<wire::Recurrent> pack(Builder& b, const Recurrent& op) {
  std::vector<wire::Activation> activations;
  for (const Unary& f : op.activations)
    activations.emplace_back(UnaryKinds::pack(f.kind), f.alpha, f.beta);
  return wire::CreateRecurrent(b, RecurrentCells::pack(op.cell),
                               RecurrentDirections::pack(op.direction), op.linear_before_reset,
                               op.couple_input_forget, op.clip, op.cell_clip, op.output_clip,
                               b.CreateVectorOfStructs(activations));
}
Recurrent unpack(const wire::Recurrent& op, bool& valid) {
  Recurrent recurrent{RecurrentCells::unpack(op.cell(), valid),
                      RecurrentDirections::unpack(op.direction(), valid),
                      op.linear_before_reset(),
                      op.couple_input_forget(),
                      op.clip(),
                      op.cell_clip(),
                      op.output_clip(),
                      {}};
  if (op.activations() == nullptr) return recurrent;
  if (op.activations()->size() > kMaxRank)
    valid = false;  // as above: LSTM in both directions has 6
  for (size_t i = 0; valid && i < op.activations()->size(); ++i) {
    const wire::Activation& f = *op.activations()->Get(static_cast<flatbuffers::uoffset_t>(i));
    recurrent.activations.push_back({UnaryKinds::unpack(f.kind(), valid), f.alpha(), f.beta()});
  }
  return recurrent;
}

Offset<wire::DetectionPostProcess> pack(Builder& b, const DetectionPostProcess& op) {
  const wire::Scale4 scale(op.scale[0], op.scale[1], op.scale[2], op.scale[3]);
  return wire::CreateDetectionPostProcess(b, op.classes, op.detections, op.classes_per_detection,
                                          op.per_class, op.regular, op.score_threshold,
                                          op.iou_threshold, &scale);
}
DetectionPostProcess unpack(const wire::DetectionPostProcess& op, bool& valid) {
  DetectionPostProcess result{op.classes(),      op.detections(), op.classes_per_detection(),
                              op.per_class(),    op.regular(),    op.score_threshold(),
                              op.iou_threshold()};
  const wire::Scale4* scale = op.scale();
  if (scale == nullptr) {
    valid = false;
  } else {
    result.scale = {scale->y(), scale->x(), scale->height(), scale->width()};
  }
  return result;
}

Offset<wire::RegionPool> pack(Builder& b, const RegionPool& op) {
  return wire::CreateRegionPool(b, RegionPoolKinds::pack(op.kind), op.size[0], op.size[1], op.scale,
                                op.samples, op.half_pixel);
}
RegionPool unpack(const wire::RegionPool& op, bool& valid) {
  return {RegionPoolKinds::unpack(op.kind(), valid),
          {op.size_h(), op.size_w()},
          op.scale(),
          op.samples(),
          op.half_pixel()};
}

Offset<wire::TopK> pack(Builder& b, const TopK& op) {
  return wire::CreateTopK(b, op.axis, op.k, op.largest);
}
TopK unpack(const wire::TopK& op, bool&) {
  return {op.axis(), op.k(), op.largest()};
}

template <typename Table>
WireOp as_union(Offset<Table> table) {
  return {wire::OpTraits<Table>::enum_value, table.Union()};
}

template <typename T>
T table_of(Offset<T>);
// The schema's table of an operator.
template <typename T>
using Table = decltype(table_of(pack(std::declval<Builder&>(), std::declval<const T&>())));

// Unpacks the node's operator if it is a T.
template <typename T>
bool unpack_if(const wire::Node& node, Op& op, bool& valid) {
  if (node.op_type() != wire::OpTraits<Table<T>>::enum_value) return false;
  op = unpack(*node.op_as<Table<T>>(), valid);
  static_assert(std::is_same_v<T, decltype(unpack(*node.op_as<Table<T>>(), valid))>);
  return true;
}

template <size_t... kIndex>
bool unpack_any(const wire::Node& node, Op& op, bool& valid, std::index_sequence<kIndex...>) {
  return (unpack_if<std::variant_alternative_t<kIndex, OpVariant>>(node, op, valid) || ...);
}

}  // namespace

WireOp pack_op(flatbuffers::FlatBufferBuilder& builder, const Op& op) {
  return std::visit([&](const auto& alternative) { return as_union(pack(builder, alternative)); },
                    op);
}

Result<Op> unpack_op(const wire::Node& node) {
  Op op;
  bool valid = true;
  if (!unpack_any(node, op, valid, std::make_index_sequence<std::variant_size_v<OpVariant>>())) {
    return Status(Code::malformed,
                  "operator " + std::to_string(static_cast<int>(node.op_type())) + " is unknown");
  }
  if (!valid) return Status(Code::malformed, std::string(op_name(op)) + ": invalid attribute");
  return op;
}

}  // namespace firn
