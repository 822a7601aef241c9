// SPDX-License-Identifier: Apache-2.0
// Binary operators on floats that XNNPACK does not have, and on integers and booleans; choices by a
// condition or a sign. All of them with any broadcasting.
#include <cmath>

#include "runtime/lower/lower.h"
#include "runtime/lower/strided_loop.h"

namespace firn {
namespace {

// The loop over the output's elements; its last operand is the output.
StridedLoop broadcast_loop(const LowerContext& context, const Node& node) {
  const Shape& y = context.value(node.out[0]).shape;
  const auto strides = [&](size_t i) {
    return i < node.in.size() ? broadcast_strides(context.value(node.in[i]).shape, y)
                              : dense_strides(y);
  };
  if (node.in.size() == 2) return strided_loop(y, {strides(0), strides(1), strides(2)});
  return strided_loop(y, {strides(0), strides(1), strides(2), strides(3)});
}

// y = f(a, b).
template <typename T, typename R, typename F>
LoweredStep binary_step(const LowerContext& context, const Node& node, F f) {
  const ValueId a = node.in[0], b = node.in[1], y = node.out[0];
  auto step = make_step([=, loop = broadcast_loop(context, node)](const Frame& frame) -> Status {
    const T* from_a = frame.at<const T>(a);
    const T* from_b = frame.at<const T>(b);
    R* to = frame.at<R>(y);
    const int64_t a_step = loop.inner()[0], b_step = loop.inner()[1];
    parallel_elements(frame.pool, loop.elements, [&](size_t begin, size_t end) {
      for_runs(loop, begin, end, [&](const StridedLoop::Offsets& at, size_t count) {
        const T* pa = from_a + at[0];
        const T* pb = from_b + at[1];
        R* py = to + at[2];
        for (size_t i = 0; i < count; ++i, pa += a_step, pb += b_step) py[i] = f(*pa, *pb);
      });
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), "loop");
  lowered.exact_reads = true;
  return lowered;
}

// Calls f with the function of two floats; false where XNNPACK has it, or it is of integers.
template <typename F>
bool with_float_function(Binary::Kind kind, F&& f) {
  switch (kind) {
    case Binary::Kind::max:  // XNNPACK's do not clamp
      f([](float a, float b) { return a > b || a != a ? a : b; });
      return true;
    case Binary::Kind::min:
      f([](float a, float b) { return a < b || a != a ? a : b; });
      return true;
    case Binary::Kind::pow:
      f([](float a, float b) { return std::pow(a, b); });
      return true;
    case Binary::Kind::mod:  // in double: the quotient's floor must not jump by rounding
      f([](float a, float b) {
        return static_cast<float>(
            evaluate(Binary::Kind::mod, static_cast<double>(a), static_cast<double>(b)));
      });
      return true;
    case Binary::Kind::fmod:
      f([](float a, float b) { return std::fmod(a, b); });
      return true;
    case Binary::Kind::atan2:
      f([](float a, float b) { return std::atan2(a, b); });
      return true;
    default:
      return false;
  }
}

template <typename T>
Lowered lower_comparison(const LowerContext& context, const Node& node, const Binary& op,
                         std::vector<LoweredStep>& steps) {
  const auto push = [&](auto f) {
    steps.push_back(binary_step<T, uint8_t>(
        context, node, [f](T a, T b) { return static_cast<uint8_t>(f(a, b)); }));
    return true;
  };
  switch (op.kind) {
    case Binary::Kind::equal:
      return push([](T a, T b) { return a == b; });
    case Binary::Kind::less:
      return push([](T a, T b) { return a < b; });
    case Binary::Kind::greater:
      return push([](T a, T b) { return a > b; });
    default:
      return false;
  }
}

// The bytes of files may be other than 0 and 1.
Lowered lower_logic(const LowerContext& context, const Node& node, const Binary& op,
                    std::vector<LoweredStep>& steps) {
  const auto push = [&](auto f) {
    steps.push_back(binary_step<uint8_t, uint8_t>(context, node, [f](uint8_t a, uint8_t b) {
      return static_cast<uint8_t>(f(a != 0, b != 0));
    }));
    return true;
  };
  switch (op.kind) {
    case Binary::Kind::logical_and:
      return push([](bool a, bool b) { return a && b; });
    case Binary::Kind::logical_or:
      return push([](bool a, bool b) { return a || b; });
    case Binary::Kind::equal:
      return push([](bool a, bool b) { return a == b; });
    default:
      return false;
  }
}

// Products, sums and the like; what can fail on certain numbers is the reference's.
template <typename T>
Lowered lower_integers(const LowerContext& context, const Node& node, const Binary& op,
                       std::vector<LoweredStep>& steps) {
  using Kind = Binary::Kind;
  const auto push = [&](auto f) {
    steps.push_back(binary_step<T, T>(context, node, [f](T a, T b) {
      // Wraps: computed without a sign.
      return static_cast<T>(
          f(static_cast<std::make_unsigned_t<T>>(a), static_cast<std::make_unsigned_t<T>>(b)));
    }));
    return true;
  };
  if (!op.clamp.none()) return false;
  switch (op.kind) {
    case Kind::add:
      return push([](auto a, auto b) { return a + b; });
    case Kind::sub:
      return push([](auto a, auto b) { return a - b; });
    case Kind::mul:
      return push([](auto a, auto b) { return a * b; });
    case Kind::bitwise_and:
      return push([](auto a, auto b) { return a & b; });
    case Kind::bitwise_or:
      return push([](auto a, auto b) { return a | b; });
    case Kind::bitwise_xor:
      return push([](auto a, auto b) { return a ^ b; });
    case Kind::max:
      steps.push_back(binary_step<T, T>(context, node, [](T a, T b) { return std::max(a, b); }));
      return true;
    case Kind::min:
      steps.push_back(binary_step<T, T>(context, node, [](T a, T b) { return std::min(a, b); }));
      return true;
    default:
      return lower_comparison<T>(context, node, op, steps);
  }
}

template <typename T>
LoweredStep where_step(const LowerContext& context, const Node& node) {
  const ValueId c = node.in[0], a = node.in[1], b = node.in[2], y = node.out[0];
  auto step = make_step([=, loop = broadcast_loop(context, node)](const Frame& frame) -> Status {
    const StridedLoop::Offsets& by = loop.inner();
    parallel_elements(frame.pool, loop.elements, [&](size_t begin, size_t end) {
      for_runs(loop, begin, end, [&](const StridedLoop::Offsets& at, size_t count) {
        const auto* condition = frame.at<const uint8_t>(c) + at[0];
        const T* pa = frame.at<const T>(a) + at[1];
        const T* pb = frame.at<const T>(b) + at[2];
        T* to = frame.at<T>(y) + at[3];
        for (size_t i = 0; i < count; ++i, condition += by[0], pa += by[1], pb += by[2])
          to[i] = *condition != 0 ? *pa : *pb;
      });
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), "loop");
  lowered.exact_reads = true;
  return lowered;
}

}  // namespace

Lowered lower_binary_plain(const LowerContext& context, const Node& node, const Binary& op,
                           std::vector<LoweredStep>& steps) {
  const Value &a = context.value(node.in[0]), &b = context.value(node.in[1]);
  const Value& y = context.value(node.out[0]);
  if (a.type != b.type || a.quant || b.quant || y.quant) return false;
  if (y.type == DType::boolean && !op.clamp.none()) return false;
  if (a.type == DType::i32) return lower_integers<int32_t>(context, node, op, steps);
  if (a.type == DType::i64) return lower_integers<int64_t>(context, node, op, steps);
  if (a.type == DType::boolean) return lower_logic(context, node, op, steps);
  if (a.type != DType::f32) return false;
  if (y.type == DType::boolean) return lower_comparison<float>(context, node, op, steps);
  return y.type == DType::f32 && with_float_function(op.kind, [&](auto f) {
           const float lo = op.clamp.lo, hi = op.clamp.hi;
           steps.push_back(binary_step<float, float>(context, node, [=](float p, float q) {
             const float v = f(p, q);
             return v < lo ? lo : v > hi ? hi : v;  // NaN stays
           }));
         });
}

Lowered lower_where(const LowerContext& context, const Node& node, const Where&,
                    std::vector<LoweredStep>& steps) {
  const Value& y = context.value(node.out[0]);
  for (const size_t i : {1, 2}) {
    const Value& from = context.value(node.in[i]);
    if (from.type != y.type || from.quant != y.quant) return false;
  }
  switch (dtype_bytes(y.type)) {
    case 1:
      steps.push_back(where_step<uint8_t>(context, node));
      return true;
    case 2:
      steps.push_back(where_step<uint16_t>(context, node));
      return true;
    case 4:
      steps.push_back(where_step<uint32_t>(context, node));
      return true;
    default:
      steps.push_back(where_step<uint64_t>(context, node));
      return true;
  }
}

Lowered lower_prelu(const LowerContext& context, const Node& node, const PRelu&,
                    std::vector<LoweredStep>& steps) {
  for (const ValueId id : {node.in[0], node.in[1], node.out[0]})
    if (!is_plain(context.value(id), DType::f32)) return false;
  steps.push_back(binary_step<float, float>(
      context, node, [](float x, float slope) { return x < 0 ? x * slope : x; }));
  return true;
}

}  // namespace firn
