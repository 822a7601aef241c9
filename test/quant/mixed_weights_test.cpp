// SPDX-License-Identifier: Apache-2.0
// Bits and blocks layer by layer: what the options cost, in which order they are taken, and that
// the limit holds with what is chosen.
#include "quant/mixed_weights.h"

#include <doctest/doctest.h>

#include <cmath>

#include "quant/weights_block.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::GraphBuilder;
using test::must;

const WeightOption& option(const WeightCandidate& candidate, int bits, int block) {
  const auto found = std::ranges::find_if(candidate.options, [&](const WeightOption& o) {
    return o.choice == WeightChoice{bits, block};
  });
  REQUIRE(found != candidate.options.end());
  return *found;
}

TEST_CASE("mixed weights: every layer's options, their bytes and errors") {
  GraphBuilder b;
  ValueId at = b.conv("c1", b.input("x", {1, 6, 6, 8}), 8, 3, 1);  // rows of 72
  at = b.conv("dw", at, 8, 3, 1, 1, 8);                            // rows of 9
  b.output(b.conv("kept", at, 4));
  WeightOptions options;
  options.keep_float = {"kept"};
  const std::vector<WeightCandidate> candidates = must(weight_candidates(b.graph, options));
  REQUIRE(candidates.size() == 2);
  CHECK(candidates[0].name == "c1");
  CHECK(candidates[0].options.size() == 7 * 3);  // of 32, 64 and a row
  CHECK(candidates[1].name == "dw");
  CHECK(candidates[1].options.size() == 7);
  // Weights, f16 scales, zero points.
  CHECK(option(candidates[0], 4, 32).bytes == 576 / 2 + 24 * 2 + 24 / 2);
  CHECK(option(candidates[0], 3, 0).bytes == 576 * 3 / 8 + 8 * 2 + 8 * 3 / 8);
  CHECK(option(candidates[1], 8, 0).bytes == 72 + 8 * 2 + 8);
  for (const WeightCandidate& candidate : candidates)
    for (size_t i = 1; i < candidate.options.size(); ++i) {
      const WeightOption &a = candidate.options[i - 1], &c = candidate.options[i];
      if (a.choice.bits == c.choice.bits) CHECK(a.error < c.error);  // smaller blocks first
    }
  for (int bits = 3; bits <= 8; ++bits)
    CHECK(option(candidates[0], bits, 32).error < option(candidates[0], bits - 1, 32).error);
}

TEST_CASE("mixed weights: noise between two measured points, and beyond them") {
  WeightCandidate candidate{"c",
                            {{{2, 32}, 100, 16, 0},
                             {{4, 32}, 200, 1, 0},
                             {{3, 32}, 150, 4, 0},
                             {{8, 32}, 400, 1.0 / 256, 0}}};
  WeightOption coarse{{2, 32}, 100, 16, 1e-1}, fine{{4, 32}, 200, 1, 1e-2};
  predict_noise(candidate, coarse, fine);
  CHECK(candidate.options[0].noise == doctest::Approx(1e-1));
  CHECK(candidate.options[1].noise == doctest::Approx(1e-2));
  CHECK(candidate.options[2].noise == doctest::Approx(std::sqrt(1e-3)));
  CHECK(candidate.options[3].noise < 1e-3);
  fine.noise = 0;  // nothing is lost at 4 bits
  predict_noise(candidate, coarse, fine);
  for (const WeightOption& o : candidate.options) CHECK(o.noise == 0);
}

WeightCandidate layer(const std::string& name, double sensitivity, size_t elements) {
  WeightCandidate candidate{name, {}};
  for (int bits = 2; bits <= 8; ++bits) {
    const double error = std::pow(4.0, -bits);
    candidate.options.push_back(
        {{bits, 32}, elements * static_cast<size_t>(bits + 1) / 8, error, sensitivity * error});
  }
  return candidate;
}

