// SPDX-License-Identifier: Apache-2.0
// Reductions over any axes, of floats and integers, and the positions of extremes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/lower/lower.h"
#include "runtime/lower/strided_loop.h"

namespace firn {
namespace {

// Outputs whose sums are kept at once.
constexpr size_t kBlock = 64;

// What is reduced, and what is kept; operands: the input, and for `kept` the output.
struct Plan {
  StridedLoop kept, reduced;
};

Plan make_plan(const Shape& x, const std::vector<int32_t>& axes) {
  const Strides strides = dense_strides(x);
  Shape kept = x, reduced = x;
  for (int d = 0; d < x.rank; ++d)
    (std::ranges::find(axes, d) != axes.end() ? kept : reduced)[d] = 1;
  return {strided_loop(kept, {strides, dense_strides(kept)}), strided_loop(reduced, {strides})};
}

// One step of a reduction from the accumulator's first value on. Floats are summed in double;
// integers wrap.
struct Sum {
  template <typename A>
  static A next(A sum, A x) {
    return sum + x;
  }
};
struct Squares {
  template <typename A>
  static A next(A sum, A x) {
    return sum + x * x;
  }
};
struct Absolutes {
  static double next(double sum, double x) { return sum + std::abs(x); }
  static uint64_t next(uint64_t sum, uint64_t x) { return sum + (x >> 63 != 0 ? 0 - x : x); }
};
struct Product {
  template <typename A>
  static A next(A product, A x) {
    return product * x;
  }
};
// NaN wins.
struct Largest {
  static double next(double best, double x) { return x > best || x != x ? x : best; }
  static uint64_t next(uint64_t best, uint64_t x) {
    return static_cast<int64_t>(x) > static_cast<int64_t>(best) ? x : best;
  }
};
struct Smallest {
  static double next(double best, double x) { return x < best || x != x ? x : best; }
  static uint64_t next(uint64_t best, uint64_t x) {
    return static_cast<int64_t>(x) < static_cast<int64_t>(best) ? x : best;
  }
};

// The accumulator of an element type: integers as bits, so that they wrap.
template <typename T>
struct AccumulatorOf {
  using Type = uint64_t;
  static Type from(T x) { return static_cast<uint64_t>(static_cast<int64_t>(x)); }
};
template <>
struct AccumulatorOf<float> {
  using Type = double;
  static Type from(float x) { return static_cast<double>(x); }
};

// The reduction of n elements, `step` apart. Eight at a time where they are neighbours.
template <typename Kind, typename T, typename A>
A reduce_row(A start, A first, const T* x, size_t n, int64_t step) {
  constexpr size_t kParts = 8;
  using Of = AccumulatorOf<T>;
  size_t i = 0;
  if (step == 1 && n >= 2 * kParts) {
    A part[kParts];
    std::fill_n(part, kParts, start);
    for (; i + kParts <= n; i += kParts)
      for (size_t p = 0; p < kParts; ++p) part[p] = Kind::next(part[p], Of::from(x[i + p]));
    // Parts are joined as sums, not as their elements.
    using Join =
        std::conditional_t<std::is_same_v<Kind, Squares> || std::is_same_v<Kind, Absolutes>, Sum,
                           Kind>;
    for (const A& p : part) first = Join::next(first, p);
  }
  for (; i < n; ++i) first = Kind::next(first, Of::from(x[static_cast<int64_t>(i) * step]));
  return first;
}

// Up to kBlock outputs, whose inputs begin `apart` elements from one another.
template <typename Kind, typename T, typename A>
void reduce_block(const StridedLoop& reduced, A start, const T* x, int64_t apart, size_t count,
                  A* result) {
  std::fill_n(result, count, start);
  for_runs(reduced, 0, reduced.elements, [&](const StridedLoop::Offsets& at, size_t n) {
    const int64_t step = reduced.inner()[0];
    const T* from = x + at[0];
    if (apart == 1 && count > 1) {
      for (size_t i = 0; i < n; ++i, from += step)
        for (size_t o = 0; o < count; ++o)
          result[o] = Kind::next(result[o], AccumulatorOf<T>::from(from[o]));
    } else {
      for (size_t o = 0; o < count; ++o)
        result[o] =
            reduce_row<Kind>(start, result[o], from + static_cast<int64_t>(o) * apart, n, step);
    }
  });
}

// y = finish(reduction of its part of x).
template <typename Kind, typename T, typename F>
LoweredStep reduce_step(const LowerContext& context, const Node& node, const Plan& plan,
                        typename AccumulatorOf<T>::Type start, F finish) {
  const ValueId x = node.in[0], y = node.out[0];
  using A = typename AccumulatorOf<T>::Type;
  auto step = make_step([=](const Frame& frame) -> Status {
    const T* from = frame.at<const T>(x);
    T* to = frame.at<T>(y);
    constexpr size_t kGrain = size_t{1} << 15;  // inputs worth a wake-up
    const size_t grain = std::max(kBlock, kGrain / plan.reduced.elements);
    frame.pool.parallel_for(plan.kept.elements, grain, [&](size_t begin, size_t end) {
      for_runs(plan.kept, begin, end, [&](const StridedLoop::Offsets& at, size_t n) {
        const int64_t apart = plan.kept.inner()[0];
        A block[kBlock];
        for (size_t o = 0; o < n; o += kBlock) {
          const size_t count = std::min(kBlock, n - o);
          const T* first = from + at[0] + static_cast<int64_t>(o) * apart;
          reduce_block<Kind>(plan.reduced, start, first, apart, count, block);
          T* out = to + at[1] + static_cast<int64_t>(o);
          for (size_t i = 0; i < count; ++i)
            out[i] = finish(block[i], first + static_cast<int64_t>(i) * apart);
        }
      });
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), "loop");
  lowered.exact_reads = true;
  return lowered;
}

LoweredStep reduce_floats(const LowerContext& context, const Node& node, const Reduce& op,
                          const Plan& plan) {
  using Kind = Reduce::Kind;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto as_is = [](double sum, const float*) { return static_cast<float>(sum); };
  switch (op.kind) {
    case Kind::mean: {
      const auto count = static_cast<double>(plan.reduced.elements);
      return reduce_step<Sum, float>(context, node, plan, 0, [=](double sum, const float*) {
        return static_cast<float>(sum / count);
      });
    }
    case Kind::sum:
      return reduce_step<Sum, float>(context, node, plan, 0, as_is);
    case Kind::max:
      return reduce_step<Largest, float>(context, node, plan, -kInfinity, as_is);
    case Kind::min:
      return reduce_step<Smallest, float>(context, node, plan, kInfinity, as_is);
    case Kind::prod:
      return reduce_step<Product, float>(context, node, plan, 1, as_is);
    case Kind::sum_square:
      return reduce_step<Squares, float>(context, node, plan, 0, as_is);
    case Kind::l1:
      return reduce_step<Absolutes, float>(context, node, plan, 0, as_is);
    case Kind::l2:
      return reduce_step<Squares, float>(context, node, plan, 0, [](double sum, const float*) {
        return static_cast<float>(std::sqrt(sum));
      });
    case Kind::log_sum_exp:
      break;
  }
  // Relative to the largest, so that no exponential overflows.
  return reduce_step<Largest, float>(
      context, node, plan, -kInfinity, [reduced = plan.reduced](double largest, const float* x) {
        if (!std::isfinite(largest)) return static_cast<float>(largest);
        double sum = 0;
        for_runs(reduced, 0, reduced.elements, [&](const StridedLoop::Offsets& at, size_t n) {
          const float* from = x + at[0];
          for (size_t i = 0; i < n; ++i, from += reduced.inner()[0])
            sum += std::exp(static_cast<double>(*from) - largest);
        });
        return static_cast<float>(largest + std::log(sum));
      });
}

template <typename T>
LoweredStep reduce_integers(const LowerContext& context, const Node& node, const Reduce& op,
                            const Plan& plan) {
  using Kind = Reduce::Kind;
  const auto wrapped = [](uint64_t x, const T*) { return static_cast<T>(x); };
  switch (op.kind) {
    case Kind::max:
      return reduce_step<Largest, T>(context, node, plan, static_cast<uint64_t>(INT64_MIN),
                                     wrapped);
    case Kind::min:
      return reduce_step<Smallest, T>(context, node, plan, static_cast<uint64_t>(INT64_MAX),
                                      wrapped);
    case Kind::prod:
      return reduce_step<Product, T>(context, node, plan, 1, wrapped);
    case Kind::sum_square:
      return reduce_step<Squares, T>(context, node, plan, 0, wrapped);
    case Kind::l1:
      return reduce_step<Absolutes, T>(context, node, plan, 0, wrapped);
    default:
      return reduce_step<Sum, T>(context, node, plan, 0, wrapped);
  }
}

// The first of the extremes along an axis of `count` elements, `step` apart.
template <typename T>
int64_t extreme(const T* x, int64_t count, int64_t step, bool min) {
  int64_t best = 0;
  T value = x[0];
  for (int64_t i = 1; i < count; ++i) {
    const T v = x[i * step];
    if (min ? v < value : v > value) {
      best = i;
      value = v;
    }
  }
  return best;
}

template <typename T>
LoweredStep extreme_step(const LowerContext& context, const Node& node, const ArgMax& op) {
  const ValueId x = node.in[0], y = node.out[0];
  const Shape& shape = context.value(x).shape;
  const int axis = *normalize_axis(op.axis, shape.rank);
  const int64_t count = shape[axis], step = dense_strides(shape)[static_cast<size_t>(axis)];
  const StridedLoop kept = make_plan(shape, {axis}).kept;
  LoweredStep lowered =
      describe_step(context, node, make_step([=, min = op.min](const Frame& frame) -> Status {
                      const size_t grain = 1 + (size_t{1} << 15) / static_cast<size_t>(count);
                      frame.pool.parallel_for(kept.elements, grain, [&](size_t begin, size_t end) {
                        for_runs(kept, begin, end, [&](const StridedLoop::Offsets& at, size_t n) {
                          const T* from = frame.at<const T>(x) + at[0];
                          int64_t* to = frame.at<int64_t>(y) + at[1];
                          for (size_t i = 0; i < n; ++i, from += kept.inner()[0])
                            to[i] = extreme(from, count, step, min);
                        });
                      });
                      return {};
                    }),
                    "loop");
  lowered.exact_reads = true;
  return lowered;
}

}  // namespace

Lowered lower_reduce_plain(const LowerContext& context, const Node& node, const Reduce& op,
                           std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (x.type != y.type || x.quant || y.quant) return false;
  const Plan plan = make_plan(x.shape, op.axes);
  if (x.type == DType::f32) {
    steps.push_back(reduce_floats(context, node, op, plan));
  } else if (x.type == DType::i32) {
    steps.push_back(reduce_integers<int32_t>(context, node, op, plan));
  } else if (x.type == DType::i64) {
    steps.push_back(reduce_integers<int64_t>(context, node, op, plan));
  } else {
    return false;
  }
  return true;
}

Lowered lower_arg_max(const LowerContext& context, const Node& node, const ArgMax& op,
                      std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  if (x.quant) return false;
  if (x.type == DType::f32) {
    steps.push_back(extreme_step<float>(context, node, op));
  } else if (x.type == DType::i32) {
    steps.push_back(extreme_step<int32_t>(context, node, op));
  } else if (x.type == DType::i64) {
    steps.push_back(extreme_step<int64_t>(context, node, op));
  } else {
    return false;
  }
  return true;
}

}  // namespace firn
