// SPDX-License-Identifier: Apache-2.0
// All passes together: random NCHW networks compute the same, and real models end as they should.
#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/file.h"
#include "runtime/import/onnx.h"
#include "test/runtime/random_graph.h"

namespace firn::test {
namespace {

using B = Binary::Kind;
using U = Unary::Kind;

// Layers, each followed by what exporters put there, over a growing set of NCHW maps.
class RandomNetwork {
 public:
  explicit RandomNetwork(uint32_t seed) : b_(seed) {
    maps_.push_back(b_.input("x", {2, 4, 6, 6}));
    if (b_.below(2) == 0) maps_[0] = normalized(maps_[0]);
    const int steps = 4 + b_.below(6);
    for (int i = 0; i < steps; ++i) {
      maps_.push_back(step("n" + std::to_string(i), pick()));
      if (b_.below(5) == 0) b_.output(maps_.back());
    }
    if (b_.below(2) == 0) b_.output(head(maps_.back()));
    if (!b_.graph.is_output(maps_.back())) b_.output(maps_.back());
  }
  const Graph& graph() const { return b_.graph; }

 private:
  ValueId pick() {
    return maps_[maps_.size() - 1 - static_cast<size_t>(b_.below(2)) % maps_.size()];
  }
  int32_t channels(ValueId x) const { return b_.shape(x)[1]; }

  ValueId normalized(ValueId x) {
    x = b_.binary("mean", B::sub, x, b_.random({channels(x), 1, 1}));
    return b_.binary("std", B::div, x, b_.random({1, channels(x), 1, 1}, 1, 2));
  }
  ValueId activation(const std::string& name, ValueId x) {
    switch (b_.below(6)) {
      case 0:
        return b_.relu(name + "_relu", x);
      case 1:
        return b_.unary(name + "_relu6", U::clamp, x, 0, 6);
      case 2:
        return b_.binary(name + "_silu", B::mul, x, b_.unary(name + "_s", U::sigmoid, x));
      case 3: {
        const ValueId sum = b_.binary(name + "_add3", B::add, x, b_.scalar(3));
        const ValueId clip = b_.unary(name + "_clip", U::clamp, sum, 0, 6);
        const ValueId product = b_.binary(name + "_xclip", B::mul, x, clip);
        return b_.binary(name + "_div6", B::div, product, b_.scalar(6));
      }
      case 4:
        return b_.add(name + "_prelu", PRelu{}, {x, b_.random({channels(x), 1, 1})});
      default:
        return x;
    }
  }
  ValueId conv(const std::string& name, ValueId x) {
    const bool depthwise = b_.below(3) == 0;
    const bool wide = b_.below(2) == 0;
    const bool padded = wide && b_.below(3) == 0;
    if (padded)
      x = b_.add(name + "_pad", Pad{Pad::Mode::constant, {0, 0, 1, 1}, {0, 0, 1, 1}, 0}, {x});
    ValueId y = b_.conv_nchw(name, x, depthwise ? channels(x) : 4 * (1 + b_.below(2)), wide ? 3 : 1,
                             wide && !padded ? 1 : 0, 1, depthwise ? channels(x) : 1);
    if (b_.below(2) == 0) y = b_.batch_norm(name + "_bn", y);
    return activation(name, y);
  }
  ValueId step(const std::string& name, ValueId x) {
    const Shape shape = b_.shape(x);
    switch (b_.below(7)) {
      case 0: {  // residual
        const ValueId y = b_.conv_nchw(name, x, channels(x), 3, 1);
        return activation(name, b_.binary(name + "_sum", B::add, y, x));
      }
      case 1: {  // squeeze and excite
        const ValueId mean = b_.add(name + "_mean", Reduce{Reduce::Kind::mean, {2, 3}, true}, {x});
        const ValueId gate = b_.conv_nchw(name, mean, channels(x));
        return b_.binary(name, B::mul, x, b_.unary(name + "_gate", U::sigmoid, gate));
      }
      case 2:  // concatenation with itself, activated
        return b_.add(name, Concat{1}, {x, activation(name, x)});
      case 3: {  // channel shuffle
        const int32_t c = channels(x);
        const ValueId split =
            b_.add(name + "_split", Reshape{{0, 2, c / 2, shape[2], shape[3]}, false}, {x});
        const ValueId turned = b_.add(name + "_turn", Transpose{{0, 2, 1, 3, 4}}, {split});
        return b_.add(name, Reshape{{0, c, shape[2], shape[3]}, false}, {turned});
      }
      case 4: {  // half of the channels
        if (channels(x) < 8) return conv(name, x);
        return b_.add(name, Slice{{0, 0, 0, 0}, {INT32_MAX, 4, INT32_MAX, INT32_MAX}, {1, 1, 1, 1}},
                      {x});
      }
      default:
        return conv(name, x);
    }
  }
  ValueId head(ValueId x) {
    if (b_.below(2) == 0) x = b_.add("mean", Reduce{Reduce::Kind::mean, {2, 3}, true}, {x});
    x = b_.add("flat", Reshape{{0, -1}, false}, {x});
    const Shape shape = b_.shape(x);
    x = b_.add("product", MatMul{}, {x, b_.random({shape[1], 5})});
    x = b_.binary("logits", B::add, x, b_.random({5}));
    return b_.add("prob", Softmax{1, false}, {x});
  }

