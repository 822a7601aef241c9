// SPDX-License-Identifier: Apache-2.0
// How far one model's outputs are from another's, added up sample by sample.
#ifndef FIRN_EXAMPLES_FIRN_ERROR_STATS_H_
#define FIRN_EXAMPLES_FIRN_ERROR_STATS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "firn/tensor.h"

namespace firn::tool {

// Of one output over all samples.
class OutputError {
 public:
  // Both have the same length.
  void add(std::span<const float> reference, std::span<const float> other);

  // 10 log10(sum reference^2 / sum (reference - other)^2): +inf where equal, NaN where a value was.
  double sqnr_db() const;
  double max_abs_error() const { return max_; }  // NaN where a value was

 private:
  double signal_ = 0, noise_ = 0, max_ = 0;
};

// Whether an output of this shape is one row of scores: one dimension above 1, the batch aside.
bool is_scores(const Shape& shape);

// First answers of two classifiers to the samples of one class.
struct ClassCount {
  size_t samples = 0, same = 0;     // that both answer alike
  size_t right_a = 0, right_b = 0;  // that each answers rightly
  bool operator==(const ClassCount&) const = default;
};

// First answers of two classifiers against each other and against the truth.
class TopOne {
 public:
  void add(std::span<const float> a, std::span<const float> b, std::optional<int64_t> label);

  // Shares of the samples; none without samples, or, of accuracies, without labels.
  std::optional<double> agreement() const { return share(same_, samples_); }
  std::optional<double> accuracy_a() const { return share(right_a_, labelled_); }
  std::optional<double> accuracy_b() const { return share(right_b_, labelled_); }
  // Of the labelled samples, by label.
  const std::map<int64_t, ClassCount>& classes() const { return classes_; }

 private:
  static std::optional<double> share(size_t part, size_t whole);

  size_t samples_ = 0, same_ = 0;
  size_t labelled_ = 0, right_a_ = 0, right_b_ = 0;
  std::map<int64_t, ClassCount> classes_;
};

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_ERROR_STATS_H_
