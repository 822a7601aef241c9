// SPDX-License-Identifier: Apache-2.0
// The layers.
#include "bench/kernels_bench.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace firn::bench {
namespace {

using kernels::Isa;

constexpr Layer kConv[] = {
    // ResNet-50 and -18
    {224, 3, 64, 7, 2, kRelu},
    {56, 64, 64, 3, 1, kRelu | kFeeds},
    {56, 64, 256, 1, 1, kFed},
    {28, 128, 128, 3, 1, kRelu | kFeeds},
    {14, 256, 256, 3, 1, kRelu | kFeeds},
    {14, 1024, 256, 1, 1, kRelu},
    {7, 512, 512, 3, 1, kRelu | kFeeds},
    {7, 512, 2048, 1, 1, kFed},
    {1, 2048, 1000, 1, 1},
    // MobileNetV1
    {224, 3, 32, 3, 2, kRelu | kFeeds},
    {112, 32, 64, 1, 1, kRelu | kFed | kFeeds},
    {28, 256, 256, 1, 1, kRelu | kFed | kFeeds},
    {14, 512, 512, 1, 1, kRelu | kFed | kFeeds},
    {7, 1024, 1024, 1, 1, kRelu | kFed},
    // MobileNetV2
    {112, 32, 16, 1, 1, kFed | kFeeds},
    {112, 16, 96, 1, 1, kRelu | kFed | kFeeds},
    {56, 96, 24, 1, 1, kFed},
    {56, 24, 144, 1, 1, kRelu | kFeeds},
    {28, 144, 32, 1, 1, kFed},
    {28, 32, 192, 1, 1, kRelu | kFeeds},
    {14, 96, 576, 1, 1, kRelu | kFeeds},
    {14, 576, 96, 1, 1, kFed},
    {7, 960, 320, 1, 1, kFed | kFeeds},
    {7, 320, 1280, 1, 1, kRelu | kFed},
    {1, 1280, 1000, 1, 1},
    // MobileNetV3-small
    {224, 3, 16, 3, 2},
    {28, 24, 88, 1, 1, kRelu | kFeeds},
    {14, 40, 240, 1, 1},
    {1, 240, 64, 1, 1, kRelu},
    {7, 96, 576, 1, 1},
    // EfficientNet-B0
    {28, 40, 240, 1, 1},
    {14, 480, 80, 1, 1},
    {14, 112, 672, 1, 1},
    {7, 192, 1152, 1, 1},
    {1, 1152, 48, 1, 1},
    // SqueezeNet 1.1
    {224, 3, 64, 3, 2, kRelu},
    {55, 128, 16, 1, 1, kRelu},
    {55, 16, 64, 3, 1, kRelu},
    {27, 256, 32, 1, 1, kRelu},
    {13, 64, 256, 3, 1, kRelu},
    {13, 512, 1000, 1, 1, kRelu},
    // YOLO
    {320, 3, 16, 6, 2},
    {160, 16, 32, 3, 2},
    {80, 48, 48, 1, 1},
    // a small transformer
    {0, 384, 1536, 1, 1},
};
constexpr Layer kDepthwise[] = {
    {112, 32, 0, 3, 1, kRelu | kFed | kFeeds},
    {112, 96, 0, 3, 2, kRelu | kFed | kFeeds},
    {56, 128, 0, 3, 1, kRelu | kFed | kFeeds},
    {56, 144, 0, 3, 1, kRelu | kFed | kFeeds},
    {56, 144, 0, 3, 2, kRelu | kFed | kFeeds},
    {28, 192, 0, 3, 1, kRelu | kFed | kFeeds},
    {14, 512, 0, 3, 1, kRelu | kFed | kFeeds},
    {14, 576, 0, 3, 1, kRelu | kFed | kFeeds},
    {14, 576, 0, 3, 2, kRelu | kFed | kFeeds},
    {7, 960, 0, 3, 1, kRelu | kFed | kFeeds},
    {56, 72, 0, 5, 2, kRelu | kFed},
    {28, 120, 0, 5, 1, kRelu | kFed},
    {28, 240, 0, 5, 1},
    {14, 672, 0, 5, 1},
    {14, 672, 0, 5, 2},
    {7, 960, 0, 5, 1},
    {7, 1152, 0, 5, 1},
    {28, 192, 0, 7, 1},
    {14, 384, 0, 7, 1},
};

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double share_of_peak(double macs, Isa isa, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  constexpr int kTurns = 51;
  constexpr auto kLeast = std::chrono::microseconds(100);
  std::vector<double> peaks, rates;
  for (int turn = 0; turn < kTurns; ++turn) {
    int runs = 0;
    const Clock::time_point start = Clock::now();
    std::chrono::duration<double> taken{0};
    for (; taken < kLeast; ++runs, taken = Clock::now() - start) run();
    rates.push_back(runs * macs / taken.count());
    peaks.push_back(peak_now(isa, taken.count()));
  }
  return median(rates) / median(peaks);
}

}  // namespace

constinit const std::span<const Layer> kConvLayers = kConv;
constinit const std::span<const Layer> kDepthwiseLayers = kDepthwise;

void count_macs(benchmark::State& state, double macs, Isa isa, const std::function<void()>& run) {
  state.counters["MAC/s"] = benchmark::Counter(macs, benchmark::Counter::kIsIterationInvariantRate);
  if (peak(isa) > 0) state.counters["of_peak"] = share_of_peak(macs, isa, run);
}

}  // namespace firn::bench
