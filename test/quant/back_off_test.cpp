// SPDX-License-Identifier: Apache-2.0
// As few layers go back to float as a limit on the error takes, the worst first.
#include "quant/back_off.h"

#include <doctest/doctest.h>

#include <cmath>

#include "test/runtime/random_graph.h"

namespace firn {
namespace {

// Each layer adds its own noise to the outputs while it is int8.
struct Noisy {
  std::vector<std::pair<std::string, double>> noise;
  int measured = 0;

  std::vector<LayerReport> layers() const {
    std::vector<LayerReport> all;
    for (const auto& [name, n] : noise) {
      LayerReport layer;
      layer.name = name;
      layer.precision = Precision::i8;
      layer.bytes_before = 4;
      all.push_back(layer);
    }
    return all;
  }
  MeasureDb measure() {
    return [this](const std::map<std::string, std::string>& float_layers) -> Result<double> {
      ++measured;
      double sum = 0;
      for (const auto& [name, n] : noise) sum += float_layers.contains(name) ? 0 : n;
      return -10 * std::log10(sum);
    };
  }
};

TEST_CASE("back off: the worst layers, and no more than it takes") {
  Noisy net{{{"a", 1e-4}, {"b", 1e-2}, {"c", 1e-5}, {"d", 1e-3}, {"e", 2e-5}}};
  const auto names = [&](double limit) {
    std::string all;
    for (const auto& [name, why] :
         test::must(layers_to_back_off(net.layers(), limit, net.measure())))
      all += name;
    return all;
  };
  CHECK(names(15) == "");
  CHECK(net.measured == 1);
  CHECK(names(25) == "b");
  CHECK(names(35) == "bd");
  CHECK(names(45) == "abd");
  CHECK(names(200) == "abcde");
}

TEST_CASE("back off: layers without weights, shared names and float layers are no candidates") {
  Noisy net{{{"a", 1e-2}, {"b", 1e-2}, {"c", 1e-2}, {"d", 1e-4}, {"d", 1e-4}}};
  std::vector<LayerReport> layers = net.layers();
  layers[0].bytes_before = 0;
  layers[1].precision = Precision::f32;
  const auto chosen = test::must(layers_to_back_off(layers, 60, net.measure()));
  REQUIRE(chosen.size() == 1);
  CHECK(chosen.begin()->first == "c");
  CHECK(chosen.begin()->second.find("60.0 dB") != std::string::npos);
}

TEST_CASE("back off: an error on the way is handed on") {
  Noisy net{{{"a", 1e-2}}};
  const MeasureDb fails = [](const auto&) -> Result<double> {
    return Status(Code::out_of_memory, "no memory");
  };
  CHECK(layers_to_back_off(net.layers(), 60, fails).status().code() == Code::out_of_memory);
}

}  // namespace
}  // namespace firn
