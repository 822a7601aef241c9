// SPDX-License-Identifier: Apache-2.0
// The reference operators that work element by element, with broadcasting.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/geometry.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}
double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}
double normal_cdf(double x) {
  return 0.5 * (1.0 + std::erf(x / std::numbers::sqrt2));
}
double between(double x, double lo, double hi) {
  return x < lo ? lo : x > hi ? hi : x;
}

}  // namespace

double evaluate(const Unary& op, double x) {
  using Kind = Unary::Kind;
  const double alpha = static_cast<double>(op.alpha), beta = static_cast<double>(op.beta);
  switch (op.kind) {
    case Kind::clamp:
      return between(x, alpha, beta);
    case Kind::sigmoid:
      return sigmoid(x);
    case Kind::tanh:
      return std::tanh(x);
    case Kind::exp:
      return std::exp(x);
    case Kind::log:
      return std::log(x);
    case Kind::sqrt:
      return std::sqrt(x);
    case Kind::reciprocal:
      return 1.0 / x;
    case Kind::abs:
      return std::abs(x);
    case Kind::neg:
      return -x;
    case Kind::floor:
      return std::floor(x);
    case Kind::ceil:
      return std::ceil(x);
    case Kind::round:
      return std::nearbyint(x);  // ties to even
    case Kind::erf:
      return std::erf(x);
    case Kind::sin:
      return std::sin(x);
    case Kind::cos:
      return std::cos(x);
    case Kind::hard_sigmoid:
      return between(alpha * x + beta, 0.0, 1.0);
    case Kind::hard_swish:
      return x * between(x / 6.0 + 0.5, 0.0, 1.0);
    case Kind::silu:
      return x * sigmoid(alpha * x);
    case Kind::mish:
      return x * std::tanh(softplus(x));
    case Kind::softplus:
      return softplus(x);
    case Kind::softsign:
      return x / (1.0 + std::abs(x));
    case Kind::elu:
      return x < 0 ? alpha * std::expm1(x) : x;
    case Kind::leaky_relu:
      return x < 0 ? alpha * x : x;
    case Kind::gelu:
      return x * normal_cdf(x);
    case Kind::gelu_tanh:
      return 0.5 * x *
             (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Kind::logical_not:
      return x == 0 ? 1.0 : 0.0;
    case Kind::sign:
      return x > 0 ? 1.0 : x < 0 ? -1.0 : x;
    case Kind::trunc:
      return std::trunc(x);
    case Kind::tan:
      return std::tan(x);
    case Kind::asin:
      return std::asin(x);
    case Kind::acos:
      return std::acos(x);
    case Kind::atan:
      return std::atan(x);
    case Kind::sinh:
      return std::sinh(x);
    case Kind::cosh:
      return std::cosh(x);
    case Kind::asinh:
      return std::asinh(x);
    case Kind::acosh:
      return std::acosh(x);
    case Kind::atanh:
      return std::atanh(x);
    case Kind::is_nan:
      return std::isnan(x) ? 1.0 : 0.0;
  }
  return x;
}

double evaluate(Binary::Kind kind, double a, double b) {
  using Kind = Binary::Kind;
  switch (kind) {
    case Kind::add:
      return a + b;
    case Kind::sub:
      return a - b;
    case Kind::mul:
      return a * b;
    case Kind::div:
      return a / b;
    case Kind::max:  // NaN wins, as in NumPy
      return a > b || std::isnan(a) ? a : b;
    case Kind::min:
      return a < b || std::isnan(a) ? a : b;
    case Kind::pow:
      return std::pow(a, b);
    case Kind::equal:
      return a == b ? 1.0 : 0.0;
    case Kind::less:
      return a < b ? 1.0 : 0.0;
    case Kind::greater:
      return a > b ? 1.0 : 0.0;
    case Kind::logical_and:
      return a != 0 && b != 0 ? 1.0 : 0.0;
    case Kind::logical_or:
      return a != 0 || b != 0 ? 1.0 : 0.0;
    case Kind::mod:
      return a - std::floor(a / b) * b;
    case Kind::fmod:
      return std::fmod(a, b);
    case Kind::atan2:
      return std::atan2(a, b);
    case Kind::bitwise_and:
    case Kind::bitwise_or:
    case Kind::bitwise_xor:
      break;  // of integers
  }
  return 0;
}

namespace {

// Integers wrap like the machine's: computed without a sign.
uint64_t bits(int64_t x) {
  return static_cast<uint64_t>(x);
}

// a^b for b >= 0; a negative b leaves only what is an integer.
int64_t integer_pow(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
  uint64_t result = 1, square = bits(a);
  for (uint64_t rest = bits(b); rest != 0; rest >>= 1, square *= square)
    if ((rest & 1) != 0) result *= square;
  return static_cast<int64_t>(result);
}

// Division truncates; b is not 0 there, nor a where a negative power divides by it.
int64_t apply_integer(Binary::Kind kind, int64_t a, int64_t b) {
  using Kind = Binary::Kind;
  switch (kind) {
    case Kind::add:
      return static_cast<int64_t>(bits(a) + bits(b));
    case Kind::sub:
      return static_cast<int64_t>(bits(a) - bits(b));
    case Kind::mul:
      return static_cast<int64_t>(bits(a) * bits(b));
    case Kind::div:
      return b == -1 ? static_cast<int64_t>(0 - bits(a)) : a / b;  // INT64_MIN / -1 wraps
    case Kind::max:
      return std::max(a, b);
    case Kind::min:
      return std::min(a, b);
    case Kind::pow:
      return integer_pow(a, b);
    case Kind::equal:
      return a == b;
    case Kind::less:
      return a < b;
    case Kind::greater:
      return a > b;
    case Kind::logical_and:
      return a != 0 && b != 0;
    case Kind::logical_or:
      return a != 0 || b != 0;
    case Kind::mod:
    case Kind::fmod: {
      const int64_t rest = b == -1 ? 0 : a % b;  // INT64_MIN % -1 overflows
      const bool follows_divisor = kind == Kind::mod && rest != 0 && (rest < 0) != (b < 0);
      return follows_divisor ? rest + b : rest;
    }
    case Kind::bitwise_and:
      return static_cast<int64_t>(bits(a) & bits(b));
    case Kind::bitwise_or:
      return static_cast<int64_t>(bits(a) | bits(b));
    case Kind::bitwise_xor:
      return static_cast<int64_t>(bits(a) ^ bits(b));
    case Kind::atan2:
      break;  // of real numbers
  }
  return 0;
}

// The integers of [lo, hi], both ends taken inwards.
int64_t clamp_integer(int64_t x, float lo, float hi) {
  constexpr float kEdge = 9223372036854775808.0f;  // 2^63
  if (lo > -kEdge) {
    const int64_t least = lo >= kEdge ? INT64_MAX : static_cast<int64_t>(std::ceil(lo));
    x = std::max(x, least);
  }
  if (hi < kEdge) {
    const int64_t most = hi <= -kEdge ? INT64_MIN : static_cast<int64_t>(std::floor(hi));
    x = std::min(x, most);
  }
  return x;
}

Status binary_integers(const Call& c, const Binary& op) {
  FIRN_ASSIGN(const Operand a, c.load(0, DType::i64));
  FIRN_ASSIGN(const Operand b, c.load(1, DType::i64));
  FIRN_ASSIGN(const Operand y, c.open(DType::i64));
  int64_t* out = y.i64().data();
  const Shape& shape = c.out.shape;
  for (Walk walk(shape, {broadcast_strides(c.in[0].shape, shape),
                         broadcast_strides(c.in[1].shape, shape)});
       !walk.done(); walk.next()) {
    const int64_t p = a.i64()[static_cast<size_t>(walk[0])];
    const int64_t q = b.i64()[static_cast<size_t>(walk[1])];
    const bool divides = op.kind == Binary::Kind::div || op.kind == Binary::Kind::mod ||
                         op.kind == Binary::Kind::fmod;
    const bool divides_by_zero =
        (divides && q == 0) || (op.kind == Binary::Kind::pow && p == 0 && q < 0);
    if (divides_by_zero) return c.invalid("divides the integer " + std::to_string(p) + " by zero");
    *out++ = clamp_integer(apply_integer(op.kind, p, q), op.clamp.lo, op.clamp.hi);
  }
  c.store(y);
  return {};
}

}  // namespace

Status compute(const Call& c, const Binary& op) {
  if (c.on_integers(0)) return binary_integers(c, op);
  FIRN_ASSIGN(const Operand a, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand b, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  float* out = y.f32().data();
  const Shape& shape = c.out.shape;
  for (Walk walk(shape, {broadcast_strides(c.in[0].shape, shape),
                         broadcast_strides(c.in[1].shape, shape)});
       !walk.done(); walk.next())
    *out++ = clamped(evaluate(op.kind, static_cast<double>(a.f32()[static_cast<size_t>(walk[0])]),
                              static_cast<double>(b.f32()[static_cast<size_t>(walk[1])])),
                     op.clamp);
  c.store(y);
  return {};
}

Status compute(const Call& c, const Unary& op) {
  if (c.on_integers(0)) {
    FIRN_ASSIGN(const Operand x, c.load(0, DType::i64));
    FIRN_ASSIGN(const Operand y, c.open(DType::i64));
    std::ranges::transform(x.i64(), y.i64().begin(), [&](int64_t v) {
      if (op.kind == Unary::Kind::clamp) return clamp_integer(v, op.alpha, op.beta);
      if (op.kind == Unary::Kind::sign) return static_cast<int64_t>((v > 0) - (v < 0));
      const int64_t negative = static_cast<int64_t>(0 - bits(v));
      return op.kind == Unary::Kind::abs && v >= 0 ? v : negative;
    });
    c.store(y);
    return {};
  }
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  std::ranges::transform(x.f32(), y.f32().begin(), [&](float v) {
    return static_cast<float>(evaluate(op, static_cast<double>(v)));
  });
  c.store(y);
  return {};
}

Status compute(const Call& c, const PRelu&) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand slope, c.load(1, DType::f32));
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  float* out = y.f32().data();
  const Shape& shape = c.out.shape;
  for (Walk walk(shape, {dense_strides(shape), broadcast_strides(c.in[1].shape, shape)});
       !walk.done(); walk.next()) {
    const float v = x.f32()[static_cast<size_t>(walk[0])];
    *out++ = v < 0 ? v * slope.f32()[static_cast<size_t>(walk[1])] : v;
  }
  c.store(y);
  return {};
}

Status compute(const Call& c, const Where&) {
  FIRN_ASSIGN(const Operand a, c.load_as_output(1));
  FIRN_ASSIGN(const Operand b, c.load_as_output(2));
  const auto* condition = static_cast<const uint8_t*>(c.in[0].data);
  const Mover from_a(a.tensor, c.out), from_b(b.tensor, c.out);
  const Shape& shape = c.out.shape;
  int64_t to = 0;
  for (Walk walk(shape,
                 {broadcast_strides(c.in[0].shape, shape), broadcast_strides(c.in[1].shape, shape),
                  broadcast_strides(c.in[2].shape, shape)});
       !walk.done(); walk.next(), ++to)
    if (condition[walk[0]] != 0)
      from_a.move(to, walk[1]);
    else
      from_b.move(to, walk[2]);
  return {};
}

}  // namespace firn
