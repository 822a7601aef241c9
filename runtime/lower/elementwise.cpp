// SPDX-License-Identifier: Apache-2.0
// Elementwise operators: int8 by addition, product, comparison or table, fp32 on XNNPACK where it
// has them.
//
// Int8 ones are steps of their own, although the layer before could do them to each piece of its
// output. Measured on Zen 5, that is no faster: vectors of bytes are bound by arithmetic, not by
// memory, a second operand read in pieces displaces weights from the nearest cache and is not
// fetched ahead, and done in registers it takes those of the products' sums.
#include <optional>

#include "kernels/xnn.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

using kernels::XnnOp;

std::optional<XnnOp::Binary> xnn_kind(Binary::Kind kind) {
  switch (kind) {
    case Binary::Kind::add:
      return XnnOp::Binary::add;
    case Binary::Kind::sub:
      return XnnOp::Binary::sub;
    case Binary::Kind::mul:
      return XnnOp::Binary::mul;
    case Binary::Kind::div:
      return XnnOp::Binary::div;
    case Binary::Kind::max:
      return XnnOp::Binary::max;
    case Binary::Kind::min:
      return XnnOp::Binary::min;
    default:
      return std::nullopt;
  }
}

std::optional<XnnOp::Unary> xnn_kind(const Unary& op) {
  switch (op.kind) {
    case Unary::Kind::clamp:
      return XnnOp::Unary::clamp;
    case Unary::Kind::sigmoid:
      return XnnOp::Unary::sigmoid;
    case Unary::Kind::hard_swish:
      return XnnOp::Unary::hard_swish;
    case Unary::Kind::elu:
      return XnnOp::Unary::elu;
    case Unary::Kind::leaky_relu:
      return XnnOp::Unary::leaky_relu;
    case Unary::Kind::abs:
      return XnnOp::Unary::abs;
    case Unary::Kind::neg:
      return XnnOp::Unary::neg;
    case Unary::Kind::floor:
      return XnnOp::Unary::floor;
    case Unary::Kind::ceil:
      return XnnOp::Unary::ceil;
    case Unary::Kind::round:
      return XnnOp::Unary::round;
    case Unary::Kind::sqrt:
      return XnnOp::Unary::sqrt;
    default:
      return std::nullopt;
  }
}

std::vector<size_t> dims_of(const Value& v) {
  return {v.shape.dims().begin(), v.shape.dims().end()};
}

// x^2, as exporters write the squares of a variance.
bool is_square(const LowerContext& context, const Node& node, const Binary& op) {
  const Value &x = context.value(node.in[0]), &power = context.value(node.in[1]);
  return op.kind == Binary::Kind::pow && op.clamp.none() && power.constant != nullptr &&
         power.type == DType::f32 && power.shape.elements() == 1 && power.as<float>()[0] == 2 &&
         x.shape == context.value(node.out[0]).shape;
}

Lowered lower_binary_f32(const LowerContext& context, const Node& node, const Binary& op,
                         std::vector<LoweredStep>& steps) {
  const ValueId a = node.in[0], b = node.in[1], y = node.out[0];
  if (is_square(context, node, op))
    return push_xnn(context, node,
                    XnnOp::unary(XnnOp::Unary::square, context.value(a).shape.elements(), 0,
                                 {op.clamp.lo, op.clamp.hi}, context.pool),
                    {a}, steps);
  const auto kind = xnn_kind(op.kind);
  if (!kind.has_value() || context.value(y).type != DType::f32)
    return lower_binary_plain(context, node, op, steps);
  auto xnn = XnnOp::binary(*kind, dims_of(context.value(a)), dims_of(context.value(b)),
                           dims_of(context.value(y)), {op.clamp.lo, op.clamp.hi}, context.pool);
  FIRN_ASSIGN(const bool done, push_xnn(context, node, std::move(xnn), {a, b}, steps));
  return done ? true : lower_binary_plain(context, node, op, steps);
}

// How the second operand of an int8 operator meets the first.
enum class Broadcast : uint8_t { same, rows, none };

// rows: b is one row of the innermost dimension for each sample of a, or for all of them.
struct Rows {
  Broadcast kind = Broadcast::none;
  size_t batches = 1, rows = 1, c = 1;  // batches x rows x c
  bool per_batch = false;               // b has a row for each batch
};

Rows broadcast_of(const Shape& a, const Shape& b) {
  if (a == b) return {Broadcast::same, 1, 1, a.elements(), false};
  if (a.rank == 0 || b.rank == 0 || b.rank > a.rank) return {};
  Rows r{Broadcast::rows, 1, 1, static_cast<size_t>(a[a.rank - 1]), false};
  if (b[b.rank - 1] != a[a.rank - 1] || r.c == 0) return {};
  for (int i = 0; i + 1 < b.rank; ++i) {
    const bool outermost = i == 0 && b.rank == a.rank && a.rank > 1;
    if (b[i] == 1) continue;
    if (!outermost || b[i] != a[0]) return {};
    r.per_batch = true;
  }
  if (r.per_batch) r.batches = static_cast<size_t>(a[0]);
  r.rows = a.elements() / r.c / std::max<size_t>(r.batches, 1);
  return r;
}

