// SPDX-License-Identifier: Apache-2.0
// TensorFlow Lite operators whose parameters are computed at run time, casts of quantized numbers,
// and normalized recurrent layers.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "test/runtime/tflite_run.h"

namespace firn::tflite {
namespace {

using Floats = std::vector<float>;
using Ints = std::vector<int32_t>;

// An operator on x and on int32 inputs a, b, ..., of the shapes given.
TestModel model_of(BuiltinOperator code, Ints shape, const std::vector<Ints>& inputs) {
  TestModel m;
  m.add_input({"x", TensorType::float32, std::move(shape)});
  Ints ids{0};
  for (const Ints& each : inputs)
    ids.push_back(m.add_input(
        {std::string(1, static_cast<char>('a' + ids.size() - 1)), TensorType::int32, each}));
  const int32_t y = m.add_output({"y"});
  m.ops.push_back({code, ids, {y}});
  return m;
}

// The output for x = 1, 2, ... and these numbers; its shape is checked.
Floats outcome(const TestModel& model, const std::vector<Ints>& numbers, const Shape& expected) {
  Runner runner(model);
  const std::vector<TensorInfo>& infos = runner.session().inputs();
  Floats x(infos[0].shape.elements());
  std::iota(x.begin(), x.end(), 1.0f);
  std::vector<NamedTensor> given{{infos[0].name, view(infos[0].shape, x.data())}};
  REQUIRE(infos.size() == numbers.size() + 1);
  for (size_t i = 0; i < numbers.size(); ++i)
    given.push_back({infos[i + 1].name, view(infos[i + 1].shape, numbers[i].data())});
  Outputs outputs;
  const Status status = runner.session().run(given, outputs);
  if (!status.ok()) {
    MESSAGE(status.message());
    return {};
  }
  const Tensor& y = outputs.all()[0].tensor;
  CHECK(to_string(y.shape) == to_string(expected));
  return {y.as<float>().begin(), y.as<float>().end()};
}

std::string failure(const TestModel& model, const std::vector<Ints>& numbers) {
  Runner runner(model);
  const std::vector<TensorInfo>& infos = runner.session().inputs();
  const Floats x(infos[0].shape.elements());
  std::vector<NamedTensor> given{{infos[0].name, view(infos[0].shape, x.data())}};
  for (size_t i = 0; i < numbers.size(); ++i)
    given.push_back({infos[i + 1].name, view(infos[i + 1].shape, numbers[i].data())});
  Outputs outputs;
  return runner.session().run(given, outputs).message();
}

TestOp::Options strided(int32_t begin_mask, int32_t end_mask, int32_t shrink_mask) {
  return options([=](auto& b) {
    return wire::CreateStridedSliceOptions(b, begin_mask, end_mask, 0, 0, shrink_mask);
  });
}

}  // namespace

TEST_CASE("tflite: slices that begin where the data say") {
  TestModel m = model_of(BuiltinOperator::SLICE, {3, 4}, {{2}});
  m.ops[0].inputs.push_back(m.add_ints({2, 2}));
  // Of a known size: the shape is known before anything runs.
  CHECK(Runner(m).session().outputs()[0].shape == Shape{2, 2});
  CHECK(outcome(m, {{0, 0}}, {2, 2}) == Floats{1, 2, 5, 6});
  CHECK(outcome(m, {{1, 2}}, {2, 2}) == Floats{7, 8, 11, 12});
  CHECK(failure(m, {{2, 0}}) == "y/axis0 (Gather): index 3, axis 0 of the input has 3");

  TestModel open = model_of(BuiltinOperator::SLICE, {3, 4}, {{2}, {2}});
  CHECK(Runner(open).session().outputs()[0].shape == Shape{-1, -1});
  CHECK(outcome(open, {{1, 1}, {2, -1}}, {2, 3}) == Floats{6, 7, 8, 10, 11, 12});
  CHECK(outcome(open, {{0, 3}, {1, 1}}, {1, 1}) == Floats{4});
}

TEST_CASE("tflite: strided slices of computed indices and ranges") {
  TestModel row = model_of(BuiltinOperator::STRIDED_SLICE, {3, 4}, {{1}});
  row.ops[0].inputs.push_back(row.add_ints({0}));
  row.ops[0].inputs.push_back(row.add_ints({1}));
  row.ops[0].options_type = BuiltinOptions::StridedSlice;
  row.ops[0].options = strided(0, 0, 1);
  CHECK(Runner(row).session().outputs()[0].shape == Shape{4});
  CHECK(outcome(row, {{1}}, {4}) == Floats{5, 6, 7, 8});
  CHECK(outcome(row, {{-1}}, {4}) == Floats{9, 10, 11, 12});
  CHECK(failure(row, {{3}}) == "y/index0 (Gather): index 3, axis 0 of the input has 3");

  TestModel range = model_of(BuiltinOperator::STRIDED_SLICE, {3, 4}, {{2}, {2}});
  range.ops[0].inputs.push_back(range.add_ints({1, -2}));
  range.ops[0].options_type = BuiltinOptions::StridedSlice;
  range.ops[0].options = strided(1, 2, 0);
  CHECK(outcome(range, {{9, 3}, {2, 9}}, {2, 2}) == Floats{4, 2, 8, 6});
}

TEST_CASE("tflite: paddings, axes, counts and sizes that are computed") {
  TestModel pad = model_of(BuiltinOperator::PAD, {1, 2}, {{2, 2}});
  CHECK(outcome(pad, {{0, 1, 2, 0}}, {2, 4}) == Floats{0, 0, 1, 2, 0, 0, 0, 0});
  TestModel mirror = model_of(BuiltinOperator::MIRROR_PAD, {1, 3}, {{2, 2}});
  mirror.ops[0].options_type = BuiltinOptions::MirrorPad;
  mirror.ops[0].options = options(
      [](auto& b) { return wire::CreateMirrorPadOptions(b, wire::MirrorPadMode::reflect); });
  CHECK(outcome(mirror, {{0, 0, 1, 2}}, {1, 6}) == Floats{2, 1, 2, 3, 2, 1});
  TestModel wrong = model_of(BuiltinOperator::PAD, {1, 2}, {{4}});
  CHECK(refusal(wrong) == "malformed: tflite: node 0 (PAD): paddings are 4, expected 2x2");
  TestModel expand = model_of(BuiltinOperator::EXPAND_DIMS, {2, 1}, {{}});
  CHECK(outcome(expand, {{-1}}, {2, 1, 1}) == Floats{1, 2});
  CHECK(outcome(expand, {{0}}, {1, 2, 1}) == Floats{1, 2});
  TestModel sum = model_of(BuiltinOperator::SUM, {2, 2}, {{1}});
  CHECK(outcome(sum, {{0}}, {2}) == Floats{4, 6});
  CHECK(outcome(sum, {{-1}}, {2}) == Floats{3, 7});
  TestModel best = model_of(BuiltinOperator::TOPK_V2, {5}, {{}});
  best.ops[0].outputs.push_back(best.add({"indices"}));
  CHECK(outcome(best, {{2}}, {2}) == Floats{5, 4});
  TestModel resize = model_of(BuiltinOperator::RESIZE_NEAREST_NEIGHBOR, {1, 1, 2, 1}, {{2}});
  resize.ops[0].options_type = BuiltinOptions::ResizeNearestNeighbor;
  resize.ops[0].options =
      options([](auto& b) { return wire::CreateResizeNearestNeighborOptions(b, false, false); });
  CHECK(outcome(resize, {{1, 4}}, {1, 1, 4, 1}) == Floats{1, 1, 2, 2});
  TestModel tile = model_of(BuiltinOperator::TILE, {2}, {{1}});
  CHECK(outcome(tile, {{2}}, {4}) == Floats{1, 2, 1, 2});
}

TEST_CASE("tflite: a cast of quantized numbers is one of their integers") {
  const auto cast = [](TestTensor from, TestTensor to) {
    TestModel m;
    m.add_input(std::move(from));
    m.add_output(std::move(to));
    m.ops.push_back({BuiltinOperator::CAST, {0}, {1}});
    return m;
  };
  std::vector<int8_t> all(256);
  std::iota(all.begin(), all.end(), int8_t{-128});
  const Floats same(all.begin(), all.end());
  CHECK(Runner(cast({"x", TensorType::int8, {256}, {}, {0.037f}, {-5}}, {"y"})).run<float>(all) ==
        same);
  CHECK(Runner(cast({"x", TensorType::float32, {256}},
                    {"y", TensorType::int8, {256}, {}, {0.037f}, {-5}}))
            .run<int8_t>(same) == all);
  std::vector<uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  CHECK(Runner(cast({"x", TensorType::uint8, {256}, {}, {1.3f}, {200}},
                    {"y", TensorType::int32, {256}}))
            .run<int32_t>(bytes) == Ints(bytes.begin(), bytes.end()));
  CHECK(Runner(cast({"x", TensorType::float32, {3}}, {"y", TensorType::int8, {3}, {}, {0.5f}, {0}}))
            .run<int8_t>(Floats{1.9f, -1.9f, 0.2f}) == std::vector<int8_t>{1, -1, 0});
}

TEST_CASE("tflite: FAKE_QUANT, ADD_N and SCATTER_ND") {
  TestModel fake = model_of(BuiltinOperator::FAKE_QUANT, {4}, {});
  fake.ops[0].options_type = BuiltinOptions::FakeQuant;
  fake.ops[0].options =
      options([](auto& b) { return wire::CreateFakeQuantOptions(b, -1.0f, 2.0f, 2, false); });
  CHECK(Runner(fake).run<float>(Floats{-7, -0.4f, 0.6f, 9}) == Floats{-1, 0, 1, 2});
  fake.ops[0].options =
      options([](auto& b) { return wire::CreateFakeQuantOptions(b, 2.0f, 2.0f, 8, false); });
  CHECK(refusal(fake) ==
        "malformed: tflite: node 0 (FAKE_QUANT): 8 bits from 2.000000 to 2.000000");
  TestModel sum = model_of(BuiltinOperator::ADD_N, {2}, {});
  sum.ops[0].inputs = {0, 0, 0};
  CHECK(Runner(sum).run<float>(Floats{1, -2}) == Floats{3, -6});
  TestModel scatter = model_of(BuiltinOperator::SCATTER_ND, {3}, {});
  const int32_t at = scatter.add({"at", TensorType::int32, {3, 1}, bytes_of<int32_t>({3, 0, 3})});
  scatter.ops[0].inputs = {at, 0, scatter.add_ints({4})};
  CHECK(Runner(scatter).run<float>(Floats{1, 2, 4}) == Floats{2, 0, 0, 5});
}

TEST_CASE("tflite: an LSTM with normalized sums") {
  // Two cells whose sums are x and -x: normalized 1 and -1, whatever x is.
  constexpr int32_t kCells = 2;
  TestModel m;
  m.add_input({"x", TensorType::float32, {1, 2, 1}});
  const auto constant = [&](const char* name, Ints shape, Floats values) {
    return m.add({name, TensorType::float32, std::move(shape), bytes_of(values)});
  };
  const auto variable = [&](const char* name) {
    TestTensor state{name, TensorType::float32, {1, kCells}};
    state.variable = true;
    return m.add(state);
  };
  const int32_t w = constant("w", {kCells, 1}, {1, -1}),
                r = constant("r", {kCells, kCells}, Floats(4));
  const int32_t bias = constant("bias", {kCells}, {0.5f, 0.25f});
  const int32_t norm = constant("norm", {kCells}, {2, 3});
  const int32_t state = variable("state"), cell = variable("cell");
  m.add_output({"y"});
  m.ops = {{BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM,
            {0,    w,    w,    w,    w,  r,  r,     r,    r,    -1,   -1,   -1,
             bias, bias, bias, bias, -1, -1, state, cell, norm, norm, norm, norm},
            {m.outputs[0]},
            BuiltinOptions::UnidirectionalSequenceLSTM,
            options([](auto& b) {
              return wire::CreateSequenceLSTMOptions(b, wire::Activation::tanh);
            })}};
  const auto step = [](double sum, double& c) {
    const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    c = sigmoid(sum) * c + sigmoid(sum) * std::tanh(sum);
    return sigmoid(sum) * std::tanh(c);
  };
  double c0 = 0, c1 = 0;
  Floats expected;
  for (int t = 0; t < 2; ++t) {
    expected.push_back(static_cast<float>(step(2 + 0.5, c0)));
    expected.push_back(static_cast<float>(step(-3 + 0.25, c1)));
  }
  const Floats y = Runner(m).run<float>(Floats{5, 0.25f});
  REQUIRE(y.size() == expected.size());
  for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(expected[i]));