  GraphBuilder b_;
  std::vector<ValueId> maps_;
};

TEST_CASE("optimize: random networks compute the same") {
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    const RandomNetwork network(seed);
    Graph after = network.graph();
    Diag diag;
    must(optimize(after, diag));
    check_same(network.graph(), after, 1e-4, seed);
    CHECK(count(after, "Transpose") <= count(network.graph(), "Transpose"));
  }
}

TEST_CASE("optimize: a second time changes nothing") {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Graph graph = RandomNetwork(seed).graph();
    Diag diag;
    must(optimize(graph, diag));
    const uint64_t before = graph.nodes.size();
    must(infer_shapes(graph));
    for (const Pass& pass : passes()) CHECK(must(pass.run(graph, diag)) == 0);
    CHECK(graph.nodes.size() == before);
  }
}

// A ShuffleNetV2 unit: half of the channels pass by, the rest is convolved, then all are shuffled.
TEST_CASE("optimize: channel shuffles and splits cost one Transpose each") {
  GraphBuilder b;
  ValueId x = b.conv_nchw("stem", b.input("x", {1, 3, 6, 6}), 8);
  constexpr int kUnits = 3;
  for (int i = 0; i < kUnits; ++i) {
    const std::string name = "unit" + std::to_string(i);
    const auto half = [&](const std::string& suffix, int32_t begin) {
      return b.add(name + suffix, Slice{{0, begin, 0, 0}, {1, begin + 4, 6, 6}, {1, 1, 1, 1}}, {x});
    };
    const ValueId left = half("_left", 0);
    const ValueId right = b.relu(name + "_relu", b.conv_nchw(name, half("_right", 4), 4, 3, 1));
    const ValueId both = b.add(name + "_both", Concat{1}, {left, right});
    const ValueId split = b.add(name + "_split", Reshape{{1, 2, 4, 6, 6}, false}, {both});
    const ValueId turned = b.add(name + "_turned", Transpose{{0, 2, 1, 3, 4}}, {split});
    x = b.add(name + "_merged", Reshape{{1, 8, 6, 6}, false}, {turned});
  }
  b.output(b.add("mean", Reduce{Reduce::Kind::mean, {2, 3}, false}, {x}));
  Graph after = b.graph;
  Diag diag;
  must(optimize(after, diag));
  check_same(b.graph, after);
  CHECK(count(after, "Transpose") == 1 + kUnits);
}

struct Model {
  Graph before, after;
};