// The table of an int8 value combined with a float scalar; none where that is not what the node is.
std::optional<LoweredStep> scalar_table(const LowerContext& context, const Node& node,
                                        const Binary& op) {
  for (int side = 0; side < 2; ++side) {
    const ValueId x = node.in[static_cast<size_t>(side)];
    const Value& scalar = context.value(node.in[static_cast<size_t>(1 - side)]);
    if (context.value(x).type != DType::i8 || scalar.constant == nullptr ||
        scalar.type != DType::f32 || scalar.shape.elements() != 1)
      continue;
    const double s = scalar.as<float>()[0];
    const Value& y = context.value(node.out[0]);
    const Table8 table = make_table(*context.value(x).quant, *y.quant, [&](double v) {
      const double r = side == 0 ? evaluate(op.kind, v, s) : evaluate(op.kind, s, v);
      return std::min(std::max(r, double{op.clamp.lo}), double{op.clamp.hi});
    });
    return table_step(context, node, x, table);
  }
  return std::nullopt;
}

// add(n, a, b, y) or its row form over the whole tensor, on the pool.
template <typename Params, typename Same, typename Row>
std::unique_ptr<Step> binary_step(ValueId a, ValueId b, ValueId y, const Rows& r,
                                  const Params& params, Same same, Row row) {
  return make_step([=](const Frame& frame) -> Status {
    const auto* pa = frame.at<const int8_t>(a);
    const auto* pb = frame.at<const int8_t>(b);
    auto* py = frame.at<int8_t>(y);
    if (r.kind == Broadcast::same) {
      parallel_elements(frame.pool, r.c, [&](size_t begin, size_t end) {
        same(end - begin, pa + begin, pb + begin, py + begin, params);
      });
      return {};
    }
    const size_t grain = kElementsWorthSharing / r.c + 1;
    for (size_t n = 0; n < r.batches; ++n) {
      const int8_t* pb_n = pb + (r.per_batch ? n * r.c : 0);
      frame.pool.parallel_for(r.rows, grain, [&](size_t begin, size_t end) {
        const size_t at = (n * r.rows + begin) * r.c;
        row(end - begin, r.c, pa + at, pb_n, py + at, params);
      });
    }
    return {};
  });
}

}  // namespace

Lowered lower_binary(const LowerContext& context, const Node& node, const Binary& op,
                     std::vector<LoweredStep>& steps) {
  const Value& y = context.value(node.out[0]);
  if (y.type != DType::i8) {
    return lower_binary_f32(context, node, op, steps);
  }
  if (auto table = scalar_table(context, node, op)) {
    steps.push_back(std::move(*table));
    return true;
  }
  ValueId a = node.in[0], b = node.in[1];
  if (context.value(a).type != DType::i8 || context.value(b).type != DType::i8) return false;
  double a_sign = 1, b_sign = op.kind == Binary::Kind::sub ? -1 : 1;
  Rows r = broadcast_of(context.value(a).shape, context.value(b).shape);
  if (r.kind == Broadcast::none) {
    std::swap(a, b);
    std::swap(a_sign, b_sign);
    r = broadcast_of(context.value(a).shape, context.value(b).shape);
  }
  if (r.kind == Broadcast::none) return false;

  const Value& va = context.value(a);
  const Value& vb = context.value(b);
  const double sa = va.quant->scale[0], sb = vb.quant->scale[0], sy = y.quant->scale[0];
  const kernels::VecS8& vec = context.vec();
  const kernels::Clamp8 clamp = clamp8(op.clamp, *y.quant);
  std::unique_ptr<Step> step;
  if (op.kind == Binary::Kind::add || op.kind == Binary::Kind::sub) {
    const kernels::AddS8 params{va.quant->zero[0], vb.quant->zero[0],
                                kernels::rescale(a_sign * sa / sy),
                                kernels::rescale(b_sign * sb / sy), clamp};
    step = binary_step(a, b, node.out[0], r, params, vec.add, vec.add_row);
  } else if (op.kind == Binary::Kind::mul) {
    const kernels::MulS8 params{va.quant->zero[0], vb.quant->zero[0],
                                kernels::rescale(sa * sb / sy), clamp};
    step = binary_step(a, b, node.out[0], r, params, vec.mul, vec.mul_row);
  } else if (op.clamp.none() && va.quant == y.quant && vb.quant == y.quant &&
             (op.kind == Binary::Kind::min || op.kind == Binary::Kind::max)) {
    // Bytes of one grid compare as what they stand for.
    const auto compare = op.kind == Binary::Kind::min ? vec.min_row : vec.max_row;
    step = binary_step(
        a, b, node.out[0], r, compare,
        [](size_t n, const int8_t* pa, const int8_t* pb, int8_t* py, auto* run) {
          run(1, n, pa, pb, py);
        },
        [](size_t rows, size_t c, const int8_t* pa, const int8_t* pb, int8_t* py, auto* run) {
          run(rows, c, pa, pb, py);
        });
  } else {
    return false;
  }
  steps.push_back(describe_step(context, node, std::move(step), vec.name));
  steps.back().in_place = true;
  return true;
}

Lowered lower_unary(const LowerContext& context, const Node& node, const Unary& op,
                    std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], y = node.out[0];
  const Value& in = context.value(x);
  const Value& out = context.value(y);
  if (in.type == DType::i8 && out.type == DType::i8) {
    const Table8 table =
        make_table(*in.quant, *out.quant, [&](double v) { return evaluate(op, v); });
    steps.push_back(table_step(context, node, x, table));
    return true;
  }
  const auto kind = xnn_kind(op);
  if (in.type != DType::f32 || !kind.has_value())
    return lower_unary_plain(context, node, op, steps);
  auto xnn = XnnOp::unary(*kind, in.shape.elements(), op.alpha, {op.alpha, op.beta}, context.pool);
  return push_xnn(context, node, std::move(xnn), {x}, steps);
}

}  // namespace firn