  m.tensors[static_cast<size_t>(norm)].shape = {1};
  m.tensors[static_cast<size_t>(norm)].data = bytes_of<float>({2});
  CHECK(refusal(m).ends_with("expected 1x8"));
}

TEST_CASE("tflite: SVDF remembers its last inputs") {
  TestModel m;
  m.add_input({"x", TensorType::float32, {1, 1}});
  m.add({"features", TensorType::float32, {2, 1}, bytes_of<float>({1, 10})});
  m.add({"times", TensorType::float32, {2, 2}, bytes_of<float>({0.5f, 1, 0, 1})});
  m.add({"bias", TensorType::float32, {1}, bytes_of<float>({100})});
  TestTensor state{"state", TensorType::float32, {1, 4}};
  state.variable = true;
  m.add(state);
  m.add_output({"y"});
  const auto with_rank = [&](int32_t rank) {
    m.ops = {
        {BuiltinOperator::SVDF, {0, 1, 2, 3, 4}, {5}, BuiltinOptions::SVDF, options([=](auto& b) {
           return wire::CreateSVDFOptions(b, rank);
         })}};
    return m;
  };
  SessionOptions keeping;
  keeping.keep_state = true;
  Runner runner(with_rank(2), keeping);
  CHECK(runner.run<float>(Floats{1}) == Floats{100 + 1 + 10});
  CHECK(runner.run<float>(Floats{3}) == Floats{100 + 0.5f + 3 + 30});
  CHECK(refusal(with_rank(3)) ==
        "malformed: tflite: node 0 (SVDF): rank 3, input 1x1, weights 2x1 and 2x2");
}

}  // namespace firn::tflite
