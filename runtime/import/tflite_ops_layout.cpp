// SPDX-License-Identifier: Apache-2.0
// Operators that only move elements: joins, padding, transposes, blocks of space in depth or batch.
#include <algorithm>
#include <limits>

#include "runtime/import/tflite_ops.h"
#include "runtime/import/tflite_window.h"

namespace firn::tflite {
namespace {

using imports::TargetDim;

constexpr int32_t kFarEnd = std::numeric_limits<int32_t>::max();
constexpr int32_t kNearEnd = std::numeric_limits<int32_t>::min();

// Parts of other scales than the output's are requantized on the way.
Result<ValueId> join(Context& c, std::vector<ValueId> parts, int32_t axis) {
  const std::optional<Quant> out = c.int8_output();
  const bool int8 =
      out && std::ranges::all_of(parts, [&](ValueId part) { return c.is_int8(part); });
  if (int8) return c.emit("", Concat{axis}, std::move(parts), out);
  for (ValueId& part : parts) {
    if (!c.builder.value(part).quant) continue;
    FIRN_ASSIGN(part, c.real(part));
  }
  return c.emit("", Concat{axis}, std::move(parts));
}

Status concatenation(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::ConcatenationOptions>(wire::BuiltinOptions::Concatenation));
  std::vector<ValueId> parts;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId part, c.input(i));
    parts.push_back(part);
  }
  if (parts.empty()) return c.malformed("it has no inputs");
  FIRN_ASSIGN(const int32_t axis, c.axis(options->axis(), c.rank(parts[0])));
  FIRN_ASSIGN(const ValueId y, join(c, std::move(parts), axis));
  return c.bind(c.activate(y, options->activation()));
}

Status pack(Context& c) {
  FIRN_ASSIGN(const auto* const options, c.options<wire::AxisOptions>(wire::BuiltinOptions::Pack));
  std::vector<ValueId> parts;
  int32_t axis = 0;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId x, c.input(i));
    FIRN_ASSIGN(axis, c.axis(options->axis(), c.rank(x) + 1));
    std::vector<TargetDim> to;
    for (int d = 0; d < c.rank(x); ++d) to.push_back(TargetDim::copy(d));
    to.insert(to.begin() + axis, TargetDim::of(1));
    FIRN_ASSIGN(const ValueId part, c.reshape("part" + std::to_string(i), x, to));
    parts.push_back(part);
  }
  if (parts.empty()) return c.malformed("it has no inputs");
  return c.bind(join(c, std::move(parts), axis));
}

Status transpose(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.ints(1));
  std::vector<int32_t> perm;
  for (const int64_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, c.axis(entry, c.rank(x)));
    perm.push_back(axis);
  }
  return c.bind(c.transpose("", x, std::move(perm)));
}

// Amounts [rank, 2] of padding before and after each axis.
Result<Pad> pad_amounts(Context& c, ValueId x, size_t input) {
  FIRN_ASSIGN(const std::vector<int64_t> amounts, c.ints(input));
  const auto rank = static_cast<size_t>(c.rank(x));
  if (amounts.size() != 2 * rank) {
    return c.malformed("paddings have " + std::to_string(amounts.size()) + " entries, expected " +
                       std::to_string(2 * rank));
  }
  Pad op;
  for (size_t i = 0; i < amounts.size(); ++i) {
    if (amounts[i] < 0 || amounts[i] > kFarEnd) {
      return c.malformed("a padding of " + std::to_string(amounts[i]));
    }
    (i % 2 == 0 ? op.before : op.after).push_back(static_cast<int32_t>(amounts[i]));
  }
  return op;
}

// Amounts or a value that are computed at run time: all before, then all after, as numbers of i64.
Result<ValueId> pad_computed(Context& c, ValueId x, Pad op) {
  FIRN_ASSIGN(const ValueId amounts, c.input(1));
  const int32_t rank = c.rank(x);
  if (c.shape(amounts) != Shape{rank, 2}) {
    return c.malformed("paddings are " + to_string(c.shape(amounts)) + ", expected " +
                       to_string(Shape{rank, 2}));
  }
  FIRN_ASSIGN(const ValueId sides, c.transpose("sides", amounts, {1, 0}));
  FIRN_ASSIGN(const ValueId all, c.reshape("amounts", sides, {TargetDim::of(2 * rank)}));
  ValueId value = ValueId::none;
  if (c.has(2)) {
    FIRN_ASSIGN(value, c.real_input(2));
  }
  op.from_input = true;
  return c.move("", std::move(op), {x, all, value});
}

Status pad(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const bool has_value = c.has(2);
  ValueId value = ValueId::none;
  if (has_value) {
    FIRN_ASSIGN(value, c.real_input(2));
    if (c.shape(value).elements() != 1) return c.malformed("the value is not a scalar");
  }
  if (!c.is_known(1) || (has_value && !c.builder.is_constant(value))) {
    return c.bind(pad_computed(c, x, {}));
  }
  FIRN_ASSIGN(Pad op, pad_amounts(c, x, 1));
  if (has_value) op.value = c.builder.value(value).as<float>()[0];
  return c.bind(c.move("", std::move(op), {x}));
}

