// SPDX-License-Identifier: Apache-2.0
// Gathers of any type: indices are checked, then rows are copied, or made floats of.
#include <cstring>
#include <string>

#include "runtime/geometry.h"
#include "runtime/lower/lower.h"
#include "runtime/packed.h"

namespace firn {
namespace {

// [outer, dim, row of bytes] to [outer, count, row of bytes].
struct Rows {
  size_t outer, dim, count, bytes;
};

// copy(row of y, row of x) for each.
template <typename Index, typename Copy>
Status run_gather(const Rows& r, const Index* indices, kernels::Pool& pool, const std::string& name,
                  int axis, const Copy& copy) {
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
      copy(row, row / r.count * r.dim + static_cast<size_t>(i < 0 ? i + dim : i));
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
  const bool to_floats = gives_floats(from) && is_plain(context.value(y), DType::f32);
  if ((!to_floats && !moves_as_is(from, context.value(y))) || by.quant) return false;
  const int axis = *normalize_axis(op.axis, from.shape.rank);
  Rows rows{1, static_cast<size_t>(from.shape[axis]), by.shape.elements(),
            dtype_bytes(context.value(y).type)};
  for (int d = 0; d < axis; ++d) rows.outer *= static_cast<size_t>(from.shape[d]);
  for (int d = axis + 1; d < from.shape.rank; ++d) rows.bytes *= static_cast<size_t>(from.shape[d]);
  const bool narrow = by.type == DType::i32;
  const auto gather = [=, name = describe(node)](const Frame& frame, const auto& copy) -> Status {
    return narrow
               ? run_gather(rows, frame.at<const int32_t>(indices), frame.pool, name, axis, copy)
               : run_gather(rows, frame.at<const int64_t>(indices), frame.pool, name, axis, copy);
  };
  if (to_floats) {
    LoweredStep lowered = describe_step(
        context, node, make_step([=, &from](const Frame& frame) -> Status {
          auto* to = frame.at<std::byte>(y);
          const size_t n = rows.bytes / sizeof(float);
          return gather(frame, [&](size_t row, size_t at) {
            read_weights(from, at * n, {reinterpret_cast<float*>(to + row * rows.bytes), n});
          });
        }),
        "dequantize");
    lowered.reads = {indices};
    lowered.exact_reads = true;
    lowered.weight_bytes = from.constant->bytes().size();
    steps.push_back(std::move(lowered));
    return true;
  }
  auto step = make_step([=](const Frame& frame) -> Status {
    const auto* source = frame.at<const std::byte>(x);
    auto* to = frame.at<std::byte>(y);
    return gather(frame, [&](size_t row, size_t at) {
      std::memcpy(to + row * rows.bytes, source + at * rows.bytes, rows.bytes);
    });
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), "copy");
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
  return true;
}

}  // namespace firn
