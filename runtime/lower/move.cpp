// SPDX-License-Identifier: Apache-2.0
// Operators that only move elements, of any type, and are one strided copy or several.
#include <optional>

#include "runtime/lower/lower.h"
#include "runtime/lower/strided_copy.h"

namespace firn {
namespace {

// A step of one copy from node.in[0] to node.out[0].
LoweredStep copy_step(const LowerContext& context, const Node& node, const StridedCopy& copy) {
  const ValueId x = node.in[0], y = node.out[0];
  const StridedCopy plan = simplified(copy);
  const size_t bytes = dtype_bytes(context.value(x).type);
  LoweredStep lowered =
      describe_step(context, node, make_step([=](const Frame& frame) -> Status {
                      run(plan, bytes, frame.at<const void>(x), frame.at<void>(y), frame.pool);
                      return {};
                    }),
                    "copy");
  lowered.exact_reads = true;
  return lowered;
}

// One input of a concatenation: copied, through a table where its quantization differs.
struct Part {
  ValueId from;
  StridedCopy copy;
  std::optional<Table8> table;
};

}  // namespace

Lowered lower_concat(const LowerContext& context, const Node& node, const Concat& op,
                     std::vector<LoweredStep>& steps) {
  const ValueId y = node.out[0];
  const Value& out = context.value(y);
  const auto to_stride = dense_strides(out.shape);
  const size_t bytes = dtype_bytes(out.type);
  const auto axis = static_cast<size_t>(op.axis < 0 ? op.axis + out.shape.rank : op.axis);
  std::vector<Part> parts;
  int64_t at = 0;
  for (const ValueId in : node.in) {
    const Value& x = context.value(in);
    const int64_t extent = x.shape[static_cast<int>(axis)];
    const bool in_place = context.placement[index(in)].parent == y;
    if (!in_place) {
      Part part{in, {}, std::nullopt};
      part.copy.rank = x.shape.rank;
      part.copy.from_stride = dense_strides(x.shape);
      part.copy.to_stride = to_stride;
      for (int i = 0; i < x.shape.rank; ++i) part.copy.extent[static_cast<size_t>(i)] = x.shape[i];
      part.copy.to_offset = at * to_stride[axis];
      if (!moves_as_is(x, out)) {
        if (x.type != DType::i8 || out.type != DType::i8) return false;
        part.table = make_table(*x.quant, *out.quant, [](double v) { return v; });
      }
      part.copy = simplified(part.copy);
      parts.push_back(std::move(part));
    }
    at += extent;
  }
  if (parts.empty()) return true;

  // Requantized parts are contiguous pieces of rows, copied first and mapped where they land.
  auto lut = context.vec().lut;
  LoweredStep lowered = describe_step(
      context, node, make_step([=, parts = std::move(parts)](const Frame& frame) -> Status {
        for (const Part& part : parts) {
          run(part.copy, bytes, frame.at<const void>(part.from), frame.at<void>(y), frame.pool);
          if (!part.table.has_value()) continue;
          auto* to = frame.at<int8_t>(y) + part.copy.to_offset;
          const bool one = part.copy.rank < 2;
          const int64_t rows = one ? 1 : part.copy.extent[0];
          const int64_t length = part.copy.rank == 0 ? 1 : part.copy.extent[one ? 0 : 1];
          for (int64_t r = 0; r < rows; ++r) {
            int8_t* row = to + r * (one ? 0 : part.copy.to_stride[0]);
            lut(static_cast<size_t>(length), row, row, part.table->entry.data());
          }
        }
        return {};
      }),
      "copy");
  steps.push_back(std::move(lowered));
  return true;
}

Lowered lower_transpose(const LowerContext& context, const Node& node, const Transpose& op,
                        std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y)) return false;
  if (folds_into_products(context, node)) return true;
  const int producer = context.uses.producer_of(node.in[0]);
  if (producer >= 0) {
    const Node& convert = context.graph.nodes[static_cast<size_t>(producer)];
    if (std::holds_alternative<Convert>(convert.op) && x.type == DType::i8 &&
        planar_transpose(context, convert) == &node)
      return true;
  }
  const auto from = dense_strides(x.shape);
  StridedCopy copy;
  copy.rank = y.shape.rank;
  copy.to_stride = dense_strides(y.shape);
  for (size_t i = 0; i < static_cast<size_t>(copy.rank); ++i) {
    copy.extent[i] = y.shape[static_cast<int>(i)];
    copy.from_stride[i] = from[static_cast<size_t>(op.perm[i])];
  }
  steps.push_back(copy_step(context, node, copy));
  return true;
}

Lowered lower_slice(const LowerContext& context, const Node& node, const Slice& op,
                    std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y)) return false;
  const auto from = dense_strides(x.shape);
  StridedCopy copy;
  copy.rank = y.shape.rank;
  copy.to_stride = dense_strides(y.shape);
  for (size_t i = 0; i < static_cast<size_t>(copy.rank); ++i) {
    const SliceAxis axis =
        slice_axis(op.begin[i], op.end[i], op.step[i], x.shape[static_cast<int>(i)]);
    copy.extent[i] = axis.count;
    copy.from_stride[i] = from[i] * axis.step;
    copy.from_offset += axis.begin * from[i];
  }
  steps.push_back(copy_step(context, node, copy));
  return true;
}

Lowered lower_expand(const LowerContext& context, const Node& node, const Expand&,
                     std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y)) return false;
  StridedCopy copy;
  copy.rank = y.shape.rank;
  copy.from_stride = broadcast_strides(x.shape, y.shape);
  copy.to_stride = dense_strides(y.shape);
  for (int i = 0; i < copy.rank; ++i) copy.extent[static_cast<size_t>(i)] = y.shape[i];
  steps.push_back(copy_step(context, node, copy));
  return true;
}

// Rows, block rows, columns, block columns and channels of the output, each found in the input.
Lowered lower_depth_to_space(const LowerContext& context, const Node& node, const DepthToSpace& op,
                             std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y)) return false;
  const Strides from = dense_strides(x.shape), to = dense_strides(y.shape);
  const int64_t block = op.block, channels = y.shape[3];
  const int64_t cell = op.crd ? 1 : channels;  // from one position in the block to the next
  StridedCopy copy;
  copy.rank = 6;
  copy.extent = {x.shape[0], x.shape[1], block, x.shape[2], block, channels};
  copy.from_stride = {from[0], from[1], block * cell, from[2], cell, op.crd ? block * block : 1};
  copy.to_stride = {to[0], block * to[1], to[1], block * to[2], to[2], 1};
  steps.push_back(copy_step(context, node, copy));
  return true;
}

}  // namespace firn