Status mirror_pad(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::MirrorPadOptions>(wire::BuiltinOptions::MirrorPad));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const bool reflect = options->mode() == wire::MirrorPadMode::reflect;
  const Pad::Mode mode = reflect ? Pad::Mode::reflect : Pad::Mode::symmetric;
  if (!c.is_known(1)) return c.bind(pad_computed(c, x, {.mode = mode}));
  FIRN_ASSIGN(Pad op, pad_amounts(c, x, 1));
  op.mode = mode;
  return c.bind(c.move("", std::move(op), {x}));
}

Status reverse(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const std::vector<int64_t> axes, c.ints(1));
  const auto rank = static_cast<size_t>(c.rank(x));
  Slice op{std::vector<int32_t>(rank, 0), std::vector<int32_t>(rank, kFarEnd),
           std::vector<int32_t>(rank, 1)};
  for (const int64_t number : axes) {
    FIRN_ASSIGN(const int32_t axis, c.axis(number, c.rank(x)));
    const auto at = static_cast<size_t>(axis);
    op.begin[at] = kFarEnd;
    op.end[at] = kNearEnd;
    op.step[at] = -1;
  }
  return c.bind(c.move("", std::move(op), {x}));
}

Status tile(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId copies, c.input(1));
  FIRN_ASSIGN(const ValueId wide, c.convert("copies", copies, DType::i64));
  return c.bind(c.move("", Tile{}, {x, wide}));
}

Result<int32_t> block_size(Context& c, wire::BuiltinOptions type) {
  constexpr int32_t kMaxBlock = 32767;  // its square still is a number of channels
  FIRN_ASSIGN(const auto* const options, c.options<wire::BlockOptions>(type));
  if (options->block_size() < 1 || options->block_size() > kMaxBlock) {
    return c.malformed("a block size of " + std::to_string(options->block_size()));
  }
  return options->block_size();
}

Status depth_to_space(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_TRY(expect_image(c, x));
  FIRN_ASSIGN(const int32_t block, block_size(c, wire::BuiltinOptions::DepthToSpace));
  return c.bind(c.move("", DepthToSpace{block, false}, {x}));
}

// Splits axis 1 and following of x into as many blocks: [N, H / b, b, W / b, b, ...].
Result<std::vector<TargetDim>> split_in_blocks(Context& c, ValueId x,
                                               const std::vector<int64_t>& blocks) {
  const Shape& shape = c.shape(x);
  std::vector<TargetDim> to{TargetDim::copy(0)};
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int32_t size = shape[static_cast<int>(i) + 1];
    if (size < 0) return c.unsupported("an open dimension in blocks: " + to_string(shape));
    if (blocks[i] < 1 || size % blocks[i] != 0) {
      return c.malformed("input " + to_string(shape) + " in blocks of " +
                         std::to_string(blocks[i]));
    }
    to.push_back(TargetDim::of(size / blocks[i]));
    to.push_back(TargetDim::of(blocks[i]));
  }
  for (int d = static_cast<int>(blocks.size()) + 1; d < shape.rank; ++d) {
    if (shape[d] < 0) return c.unsupported("an open dimension: " + to_string(shape));
    to.push_back(TargetDim::of(shape[d]));
  }
  return to;
}

Status space_to_depth(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_TRY(expect_image(c, x));
  FIRN_ASSIGN(const int32_t block, block_size(c, wire::BuiltinOptions::SpaceToDepth));
  FIRN_ASSIGN(const std::vector<TargetDim> to, split_in_blocks(c, x, {block, block}));
  const Shape shape = c.shape(x);
  const int64_t channels = int64_t{shape[3]} * block * block;
  if (channels > kFarEnd) return c.malformed(std::to_string(channels) + " output channels");
  FIRN_ASSIGN(const ValueId blocks, c.reshape("blocks", x, to));
  FIRN_ASSIGN(const ValueId moved, c.transpose("moved", blocks, {0, 1, 3, 2, 4, 5}));
  return c.bind(c.reshape("", moved, {TargetDim::copy(0), to[1], to[3], TargetDim::of(channels)}));
}

// The sizes of blocks, and what is padded or cropped before and after them.
struct Blocks {
  std::vector<int64_t> sizes, edges;
};

