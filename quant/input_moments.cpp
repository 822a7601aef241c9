// SPDX-License-Identifier: Apache-2.0
// Samples are gathered row by row and multiplied many at a time.
#include "quant/input_moments.h"

#include <algorithm>

#include "kernels/stats_f32.h"

namespace firn {
namespace {

constexpr size_t kPending = 512;

size_t groups_of(const Node& node) {
  const auto* conv = std::get_if<Conv2d>(&node.op);
  return conv == nullptr ? 1 : static_cast<size_t>(conv->groups);
}

size_t row_of(const Graph& graph, const Node& node) {
  const Shape& weights = graph.value(node.in[1]).shape;
  return weights.elements() / static_cast<size_t>(weights[0]);
}

}  // namespace

InputMoments::InputMoments(const Graph& graph, const Node& node)
    : groups_(groups_of(node)), row_(row_of(graph, node)) {
  const Shape& x = graph.value(node.in[0]).shape;
  if (const auto* conv = std::get_if<Conv2d>(&node.op)) {
    window_ = conv->window;
    x_ = x;
    y_ = graph.value(node.out[0]).shape;
  } else {
    const auto inputs = x[x.rank - 1];
    x_ = Shape{1, 1, static_cast<int32_t>(x.elements() / static_cast<size_t>(inputs)), inputs};
    y_ = x_;
  }
  in_ = static_cast<size_t>(x_[3]);
  rows_.resize(kPending * groups_ * row_);
  sum_.resize(groups_ * row_);
  product_.resize(groups_ * row_ * row_);
  scratch_.resize(row_ * row_);
}

size_t InputMoments::size(const Graph& graph, const Node& node) {
  const size_t row = row_of(graph, node);
  return groups_of(node) * row * row;
}

// To [group][tap][channel of the group].
void InputMoments::gather(std::span<const float> x, size_t position, float* rows) const {
  const auto [kh, kw] = window_.kernel;
  const auto height = x_[1], width = x_[2];
  const auto ox = static_cast<int32_t>(position % static_cast<size_t>(y_[2]));
  const auto oy =
      static_cast<int32_t>(position / static_cast<size_t>(y_[2]) % static_cast<size_t>(y_[1]));
  const size_t n = position / static_cast<size_t>(y_[2]) / static_cast<size_t>(y_[1]);
  const size_t per_group = in_ / groups_;
  size_t tap = 0;
  for (int32_t ky = 0; ky < kh; ++ky) {
    for (int32_t kx = 0; kx < kw; ++kx, ++tap) {
      const int32_t iy = oy * window_.stride[0] + ky * window_.dilation[0] - window_.pad[0];
      const int32_t ix = ox * window_.stride[1] + kx * window_.dilation[1] - window_.pad[1];
      const bool inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
      const size_t pixel =
          (n * static_cast<size_t>(height) + static_cast<size_t>(std::max(iy, 0))) *
              static_cast<size_t>(width) +
          static_cast<size_t>(std::max(ix, 0));
      for (size_t g = 0; g < groups_; ++g) {
        float* to = rows + g * row_ + tap * per_group;
        if (inside)
          std::copy_n(x.data() + pixel * in_ + g * per_group, per_group, to);
        else
          std::fill_n(to, per_group, 0.0f);
      }
    }
  }
}

void InputMoments::add(std::span<const float> x, size_t most, uint32_t phase,
                       const kernels::GemmF32Kernel& kernel) {
  const size_t positions = y_.elements() / static_cast<size_t>(y_[3]);
  const kernels::SamplePattern pattern(positions, most, phase);
  for (size_t i = 0; i < pattern.count; ++i) {
    gather(x, pattern[i], rows_.data() + pending_ * groups_ * row_);
    if (++pending_ == kPending) flush(kernel);
  }
}

void InputMoments::flush(const kernels::GemmF32Kernel& kernel) {
  const size_t step = groups_ * row_;
  for (size_t s = 0; s < pending_; ++s)
    for (size_t i = 0; i < step; ++i) sum_[i] += static_cast<double>(rows_[s * step + i]);
  kernels::GemmF32 shape;
  shape.m = shape.n = row_;
  shape.k = pending_;
  shape.a_row = shape.b_column = 1;
  shape.a_k = shape.b_k = static_cast<ptrdiff_t>(step);
  shape.c_row = static_cast<ptrdiff_t>(row_);
  for (size_t g = 0; g < groups_; ++g) {
    const float* rows = rows_.data() + g * row_;
    for (size_t panel = 0; panel * kernel.columns < row_; ++panel)
      kernel.run(shape, rows, rows, scratch_.data(), panel, 0, row_);
    float* product = product_.data() + g * row_ * row_;
    for (size_t i = 0; i < row_ * row_; ++i) product[i] += scratch_[i];
  }
  samples_ += pending_;
  pending_ = 0;
}

std::vector<float> InputMoments::covariance(size_t group) const {
  std::vector<float> matrix(row_ * row_);
  const float* product = product_.data() + group * row_ * row_;
  const double* sum = sum_.data() + group * row_;
  const double count = static_cast<double>(std::max<size_t>(samples_, 1));
  const double kept = count / (count + static_cast<double>(row_));
  for (size_t i = 0; i < row_; ++i)
    for (size_t j = 0; j < row_; ++j) {
      const double both =
          static_cast<double>(product[i * row_ + j]) / count - sum[i] / count * (sum[j] / count);
      matrix[i * row_ + j] = static_cast<float>(i == j ? both : kept * both);
    }
  return matrix;
}

}  // namespace firn
