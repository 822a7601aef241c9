// SPDX-License-Identifier: Apache-2.0
// Normalizations in float: over pixels and across channels.
#include <algorithm>
#include <cmath>

#include "runtime/lower/lower.h"

namespace firn {
namespace {

// Channels whose sums are kept at once.
constexpr size_t kBlock = 64;

// One sample's pixels of c channels, of which `n` from the first on.
struct Channels {
  size_t pixels, c, n;
};

// y = (x - mean) / sqrt(variance + epsilon) * scale + bias; sums in double.
void normalize_channels(const Channels& s, float epsilon, const float* x, const float* scale,
                        const float* bias, float* y) {
  double sum[kBlock] = {}, squares[kBlock] = {};
  float mean[kBlock], factor[kBlock];
  for (size_t p = 0; p < s.pixels; ++p)
    for (size_t i = 0; i < s.n; ++i) sum[i] += static_cast<double>(x[p * s.c + i]);
  for (size_t i = 0; i < s.n; ++i)
    mean[i] = static_cast<float>(sum[i] / static_cast<double>(s.pixels));
  for (size_t p = 0; p < s.pixels; ++p)
    for (size_t i = 0; i < s.n; ++i) {
      const float d = x[p * s.c + i] - mean[i];
      squares[i] += static_cast<double>(d * d);
    }
  for (size_t i = 0; i < s.n; ++i) {
    const double variance = squares[i] / static_cast<double>(s.pixels);
    factor[i] = static_cast<float>(static_cast<double>(scale[i]) /
                                   std::sqrt(variance + static_cast<double>(epsilon)));
  }
  for (size_t p = 0; p < s.pixels; ++p)
    for (size_t i = 0; i < s.n; ++i)
      y[p * s.c + i] = (x[p * s.c + i] - mean[i]) * factor[i] + bias[i];
}

bool are_floats(const LowerContext& context, const Node& node) {
  const auto is_f32 = [&](ValueId id) {
    return id == ValueId::none || is_plain(context.value(id), DType::f32);
  };
  return std::ranges::all_of(node.in, is_f32) && is_f32(node.out[0]);
}

void push_exact(const LowerContext& context, const Node& node, std::unique_ptr<Step> step,
                const char* kernel, std::vector<LoweredStep>& steps) {
  LoweredStep lowered = describe_step(context, node, std::move(step), kernel);
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
}

}  // namespace

Lowered lower_instance_norm(const LowerContext& context, const Node& node, const InstanceNorm& op,
                            std::vector<LoweredStep>& steps) {
  if (!are_floats(context, node)) return false;
  const ValueId x = node.in[0], scale = node.in[1], bias = node.in[2], y = node.out[0];
  const Shape& shape = context.value(x).shape;
  const auto samples = static_cast<size_t>(shape[0]);
  const auto c = static_cast<size_t>(shape[shape.rank - 1]);
  const size_t pixels = shape.elements() / samples / c;
  // Blocks of whole vectors, as many as keep the threads busy.
  const auto threads = static_cast<size_t>(context.pool.threads());
  const size_t share = (samples * c / threads + 15) / 16 * 16;
  const size_t block = std::clamp<size_t>(share, 16, kBlock), blocks = (c + block - 1) / block;
  push_exact(context, node, make_step([=, epsilon = op.epsilon](const Frame& frame) -> Status {
               frame.pool.parallel_for(samples * blocks, 1, [&](size_t begin, size_t end) {
                 for (size_t b = begin; b < end; ++b) {
                   const size_t first = b % blocks * block;
                   const size_t at = b / blocks * pixels * c + first;
                   normalize_channels({pixels, c, std::min(block, c - first)}, epsilon,
                                      frame.at<const float>(x) + at,
                                      frame.at<const float>(scale) + first,
                                      frame.at<const float>(bias) + first, frame.at<float>(y) + at);
                 }
               });
               return {};
             }),
             "loop", steps);
  return true;
}

Lowered lower_layer_norm(const LowerContext& context, const Node& node, const LayerNorm& op,
                         std::vector<LoweredStep>& steps) {
  if (!are_floats(context, node)) return false;
  const auto input = [&](size_t i) { return i < node.in.size() ? node.in[i] : ValueId::none; };
  const ValueId x = node.in[0], y = node.out[0];
  const Shape& shape = context.value(x).shape;
  kernels::LayerNormF32 norm;
  norm.c = static_cast<size_t>(shape[shape.rank - 1]);
  norm.epsilon = op.epsilon;
  norm.centred = op.centred;
  const size_t rows = shape.elements() / norm.c;
  const kernels::VecF32& vec = context.vec_f32();
  push_exact(context, node,
             make_step([=, scale = input(1), bias = input(2),
                        run = vec.layer_norm](const Frame& frame) -> Status {
               const auto vector = [&](ValueId id) {
                 return id == ValueId::none ? nullptr : frame.at<const float>(id);
               };
               const size_t grain = 1 + (size_t{1} << 14) / norm.c;
               frame.pool.parallel_for(rows, grain, [&](size_t begin, size_t end) {
                 kernels::LayerNormF32 now = norm;
                 now.rows = end - begin;
                 now.scale = vector(scale);
                 now.bias = vector(bias);
                 run(now, frame.at<const float>(x) + begin * now.c,
                     frame.at<float>(y) + begin * now.c);
               });
               return {};
             }),
             vec.name, steps);
  return true;
}

Lowered lower_response_norm(const LowerContext& context, const Node& node,
                            const LocalResponseNorm& op, std::vector<LoweredStep>& steps) {
  if (!are_floats(context, node)) return false;
  const ValueId x = node.in[0], y = node.out[0];
  const Shape& shape = context.value(x).shape;
  const int64_t c = shape[shape.rank - 1];
  const size_t pixels = shape.elements() / static_cast<size_t>(c);
  const int64_t before = (op.size - int64_t{1}) / 2, after = op.size / 2;
  const float alpha = op.alpha / static_cast<float>(op.size);
  push_exact(context, node, make_step([=](const Frame& frame) -> Status {
               const size_t grain = 1 + (size_t{1} << 12) / static_cast<size_t>(c);
               frame.pool.parallel_for(pixels, grain, [&](size_t begin, size_t end) {
                 for (size_t p = begin; p < end; ++p) {
                   const float* from = frame.at<const float>(x) + static_cast<int64_t>(p) * c;
                   float* to = frame.at<float>(y) + static_cast<int64_t>(p) * c;
                   for (int64_t i = 0; i < c; ++i) {
                     float squares = 0;
                     const int64_t last = std::min(c - 1, i + after);
                     for (int64_t k = std::max<int64_t>(0, i - before); k <= last; ++k)
                       squares += from[k] * from[k];
                     to[i] = from[i] * std::pow(op.bias + alpha * squares, -op.beta);
                   }
                 }
               });
               return {};
             }),
             "loop", steps);
  return true;
}

}  // namespace firn
