// SPDX-License-Identifier: Apache-2.0
// Softmax and its logarithm over any axis.
#include <algorithm>
#include <cmath>

#include "runtime/geometry.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

// Lines that are worked on together, neighbours in memory.
constexpr size_t kBlock = 64;

// [outer, count, inner], along the middle.
struct Lines {
  size_t outer, count, inner;
  bool log;
};

// `n` neighbouring lines: exponentials relative to each line's largest, so that none overflows.
void softmax_block(const Lines& s, const kernels::VecF32& vec, size_t n, const float* x, float* y) {
  float largest[kBlock], sum[kBlock] = {};
  std::copy_n(x, n, largest);
  for (size_t r = 1; r < s.count; ++r)
    for (size_t i = 0; i < n; ++i) largest[i] = std::max(largest[i], x[r * s.inner + i]);
  for (size_t r = 0; r < s.count; ++r) {
    const float* from = x + r * s.inner;
    float* to = y + r * s.inner;
    for (size_t i = 0; i < n; ++i) to[i] = from[i] - largest[i];
    vec.exp(n, to, to);
    for (size_t i = 0; i < n; ++i) sum[i] += to[i];
  }
  for (size_t i = 0; i < n; ++i) sum[i] = s.log ? largest[i] + std::log(sum[i]) : 1.0f / sum[i];
  for (size_t r = 0; r < s.count; ++r) {
    const float* from = x + r * s.inner;
    float* to = y + r * s.inner;
    for (size_t i = 0; i < n; ++i) to[i] = s.log ? from[i] - sum[i] : to[i] * sum[i];
  }
}

// One line of neighbours.
void log_softmax_row(const Lines& s, const kernels::VecF32& vec, const float* x, float* y) {
  const float largest = *std::max_element(x, x + s.count);
  for (size_t i = 0; i < s.count; ++i) y[i] = x[i] - largest;
  vec.exp(s.count, y, y);
  const float total = largest + std::log(vec.sum(s.count, y));
  for (size_t i = 0; i < s.count; ++i) y[i] = x[i] - total;
}

}  // namespace

Lowered lower_softmax(const LowerContext& context, const Node& node, const Softmax& op,
                      std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], y = node.out[0];
  const Shape& shape = context.value(x).shape;
  if (!is_plain(context.value(x), DType::f32) || !is_plain(context.value(y), DType::f32) ||
      shape.rank == 0)
    return false;
  const int axis = *normalize_axis(op.axis, shape.rank);
  Lines s{1, static_cast<size_t>(shape[axis]), 1, op.log};
  for (int d = 0; d < axis; ++d) s.outer *= static_cast<size_t>(shape[d]);
  for (int d = axis + 1; d < shape.rank; ++d) s.inner *= static_cast<size_t>(shape[d]);
  const size_t blocks = (s.inner + kBlock - 1) / kBlock;
  const kernels::VecF32& vec = context.vec_f32();
  auto step = make_step([=, &vec](const Frame& frame) -> Status {
    const size_t grain = 1 + (size_t{1} << 14) / (s.count * std::min(s.inner, kBlock));
    frame.pool.parallel_for(s.outer * blocks, grain, [&](size_t begin, size_t end) {
      for (size_t b = begin; b < end; ++b) {
        const size_t first = b % blocks * kBlock;
        const size_t at = b / blocks * s.count * s.inner + first;
        const float* from = frame.at<const float>(x) + at;
        float* to = frame.at<float>(y) + at;
        if (s.inner > 1) {
          softmax_block(s, vec, std::min(kBlock, s.inner - first), from, to);
        } else if (s.log) {
          log_softmax_row(s, vec, from, to);
        } else {
          vec.softmax(1, s.count, from, to);
        }
      }
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), vec.name);
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
  return true;
}

}  // namespace firn
