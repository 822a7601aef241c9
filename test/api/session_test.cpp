// SPDX-License-Identifier: Apache-2.0
// Running: inputs and outputs in every form, shapes, instruction sets, threads, errors.
#include <doctest/doctest.h>

#include <cstring>

#include "kernels/isa.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

std::string error(const Status& status, Code code) {
  CHECK(status.code() == code);
  return status.message();
}

TEST_CASE("a session computes what the reference computes") {
  const Model model = small_model();
  Session session = must(Session::create(model));
  const std::vector<float> data = frame(1);
  const std::vector<float> got = run_all(session, data);

  Graph graph = must(model.impl().imported());
  graph.value(graph.inputs[0]).shape = small_shape();
  must(infer_shapes(graph));
  std::vector<float> input = data;
  const Tensor in = view(small_shape(), input.data());
  std::vector<float> expected;
  for (const Value& v : must(reference_run(graph, {&in, 1})))
    for (const float x : v.as<float>()) expected.push_back(x);
  CHECK(largest_difference(got, expected) < 1e-4);
}

TEST_CASE("outputs are views, or the caller's memory where it binds some") {
  Session session = must(Session::create(small_model()));
  std::vector<float> data = frame(2);
  const NamedTensor input{"image", view(small_shape(), data.data())};
  Outputs views;
  must(session.run({input}, views));
  REQUIRE(views.all().size() == 2);
  CHECK(views.all()[0].name == "logits");
  CHECK(views["prob"].shape == Shape{1, 10});
  CHECK(views["nothing"].data == nullptr);
  const std::vector<float> prob = copy(views["prob"]);

  std::vector<float> mine(10, -1);
  Outputs bound;
  bound.bind("prob", view(Shape{1, 10}, mine.data()));
  must(session.run({input}, bound));
  CHECK(mine == prob);
  CHECK(bound["prob"].data == mine.data());
  CHECK(copy(bound["logits"]) == copy(views["logits"]));

  Outputs wrong;
  wrong.bind("prob", view(Shape{10}, mine.data()));
  CHECK(error(session.run({input}, wrong), Code::invalid_argument) ==
        "output prob: expected f32 1x10, the bound tensor is f32 10");
  Outputs unknown;
  unknown.bind("probe", view(Shape{1, 10}, mine.data()));
  CHECK(error(session.run({input}, unknown), Code::invalid_argument) ==
        "the model has no output probe");
}

TEST_CASE("8-bit tensors count as plain numbers where the model wants floats") {
  Session session = must(Session::create(small_model()));
  std::vector<uint8_t> bytes(small_shape().elements());
  std::vector<int8_t> chars(bytes.size());
  std::vector<float> floats(bytes.size()), signed_floats(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i * 37);
    chars[i] = static_cast<int8_t>(bytes[i]);
    floats[i] = bytes[i];
    signed_floats[i] = chars[i];
  }
  Outputs outputs;
  must(session.run({{"image", view(small_shape(), bytes.data())}}, outputs));
  const std::vector<float> from_bytes = copy(outputs["logits"]);
  must(session.run({{"image", view(small_shape(), chars.data())}}, outputs));
  const std::vector<float> from_chars = copy(outputs["logits"]);
  const auto logits = [&](const std::vector<float>& data) {
    const auto all = run_all(session, data);
    return std::vector<float>(all.begin(), all.begin() + 10);
  };
  CHECK(from_bytes == logits(floats));
  CHECK(from_chars == logits(signed_floats));
}

TEST_CASE("a new batch size re-plans the session, each sample as alone") {
  Session session = must(Session::create(small_model()));
  std::vector<float> expected_logits, batch;
  for (uint32_t i = 0; i < 3; ++i) {
    const std::vector<float> one = frame(10 + i);
    const auto all = run_all(session, one);
    expected_logits.insert(expected_logits.end(), all.begin(), all.begin() + 10);
    batch.insert(batch.end(), one.begin(), one.end());
  }
  Outputs outputs;
  must(session.run({{"image", view(small_shape(3), batch.data())}}, outputs));
  CHECK(outputs["logits"].shape == Shape{3, 10});
  CHECK(largest_difference(copy(outputs["logits"]), expected_logits) < 1e-4);
  CHECK(session.inputs()[0].shape == small_shape(3));
  CHECK(session.outputs()[1].shape == Shape{3, 10});
  const auto alone = run_all(session, frame(10));
  CHECK(largest_difference({alone.begin(), alone.begin() + 10},
                           {expected_logits.begin(), expected_logits.begin() + 10}) == 0);

  const Session started =
      must(Session::create(small_model(), {.input_shapes = {{"image", small_shape(4)}}}));
  CHECK(started.inputs()[0].shape == small_shape(4));
}

