// SPDX-License-Identifier: Apache-2.0
// Random networks with pairs at random places: the passes settle, and the graph computes the same.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "test/runtime/qdq_model.h"

namespace firn::test {
namespace {

using Ints = std::vector<int64_t>;
using Strings = std::vector<std::string>;

// Maps of NCHW, each made of an earlier one. Weights are small: what rounding moves stays small.
class RandomQdq {
 public:
  explicit RandomQdq(uint32_t seed) : model_(seed), random_(seed) {
    byte_input_ = below(4) == 0;
    model_.input("x", {1, 4, 6, 6}, byte_input_ ? kUint8 : kFloat);
    maps_.push_back({"x", 4, 6});
    if (byte_input_) {
      model_.scheme("x", {0.03f, 121, kUint8});
      model_.node("DequantizeLinear", {"x", "x_s", "x_z"}, {"real"});
      maps_[0].name = "real";
    }
    const int steps = 3 + below(7);
    for (int i = 0; i < steps; ++i) {
      step("n" + std::to_string(i));
      if (below(6) == 0) output(maps_.back().name);
    }
    if (below(3) == 0) {
      const std::string name = maps_.back().name;
      model_.scheme("out_" + name, scheme());
      model_.node("QuantizeLinear", {name, "out_" + name + "_s", "out_" + name + "_z"}, {"bytes"});
      output("bytes");
    }
    output(maps_.back().name);
  }

  const OnnxModel& model() const { return model_; }
  bool byte_input() const { return byte_input_; }

 private:
  struct Map {
    std::string name;
    int64_t channels, side;
  };

  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  void output(const std::string& name) {
    if (outputs_.insert(name).second) model_.output(name);
  }
  Scheme scheme() {
    constexpr Scheme kAll[] = {{0.05f, 3, kInt8}, {0.04f, 117, kUint8}, {0.031f, 0, kInt8}};
    return kAll[below(3)];
  }
  // The map, perhaps through a pair of its own, perhaps through one that others share.
  std::string read(const Map& map) {
    if (below(4) == 0) return map.name;
    const auto found = pairs_.find(map.name);
    if (found != pairs_.end()) return found->second;
    return pairs_[map.name] = model_.pair(map.name, scheme());
  }
  Map pick() {
    const size_t back = static_cast<size_t>(below(2)) % maps_.size();
    return maps_[maps_.size() - 1 - back];
  }
  std::string conv(const std::string& name, const Map& x, int64_t channels, int64_t kernel,
                   int64_t groups = 1) {
    const int64_t row = x.channels / groups;
    const std::string w = name + "_w";
    if (below(4) == 0) {
      model_.initializer(onnx_floats(
          w, {channels, row, kernel, kernel},
          model_.floats(static_cast<size_t>(channels * row * kernel * kernel), -0.05f, 0.05f)));
    } else {
      model_.weights(w, {channels, row, kernel, kernel}, below(2) - 1);
    }
    Strings in{read(x), w};
    if (below(2) == 0) in.push_back(model_.bias(name + "_b", channels, 1e-3f));
    const int64_t pad = kernel / 2;
    model_.node("Conv", in, {name},
                {attr("pads", Ints{pad, pad, pad, pad}), attr("group", groups)});
    return name;
  }

  void step(const std::string& name) {
    const Map x = pick();
    switch (below(10)) {
      case 0:
        maps_.push_back({conv(name, x, 6, 1), 6, x.side});
        return;
      case 1:
        maps_.push_back({conv(name, x, x.channels, 3, x.channels), x.channels, x.side});
        return;
      case 2:
        model_.node(below(2) == 0 ? "Relu" : "Sigmoid", {read(x)}, {name});
        break;
      case 3: {
        const std::string y = conv(name + "_c", x, x.channels, 1);
        model_.node("Add", {read({y, x.channels, x.side}), read(x)}, {name});
        break;
      }
      case 4: {
        const std::string y = conv(name + "_c", x, 3, 1);
        model_.node("Concat", {read(x), read({y, 3, x.side})}, {name}, {attr("axis", int64_t{1})});
        maps_.push_back({name, x.channels + 3, x.side});
        return;
      }
      case 5:
        model_.node(below(2) == 0 ? "MaxPool" : "AveragePool", {read(x)}, {name},
                    {attr("kernel_shape", Ints{3, 3}), attr("pads", Ints{1, 1, 1, 1})});
        break;
      case 6:
        model_.weights(name + "_row", {x.channels, 1, 1}, -1);
        model_.node("Add", {read(x), name + "_row"}, {name});
        break;
      case 7: {
        model_.initializer(onnx_ints(name + "_to", {1, x.side, x.channels * x.side}))
            .node("Reshape", {read(x), name + "_to"}, {name + "_flat"})
            .initializer(onnx_ints(name + "_back", {1, x.channels, x.side, x.side}));
        model_.node("Reshape", {read({name + "_flat", 1, 1}), name + "_back"}, {name});
        break;
      }
      case 8:
        model_.node("Transpose", {read(x)}, {name}, {attr("perm", Ints{0, 1, 3, 2})});
        break;
      default:
        model_.node("GlobalAveragePool", {read(x)}, {name + "_mean"});
        model_.node("Mul", {read(x), read({name + "_mean", x.channels, 1})}, {name});
        break;
    }
    maps_.push_back({name, x.channels, x.side});
  }

  QdqModel model_;
  std::mt19937 random_;
  bool byte_input_ = false;
  std::vector<Map> maps_;
  std::map<std::string, std::string> pairs_;
  std::set<std::string> outputs_;
};

TEST_CASE("random networks with pairs compute the same after the passes") {
  const Shape shape{1, 4, 6, 6};
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    const RandomQdq network(seed);
    std::vector<float> floats(shape.elements());
    std::vector<uint8_t> bytes(shape.elements());
    std::mt19937 random(seed);
    for (size_t i = 0; i < floats.size(); ++i) {
      floats[i] = static_cast<float>(random() % 1001) / 500 - 1;
      bytes[i] = static_cast<uint8_t>(random());
    }
    const Tensor input =
        network.byte_input() ? view(shape, bytes.data()) : view(shape, floats.data());
    same_after_passes(network.model(), {input}, 0.2, 5);
  }
}

}  // namespace
}  // namespace firn::test
