// SPDX-License-Identifier: Apache-2.0
// Networks with shapes that follow from data, or with states that runs keep: run, calibrated,
// frozen, saved like any other.
#include <doctest/doctest.h>

#include <cstdio>

#include "firn/quantize.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

// conv -> relu -> mean, and of its channels those from `start` on; the second output is static.
Model sliced_model() {
  GraphBuilder b(3);
  const ValueId x = b.input("image", {1, 8, 8, 3});
  Graph& g = b.graph;
  const ValueId start = g.add({"start", DType::i64, {1}, {}, {}});
  g.inputs.push_back(start);
  ValueId y = b.conv("conv", x, 6, 3, 1);
  y = b.add("relu", Unary{Unary::Kind::clamp, 0, 6}, {y});
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, false}, {y});
  const ValueId end = must(g.add_constant<int64_t>("end", {1}, std::vector<int64_t>{6}));
  const ValueId axes = must(g.add_constant<int64_t>("axes", {1}, std::vector<int64_t>{-1}));
  const ValueId part = g.add({"part", DType::f32, {-1, -1}, {}, {}});
  g.add({"part", Slice{{}, {}, {}, true}, {mean, start, end, axes}, {part}});
  b.output(part);
  b.output(mean);
  return must(make_model("test", g));
}

struct Given {
  std::vector<float> pixels;
  int64_t start;
  std::vector<NamedTensor> tensors() {
    return {{"image", view(Shape{1, 8, 8, 3}, pixels.data())}, {"start", view(Shape{1}, &start)}};
  }
};

Given given(uint32_t seed, int64_t start) {
  Given g{std::vector<float>(192), start};
  std::mt19937 random(seed);
  for (float& p : g.pixels) p = static_cast<float>(random() % 256) / 255;
  return g;
}

// That "part" is the end of "mean".
void check_part(Session& session, uint32_t seed, int64_t start) {
  Given g = given(seed, start);
  Outputs outputs;
  must(session.run(g.tensors(), outputs));
  const std::vector<float> mean = copy(outputs["mean"]), part = copy(outputs["part"]);
  CHECK(outputs["part"].shape == Shape{1, static_cast<int32_t>(6 - start)});
  CHECK(part == std::vector<float>(mean.begin() + start, mean.end()));
}

}  // namespace

TEST_CASE("shapes that follow from data: another one at every run") {
  const Model model = sliced_model();
  CHECK(model.outputs()[0].shape == Shape{-1, -1});
  CHECK(model.outputs()[1].shape == Shape{1, 6});
  Session session = must(Session::create(model));
  CHECK(session.outputs()[0].shape == Shape{-1, -1});
  for (const int64_t start : {0, 2, 5, 6, 1}) check_part(session, 1, start);

  // What the caller binds must fit today's shape.
  Given g = given(2, 4);
  float mine[2] = {-1, -1};
  Outputs bound;
  bound.bind("part", view(Shape{1, 2}, mine));
  must(session.run(g.tensors(), bound));
  CHECK(mine[1] == bound["mean"].as<float>()[5]);
  g.start = 3;
  const Status status = session.run(g.tensors(), bound);
  CHECK(status.message() == "output part: expected f32 1x3, the bound tensor is f32 1x2");
}

TEST_CASE("shapes that follow from data: calibrated, frozen and saved") {
  const Model model = sliced_model();
  Session session = must(Session::create(model));
  must(session.calibrate());
  for (uint32_t i = 0; i < 64; ++i) check_part(session, i, i % 6);
  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(report.layers_int8 >= 1);
  check_part(session, 100, 3);

  const std::string path = std::string(FIRN_BINARY) + "/tail.firn";
  must(session.save(path));
  const Model loaded = must(Model::load(path));
  std::remove(path.c_str());
  CHECK(loaded.outputs() == model.outputs());
  Session again = must(Session::create(loaded));
  CHECK(again.state() == State::frozen);
  Given a = given(7, 1), b = given(7, 1);
  Outputs before, after;
  must(session.run(a.tensors(), before));
  must(again.run(b.tensors(), after));
  CHECK(copy(before["part"]) == copy(after["part"]));
}

TEST_CASE("states: kept from run to run where that is asked for, zero otherwise") {
  GraphBuilder b(5);
  const ValueId x = b.input("x", {2});
  const ValueId state = b.input("sum", {2});
  const ValueId next = b.binary("next", Binary::Kind::add, x, state);
  b.output(b.unary("y", Unary::Kind::neg, next));
  b.output(next);
  b.graph.states = 1;
  const Model model = must(make_model("test", b.graph));
  REQUIRE(model.inputs().size() == 1);
  REQUIRE(model.outputs().size() == 1);

  const std::string path = std::string(FIRN_BINARY) + "/states.firn";
  must(model.save(path));
  const Model loaded = must(Model::load(path));
  std::remove(path.c_str());
  for (const Model& m : {model, loaded}) {
    for (const bool keep : {false, true}) {
      SessionOptions options;
      options.keep_state = keep;
      Session session = must(Session::create(m, options));
      float data[2] = {1, 2};
      Outputs outputs;
      for (int i = 1; i <= 3; ++i) {
        must(session.run({{"x", view(Shape{2}, data)}}, outputs));
        const auto times = static_cast<float>(keep ? i : 1);
        CHECK(copy(outputs["y"]) == std::vector<float>{-times, -2 * times});
      }
      session.reset();
      must(session.run({{"x", view(Shape{2}, data)}}, outputs));
      CHECK(copy(outputs["y"]) == std::vector<float>{-1, -2});
    }
  }

  b.graph.value(state).shape = Shape{1};
  CHECK(make_model("test", b.graph).status().message() ==
        "state sum: the next is f32 2, expected f32 1");
}

TEST_CASE("data that make no shape are an error of that run") {
  Session session = must(Session::create(sliced_model()));
  Given g = given(1, 9);  // starts behind the end: nothing is left, as in NumPy
  Outputs outputs;
  must(session.run(g.tensors(), outputs));
  CHECK(outputs["part"].shape == Shape{1, 0});
}

}  // namespace firn::test
