// SPDX-License-Identifier: Apache-2.0
// What moves elements about, or nothing at all.
#include <algorithm>
#include <numeric>

#include "runtime/import/ncnn_expression.h"
#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

// ncnn leaves sizes out with this number.
constexpr int32_t kNone = -233;

// Its outputs are its inputs.
Status pass(Context& c) {
  if (c.input_count() != c.output_count()) {
    return c.malformed(std::to_string(c.input_count()) + " inputs and " +
                       std::to_string(c.output_count()) + " outputs");
  }
  for (size_t i = 0; i < c.input_count(); ++i) FIRN_TRY(c.bind(c.raw_input(i), i));
  return {};
}

// Marks blobs as used. What it is said to write are its first inputs.
Status noop(Context& c) {
  if (c.output_count() > c.input_count()) {
    return c.malformed(std::to_string(c.input_count()) + " inputs and " +
                       std::to_string(c.output_count()) + " outputs");
  }
  for (size_t i = 0; i < c.output_count(); ++i) FIRN_TRY(c.bind(c.raw_input(i), i));
  return {};
}

Status split(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  for (size_t i = 0; i < c.output_count(); ++i) FIRN_TRY(c.bind(c.raw_input(), i));
  return {};
}

// In inference it multiplies by a number, mostly 1.
Status dropout(Context& c) {
  FIRN_ASSIGN(const float scale, c.param(0, 1.0f));
  if (scale == 1) return pass(c);
  FIRN_ASSIGN(const ValueId x, c.input());
  return c.bind(c.with_number("", Binary::Kind::mul, x, scale));
}

// Between ways to store floats, which are all computed in f32.
Status cast(Context& c) {
  constexpr int32_t kInt8 = 3, kTypes = 5;
  for (const int id : {0, 1}) {
    FIRN_ASSIGN(const int32_t type, c.param(id, 0));
    if (type < 0 || type >= kTypes || type == kInt8) {
      return c.unsupported("storage type " + std::to_string(type));
    }
  }
  return pass(c);
}

Status packing(Context& c) {
  FIRN_TRY(c.expect_param(1, "use_padding", 0));
  return pass(c);
}

Status memory_data(Context& c) {
  FIRN_TRY(c.expect_inputs(0, 0));
  std::vector<int32_t> dims;
  for (const int id : {2, 11, 1, 0}) {  // c, d, h, w
    FIRN_ASSIGN(const int32_t dim, c.at_least(0, id, "a size", 0));
    if (dim == 0 && !dims.empty() && id != 11) {
      return c.malformed("a size is 0");
    }
    if (dim != 0) dims.push_back(dim);
  }
  if (dims.empty()) return c.unsupported("a blob without a size");
  Shape shape;
  for (const int32_t dim : dims) shape.dim[shape.rank++] = dim;
  FIRN_ASSIGN(const bool raw, c.flag(21, true));
  FIRN_ASSIGN(const ValueId data, raw ? c.weight("data", shape, Spread::of_factors())
                                      : c.tagged_weight("data", shape, Spread::of_factors()));
  std::vector<TargetDim> to;
  for (const int32_t dim : dims) to.push_back(TargetDim::of(dim));
  return c.bind(c.as_blob("", data, to));
}

Status concat(Context& c) {
  FIRN_TRY(c.expect_inputs(1, c.input_count()));
  FIRN_ASSIGN(const int32_t stated, c.param(0, 0));
  std::vector<ValueId> parts;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId x, c.input(i));
    parts.push_back(x);
  }
  FIRN_ASSIGN(const int32_t axis, c.blob_axis(stated, parts[0]));
  return c.bind(c.emit("", Concat{axis}, std::move(parts)));
}

Status flatten(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  if (c.dims(x) == 1) return c.bind(x);
  return c.bind(c.reshape_blob("", x, {TargetDim::rest()}));
}

