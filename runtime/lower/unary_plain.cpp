// SPDX-License-Identifier: Apache-2.0
// Unary operators on floats that XNNPACK does not have in every release, and on integers and
// booleans.
#include <cmath>

#include "kernels/vec_f32.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

using Kind = Unary::Kind;

// y = f(x), element by element, inlined into the loop.
template <typename T, typename R, typename F>
LoweredStep map_step(const LowerContext& context, const Node& node, F f) {
  const ValueId x = node.in[0], y = node.out[0];
  const size_t n = context.value(x).shape.elements();
  LoweredStep lowered =
      describe_step(context, node, make_step([=](const Frame& frame) -> Status {
                      const T* from = frame.at<const T>(x);
                      R* to = frame.at<R>(y);
                      parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
                        for (size_t i = begin; i < end; ++i) to[i] = f(from[i]);
                      });
                      return {};
                    }),
                    "loop");
  lowered.exact_reads = true;
  return lowered;
}

kernels::VecF32::Map vector_map(const kernels::VecF32& vec, const Unary& op) {
  switch (op.kind) {
    case Kind::exp:
      return vec.exp;
    case Kind::tanh:
      return vec.tanh;
    case Kind::erf:
      return vec.erf;
    case Kind::silu:
      return op.alpha == 1 ? vec.silu : nullptr;
    case Kind::softplus:
      return vec.softplus;
    case Kind::mish:
      return vec.mish;
    case Kind::gelu:
      return vec.gelu;
    case Kind::gelu_tanh:
      return vec.gelu_tanh;
    default:
      return nullptr;
  }
}

LoweredStep vector_step(const LowerContext& context, const Node& node, const kernels::VecF32& vec,
                        kernels::VecF32::Map map) {
  const ValueId x = node.in[0], y = node.out[0];
  const size_t n = context.value(x).shape.elements();
  LoweredStep lowered = describe_step(
      context, node, make_step([=](const Frame& frame) -> Status {
        parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
          map(end - begin, frame.at<const float>(x) + begin, frame.at<float>(y) + begin);
        });
        return {};
      }),
      vec.name);
  lowered.exact_reads = true;
  return lowered;
}

// The functions of the C library, and what is one line.
LoweredStep function_step(const LowerContext& context, const Node& node, const Unary& op) {
  const auto step = [&](auto f) { return map_step<float, float>(context, node, f); };
  const float alpha = op.alpha, beta = op.beta;
  switch (op.kind) {
    case Kind::log:
      return step([](float x) { return std::log(x); });
    case Kind::reciprocal:
      return step([](float x) { return 1.0f / x; });
    case Kind::sin:
      return step([](float x) { return std::sin(x); });
    case Kind::cos:
      return step([](float x) { return std::cos(x); });
    case Kind::hard_sigmoid:
      return step([=](float x) {
        const float y = alpha * x + beta;
        return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
      });
    case Kind::softsign:
      return step([](float x) { return x / (1.0f + std::abs(x)); });
    case Kind::sign:
      return step([](float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; });
    case Kind::trunc:
      return step([](float x) { return std::trunc(x); });
    default:  // once in a network, if at all
      return step([op](float x) { return static_cast<float>(evaluate(op, double{x})); });
  }
}

// The kinds that inference lets pass on integers.
template <typename T>
Lowered lower_integers(const LowerContext& context, const Node& node, const Unary& op,
                       std::vector<LoweredStep>& steps) {
  const auto negative = [](T x) {
    return static_cast<T>(std::make_unsigned_t<T>{0} - static_cast<std::make_unsigned_t<T>>(x));
  };
  const auto push = [&](auto f) {
    steps.push_back(map_step<T, T>(context, node, f));
    return true;
  };
  switch (op.kind) {
    case Kind::neg:
      return push(negative);
    case Kind::abs:
      return push([=](T x) { return x < 0 ? negative(x) : x; });
    case Kind::sign:
      return push([](T x) { return static_cast<T>((x > 0) - (x < 0)); });
    default:
      return false;
  }
}

}  // namespace

Lowered lower_unary_plain(const LowerContext& context, const Node& node, const Unary& op,
                          std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (x.quant || y.quant) return false;
  if (x.type == DType::i32) return lower_integers<int32_t>(context, node, op, steps);
  if (x.type == DType::i64) return lower_integers<int64_t>(context, node, op, steps);
  if (op.kind == Kind::logical_not && x.type == DType::boolean) {
    steps.push_back(map_step<uint8_t, uint8_t>(
        context, node, [](uint8_t v) { return static_cast<uint8_t>(v == 0); }));
    return true;
  }
  if (x.type != DType::f32) return false;
  if (op.kind == Kind::is_nan) {
    steps.push_back(map_step<float, uint8_t>(
        context, node, [](float v) { return static_cast<uint8_t>(std::isnan(v)); }));
    return true;
  }
  const kernels::VecF32& vec = context.vec_f32();
  const kernels::VecF32::Map map = vector_map(vec, op);
  steps.push_back(map != nullptr ? vector_step(context, node, vec, map)
                                 : function_step(context, node, op));
  return true;
}

}  // namespace firn
