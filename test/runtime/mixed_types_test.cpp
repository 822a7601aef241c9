// SPDX-License-Identifier: Apache-2.0
// Layers whose tensors are not of the types that kernels compute on, as only a crafted file has
// them: a session gives what the reference gives, and reads and writes no byte beside its tensors.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "firn/session.h"
#include "runtime/model_impl.h"
#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;

namespace {

const Quant kHalf = per_tensor(0.5f, 3);

Value open_i8(const Shape& shape, Quant quant = kHalf) {
  Value value = open("x", shape, DType::i8);
  value.quant = std::move(quant);
  return value;
}

Quant with_scales(int8_t axis, int32_t block, std::vector<float> scale, int32_t zero = 0) {
  Quant quant;
  quant.axis = axis;
  quant.block = block;
  quant.zero.assign(scale.size(), zero);
  quant.scale = std::move(scale);
  return quant;
}

// Bytes 1, 2, 3, ... for an input of int8, numbers like them for one of f32.
std::vector<std::byte> input_for(const Value& value) {
  std::vector<std::byte> memory(value.shape.elements() * dtype_bytes(value.type));
  for (size_t i = 0; i < value.shape.elements(); ++i) {
    const auto number = static_cast<float>(i % 11) - 4;
    const auto small = static_cast<int8_t>(number);
    if (value.type == DType::f32) {
      std::memcpy(&memory[4 * i], &number, 4);
    } else {
      std::memcpy(&memory[i], &small, 1);
    }
  }
  return memory;
}

void check_runs_like_reference(Graph graph) {
  Result<Model> model = make_model("test", graph);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  Result<Session> session = Session::create(*model);
  REQUIRE_MESSAGE(session.ok(), session.status().message());

  const Value& x = graph.value(graph.inputs[0]);
  std::vector<std::byte> memory = input_for(x);
  const Tensor tensor{x.type, x.shape, memory.data()};
  Outputs outputs;
  const Status ran = session->run({{x.name, tensor}}, outputs);
  REQUIRE_MESSAGE(ran.ok(), ran.message());

  REQUIRE(infer_shapes(graph).ok());
  const Result<std::vector<Value>> expected = reference_run(graph, std::span(&tensor, 1));
  REQUIRE_MESSAGE(expected.ok(), expected.status().message());
  const Tensor got = outputs.all()[0].tensor;
  const std::span<const std::byte> bytes = expected->front().constant->bytes();
  REQUIRE(got.shape == expected->front().shape);
  REQUIRE(got.bytes() == bytes.size());
  CHECK((bytes.empty() || std::memcmp(got.data, bytes.data(), bytes.size()) == 0));
}

Value i8_weights(Quant quant) {
  return bytes({2, 1, 1, 4}, {1, -2, 3, -4, 5, -6, 7, -8}, std::move(quant));
}
const Shape kImage{1, 3, 3, 4};

}  // namespace

TEST_CASE("int8 convolutions with weights, biases or outputs that the kernels do not have") {
  const Quant usual = with_scales(0, 0, {0.25f, 0.5f});
  const Value bias = ints({2}, {100, -100});
  const auto check = [&](const Value& x, const Value& w, const Value& b, const Value& y) {
    check_runs_like_reference(OneNode(Conv2d{}, {x, w, b}, y).graph);
  };
  const Value x = open_i8(kImage), y = open_i8({}, per_tensor(2, -1));
  check(x, i8_weights(usual), floats({2}, {1, 2}), y);
  check(x, i8_weights(with_scales(-1, 2, {1, 2, 3, 4})), floats({2}, {1, 2}), y);
  check(x, i8_weights(with_scales(3, 0, {1, 2, 3, 4})), open("", {}), y);
  check(x, i8_weights(with_scales(0, 0, {1, 2}, 5)), bias, y);
  check(open_i8(kImage, with_scales(3, 0, {1, 2, 3, 4})), i8_weights(usual), open("", {}), y);
  check(x, floats({2, 1, 1, 4}, {1, 2, 3, 4, 5, 6, 7, 8}), open("", {}), y);
  Value unsigned_y = open_i8({}, per_tensor(2, 100));
  unsigned_y.type = DType::u8;
  check(x, i8_weights(usual), bias, unsigned_y);
}

TEST_CASE("float layers with int8 weights or outputs") {
  const Value x = open("x", kImage), y = open_i8({}, per_tensor(0.25f, 7));
  const Value w = floats({2, 1, 1, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  check_runs_like_reference(OneNode(Conv2d{}, {x, w}, y).graph);
  check_runs_like_reference(
      OneNode(Conv2d{}, {x, i8_weights(with_scales(0, 0, {0.25f, 0.5f}))}).graph);
  check_runs_like_reference(
      OneNode(Dense{}, {open("x", {3, 4}), bytes({1, 4}, {1, 2, 3, 4}, kHalf)}).graph);
  check_runs_like_reference(OneNode(Unary{Unary::Kind::sigmoid}, {x}, y).graph);
  check_runs_like_reference(OneNode(Softmax{}, {x}, y).graph);
}

TEST_CASE("pools and means between int8 and float") {
  const Pool2d pool{Pool2d::Kind::max, {{2, 2}, {1, 1}}};
  const Reduce mean{Reduce::Kind::mean, {1, 2}, true};
  for (const Op& op : {Op(pool), Op(mean)}) {
    check_runs_like_reference(OneNode(op, {open("x", kImage)}, open_i8({})).graph);
    check_runs_like_reference(OneNode(op, {open_i8(kImage)}).graph);
  }
}

TEST_CASE("an accumulator's bias without a scale for each channel is refused") {
  OneNode node(Conv2d{}, {open_i8(kImage), i8_weights(with_scales(3, 0, {1, 2, 3, 4})),
                          ints({2}, {100, -100})});
  CHECK(node.infer().code() == Code::unsupported);
}

TEST_CASE("quantized, then transposed into another quantization") {
  Graph graph = OneNode(Convert{DType::i8}, {open("x", {1, 2, 3, 3})}, open_i8({})).graph;
  const ValueId turned = graph.add(open_i8({}, per_tensor(2, -1)));
  graph.value(turned).name = "turned";
  graph.add({"turn", Transpose{{0, 2, 3, 1}}, {graph.outputs[0]}, {turned}});
  graph.outputs = {turned};
  check_runs_like_reference(graph);
}

TEST_CASE("images without channels") {
  const Resize2d resize{.kind = Resize2d::Kind::bilinear, .size = {4, 4}};
  check_runs_like_reference(OneNode(resize, {open("x", {1, 2, 2, 0})}).graph);
}

TEST_CASE("a transposed convolution whose output padding is as large as its stride") {
  const Value w = floats({2, 1, 1, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  check_runs_like_reference(
      OneNode(ConvTranspose2d{{{1, 1}, {2, 2}}, {2, 1}}, {open("x", kImage), w}).graph);
}