// A size of 0 is the input's of that name, -1 is the rest.
Result<TargetDim> target_dim(const Context& c, ValueId x, char name, int32_t size) {
  if (size > 0) return TargetDim::of(size);
  if (size == -1) return TargetDim::rest();
  if (size != 0) return c.malformed("a size is " + std::to_string(size));
  const int axis = axis_of(name, c.dims(x));
  // A dimension that a blob lacks counts as 1.
  return axis < 0 ? TargetDim::of(1) : TargetDim::copy(axis);
}

// By name, outermost first, kNone where there is none; numbers or an expression.
using Sizes = std::array<std::pair<char, int32_t>, 4>;
Result<Sizes> stated_sizes(const Context& c) {
  Sizes sizes{{{'c', kNone}, {'d', kNone}, {'h', kNone}, {'w', kNone}}};
  FIRN_ASSIGN(const std::vector<int32_t> computed, sizes_from(c, 6));
  if (computed.size() > sizes.size()) {
    return c.malformed(std::to_string(computed.size()) + " sizes, at most 4");
  }
  // Innermost first, the depth only where there are all four.
  for (size_t i = 0; i < computed.size(); ++i) {
    const bool channels = computed.size() == 3 && i == 2;
    sizes[channels ? 0 : sizes.size() - 1 - i].second = computed[i];
  }
  if (!computed.empty()) return sizes;
  constexpr std::array<int, 4> kIds{2, 11, 1, 0};
  for (size_t i = 0; i < sizes.size(); ++i) {
    FIRN_ASSIGN(sizes[i].second, c.param(kIds[i], kNone));
  }
  return sizes;
}

Status reshape(Context& c) {
  for (const int batch : {12, 13}) FIRN_TRY(c.expect_param(batch, "a batch axis", 233));
  // Other inputs are there for their sizes.
  FIRN_TRY(c.expect_inputs(1, c.has(6) ? c.input_count() : 1));
  FIRN_ASSIGN(ValueId x, c.input());
  FIRN_ASSIGN(const auto sizes, stated_sizes(c));
  FIRN_ASSIGN(const bool permute, c.flag(3, false));
  std::vector<TargetDim> to;
  for (const auto& [name, size] : sizes) {
    if (size == kNone) {
      if (!to.empty() && name != 'd') return c.malformed("an inner size is missing");
      continue;
    }
    FIRN_ASSIGN(const TargetDim dim, target_dim(c, x, name, size));
    to.push_back(dim);
  }
  if (to.empty()) return c.malformed("no size is given");
  const auto is_rest = [](const TargetDim& dim) { return dim.source < 0 && dim.number < 0; };
  if (std::ranges::count_if(to, is_rest) > 1) return c.malformed("two sizes are -1");
  // Old files flatten with the channels innermost.
  if (permute && c.dims(x) == 3) {
    if (to.size() != 1) return c.unsupported("permute of more than one size");
    FIRN_ASSIGN(x, c.transpose("permuted", x, {0, 2, 3, 1}));
  }
  return c.bind(c.reshape_blob("", x, to));
}

// Orders are numbered as permutations are in lexicographic order, outermost dimension first.
Status permute(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(int32_t order, c.at_least(0, 0, "order", 0));
  FIRN_TRY(c.expect_dims(x, 1, 4));
  const int32_t stated = order;
  std::vector<int32_t> left(static_cast<size_t>(c.dims(x)));
  std::iota(left.begin(), left.end(), 1);
  int32_t count = 1;  // of permutations of what is left
  for (int32_t i = 2; i <= c.dims(x); ++i) count *= i;
  if (order >= count) {
    return c.malformed("order " + std::to_string(stated) + " of " + std::to_string(c.dims(x)) +
                       " dimensions");
  }
  std::vector<int32_t> perm{0};
  while (!left.empty()) {
    count /= static_cast<int32_t>(left.size());
    const auto chosen = left.begin() + order / count;
    order %= count;
    perm.push_back(*chosen);
    left.erase(chosen);
  }
  return c.bind(c.transpose("", x, perm));
}