// Nothing where the file is not there.
std::optional<Model> optimized(const std::string& file) {
  const std::string path = std::string(FIRN_SHARED) + "/models/" + file;
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no " << path);
    return std::nullopt;
  }
  const MappedFile mapped = must(map_file(path));
  DataFiles none("");
  Model model{must(read_onnx(mapped.bytes, mapped.owner, none)), {}};
  for (ValueId id : model.before.inputs)
    for (int i = 0; i < model.before.value(id).shape.rank; ++i)
      if (model.before.value(id).shape[i] < 0) model.before.value(id).shape[i] = 1;
  model.after = model.before;
  Diag diag;
  must(optimize(model.after, diag));
  return model;
}

int clamped_convs(const Graph& graph) {
  return static_cast<int>(std::ranges::count_if(graph.nodes, [](const Node& node) {
    const auto* conv = std::get_if<Conv2d>(&node.op);
    return conv != nullptr && !conv->clamp.none();
  }));
}

TEST_CASE("optimize: MobileNetV2") {
  const auto model = optimized("imagenet/mobilenet_v2_1.0_224.onnx");
  if (!model) return;
  const Graph& g = model->after;
  CHECK(count(g, "Transpose") == 1);
  CHECK(std::holds_alternative<Transpose>(g.nodes.front().op));
  CHECK(count(g, "Conv2d") + count(g, "Dense") == 53);
  CHECK(clamped_convs(g) == 35);
  CHECK(count(g, "Add") == 10);
  CHECK(g.nodes.size() == 1 + 53 + 10 + 3);  // and mean, flatten, softmax
}

TEST_CASE("optimize: MobileNetV1") {
  const auto model = optimized("imagenet/mobilenet_v1_0.75_224.onnx");
  if (!model) return;
  const Graph& g = model->after;
  CHECK(count(g, "Transpose") == 1);
  CHECK(count(g, "Conv2d") == 28);
  CHECK(clamped_convs(g) == 27);
  CHECK(g.nodes.size() == 1 + 28 + 3);
}

TEST_CASE("optimize: SqueezeNet") {
  const auto model = optimized("imagenet/squeezenet1.1.onnx");
  if (!model) return;
  const Graph& g = model->after;
  CHECK(count(g, "Transpose") == 1);
  CHECK(clamped_convs(g) == 26);
  CHECK(g.nodes.size() == 1 + 26 + 8 + 3 + 2);  // concatenations, pools, mean and flatten
}

TEST_CASE("optimize: ResNet-20") {
  const auto model = optimized("cifar10/resnet20.onnx");
  if (!model) return;
  const Graph& g = model->after;
  CHECK(count(g, "Transpose") == 1);
  CHECK(count(g, "Conv2d") == 19);
  CHECK(count(g, "Dense") == 1);
  CHECK(clamped_convs(g) == 10);
  for (const Node& node : g.nodes)
    if (const auto* add = std::get_if<Binary>(&node.op)) CHECK(add->clamp.lo == 0);
  CHECK(g.nodes.size() == 1 + 19 + 9 + 2 * 2 + 3);
  check_same(model->before, g, 1e-4);
}

TEST_CASE("optimize: UltraFace") {
  const auto model = optimized("onnx/ultraface_version-RFB-320.onnx");
  if (!model) return;
  const Graph& g = model->after;
  CHECK(count(g, "Transpose") == 1);
  CHECK(count(g, "Conv2d") == 52);
  CHECK(count(g, "Reshape") == 8);
  check_same(model->before, g, 1e-4);
}

TEST_CASE("optimize: MNIST") {
  const auto model = optimized("onnx/mnist.onnx");
  if (!model) return;
  const Graph& g = model->after;
  CHECK(count(g, "Transpose") == 0);  // of one channel: a Reshape
  CHECK(clamped_convs(g) == 2);
  CHECK(count(g, "Dense") == 1);
  CHECK(g.nodes.size() == 1 + 2 + 2 + 2);
  check_same(model->before, g, 1e-4);
}

}  // namespace
}  // namespace firn::test
