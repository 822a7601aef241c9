// SPDX-License-Identifier: Apache-2.0
// Histograms: right bins, exact widening, merges that equal one run in any order.
#include "quant/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace firn {
namespace {

using Frame = std::vector<float>;

void add(Histogram& histogram, const Frame& frame) {
  const auto [lo, hi] = std::ranges::minmax_element(frame);
  histogram.add_frame(*lo, *hi, frame);
}

Histogram of(const std::vector<Frame>& frames) {
  Histogram histogram;
  for (const Frame& frame : frames) add(histogram, frame);
  return histogram;
}

// Frames of very different ranges, some one-sided, some with zeros, one all zero.
std::vector<Frame> random_frames(uint32_t seed, int count = 24) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Frame> frames;
  for (int f = 0; f < count; ++f) {
    const float scale = std::exp2(static_cast<float>(f % 11) * 3 - 16);
    Frame frame(200 + static_cast<size_t>(f));
    for (float& v : frame) {
      v = normal(random) * scale;
      if (f % 3 == 0) v = std::max(v, 0.0f);
      if (f == 5) v = 0;
    }
    frames.push_back(frame);
  }
  return frames;
}

TEST_CASE("Histogram: counts values where they belong") {
  const Histogram h = of({{-3.5f, -0.25f, 0.0f, 0.0f, 0.5f, 2.0f, 3.9f}});
  CHECK(h.width() == 4.0 / Histogram::kSide);
  CHECK(h.samples() == 7);
  CHECK(h.zeros() == 2);
  CHECK(h.min() == -3.5f);
  CHECK(h.max() == 3.9f);
  CHECK(h.frames() == 1);
  const auto bin = [&](float v) { return static_cast<int>(std::floor(v / h.width())); };
  CHECK(h[bin(0.5f)] == 1);
  CHECK(h[bin(2.0f)] == 1);
  CHECK(h[bin(3.9f)] == 1);
  // On the negative side bins are mirrored: they end, inclusive, where positive ones begin.
  CHECK(h[~bin(3.5f)] == 1);
  CHECK(h[~bin(0.25f)] == 1);
  CHECK(h.first() == ~bin(3.5f));
  CHECK(h.last() == bin(3.9f) + 1);
}

TEST_CASE("Histogram: the width is the least power of two that holds the values") {
  CHECK(of({{1.0f}}).width() == 2.0 / Histogram::kSide);
  CHECK(of({{std::nextafter(1.0f, 0.0f)}}).width() == 1.0 / Histogram::kSide);
  CHECK(of({{-1.0f}}).width() == 2.0 / Histogram::kSide);
  CHECK(of({{std::numeric_limits<float>::max()}}).last() == Histogram::kSide);
}

TEST_CASE("Histogram: nothing and zeros") {
  const Histogram none;
  CHECK(none.first() == 0);
  CHECK(none.last() == 0);
  CHECK(none[3] == 0);
  const Histogram zeros = of({{0, 0, -0.0f}});
  CHECK(zeros.zeros() == 3);
  CHECK(zeros.samples() == 3);
  CHECK(zeros.first() == 0);
  CHECK(zeros.last() == 0);
}

TEST_CASE("Histogram: the order of frames changes nothing") {
  std::mt19937 random(11);
  std::vector<Frame> frames = random_frames(1);
  const Histogram expected = of(frames);
  for (int round = 0; round < 20; ++round) {
    std::ranges::shuffle(frames, random);
    CHECK(of(frames) == expected);
  }
}

TEST_CASE("Histogram: shards merge to the histogram of one run, however they are cut and ordered") {
  std::mt19937 random(12);
  const std::vector<Frame> frames = random_frames(2);
  const Histogram expected = of(frames);
  for (int round = 0; round < 20; ++round) {
    std::vector<Histogram> shards(1 + random() % 6);  // some may stay empty
    for (const Frame& frame : frames) add(shards[random() % shards.size()], frame);
    std::ranges::shuffle(shards, random);
    Histogram merged;
    for (const Histogram& shard : shards) merged.merge(shard);
    CHECK(merged == expected);
  }
}

TEST_CASE("Histogram: no count is lost from the smallest to the largest float") {
  Frame frame;
  for (int e = -149; e <= 127; ++e) {
    frame.push_back(std::ldexp(1.0f, e));
    frame.push_back(-std::ldexp(1.0f, e));
  }
  Histogram one_by_one;
  for (float v : frame) one_by_one.add_frame(v, v, {&v, 1});
  Histogram at_once;
  add(at_once, frame);
  uint64_t left = 0, right = 0;
  for (int i = 0; i < Histogram::kSide; ++i) {
    CHECK(one_by_one[i] == at_once[i]);
    CHECK(one_by_one[~i] == at_once[~i]);
    left += at_once[~i];
    right += at_once[i];
  }
  CHECK(left == 277);
  CHECK(right == 277);
}

}  // namespace
}  // namespace firn
