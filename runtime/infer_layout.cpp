// SPDX-License-Identifier: Apache-2.0
// Shape rules of the operators that move, make or convert elements.
#include <algorithm>
#include <cmath>

#include "runtime/geometry.h"
#include "runtime/infer_context.h"
#include "runtime/packed.h"

namespace firn {
namespace {

// Attributes with one entry per axis.
Status expect_per_axis(const InferContext& c, const char* what,
                       const std::vector<int32_t>& entries) {
  if (entries.size() == c.shape(0).rank) return {};
  return c.malformed(std::string(what) + " has " + std::to_string(entries.size()) +
                     " entries, input is " + to_string(c.shape(0)));
}

// The number of values in [start, limit) at distance delta != 0; every difference fits 64 bits
// without a sign.
uint64_t range_length(int64_t start, int64_t limit, int64_t delta) {
  const uint64_t s = static_cast<uint64_t>(start), l = static_cast<uint64_t>(limit);
  const uint64_t d = static_cast<uint64_t>(delta);
  if (delta > 0) return limit > start ? (l - s - 1) / d + 1 : 0;
  return start > limit ? (s - l - 1) / (0 - d) + 1 : 0;
}

}  // namespace

Result<Inferred> infer_op(const InferContext& c, const Concat& op) {
  FIRN_TRY(c.expect_inputs(1, SIZE_MAX));
  for (size_t i = 0; i < c.node.in.size(); ++i)
    if (c.in(i) == nullptr) return c.malformed("input " + std::to_string(i) + " is left out");
  Shape y = c.shape(0);
  FIRN_ASSIGN(const int axis, c.axis(op.axis, y.rank));
  int64_t total = y[axis];
  for (size_t i = 1; i < c.node.in.size(); ++i) {
    if (c.in(i)->type != c.in(0)->type)
      return c.malformed("input " + c.name(i) + " is " + dtype_name(c.in(i)->type) + ", " +
                         c.name(0) + " is " + dtype_name(c.in(0)->type));
    Shape other = c.shape(i);
    if (other.rank == y.rank) {
      total += other[axis];
      other[axis] = y[axis];
    }
    if (other != y)
      return c.malformed("input " + c.name(i) + " is " + to_string(c.shape(i)) + ", " + c.name(0) +
                         " is " + to_string(c.shape(0)) + ", joined along axis " +
                         std::to_string(axis));
  }
  FIRN_ASSIGN(y[axis], c.dimension("joined axis", total));
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Slice& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(expect_per_axis(c, "begin", op.begin));
  FIRN_TRY(expect_per_axis(c, "end", op.end));
  FIRN_TRY(expect_per_axis(c, "step", op.step));
  Shape y = c.shape(0);
  for (int i = 0; i < y.rank; ++i) {
    const size_t a = static_cast<size_t>(i);
    if (op.step[a] == 0) return c.malformed("step of axis " + std::to_string(i) + " is 0");
    y[i] = static_cast<int32_t>(slice_axis(op.begin[a], op.end[a], op.step[a], y[i]).count);
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Pad& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(expect_per_axis(c, "before", op.before));
  FIRN_TRY(expect_per_axis(c, "after", op.after));
  const Shape& x = c.shape(0);
  Shape y = x;
  for (int i = 0; i < x.rank; ++i) {
    const int64_t before = op.before[static_cast<size_t>(i)];
    const int64_t after = op.after[static_cast<size_t>(i)];
    const std::string pads = "padding " + std::to_string(before) + " and " + std::to_string(after) +
                             " of axis " + std::to_string(i);
    if (op.mode == Pad::Mode::reflect && std::max(before, after) > std::max(x[i] - 1, 0))
      return c.malformed(pads + " reflects past the input's " + std::to_string(x[i]));
    if (op.mode == Pad::Mode::symmetric && std::max(before, after) > x[i])
      return c.malformed(pads + " reflects past the input's " + std::to_string(x[i]));
    const bool repeats = op.mode == Pad::Mode::edge || op.mode == Pad::Mode::wrap;
    if (repeats && std::max(before, after) > 0 && x[i] == 0)
      return c.malformed(pads + " repeats the edge of nothing");
    if (x[i] + before < 0 || x[i] + after < 0 || x[i] + before + after < 0)
      return c.malformed(pads + " crops more than the input's " + std::to_string(x[i]));
    FIRN_ASSIGN(y[i], c.dimension("padded axis", x[i] + before + after));
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Reshape& op) {
  FIRN_TRY(c.expect_inputs(op.from_input ? 2 : 1, op.from_input ? 2 : 1));
  const Shape& x = c.shape(0);
  std::vector<int64_t> dims(op.shape.begin(), op.shape.end());
  if (op.from_input) {
    FIRN_ASSIGN(dims, c.constant_ints(1));
  }
  if (dims.size() > kMaxRank) return c.shape_from(dims).status();
  int rest = -1;
  int64_t product = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == -1) {
      if (rest >= 0) return c.malformed("shape has more than one -1");
      rest = static_cast<int>(i);
      dims[i] = 1;
    } else if (dims[i] == 0 && !op.plain_zero) {
      if (static_cast<int>(i) >= x.rank)
        return c.malformed("shape copies dimension " + std::to_string(i) + " of input " +
                           to_string(x));
      dims[i] = x[static_cast<int>(i)];
    }
    if (dims[i] < 0) return c.malformed("shape has dimension " + std::to_string(dims[i]));
    if (dims[i] > 0 && product > INT64_MAX / dims[i]) return c.malformed("shape is too large");
    product *= dims[i];
  }
  const int64_t elements = static_cast<int64_t>(x.elements());
  if (rest >= 0) {
    dims[static_cast<size_t>(rest)] = product > 0 ? elements / product : 0;
    product *= dims[static_cast<size_t>(rest)];
  }
  FIRN_ASSIGN(const Shape y, c.shape_from(dims));
  if (product != elements)
    return c.malformed("shape " + to_string(y) + " of input " + to_string(x) + " with " +
                       std::to_string(elements) + " elements");
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Transpose& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_TRY(expect_per_axis(c, "perm", op.perm));
  const Shape& x = c.shape(0);
  Shape y = x;
  std::array<bool, kMaxRank> used{};
  for (int i = 0; i < x.rank; ++i) {
    const int32_t from = op.perm[static_cast<size_t>(i)];
    if (from < 0 || from >= x.rank || used[static_cast<size_t>(from)])
      return c.malformed("perm is not a permutation: entry " + std::to_string(i) + " is " +
                         std::to_string(from));
    used[static_cast<size_t>(from)] = true;
    y[i] = x[from];
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Gather& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_TRY(c.expect_indices(1));
  const Shape& x = c.shape(0);
  const Shape& indices = c.shape(1);
  FIRN_ASSIGN(const int axis, c.axis(op.axis, x.rank));
  std::vector<int64_t> dims(x.dims().begin(), x.dims().begin() + axis);
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), x.dims().begin() + axis + 1, x.dims().end());
  FIRN_ASSIGN(const Shape y, c.shape_from(dims));
  return Inferred{gives_floats(*c.in(0)) ? DType::f32 : c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const ShapeOf& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  const int64_t rank = c.shape(0).rank;
  const int64_t begin = std::clamp<int64_t>(op.begin < 0 ? op.begin + rank : op.begin, 0, rank);
  const int64_t end = std::clamp<int64_t>(op.end < 0 ? op.end + rank : op.end, 0, rank);
  return Inferred{DType::i64, Shape{static_cast<int32_t>(std::max<int64_t>(end - begin, 0))}};
}

Result<Inferred> infer_op(const InferContext& c, const Squeeze& op) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(const std::vector<int64_t> axes, c.constant_ints(1));
  const Shape& x = c.shape(0);
  const int rank = op.insert ? x.rank + static_cast<int>(axes.size()) : x.rank;
  if (rank > kMaxRank) return c.unsupported("an output of rank " + std::to_string(rank));
  std::array<bool, kMaxRank> chosen{};
  for (const int64_t given : axes) {
    if (given < -rank || given >= rank)
      return c.malformed("axis " + std::to_string(given) + ", rank is " + std::to_string(rank));
    const int at = static_cast<int>(given < 0 ? given + rank : given);
    if (chosen[static_cast<size_t>(at)])
      return c.malformed("axis " + std::to_string(at) + " is given twice");
    if (!op.insert && x[at] != 1)
      return c.malformed("axis " + std::to_string(at) + " of input " + to_string(x) + " is not 1");
    chosen[static_cast<size_t>(at)] = true;
  }
  Shape y;
  for (int i = 0, from = 0; i < rank; ++i) {
    const bool is_chosen = chosen[static_cast<size_t>(i)];
    if (op.insert)
      y[y.rank++] = is_chosen ? 1 : x[from++];
    else if (!is_chosen)
      y[y.rank++] = x[i];
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Tile&) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(const std::vector<int64_t> repeats, c.constant_ints(1));
  Shape y = c.shape(0);
  if (repeats.size() != y.rank)
    return c.malformed(std::to_string(repeats.size()) + " repeats, input is " + to_string(y));
  for (int i = 0; i < y.rank; ++i) {
    const int64_t times = repeats[static_cast<size_t>(i)];
    if (times < 0 || times > INT32_MAX) return c.malformed("repeats " + std::to_string(times));
    FIRN_ASSIGN(y[i], c.dimension("repeated axis", y[i] * times));
  }
  return Inferred{c.in(0)->type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Expand&) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(const std::vector<int64_t> dims, c.constant_ints(1));
  FIRN_ASSIGN(const Shape to, c.shape_from(dims));
  const std::optional<Shape> y = broadcast(c.shape(0), to);
  if (!y)
    return c.malformed("input " + to_string(c.shape(0)) + " does not expand to " + to_string(to));
  return Inferred{c.in(0)->type, *y};
}