Status shuffle_channel(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(int32_t groups, c.at_least(1, 0, "the number of groups", 1));
  FIRN_ASSIGN(const bool reverse, c.flag(1, false));
  FIRN_ASSIGN(const int32_t channels, c.known_dim(x, 1));
  if (channels % groups != 0) {
    return c.malformed(std::to_string(channels) + " channels in " + std::to_string(groups) +
                       " groups");
  }
  if (reverse) groups = channels / groups;
  const std::vector<TargetDim> outer{TargetDim::of(groups), TargetDim::of(channels / groups),
                                     TargetDim::copy(2), TargetDim::copy(3)};
  FIRN_ASSIGN(const ValueId grouped, c.reshape_blob("groups", x, outer));
  FIRN_ASSIGN(const ValueId turned, c.transpose("", grouped, {0, 2, 1, 3, 4}));
  return c.bind(c.reshape_blob("shape", turned,
                               {TargetDim::of(channels), TargetDim::copy(3), TargetDim::copy(4)}));
}

// Pixels of blocks become channels, of each channel in turn or, in mode 1, of each pixel.
Status reorg(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(const int32_t stride, c.at_least(1, 0, "stride", 1));
  FIRN_ASSIGN(const int32_t mode, c.param(1, 0));
  FIRN_ASSIGN(const int32_t channels, c.known_dim(x, 1));
  std::array<int32_t, 2> blocks{};
  for (int a = 0; a < 2; ++a) {
    FIRN_ASSIGN(const int32_t size, c.known_dim(x, a + 2));
    blocks[static_cast<size_t>(a)] = size / stride;
    if (size % stride != 0) {
      FIRN_ASSIGN(x, c.slice("cut_" + std::to_string(a), x, a + 2, 0, size / stride * stride));
    }
  }
  const int64_t outputs = int64_t{channels} * stride * stride;
  if (stride > 1 << 15 || outputs > INT32_MAX) {
    return c.malformed("stride " + std::to_string(stride) + " of " + to_string(c.shape(x)));
  }
  const auto of = [](int64_t number) { return TargetDim::of(number); };
  FIRN_ASSIGN(const ValueId split,
              c.reshape_blob("blocks", x,
                             {of(channels), of(blocks[0]), of(stride), of(blocks[1]), of(stride)}));
  const std::vector<int32_t> perm =
      mode == 0 ? std::vector<int32_t>{0, 1, 3, 5, 2, 4} : std::vector<int32_t>{0, 3, 5, 1, 2, 4};
  FIRN_ASSIGN(const ValueId turned, c.transpose("", split, perm));
  return c.bind(c.reshape_blob("shape", turned, {of(outputs), of(blocks[0]), of(blocks[1])}));
}

Status pixel_shuffle(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_TRY(c.expect_dims(x, 3, 3));
  DepthToSpace op;
  FIRN_ASSIGN(op.block, c.at_least(1, 0, "the factor", 1));
  FIRN_ASSIGN(const int32_t mode, c.param(1, 0));
  op.crd = mode == 0;
  FIRN_ASSIGN(const ValueId image, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {image}));
  return c.bind(from_nhwc(c, y, 3));
}

// Axes that are stated, or flagged by name in old files.
Result<std::vector<int32_t>> squeezed_axes(const Context& c, ValueId x) {
  std::vector<int32_t> axes;
  FIRN_ASSIGN(const std::vector<int32_t> stated, c.ints(3));
  for (const int32_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, c.blob_axis(entry, x));
    axes.push_back(axis);
  }
  if (!stated.empty()) return axes;
  for (const auto& [id, name] : {std::pair(2, 'c'), {11, 'd'}, {1, 'h'}, {0, 'w'}}) {
    FIRN_ASSIGN(const bool flagged, c.flag(id, false));
    const int axis = axis_of(name, c.dims(x));
    if (flagged && axis > 0) axes.push_back(axis);
  }
  return axes;
}