TEST_CASE("threads and instruction sets") {
  const Model model = small_model();
  Session one = must(Session::create(model));
  const std::vector<float> expected = run_all(one, frame(3));
  Session two = must(Session::create(model, {.threads = 2}));
  CHECK(largest_difference(run_all(two, frame(3)), expected) < 1e-5);
  CHECK(two.threads() == 2);
  CHECK(must(Session::create(model, {.isa = "scalar"})).isa() == "scalar");

  CHECK(error(Session::create(model, {.isa = "sse9"}).status(), Code::invalid_argument) ==
        "instruction set sse9 is not one this machine has");
  CHECK(error(Session::create(model, {.threads = 0}).status(), Code::invalid_argument) ==
        "threads: expected 1 to 256, got 0");
}

TEST_CASE("inputs that do not fit are named") {
  Session session = must(Session::create(small_model()));
  std::vector<float> data = frame(4);
  std::vector<int32_t> ints(data.size());
  Outputs outputs;
  const auto run = [&](std::vector<NamedTensor> inputs) {
    return error(session.run(inputs, outputs), Code::invalid_argument);
  };
  CHECK(run({}) == "input image is missing");
  CHECK(run({{"img", view(small_shape(), data.data())}}) == "input image is missing");
  CHECK(run({{"image", view(small_shape(), data.data())},
             {"mask", view(small_shape(), data.data())}}) == "the model has no input mask");
  CHECK(run({{"image", view(Shape{1, 3, 24, 23}, data.data())}}) ==
        "input image: expected shape ?x3x24x24, got 1x3x24x23");
  CHECK(run({{"image", view(Shape{3, 24, 24}, data.data())}}) ==
        "input image: expected shape ?x3x24x24, got 3x24x24");
  CHECK(run({{"image", view(Shape{0, 3, 24, 24}, data.data())}}) ==
        "input image: expected shape ?x3x24x24, got 0x3x24x24");
  CHECK(run({{"image", {DType::f32, small_shape(), nullptr}}}) == "input image: its data is null");
  CHECK(run({{"image", view(small_shape(), ints.data())}}) == "input image: expected f32, got i32");
  CHECK(error(Session::create(small_model(), {.input_shapes = {{"x", small_shape()}}}).status(),
              Code::invalid_argument) == "the model has no input x");
}

TEST_CASE("several inputs are taken by name, and calibrate and freeze like one") {
  GraphBuilder b(5);
  const ValueId left = b.input("left", {1, 8, 8, 4}), right = b.input("right", {1, 8, 8, 4});
  // One after the other: compilers differ in which of two arguments draws its weights first.
  const ValueId second = b.conv("b", right, 8), first = b.conv("a", left, 8, 3, 1);
  const ValueId sum = b.binary("sum", Binary::Kind::add, first, second);
  b.output(b.conv("out", sum, 3));
  Session session = must(Session::create(must(make_model("test", std::move(b.graph)))));
  const Shape shape{1, 8, 8, 4};
  const auto run = [&](uint32_t seed, bool swapped) {
    std::vector<float> x = frame(seed, shape), y = frame(seed + 1000, shape);
    const NamedTensor l{"left", view(shape, x.data())}, r{"right", view(shape, y.data())};
    Outputs outputs;
    must(swapped ? session.run({r, l}, outputs) : session.run({l, r}, outputs));
    return copy(outputs["out"]);
  };
  const std::vector<float> fp32 = run(1, false);
  CHECK(run(1, true) == fp32);
  must(session.calibrate());
  for (uint32_t i = 0; i < 16; ++i) run(i, i % 2 == 0);
  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(report.layers_int8 == 4);
  const std::vector<float> int8 = run(1, false);
  CHECK(int8 != fp32);
  CHECK(run(1, true) == int8);
  CHECK(report.outputs.at(0).sqnr_db > 40);
  must(session.thaw());
  must(session.freeze({.equalize = false, .timed = false}));
  CHECK(largest_difference(run(1, false), fp32) < 0.1);
}

TEST_CASE("profile names every step, its kernel and its precision") {
  Session session = must(Session::create(small_model()));
  const std::vector<StepProfile> steps = must(session.profile(3));
  const auto expand = std::ranges::find(steps, "expand", &StepProfile::name);
  REQUIRE(expand != steps.end());
  CHECK(expand->op == "Conv2d");
  CHECK(expand->shape == "1x12x12x32");
  CHECK(expand->kernel == "xnnpack");
  CHECK(expand->precision == Precision::f32);
  CHECK(expand->ms > 0);
  CHECK(session.memory().arena_bytes > 0);
  CHECK(session.memory().weight_bytes > 0);
}

}  // namespace
}  // namespace firn::test
