// SPDX-License-Identifier: Apache-2.0
// Boxes in a grid are found like those of a list, and quickly.
#include "runtime/kept_boxes.h"

#include <doctest/doctest.h>

#include <cfloat>
#include <limits>
#include <random>

using namespace firn;

namespace {

struct Box {
  float y0, x0, y1, x1;
};

// As the operators have it: what is shared, of what both cover.
bool overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  if (!(height >= 0 && width >= 0)) return false;
  const auto area = [](const Box& c) { return (c.y1 - c.y0) * (c.x1 - c.x0); };
  return height * width > threshold * (area(a) + area(b) - height * width);
}

}  // namespace

TEST_CASE("kept boxes: the same are covered as in a list of all") {
  std::mt19937 random(1);
  const auto uniform = [&](float from, float to) {
    return std::uniform_real_distribution<float>(from, to)(random);
  };
  const float odd[] = {0,        -0.0f,    1,         -1,  FLT_MIN, FLT_MAX,
                       -FLT_MAX, INFINITY, -INFINITY, NAN, 1e-40f};
  for (const float threshold : {0.0f, 0.3f, 0.9f, -0.5f, NAN})
    for (const float spread : {1.0f, 30.0f, 1e4f}) {
      KeptBoxes<Box> kept(threshold);
      std::vector<Box> list;
      size_t covered = 0;
      for (int i = 0; i < 2000; ++i) {
        // Most are small, some large, some on whole numbers so that they touch, some reversed.
        const float size = i % 10 == 0 ? spread : uniform(0, 1);
        Box box{uniform(0, spread), uniform(-spread, spread), 0, 0};
        if (i % 3 == 0) box = {std::floor(box.y0), std::floor(box.x0), 0, 0};
        box.y1 = box.y0 + (i % 3 == 0 ? 1 : size), box.x1 = box.x0 + uniform(-0.1f, 1) * size;
        if (i % 17 == 0) {
          float* const corners[] = {&box.y0, &box.x0, &box.y1, &box.x1};
          *corners[random() % 4] = odd[random() % std::size(odd)];
        }
        const auto covers = [&](const Box& other) { return overlap(box, other, threshold); };
        const bool expected = std::ranges::any_of(list, covers);
        CAPTURE(i);
        CAPTURE(threshold);
        CAPTURE(spread);
        REQUIRE(kept.any(box, covers) == expected);
        covered += expected;
        if (expected) continue;
        kept.add(box);
        list.push_back(box);
      }
      CHECK(kept.size() == list.size());
      if (threshold >= 0 && threshold < 0.5f) CHECK(covered > 0);
    }
}

TEST_CASE("kept boxes: few are compared, however many there are") {
  constexpr int kSide = 300;
  for (const float height : {0.9f, 250.0f}) {
    KeptBoxes<Box> kept(0.5f);
    size_t comparisons = 0;
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x) {
        const auto left = static_cast<float>(x), top = static_cast<float>(y) * (height + 1);
        const Box box{top, left, top + height, left + 0.9f};
        const auto covers = [&](const Box& other) {
          ++comparisons;
          return overlap(box, other, 0.5f);
        };
        REQUIRE(!kept.any(box, covers));
        kept.add(box);
      }
    CHECK(comparisons < size_t{kSide} * kSide * 100);  // a list: 45000 for each
  }
}
