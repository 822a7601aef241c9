// SPDX-License-Identifier: Apache-2.0
// How far one model's outputs are from another's, added up sample by sample.
#include "error_stats.h"

#include <algorithm>
#include <cmath>

#include "labels.h"

namespace firn::tool {

void OutputError::add(std::span<const float> reference, std::span<const float> other) {
  for (size_t i = 0; i < reference.size(); ++i) {
    const double value = reference[i];
    // Equal infinities differ by nothing.
    const double error = reference[i] == other[i] ? 0.0 : std::abs(value - other[i]);
    signal_ += value * value;
    noise_ += error * error;
    // Written so that NaN, once there, stays.
    max_ = std::isnan(error) || error > max_ ? error : max_;
  }
}

double OutputError::sqnr_db() const {
  if (noise_ == 0) return INFINITY;
  return 10 * std::log10(signal_ / noise_);
}

bool is_scores(const Shape& shape) {
  const auto dims = shape.dims();
  return std::count_if(dims.begin(), dims.end(), [](int32_t dim) { return dim > 1; }) == 1;
}

void TopOne::add(std::span<const float> a, std::span<const float> b, std::optional<int64_t> label) {
  const auto first_a = static_cast<int64_t>(top_classes(a, 1)[0]);
  const auto first_b = static_cast<int64_t>(top_classes(b, 1)[0]);
  ++samples_;
  same_ += first_a == first_b;
  if (!label) return;
  ++labelled_;
  right_a_ += first_a == *label;
  right_b_ += first_b == *label;
  ClassCount& of_class = classes_[*label];
  ++of_class.samples;
  of_class.same += first_a == first_b;
  of_class.right_a += first_a == *label;
  of_class.right_b += first_b == *label;
}

std::optional<double> TopOne::share(size_t part, size_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace firn::tool