Result<Blocks> batch_blocks(Context& c, ValueId x) {
  Blocks blocks;
  FIRN_ASSIGN(blocks.sizes, c.ints(1));
  FIRN_ASSIGN(blocks.edges, c.ints(2));
  const size_t axes = blocks.sizes.size();
  if (axes < 1 || axes > 2 || c.rank(x) != static_cast<int>(axes) + 2) {
    return c.unsupported(std::to_string(axes) + " blocked axes of an input " +
                         to_string(c.shape(x)));
  }
  if (blocks.edges.size() != 2 * axes) {
    return c.malformed(std::to_string(blocks.edges.size()) + " pads or crops, expected " +
                       std::to_string(2 * axes));
  }
  for (const int64_t size : blocks.sizes) {
    if (size < 1 || size > 32767) return c.malformed("a block size of " + std::to_string(size));
  }
  for (const int64_t edge : blocks.edges) {
    if (edge < 0 || edge > kFarEnd) {
      return c.malformed("a padding or crop of " + std::to_string(edge));
    }
  }
  return blocks;
}

// Pads by `sign` times the edges.
Result<ValueId> pad_edges(Context& c, std::string_view suffix, ValueId x, const Blocks& blocks,
                          int32_t sign) {
  if (std::ranges::count(blocks.edges, 0) == static_cast<ptrdiff_t>(blocks.edges.size())) return x;
  const auto rank = static_cast<size_t>(c.rank(x));
  Pad op;
  op.before.assign(rank, 0);
  op.after.assign(rank, 0);
  for (size_t i = 0; i < blocks.sizes.size(); ++i) {
    op.before[i + 1] = sign * static_cast<int32_t>(blocks.edges[2 * i]);
    op.after[i + 1] = sign * static_cast<int32_t>(blocks.edges[2 * i + 1]);
  }
  return c.move(suffix, std::move(op), {x});
}

// The positions inside the blocks become the outer part of the batch.
Status space_to_batch(Context& c) {
  FIRN_ASSIGN(ValueId x, c.input(0));
  FIRN_ASSIGN(const Blocks blocks, batch_blocks(c, x));
  FIRN_ASSIGN(x, pad_edges(c, "pad", x, blocks, 1));
  FIRN_ASSIGN(const std::vector<TargetDim> to, split_in_blocks(c, x, blocks.sizes));
  FIRN_ASSIGN(const ValueId split, c.reshape("blocks", x, to));
  const bool two = blocks.sizes.size() == 2;
  FIRN_ASSIGN(
      const ValueId moved,
      c.transpose("moved", split, two ? std::vector{2, 4, 0, 1, 3, 5} : std::vector{2, 0, 1, 3}));
  std::vector<TargetDim> result{TargetDim::rest(), to[1]};
  if (two) result.push_back(to[3]);
  result.push_back(to.back());
  return c.bind(c.reshape("", moved, result));
}

Status batch_to_space(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const Blocks blocks, batch_blocks(c, x));
  const Shape shape = c.shape(x);
  const bool two = blocks.sizes.size() == 2;
  std::vector<TargetDim> split, joined{TargetDim::rest()};
  int64_t positions = 1;
  for (const int64_t size : blocks.sizes) {
    split.push_back(TargetDim::of(size));
    positions *= size;
  }
  if (shape[0] >= 0 && shape[0] % positions != 0) {
    return c.malformed("a batch of " + std::to_string(shape[0]) + " in blocks of " +
                       std::to_string(positions));
  }
  split.push_back(TargetDim::rest());
  for (int d = 1; d < shape.rank; ++d) {
    if (shape[d] < 0) return c.unsupported("an open dimension: " + to_string(shape));
    split.push_back(TargetDim::of(shape[d]));
    const auto axis = static_cast<size_t>(d) - 1;
    const int64_t size = axis < blocks.sizes.size() ? shape[d] * blocks.sizes[axis] : shape[d];
    if (size > kFarEnd) return c.malformed("a dimension of " + std::to_string(size));
    joined.push_back(TargetDim::of(size));
  }
  FIRN_ASSIGN(const ValueId parts, c.reshape("blocks", x, split));
  FIRN_ASSIGN(
      const ValueId moved,
      c.transpose("moved", parts, two ? std::vector{2, 3, 0, 4, 1, 5} : std::vector{1, 2, 0, 3}));
  FIRN_ASSIGN(const ValueId whole, c.reshape("joined", moved, joined));
  return c.bind(pad_edges(c, "", whole, blocks, -1));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::BATCH_TO_SPACE_ND, batch_to_space},
    {wire::BuiltinOperator::CONCATENATION, concatenation},
    {wire::BuiltinOperator::DEPTH_TO_SPACE, depth_to_space},
    {wire::BuiltinOperator::MIRROR_PAD, mirror_pad},
    {wire::BuiltinOperator::PACK, pack},
    {wire::BuiltinOperator::PAD, pad},
    {wire::BuiltinOperator::PADV2, pad},
    {wire::BuiltinOperator::REVERSE_V2, reverse},
    {wire::BuiltinOperator::SPACE_TO_BATCH_ND, space_to_batch},
    {wire::BuiltinOperator::SPACE_TO_DEPTH, space_to_depth},
    {wire::BuiltinOperator::TILE, tile},
    {wire::BuiltinOperator::TRANSPOSE, transpose},
};

}  // namespace

std::span<const Operator> layout_operators() {
  return kOperators;
}

}  // namespace firn::tflite
