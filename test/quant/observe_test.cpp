// SPDX-License-Identifier: Apache-2.0
// Observing frames: what is counted, what is left out, merging, convergence.
#include "quant/observe.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "test/runtime/random_graph.h"

namespace firn {
namespace {

constexpr size_t kChannels = 8;

struct Frame {
  std::vector<float> a, b;  // b may grow over frames
};

std::vector<ObservedTensor> tensors() {
  return {{ValueId::none, "a", true, kChannels}, {ValueId::none, "b", true, 0}};
}

std::vector<Frame> frames(size_t count, float growth = 0, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Frame> frames(count);
  for (size_t f = 0; f < count; ++f) {
    frames[f].a.resize(40 * kChannels + 96 * f % 960);
    frames[f].b.resize(2000);
    for (size_t i = 0; i < frames[f].a.size(); ++i)
      frames[f].a[i] = normal(random) + static_cast<float>(i % kChannels);
    for (float& v : frames[f].b) v = normal(random) * (1 + growth * static_cast<float>(f));
  }
  return frames;
}

bool see(Observer& observer, const Frame& frame) {
  observer.begin_frame();
  observer.see(0, frame.a);
  observer.see(1, frame.b);
  return observer.end_frame();
}

TEST_CASE("Observer: counts frames and gives exact extremes and channel means") {
  Observer observer(tensors());
  std::vector<double> means(kChannels);
  float most = 0;
  const std::vector<Frame> all = frames(10);
  for (const Frame& frame : all) {
    CHECK(see(observer, frame));
    most = std::max(most, *std::ranges::max_element(frame.b));
    const double pixels = static_cast<double>(frame.a.size() / kChannels);
    for (size_t i = 0; i < frame.a.size(); ++i) means[i % kChannels] += frame.a[i] / pixels / 10;
  }
  CHECK(observer.frames() == 10);
  CHECK(observer.histogram(1).frames() == 10);
  CHECK(observer.histogram(1).max() == most);
  CHECK(observer.histogram(1).samples() == 20000);
  const std::vector<double> got = observer.channel_means(0);
  REQUIRE(got.size() == kChannels);
  for (size_t c = 0; c < kChannels; ++c) CHECK(got[c] == doctest::Approx(means[c]).epsilon(1e-4));
  CHECK(observer.channel_means(1).empty());
}

TEST_CASE("Observer: large tensors are sampled, their extremes are not missed") {
  Observer observer({{ValueId::none, "x", true, 0}});
  std::vector<float> x(100000, 1.0f);
  x[70001] = 50;
  observer.begin_frame();
  observer.see(0, x);
  CHECK(observer.end_frame());
  CHECK(observer.histogram(0).max() == 50);
  CHECK(observer.histogram(0).samples() <= Observer::kMaxSamples);
  CHECK(observer.histogram(0).samples() > Observer::kMaxSamples / 2);
}

TEST_CASE("Observer: a frame with one bad value leaves no trace but its count") {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Observer observer(tensors()), clean(tensors());
    std::vector<Frame> all = frames(4);
    for (const Frame& frame : all) see(clean, frame);
    Frame broken = all[1];
    broken.b[1999] = bad;
    broken.a[0] = 1e30f;
    for (const Frame& frame : all) {
      CHECK_FALSE(see(observer, broken));
      CHECK(see(observer, frame));
    }
    for (size_t slot : {0, 1}) CHECK(observer.histogram(slot) == clean.histogram(slot));
    CHECK(observer.channel_means(0) == clean.channel_means(0));
    const CalibrationStatus status = observer.status();
    CHECK(status.frames == 4);
    CHECK(status.rejected == 4);
    CHECK(status.last_rejected == "b");
  }
}

TEST_CASE("Observer: frames without values and tensors that are not seen") {
  Observer observer(tensors());
  observer.begin_frame();
  CHECK_FALSE(observer.end_frame());
  observer.begin_frame();
  observer.see(0, {});
  CHECK_FALSE(observer.end_frame());
  CHECK(observer.status().rejected == 0);
  CHECK(observer.channel_means(0).empty());
  observer.begin_frame();
  observer.see(1, frames(1)[0].b);
  CHECK(observer.end_frame());
  CHECK(observer.histogram(0).frames() == 0);
  CHECK(observer.histogram(1).frames() == 1);
}

TEST_CASE("Observer: shards merge to one run, bit by bit, in any order") {
  const std::vector<Frame> all = frames(24, 0.5f);
  Observer whole(tensors());
  for (const Frame& frame : all) see(whole, frame);
  std::mt19937 random(3);
  for (int round = 0; round < 10; ++round) {
    std::vector<Observer> shards(1 + random() % 4, Observer(tensors()));
    for (const Frame& frame : all) see(shards[random() % shards.size()], frame);
    std::ranges::shuffle(shards, random);
    Observer merged(tensors());
    for (const Observer& shard : shards) CHECK(merged.merge(shard).ok());
    CHECK(merged == whole);
    CHECK(merged.frames() == 24);
    for (size_t slot : {0, 1}) CHECK(merged.histogram(slot) == whole.histogram(slot));
    CHECK(merged.channel_means(0) == whole.channel_means(0));
  }
}

TEST_CASE("Observer: merging another graph's calibration is refused") {
  Observer observer(tensors());
  CHECK(observer.merge(Observer({tensors()[0]})).message() ==
        "the calibrations are of different tensors: expected 2 tensors, got 1");
  std::vector<ObservedTensor> other = tensors();
  other[1].name = "c";
  CHECK(observer.merge(Observer(other)).code() == Code::invalid_argument);
}

TEST_CASE("Observer: ranges of steady frames settle, growing ones do not and are named") {
  Observer steady(tensors()), growing(tensors());
  CHECK(steady.status().movement == 1);
  for (const Frame& frame : frames(128)) see(steady, frame);
  for (const Frame& frame : frames(128, 0.1f)) see(growing, frame);
  CHECK(steady.status().movement < 0.02);
  CHECK(growing.status().movement > 0.1);
  CHECK(growing.status().moves_most == "b");
}

TEST_CASE("tensors_to_observe: ranges of what int8 reads and makes, means of what weights read") {
  test::GraphBuilder b;
  const ValueId x = b.input("x", {1, 3, 8, 8});
  const ValueId c1 = b.relu("relu", b.conv("c1", b.to_nhwc(x), 8, 3, 1));
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, true}, {c1});
  const ValueId flat = b.add("flat", Reshape{{1, 8}, false}, {mean});
  const ValueId logits = b.dense("logits", flat, 10);
  b.output(b.add("softmax", Softmax{}, {logits}));
  std::vector<std::string> ranged, with_means;
  for (const ObservedTensor& tensor : tensors_to_observe(b.graph)) {
    if (tensor.range) ranged.push_back(tensor.name);
    if (tensor.channels > 0)
      with_means.push_back(tensor.name + ":" + std::to_string(tensor.channels));
  }
  CHECK(ranged == std::vector<std::string>{"x", "c1", "relu", "mean"});
  CHECK(with_means == std::vector<std::string>{"x_nhwc:3", "mean:8"});
}

}  // namespace
}  // namespace firn