Result<Inferred> infer_op(const InferContext& c, const Fill& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const std::vector<int64_t> dims, c.constant_ints(0));
  FIRN_ASSIGN(const Shape y, c.shape_from(dims));
  return Inferred{op.type, y};
}

Result<Inferred> infer_op(const InferContext& c, const Range&) {
  FIRN_TRY(c.expect_inputs(3, 3));
  const DType type = c.in(0)->type;
  for (size_t i = 0; i < 3; ++i) {
    if (c.in(i)->type != type)
      return c.malformed("input " + c.name(i) + " is " + dtype_name(c.in(i)->type) + ", " +
                         c.name(0) + " is " + dtype_name(type));
    if (c.shape(i).elements() != 1 || c.shape(i).rank > 1)
      return c.malformed("input " + c.name(i) + " is " + to_string(c.shape(i)) +
                         ", expected a scalar");
  }
  if (type == DType::f32) {
    for (size_t i = 0; i < 3; ++i) {
      if (c.in(i)->constant == nullptr)
        return c.unsupported("depends on the value of " + c.name(i) + ", which is not constant");
      if (c.in(i)->constant->bytes().size() != sizeof(float))
        return c.malformed("constant " + c.name(i) + " is not a scalar");
    }
    const double start = c.in(0)->as<float>()[0], limit = c.in(1)->as<float>()[0];
    const double delta = c.in(2)->as<float>()[0];
    if (delta == 0) return c.malformed("delta is 0");
    const double length = std::ceil((limit - start) / delta);
    if (!(length < 2147483648.0))
      return c.malformed("range of " + std::to_string(length) + " values");
    return Inferred{type, Shape{static_cast<int32_t>(std::max(length, 0.0))}};
  }
  std::array<int64_t, 3> ends{};
  for (size_t i = 0; i < 3; ++i) {
    FIRN_ASSIGN(const std::vector<int64_t> value, c.constant_ints(i));
    ends[i] = value[0];
  }
  if (ends[2] == 0) return c.malformed("delta is 0");
  const uint64_t length = range_length(ends[0], ends[1], ends[2]);
  if (length > INT32_MAX) return c.malformed("range of " + std::to_string(length) + " values");
  return Inferred{type, Shape{static_cast<int32_t>(length)}};
}

Result<Inferred> infer_op(const InferContext& c, const Convert& op) {
  FIRN_TRY(c.expect_inputs(1, 1));
  const Value& out = c.graph.value(c.node.out[0]);
  if (out.quant && op.to == DType::f32)
    return c.malformed("converts to f32, but output " + out.name + " is quantized");
  return Inferred{op.to, c.shape(0)};
}

}  // namespace firn
