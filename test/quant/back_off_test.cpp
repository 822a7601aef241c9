// SPDX-License-Identifier: Apache-2.0
// As few layers go back to float as a limit on the error takes, the worst first.
#include "quant/back_off.h"

#include <doctest/doctest.h>

#include <cmath>

#include "test/runtime/random_graph.h"

namespace firn {
namespace {

// Each layer adds its own noise to the outputs: that of its activations while they have 8 bits, and
// that of its weights while it is not in float.
struct Noise {
  std::string name;
  double activations = 0, weights = 0;
};

struct Noisy {
  std::vector<Noise> noise;
  int measured = 0;

  std::vector<LayerReport> layers() const {
    std::vector<LayerReport> all;
    for (const Noise& n : noise) {
      LayerReport layer;
      layer.name = n.name;
      layer.precision = Precision::i8;
      layer.bytes_before = 4;
      all.push_back(layer);
    }
    return all;
  }
  MeasureDb measure() {
    return [this](const BackedOff& layers) -> Result<double> {
      ++measured;
      double sum = 1e-30;
      for (const Noise& n : noise) {
        CHECK_FALSE((layers.i16_layers.contains(n.name) && layers.float_layers.contains(n.name)));
        if (layers.float_layers.contains(n.name)) continue;
        sum += n.weights + (layers.i16_layers.contains(n.name) ? 0 : n.activations);
      }
      return -10 * std::log10(sum);
    };
  }
};

std::string names(const std::map<std::string, std::string>& layers) {
  std::string all;
  for (const auto& [name, why] : layers) all += name;
  return all;
}

TEST_CASE("back off: the worst layers, and no more than it takes") {
  Noisy net{{{"a", 1e-4}, {"b", 1e-2}, {"c", 1e-5}, {"d", 1e-3}, {"e", 2e-5}}};
  const auto wide = [&](double limit) {
    const BackedOff chosen = test::must(back_off_layers(net.layers(), limit, net.measure()));
    CHECK(chosen.float_layers.empty());
    return names(chosen.i16_layers);
  };
  CHECK(wide(15) == "");
  CHECK(net.measured == 1);
  CHECK(wide(25) == "b");
  CHECK(wide(35) == "bd");
  CHECK(wide(45) == "abd");
  CHECK(wide(200) == "abcde");
}

TEST_CASE("back off: float where 16 bits are not enough, and 16 bits where they still help") {
  Noisy net{{{"a", 1e-3, 1e-4}, {"b", 1e-2, 1e-6}, {"c", 1e-6, 1e-2}, {"d", 1e-7, 1e-8}}};
  const auto chosen = [&](double limit) {
    return test::must(back_off_layers(net.layers(), limit, net.measure()));
  };
  // 16 bits alone leave the weights of c: 20 dB.
  BackedOff layers = chosen(19.8);
  CHECK(names(layers.float_layers) == "");
  CHECK(names(layers.i16_layers) == "ab");
  layers = chosen(29);
  CHECK(names(layers.float_layers) == "c");
  CHECK(names(layers.i16_layers) == "b");
  CHECK(layers.float_layers["c"] ==
        "for the limit of 29.0 dB; its int8 weights alone give 20.0 dB");
  CHECK(layers.i16_layers["b"] ==
        "for the limit of 29.0 dB; alone in 16 bits it would give 19.5 dB");
  layers = chosen(39);
  CHECK(names(layers.float_layers) == "c");
  CHECK(names(layers.i16_layers) == "ab");
  layers = chosen(50);
  CHECK(names(layers.float_layers) == "ac");
  CHECK(names(layers.i16_layers) == "b");
  layers = chosen(250);
  CHECK(names(layers.float_layers) == "abcd");
  CHECK(names(layers.i16_layers) == "");
}

TEST_CASE("back off: measures twice a layer at the most, and the bisections") {
  Noisy net;
  for (int i = 0; i < 32; ++i)
    net.noise.push_back({"layer" + std::to_string(i), 1e-4 * i, 1e-5 * (i + 1)});
  CHECK(test::must(back_off_layers(net.layers(), 60, net.measure())).float_layers.size() == 32);
  CHECK(net.measured <= 2 * 32 + 3 * 11);
}

TEST_CASE("back off: layers without weights, shared names and float layers are no candidates") {
  Noisy net{{{"a", 1e-2}, {"b", 1e-2}, {"c", 1e-2}, {"d", 1e-4}, {"d", 1e-4}}};
  std::vector<LayerReport> layers = net.layers();
  layers[0].bytes_before = 0;
  layers[1].precision = Precision::f32;
  const BackedOff chosen = test::must(back_off_layers(layers, 60, net.measure()));
  CHECK(names(chosen.float_layers) == "c");
  CHECK(chosen.float_layers.begin()->second.find("60.0 dB") != std::string::npos);
}

TEST_CASE("back off: layers that were asked to have 16 bits go to float at once") {
  Noisy net{{{"a", 1e-2, 1e-3}, {"b", 1e-2, 1e-5}}};
  std::vector<LayerReport> layers = net.layers();
  layers[0].precision = Precision::i16;
  const BackedOff chosen = test::must(back_off_layers(layers, 40, net.measure()));
  CHECK(names(chosen.float_layers) == "a");
  CHECK(names(chosen.i16_layers) == "b");
}

TEST_CASE("back off: an error on the way is handed on") {
  Noisy net{{{"a", 1e-2}}};
  const MeasureDb fails = [](const auto&) -> Result<double> {
    return Status(Code::out_of_memory, "no memory");
  };
  CHECK(back_off_layers(net.layers(), 60, fails).status().code() == Code::out_of_memory);
}

}  // namespace
}  // namespace firn
