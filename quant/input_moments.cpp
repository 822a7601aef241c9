// SPDX-License-Identifier: Apache-2.0
// Samples are gathered row by row and multiplied many at a time.
#include "quant/input_moments.h"

#include <algorithm>

#include "kernels/stats_f32.h"

namespace firn {
namespace {

constexpr size_t kAtOnce = 256;  // samples of a product
constexpr size_t kInCache = 64;  // of one of groups side by side

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
  side_by_side_ = groups_ > 1 && groups_ == in_;
  sum_.resize(groups_ * row_);
  product_.resize(groups_ * row_ * row_);
}

size_t InputMoments::size(const Graph& graph, const Node& node) {
  const size_t row = row_of(graph, node);
  return groups_of(node) * row * row;
}

// To [group][tap][channel of the group], or, side by side, [tap][group].
void InputMoments::gather(std::span<const float> x, size_t position, float* rows) const {
  const auto [kh, kw] = window_.kernel;
  const auto height = x_[1], width = x_[2];
  const auto ox = static_cast<int32_t>(position % static_cast<size_t>(y_[2]));
  const auto oy =
      static_cast<int32_t>(position / static_cast<size_t>(y_[2]) % static_cast<size_t>(y_[1]));
  const size_t n = position / static_cast<size_t>(y_[2]) / static_cast<size_t>(y_[1]);
  const size_t groups = side_by_side_ ? 1 : groups_, per_group = in_ / groups;
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
      for (size_t g = 0; g < groups; ++g) {
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
                       const kernels::GemmF32Kernel& kernel, std::vector<float>& rows) {
  const size_t positions = y_.elements() / static_cast<size_t>(y_[3]), step = groups_ * row_;
  const kernels::SamplePattern pattern(positions, most, phase);
  rows.resize(std::max(rows.size(), std::min(pattern.count, kAtOnce) * step));
  for (size_t begin = 0; begin < pattern.count; begin += kAtOnce) {
    const size_t count = std::min(kAtOnce, pattern.count - begin);
    for (size_t i = 0; i < count; ++i) gather(x, pattern[begin + i], rows.data() + i * step);
    for (size_t s = 0; s < count; ++s)
      for (size_t i = 0; i < step; ++i) sum_[i] += static_cast<double>(rows[s * step + i]);
    multiply(rows.data(), count, kernel);
    samples_ += count;
  }
}

// Lanes are groups, from `group` on.
template <size_t kLanes>
void InputMoments::multiply_side_by_side(const float* rows, size_t count, size_t group) {
  const size_t step = groups_ * row_;
  for (size_t i = 0; i < row_; ++i)
    for (size_t j = 0; j <= i; ++j) {
      const float *a = rows + i * groups_ + group, *b = rows + j * groups_ + group;
      float lane[kLanes] = {};
      for (size_t s = 0; s < count; ++s, a += step, b += step)
        for (size_t l = 0; l < kLanes; ++l) lane[l] += a[l] * b[l];
      float* to = product_.data() + (i * row_ + j) * groups_ + group;
      for (size_t l = 0; l < kLanes; ++l) to[l] += lane[l];
    }
}

void InputMoments::multiply(const float* rows, size_t count, const kernels::GemmF32Kernel& kernel) {
  const size_t step = groups_ * row_;
  if (side_by_side_) {
    constexpr size_t kLanes = 16;
    for (size_t begin = 0; begin < count; begin += kInCache) {
      const size_t some = std::min(kInCache, count - begin);
      const float* from = rows + begin * step;
      size_t g = 0;
      for (; g + kLanes <= groups_; g += kLanes) multiply_side_by_side<kLanes>(from, some, g);
      for (; g < groups_; ++g) multiply_side_by_side<1>(from, some, g);
    }
    return;
  }
  kernels::GemmF32 shape;
  shape.m = shape.n = row_;
  shape.k = count;
  shape.a_row = shape.b_column = 1;
  shape.a_k = shape.b_k = static_cast<ptrdiff_t>(step);
  shape.c_row = static_cast<ptrdiff_t>(row_);
  shape.accumulate = true;
  for (size_t g = 0; g < groups_; ++g)
    for (size_t panel = 0; panel * kernel.columns < row_; ++panel)
      kernel.run(shape, rows + g * row_, rows + g * row_, product_.data() + g * row_ * row_, panel,
                 panel * kernel.columns, row_);
}

std::vector<float> InputMoments::covariance(size_t group, double noise) const {
  std::vector<float> matrix(row_ * row_);
  const size_t apart = side_by_side_ ? groups_ : 1;
  const float* product = product_.data() + group * (side_by_side_ ? 1 : row_ * row_);
  const double* sum = sum_.data() + group * (side_by_side_ ? 1 : row_);
  const double count = static_cast<double>(std::max<size_t>(samples_, 1));
  const double kept = count / (count + static_cast<double>(row_));
  for (size_t i = 0; i < row_; ++i)
    for (size_t j = 0; j <= i; ++j) {
      const double both = static_cast<double>(product[(i * row_ + j) * apart]) / count -
                          sum[i * apart] / count * (sum[j * apart] / count);
      matrix[i * row_ + j] = matrix[j * row_ + i] =
          static_cast<float>(i == j ? both + noise : kept * both);
    }
  return matrix;
}

}  // namespace firn