Status squeeze(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const std::vector<int32_t> axes, squeezed_axes(c, x));
  std::vector<TargetDim> to;
  for (int d = 1; d < c.rank(x); ++d) {
    const bool listed = std::ranges::find(axes, d) != axes.end();
    if (listed) {
      FIRN_ASSIGN(const int32_t size, c.known_dim(x, d));
      if (size == 1) continue;
    }
    to.push_back(TargetDim::copy(d));
  }
  if (to.empty()) to.push_back(TargetDim::of(1));
  return c.bind(c.reshape_blob("", x, to));
}

Status expand_dims(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const ValueId x, c.input());
  FIRN_ASSIGN(const std::vector<int32_t> axes, c.ints(3));
  if (axes.empty() && (c.has(0) || c.has(1) || c.has(2))) {
    return c.unsupported("axes given one by one, as old files do");
  }
  const auto out_dims = static_cast<int32_t>(static_cast<size_t>(c.dims(x)) + axes.size());
  if (out_dims > 4) return c.unsupported(std::to_string(out_dims) + " dimensions, at most 4");
  std::vector<bool> inserted(static_cast<size_t>(out_dims));
  for (const int32_t entry : axes) {
    const int32_t axis = entry < 0 ? entry + out_dims : entry;
    if (axis < 0 || axis >= out_dims || inserted[static_cast<size_t>(axis)]) {
      return c.malformed("axis " + std::to_string(entry) + " of " + std::to_string(out_dims));
    }
    inserted[static_cast<size_t>(axis)] = true;
  }
  std::vector<TargetDim> to;
  int source = 1;
  for (const bool is_new : inserted) {
    to.push_back(is_new ? TargetDim::of(1) : TargetDim::copy(source++));
  }
  return c.bind(c.reshape_blob("", x, to));
}

// Along one axis, or with a count for each of the innermost ones, which may be more than there are.
Status tile(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(ValueId x, c.input());
  FIRN_ASSIGN(const std::vector<int32_t> repeats, c.ints(2));
  if (static_cast<int>(repeats.size()) > c.dims(x)) {
    if (repeats.size() > 4) return c.malformed(std::to_string(repeats.size()) + " repeats");
    std::vector<TargetDim> to(repeats.size() - static_cast<size_t>(c.dims(x)), TargetDim::of(1));
    for (int d = 1; d < c.rank(x); ++d) to.push_back(TargetDim::copy(d));
    FIRN_ASSIGN(x, c.reshape_blob("outer", x, to));
  }
  std::vector<int64_t> counts(static_cast<size_t>(c.rank(x)), 1);
  if (repeats.empty()) {
    FIRN_ASSIGN(const int32_t stated, c.param(0, 0));
    FIRN_ASSIGN(const int32_t axis, c.blob_axis(stated, x));
    FIRN_ASSIGN(counts[static_cast<size_t>(axis)], c.param(1, 1));
  }
  std::ranges::copy(repeats, counts.end() - static_cast<std::ptrdiff_t>(repeats.size()));
  for (const int64_t count : counts) {
    if (count < 1) return c.malformed(std::to_string(count) + " repeats");
  }
  FIRN_ASSIGN(const ValueId list,
              c.constant<int64_t>("repeats", {static_cast<int32_t>(counts.size())}, counts));
  return c.bind(c.emit("", Tile{}, {x, list}));
}

constexpr Operator kOperators[] = {
    {"Cast", cast},
    {"Concat", concat},
    {"DeepCopy", pass},
    {"Dropout", dropout},
    {"ExpandDims", expand_dims},
    {"Flatten", flatten},
    {"MemoryData", memory_data},
    {"Noop", noop},
    {"Packing", packing},
    {"Permute", permute},
    {"PixelShuffle", pixel_shuffle},
    {"Reorg", reorg},
    {"Reshape", reshape},
    {"ShuffleChannel", shuffle_channel},
    {"Split", split},
    {"Squeeze", squeeze},
    {"Tile", tile},
};

}  // namespace

std::span<const Operator> layout_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
