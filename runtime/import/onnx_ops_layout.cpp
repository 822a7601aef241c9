// SPDX-License-Identifier: Apache-2.0
// Operators that only move elements: transposes, space and depth, padding, repetition.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

Status transpose(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const int rank = c.rank(x);
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.attr_ints("perm"));
  std::vector<int32_t> perm;
  for (int32_t d = rank - 1; stated.empty() && d >= 0; --d) perm.push_back(d);
  for (const int64_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, to_int32(c, "perm", entry));
    perm.push_back(axis);
  }
  return c.bind(c.transpose("", x, std::move(perm)));
}

// A block size whose square still is a number of channels.
Result<int32_t> block_size(Context& c) {
  FIRN_ASSIGN(const int64_t block, c.attr("blocksize", int64_t{0}));
  if (block < 1 || block > 32767) return c.malformed("blocksize is " + std::to_string(block));
  return static_cast<int32_t>(block);
}

Status depth_to_space(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (c.rank(x) != 4) return c.malformed("an input of rank " + std::to_string(c.rank(x)));
  DepthToSpace op;
  FIRN_ASSIGN(op.block, block_size(c));
  FIRN_ASSIGN(const std::string mode, c.attr("mode", "DCR"));
  if (mode != "DCR" && mode != "CRD") return c.malformed("mode is '" + mode + "'");
  op.crd = mode == "CRD";
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc}));
  return c.bind(from_nhwc(c, y, 4));
}

// [N, C, H/b, b, W/b, b] with the blocks moved in front of the channels.
Status space_to_depth(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const int32_t block, block_size(c));
  const Shape shape = c.shape(x);
  if (shape.rank != 4) return c.malformed("an input of rank " + std::to_string(shape.rank));
  if (shape[1] < 0 || shape[2] < 0 || shape[3] < 0) {
    return c.unsupported("channels, height and width have to be known: " + to_string(shape));
  }
  if (shape[2] % block != 0 || shape[3] % block != 0) {
    return c.malformed("input " + to_string(shape) + " in blocks of " + std::to_string(block));
  }
  const auto of = [](int64_t number) { return TargetDim::of(number); };
  const int32_t rows = shape[2] / block, columns = shape[3] / block;
  const int64_t channels = int64_t{shape[1]} * block * block;
  FIRN_TRY(to_int32(c, "the number of output channels", channels).status());
  FIRN_ASSIGN(const ValueId blocks, c.reshape("blocks", x,
                                              {TargetDim::copy(0), of(shape[1]), of(rows),
                                               of(block), of(columns), of(block)}));
  FIRN_ASSIGN(const ValueId moved, c.transpose("moved", blocks, {0, 3, 5, 1, 2, 4}));
  return c.bind(c.reshape("", moved, {TargetDim::copy(0), of(channels), of(rows), of(columns)}));
}

Result<Pad::Mode> pad_mode(Context& c) {
  FIRN_ASSIGN(const std::string mode, c.attr("mode", "constant"));
  if (mode == "constant") return Pad::Mode::constant;
  if (mode == "reflect") return Pad::Mode::reflect;
  if (mode == "edge") return Pad::Mode::edge;
  if (mode == "wrap") return Pad::Mode::wrap;
  return c.malformed("mode is '" + mode + "'");
}

