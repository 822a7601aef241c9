// SPDX-License-Identifier: Apache-2.0
// The boxes that non-maximum suppression has kept, found by where they lie.
#ifndef FIRN_RUNTIME_KEPT_BOXES_H_
#define FIRN_RUNTIME_KEPT_BOXES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

namespace firn {

// Box has y0, x0, y1, x1. Comparing each candidate with all that were kept takes minutes where a
// picture gives a hundred thousand; past the first few, boxes are therefore in a grid for each size
// (powers of two), and only those near by are compared.
template <typename Box>
class KeptBoxes {
 public:
  // Boxes overlap where they share more than that of their union: from 0 on, ones that are not
  // finite overlap nothing.
  explicit KeptBoxes(float threshold) : threshold_(threshold) {}

  size_t size() const { return count_; }

  void add(const Box& box) {
    ++count_;
    if (!finite(box)) {
      if (!(threshold_ >= 0)) always_.push_back(box);
      return;
    }
    const auto size = std::pair(size_class(box.y0, box.y1), size_class(box.x0, box.x1));
    const double height = std::ldexp(1, size.first), width = std::ldexp(1, size.second);
    const double y = std::floor(box.y0 / height), x = std::floor(box.x0 / width);
    if (always_.size() < kFew || !countable(y) || !countable(x)) {
      always_.push_back(box);
      return;
    }
    Grid& grid = grids_[size];
    grid.boxes.push_back(box);
    grid.cells[key(static_cast<int64_t>(y), static_cast<int64_t>(x))].push_back(box);
  }

  // Whether `overlaps` of one of them, that does more than touch `box`, is true.
  template <typename F>
  bool any(const Box& box, const F& overlaps) const {
    if (std::ranges::any_of(always_, overlaps)) return true;
    if (!finite(box) && threshold_ >= 0) return false;
    return std::ranges::any_of(grids_, [&](const auto& grid) {
      const double height = std::ldexp(1, grid.first.first);
      const double width = std::ldexp(1, grid.first.second);
      if (too_different(box, height, width)) return false;
      // A box begins at most its size before what it overlaps.
      const double y0 = std::floor(box.y0 / height) - 1, y1 = std::floor(box.y1 / height);
      const double x0 = std::floor(box.x0 / width) - 1, x1 = std::floor(box.x1 / width);
      const auto most = static_cast<double>(grid.second.boxes.size());
      if (!countable(y0) || !countable(y1) || !countable(x0) || !countable(x1) ||
          std::max(y1 - y0 + 1, 0.0) * std::max(x1 - x0 + 1, 0.0) > most)
        return std::ranges::any_of(grid.second.boxes, overlaps);
      for (auto y = static_cast<int64_t>(y0); y <= static_cast<int64_t>(y1); ++y)
        for (auto x = static_cast<int64_t>(x0); x <= static_cast<int64_t>(x1); ++x) {
          const auto cell = grid.second.cells.find(key(y, x));
          if (cell != grid.second.cells.end() && std::ranges::any_of(cell->second, overlaps))
            return true;
        }
      return false;
    });
  }

 private:
  static constexpr size_t kFew = 64;
  struct Grid {
    std::vector<Box> boxes;
    std::unordered_map<uint64_t, std::vector<Box>> cells;
  };

  static bool finite(const Box& box) {
    return std::isfinite(box.y0) && std::isfinite(box.x0) && std::isfinite(box.y1) &&
           std::isfinite(box.x1);
  }
  // Whether boxes of up to that size, and half of it at least, share too little with one of
  // another size, wherever they are.
  bool too_different(const Box& box, double height, double width) const {
    const double h = std::abs(static_cast<double>(box.y1) - static_cast<double>(box.y0));
    const double w = std::abs(static_cast<double>(box.x1) - static_cast<double>(box.x0));
    constexpr double kRounding = 0.99;  // of the operators' floats
    return threshold_ > 0 &&
           std::min(h, height) * std::min(w, width) <
               kRounding * static_cast<double>(threshold_) * std::max(h * w, height * width / 4);
  }
  // The power of two above an extent.
  static int size_class(float from, float to) {
    int exponent = 0;
    std::frexp(std::abs(static_cast<double>(to) - static_cast<double>(from)), &exponent);
    return exponent;
  }
  static bool countable(double cell) { return std::abs(cell) < 0x1p40; }
  // Cells that share one only cost comparisons.
  static uint64_t key(int64_t y, int64_t x) {
    return static_cast<uint64_t>(y) * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(x);
  }

  float threshold_;
  size_t count_ = 0;
  std::vector<Box> always_;  // compared with every candidate
  std::map<std::pair<int, int>, Grid> grids_;
};

}  // namespace firn

#endif  // FIRN_RUNTIME_KEPT_BOXES_H_
