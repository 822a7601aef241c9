// SPDX-License-Identifier: Apache-2.0
// Reductions over axes, and positions of extremes.
#include <algorithm>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using Kind = Reduce::Kind;

// The axes as Reduce wants them; all of them where none is stated.
Result<std::vector<int32_t>> reduced_axes(Context& c, int rank) {
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.ints(1));
  std::vector<int32_t> axes;
  for (const int64_t number : stated) {
    FIRN_ASSIGN(const int32_t axis, c.axis(number, rank));
    axes.push_back(axis);
  }
  std::ranges::sort(axes);
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

template <Kind kKind>
Status reduce(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::ReducerOptions>(wire::BuiltinOptions::Reducer));
  const bool keep = options != nullptr && options->keep_dims();
  FIRN_ASSIGN(const ValueId x, c.input(0));
  if (!c.is_known(1)) {
    FIRN_ASSIGN(const ValueId numbers, c.number(0));
    FIRN_ASSIGN(const ValueId computed, c.input(1));
    const Reduce op{kKind, {}, keep, true, true};
    return c.bind(c.reduce("", op, numbers, computed));
  }
  FIRN_ASSIGN(std::vector<int32_t> axes, reduced_axes(c, c.rank(x)));
  if (axes.empty()) return c.bind(x);
  // Means over pictures have a kernel.
  if (kKind == Kind::mean && c.is_int8(x) && c.rank(x) == 4 && axes == std::vector{1, 2}) {
    return c.bind(c.compute(Reduce{kKind, std::move(axes), keep}, {x}));
  }
  FIRN_ASSIGN(const ValueId numbers, c.number(0));
  return c.bind(c.reduce("", kKind, numbers, std::move(axes), keep));
}

template <bool kMin>
Status arg_extreme(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.number(0));
  FIRN_ASSIGN(const int32_t axis, c.axis_input(1, c.rank(x)));
  return c.bind(c.emit("", ArgMax{axis, false, kMin}, {x}));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::ARG_MAX, arg_extreme<false>},
    {wire::BuiltinOperator::ARG_MIN, arg_extreme<true>},
    {wire::BuiltinOperator::MEAN, reduce<Kind::mean>},
    {wire::BuiltinOperator::REDUCE_ALL, reduce<Kind::min>},
    {wire::BuiltinOperator::REDUCE_ANY, reduce<Kind::max>},
    {wire::BuiltinOperator::REDUCE_MAX, reduce<Kind::max>},
    {wire::BuiltinOperator::REDUCE_MIN, reduce<Kind::min>},
    {wire::BuiltinOperator::REDUCE_PROD, reduce<Kind::prod>},
    {wire::BuiltinOperator::SUM, reduce<Kind::sum>},
};

}  // namespace

std::span<const Operator> reduce_operators() {
  return kOperators;
}

}  // namespace firn::tflite
