// SPDX-License-Identifier: Apache-2.0
// Gathers of any type: indices are checked, then rows are copied.
#include <cstring>
#include <string>

#include "runtime/geometry.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

// [outer, dim, row of bytes] to [outer, count, row of bytes].
struct Rows {
  size_t outer, dim, count, bytes;
};

template <typename Index>
Status run_gather(const Rows& r, const Index* indices, const std::byte* from, std::byte* to,
                  kernels::Pool& pool, const std::string& name, int axis) {
  const auto dim = static_cast<int64_t>(r.dim);
  for (size_t i = 0; i < r.count; ++i)
    if (indices[i] < -dim || indices[i] >= dim)
      return {Code::invalid_argument, name + ": index " + std::to_string(indices[i]) + ", axis " +
                                          std::to_string(axis) + " of the input has " +
                                          std::to_string(dim)};
  constexpr size_t kGrain = size_t{1} << 17;  // bytes worth a wake-up
  pool.parallel_for(r.outer * r.count, 1 + kGrain / r.bytes, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const int64_t i = indices[row % r.count];
      const auto at = static_cast<size_t>(i < 0 ? i + dim : i);
      std::memcpy(to + row * r.bytes, from + (row / r.count * r.dim + at) * r.bytes, r.bytes);
    }
  });
  return {};
}

}  // namespace

Lowered lower_gather(const LowerContext& context, const Node& node, const Gather& op,
                     std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], indices = node.in[1], y = node.out[0];
  const Value& from = context.value(x);
  const Value& by = context.value(indices);
  if (!moves_as_is(from, context.value(y)) || by.quant) return false;
  const int axis = *normalize_axis(op.axis, from.shape.rank);
  Rows rows{1, static_cast<size_t>(from.shape[axis]), by.shape.elements(), dtype_bytes(from.type)};
  for (int d = 0; d < axis; ++d) rows.outer *= static_cast<size_t>(from.shape[d]);
  for (int d = axis + 1; d < from.shape.rank; ++d) rows.bytes *= static_cast<size_t>(from.shape[d]);
  auto step = make_step(
      [=, narrow = by.type == DType::i32, name = describe(node)](const Frame& frame) -> Status {
        const auto* source = frame.at<const std::byte>(x);
        auto* to = frame.at<std::byte>(y);
        return narrow ? run_gather(rows, frame.at<const int32_t>(indices), source, to, frame.pool,
                                   name, axis)
                      : run_gather(rows, frame.at<const int64_t>(indices), source, to, frame.pool,
                                   name, axis);
      });
  LoweredStep lowered = describe_step(context, node, std::move(step), "copy");
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
  return true;
}

}  // namespace firn