TEST_CASE("mixed weights: the path goes down, cheapest first, each layer bit by bit") {
  const std::vector<WeightCandidate> candidates{layer("large", 1, 8000), layer("small", 1, 80),
                                                layer("touchy", 1000, 8000)};
  const WeightPath path(candidates);
  CHECK(path.steps() == 18);
  const auto cost = [&](size_t steps) {
    std::pair<size_t, double> sum{0, 0};
    for (const auto& [name, choice] : path.choices(steps))
      for (const WeightCandidate& candidate : candidates)
        if (candidate.name == name) {
          sum.first += option(candidate, choice.bits, choice.block).bytes;
          sum.second += option(candidate, choice.bits, choice.block).noise;
        }
    return sum;
  };
  for (const auto& [name, choice] : path.choices(0)) CHECK(choice == WeightChoice{8, 32});
  for (const auto& [name, choice] : path.choices(18)) CHECK(choice == WeightChoice{2, 32});
  double last = 0;
  for (size_t i = 1; i <= path.steps(); ++i) {
    CHECK(cost(i).first < cost(i - 1).first);
    const double slope = (cost(i).second - cost(i - 1).second) /
                         static_cast<double>(cost(i - 1).first - cost(i).first);
    CHECK(slope >= last * (1 - 1e-9));
    last = slope;
  }
  // Where the noise of all is the same, a layer that matters more has more bits.
  for (size_t i = 0; i <= path.steps(); ++i) {
    const WeightChoices choices = path.choices(i);
    CHECK(choices.at("touchy").bits >= choices.at("large").bits);
    CHECK(choices.at("small").bits >= choices.at("large").bits);
  }
}

TEST_CASE("mixed weights: what is not on the hull is never chosen") {
  WeightCandidate candidate{"c",
                            {{{8, 32}, 100, 0, 1e-6},
                             {{7, 32}, 90, 0, 5e-2},  // above the line from 8 to 4
                             {{4, 32}, 50, 0, 1e-2},
                             {{4, 0}, 50, 0, 3e-2},  // as large, and worse
                             {{2, 32}, 30, 0, 1e-1}}};
  const std::vector<WeightCandidate> candidates{candidate};
  const WeightPath path(candidates);
  REQUIRE(path.steps() == 2);
  CHECK(path.choices(1).at("c") == WeightChoice{4, 32});
  CHECK(path.choices(2).at("c") == WeightChoice{2, 32});
}

TEST_CASE("mixed weights: the limit holds at a smaller size than with one number of bits for all") {
  const std::vector<WeightCandidate> candidates{layer("a", 1, 8000), layer("b", 50, 8000),
                                                layer("c", 0.01, 8000), layer("d", 3, 800)};
  const auto cost = [&](const WeightChoices& choices) {
    std::pair<double, double> sum{1e-12, 0};  // noise, bytes
    for (const WeightCandidate& candidate : candidates)
      if (const auto found = choices.find(candidate.name); found != choices.end()) {
        sum.first += option(candidate, found->second.bits, found->second.block).noise;
        sum.second +=
            static_cast<double>(option(candidate, found->second.bits, found->second.block).bytes);
      }
    return sum;
  };
  int ones = 0, alls = 0;
  const auto measure = [&](int& count) {
    return [&](const WeightChoices& choices) -> Result<double> {
      ++count;
      return -10 * std::log10(cost(choices).first);
    };
  };
  for (const double limit : {10.0, 15.0, 20.0, 25.0, 29.0}) {
    ones = alls = 0;
    const WeightChoices chosen =
        must(choose_weights(candidates, limit, measure(ones), measure(alls)));
    CHECK(ones == 8);
    CHECK(alls <= 1 + 6);
    CHECK(chosen.size() == 4);
    CHECK(-10 * std::log10(cost(chosen).first) >= limit);
    for (int bits = 2; bits <= 8; ++bits) {
      WeightChoices uniform;
      for (const WeightCandidate& candidate : candidates) uniform[candidate.name] = {bits, 32};
      if (-10 * std::log10(cost(uniform).first) < limit) continue;
      CHECK(cost(chosen).second < cost(uniform).second);
      break;
    }
  }
  const Status refused = choose_weights(candidates, 60, measure(ones), measure(alls)).status();
  CHECK(refused.code() == Code::refused);
  CHECK(refused.message().find("the limit is 60.0 dB") != std::string::npos);
  const auto fails = [](const WeightChoices&) -> Result<double> {
    return Status(Code::out_of_memory, "no memory");
  };
  CHECK(choose_weights(candidates, 20, fails, measure(alls)).status().code() ==
        Code::out_of_memory);
}

}  // namespace
}  // namespace firn