// Pads, from an attribute before opset 11, [before..., after...] over `axes` since.
Status pad(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const int rank = c.rank(x);
  std::vector<int64_t> pads, axes;
  Pad op;
  FIRN_ASSIGN(op.mode, pad_mode(c));
  const ValueId fill =
      op.mode == Pad::Mode::constant && c.opset >= 11 ? c.optional_input(2) : ValueId::none;
  const bool known_fill = fill == ValueId::none || c.builder.is_constant(fill);
  if (c.opset >= 11 && !(c.is_known(1) && c.is_known(3) && known_fill)) {
    FIRN_ASSIGN(const ValueId given, c.input(1));
    op.from_input = true;
    return c.bind(c.emit("", std::move(op), {x, given, fill, c.optional_input(3)}));
  }
  if (c.opset < 11) {
    FIRN_ASSIGN(pads, c.attr_ints("pads"));
    FIRN_ASSIGN(op.value, c.attr("value", 0.0f));
  } else {
    FIRN_ASSIGN(pads, c.constant_ints(1));
    if (c.has(3)) {
      FIRN_ASSIGN(axes, c.constant_ints(3));
    }
  }
  if (axes.empty()) {
    for (int d = 0; d < rank; ++d) axes.push_back(d);
  }
  if (pads.size() != 2 * axes.size()) {
    return c.malformed("pads has " + std::to_string(pads.size()) + " entries, expected " +
                       std::to_string(2 * axes.size()));
  }
  if (fill != ValueId::none) {
    if (c.type(fill) == DType::f32) {
      FIRN_ASSIGN(const std::vector<float> values, c.constant_floats(2));
      if (values.size() != 1) return c.malformed("the value is not a scalar");
      op.value = values[0];
    } else {
      FIRN_ASSIGN(const std::vector<int64_t> values, c.constant_ints(2));
      if (values.size() != 1) return c.malformed("the value is not a scalar");
      op.value = static_cast<float>(values[0]);
      if (static_cast<double>(op.value) != static_cast<double>(values[0])) {
        return c.unsupported("padding with " + std::to_string(values[0]));
      }
    }
  }
  op.before.assign(static_cast<size_t>(rank), 0);
  op.after.assign(static_cast<size_t>(rank), 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    FIRN_ASSIGN(const int32_t axis, c.axis(axes[i], rank));
    FIRN_ASSIGN(op.before[static_cast<size_t>(axis)], to_int32(c, "pads", pads[i]));
    FIRN_ASSIGN(op.after[static_cast<size_t>(axis)], to_int32(c, "pads", pads[axes.size() + i]));
  }
  return c.bind(c.emit("", std::move(op), {x}));
}

Status concat(Context& c) {
  if (c.input_count() == 0) return c.malformed("it has no inputs");
  std::vector<ValueId> parts;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId part, c.input(i));
    parts.push_back(part);
  }
  if (c.find("axis") == nullptr) return c.malformed("attribute 'axis' is missing");
  FIRN_ASSIGN(const int64_t stated, c.attr("axis", int64_t{0}));
  FIRN_ASSIGN(const int32_t axis, c.axis(stated, c.rank(parts[0])));
  if (parts.size() == 1) return c.bind(parts[0]);
  return c.bind(c.emit("", Concat{axis}, std::move(parts)));
}

// Each axis joins copies of the input to itself.
Status tile(Context& c) {
  constexpr int64_t kMaxCopies = 4096;
  FIRN_ASSIGN(ValueId x, c.input(0));
  if (!c.is_known(1)) {
    FIRN_ASSIGN(const ValueId given, c.input(1));
    return c.bind(c.emit("", Tile{}, {x, given}));
  }
  FIRN_ASSIGN(const std::vector<int64_t> repeats, c.constant_ints(1));
  if (repeats.size() != static_cast<size_t>(c.rank(x))) {
    return c.malformed("repeats has " + std::to_string(repeats.size()) + " entries, input is " +
                       to_string(c.shape(x)));
  }
  for (size_t i = 0; i < repeats.size(); ++i) {
    if (repeats[i] < 1 || repeats[i] > kMaxCopies) {
      return c.unsupported("repeating " + std::to_string(repeats[i]) + " times");
    }
    if (repeats[i] == 1) continue;
    FIRN_ASSIGN(x, c.emit("axis" + std::to_string(i), Concat{static_cast<int32_t>(i)},
                          std::vector<ValueId>(static_cast<size_t>(repeats[i]), x)));
  }
  return c.bind(x);
}

constexpr Operator kOperators[] = {
    {"Concat", concat}, {"DepthToSpace", depth_to_space},
    {"Pad", pad},       {"SpaceToDepth", space_to_depth},
    {"Tile", tile},     {"Transpose", transpose},
};

}  // namespace

std::span<const Operator> layout_operators() {
  return kOperators;
}

}  // namespace firn::onnx
