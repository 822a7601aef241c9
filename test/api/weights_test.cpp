// SPDX-License-Identifier: Apache-2.0
// Weights alone in few bits, from a model to a session: what is stored, what both ways of running
// it compute, files, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "firn/quantize.h"
#include "kernels/isa.h"
#include "quant/report.h"
#include "runtime/packed.h"
#include "runtime/recurrent.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

Session session_of(const Model& model, WeightUse use, const std::string& isa = {},
                   int threads = 1) {
  SessionOptions options;
  options.weights = use;
  options.isa = isa;
  options.threads = threads;
  return must(Session::create(model, options));
}

// The outputs of a network of one float input.
std::vector<float> run_on(Session& session, const Shape& shape, uint32_t seed) {
  std::vector<float> x = frame(seed, shape);
  Outputs outputs;
  must(session.run({{session.inputs()[0].name, view(shape, x.data())}}, outputs));
  std::vector<float> all;
  for (const NamedTensor& output : outputs.all())
    for (const float v : output.tensor.as<float>()) all.push_back(v);
  return all;
}

// What the reference makes of the model's graph, and so of its stored weights.
std::vector<float> reference_of(const Model& model, const Shape& shape, uint32_t seed) {
  Graph graph = must(model.impl().optimised());
  graph.value(graph.inputs[0]).shape = shape;
  must(infer_shapes(graph));
  std::vector<float> x = frame(seed, shape);
  const Tensor input = view(shape, x.data());
  std::vector<float> all;
  for (const Value& output : must(reference_run(graph, {&input, 1})))
    for (const float v : output.as<float>()) all.push_back(v);
  return all;
}

bool uses(Session& session, const std::string& kernel) {
  for (const StepProfile& step : must(session.profile(1)))
    if (step.kernel.starts_with(kernel)) return true;
  return false;
}

// Embedding, recurrent layer, fully connected: ids [5,2] to 7 numbers a step.
Model text_model(Recurrent op) {
  GraphBuilder b(4);
  const ValueId ids = b.input("ids", {5, 2, 40});
  const int32_t d = op.direction == Recurrent::Direction::both ? 2 : 1;
  const int32_t rows = 48 * static_cast<int32_t>(gate_count(op.cell));
  Node node{"cell",
            op,
            {ids, b.random({d, rows, 40}), b.random({d, rows, 48}), b.random({d, 2 * rows})},
            {}};
  std::vector<ValueId> made;
  for (const char* name : {"y", "last_h", "last_c"}) {
    if (op.cell != Recurrent::Cell::lstm && made.size() == 2) continue;
    made.push_back(b.graph.add({name, DType::f32, {}, std::nullopt, nullptr}));
  }
  node.out = made;
  b.graph.add(std::move(node));
  must(infer(b.graph, b.graph.nodes.back()));
  b.output(b.dense("head", made[0], 7));
  b.output(made[1]);
  return must(make_model("test", std::move(b.graph)));
}

}  // namespace

TEST_CASE("weights: a session computes what the stored weights say, for all formats") {
  const Model model = small_model();
  Session floats = session_of(model, WeightUse::automatic);
  const std::vector<float> exact = run_all(floats, frame(1));
  double last = 0;
  for (const int bits : {2, 3, 4, 5, 6, 7, 8, 16}) {
    WeightOptions options;
    options.bits = bits;
    options.short_row_bits = 2;
    const WeightModel made = must(quantize_weights(model, options));
    CAPTURE(bits);
    Session session = session_of(made.model, WeightUse::floats);
    const std::vector<float> got = run_all(session, frame(1));
    CHECK(largest_difference(got, reference_of(made.model, small_shape(), 1)) < 1e-4);
    const double db = sqnr_db(exact, got);
    CHECK(db > last);
    last = db;
  }
  CHECK(last > 60);
}

TEST_CASE("weights: the report says what became of each layer") {
  const Model model = small_model();
  WeightOptions options;
  options.keep_float = {"right"};
  options.short_filter = 17;
  const WeightModel made = must(quantize_weights(model, options));
  const auto& layers = made.report.layers;
  const auto layer = [&](const std::string& name) {
    const auto found = std::ranges::find(layers, name, &WeightLayer::name);
    REQUIRE(found != layers.end());
    return *found;
  };
  CHECK(layer("expand").bits == 8);
  CHECK(layer("depthwise").bits == 8);
  CHECK(layer("logits").bits == 4);
  CHECK(layer("depthwise").block == 9);
  CHECK(layer("left").bits == 8);  // rows of 16
  CHECK(layer("right").bits == 32);
  CHECK(layer("right").why == "kept by pattern right");
  CHECK(layer("right").bytes_before == layer("right").bytes_after);
  CHECK(std::isinf(layer("right").sqnr_db));
  CHECK(layer("logits").bytes_before == 48 * 10 * 4);
  CHECK(layer("logits").bytes_after == 48 * 10 / 2 + 20 * 2 + 20 / 2);
  CHECK(layer("logits").sqnr_db > 15);
  CHECK(layer("logits").sqnr_db < 30);
  CHECK(made.report.bytes_after < made.report.bytes_before);
}

TEST_CASE("weights: products in integers are close to those in floats") {
  const Model model = small_model();
  for (const int bits : {4, 8}) {
    for (const int block : {0, 32, 64}) {
      WeightOptions options;
      options.bits = bits;
      options.block = block;
      options.symmetric = block == 64;
      options.short_filter = 0;
      const Model made = must(quantize_weights(model, options)).model;
      Session floats = session_of(made, WeightUse::floats);
      Session integers = session_of(made, WeightUse::integers);
      CHECK(!uses(floats, "gemm_wn"));
      CHECK(uses(integers, "gemm_wn"));
      const Shape two = small_shape(2);
      const double db = sqnr_db(run_on(floats, two, 5), run_on(integers, two, 5));
      CAPTURE(bits);
      CAPTURE(block);
      CHECK(db > 30);
      CHECK(db < 80);
    }
  }
}

TEST_CASE("weights: integers give the same bits on every instruction set and number of threads") {
  GraphBuilder b(6);
  ValueId x = b.input("image", {1, 20, 20, 3});
  x = b.relu("r1", b.conv("stem", x, 40, 4, 1, 2));
  x = b.relu("r2", b.conv("grouped", x, 40, 3, 1, 1, 2));
  x = b.conv("wide", x, 70);
  x = b.dense("head", b.add("mean", Reduce{Reduce::Kind::max, {1, 2}, false}, {x}), 33);
  b.output(x);
  const Model model = must(make_model("test", std::move(b.graph)));
  const Model made =
      must(quantize_weights(model, {.bits = 5, .short_filter = 0, .short_row_bits = 5})).model;
  std::vector<float> first;
  for (int i = 0; i < kernels::kIsaCount; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if ((kernels::supported_isas() & kernels::bit(isa)) == 0) continue;
    for (const int threads : {1, 3}) {
      Session session = session_of(made, WeightUse::integers, kernels::isa_name(isa), threads);
      const auto profile = must(session.profile(1));
      CHECK(std::ranges::count_if(profile, [](const StepProfile& step) {
              return step.kernel.starts_with("gemm_wn");
            }) == 4);
      // A batch of which each thread has several pieces.
      const std::vector<float> got = run_on(session, {1, 20, 20, 3}, 3);
      if (first.empty()) first = got;
      CHECK(got == first);
    }
  }
}

TEST_CASE("weights: dynamic quantization of recurrent layers, by the model's own wish") {
  using Cell = Recurrent::Cell;
  using Direction = Recurrent::Direction;
  for (const Cell cell : {Cell::lstm, Cell::gru, Cell::rnn}) {
    for (const Direction direction : {Direction::forward, Direction::both}) {
      for (const bool late : {false, true}) {
        const Model model =
            text_model({.cell = cell, .direction = direction, .linear_before_reset = late});
        const WeightModel made = must(quantize_weights(model, dynamic_quantization()));
        CHECK(made.report.layers.size() == 2);
        CHECK(made.report.layers[0].bits == 8);
        const Shape shape{5, 2, 40};
        Session fp32 = session_of(model, WeightUse::automatic);
        Session session = session_of(made.model, WeightUse::automatic);
        Session floats = session_of(made.model, WeightUse::floats);
        CHECK(uses(session, "gemm_wn"));
        CHECK(!uses(floats, "gemm_wn"));
        const std::vector<float> exact = run_on(fp32, shape, 2);
        CHECK(largest_difference(run_on(floats, shape, 2), reference_of(made.model, shape, 2)) <
              1e-4);
        CHECK(sqnr_db(exact, run_on(floats, shape, 2)) > 28);
        CHECK(sqnr_db(exact, run_on(session, shape, 2)) > 25);
        CHECK(session.memory().weight_bytes < fp32.memory().weight_bytes / 2);
      }
    }
  }
}

TEST_CASE("weights: tables are read row by row") {
  GraphBuilder b(8);
  const ValueId ids = b.graph.add({"ids", DType::i64, {6}, std::nullopt, nullptr});
  b.graph.inputs.push_back(ids);
  const ValueId rows = b.add("embed", Gather{0}, {b.random({50, 96}), ids});
  b.output(b.dense("head", rows, 40));
  const Model model = must(make_model("test", std::move(b.graph)));
  for (const int bits : {3, 16}) {
    const WeightModel made = must(quantize_weights(model, {.bits = bits}));
    CHECK(made.report.layers[0].op == "Gather");
    CHECK(made.report.layers[0].bits == bits);
    Session before = session_of(model, WeightUse::automatic);
    Session after = session_of(made.model, WeightUse::integers);
    std::vector<int64_t> which{0, 49, -1, 7, 7, -50};
    Outputs exact, got;
    must(before.run({{"ids", view(Shape{6}, which.data())}}, exact));
    must(after.run({{"ids", view(Shape{6}, which.data())}}, got));
    const std::string name = model.outputs()[0].name;
    CHECK(sqnr_db(exact[name].as<float>(), got[name].as<float>()) > (bits == 3 ? 8 : 60));
    which[2] = 50;
    CHECK(after.run({{"ids", view(Shape{6}, which.data())}}, got).code() == Code::invalid_argument);
  }
}

TEST_CASE("weights: files hold what was made, with the weights inside or beside") {
  const auto folder = std::filesystem::temp_directory_path() / "firn_weights_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const Model model = small_model();
  must(model.save((folder / "fp32.firn").string()));
  WeightOptions options = dynamic_quantization();
  options.bits = 4;
  options.block = 32;
  options.convolutions = true;
  options.short_filter = 0;
  const Model made = must(quantize_weights(model, options)).model;
  must(made.save((folder / "w4.firn").string()));
  must(made.save((folder / "split.firn").string(), "split.bin"));
  CHECK(std::filesystem::file_size(folder / "w4.firn") <
        std::filesystem::file_size(folder / "fp32.firn") / 2);
  Session session = session_of(made, WeightUse::automatic);
  const std::vector<float> want = run_all(session, frame(3));
  for (const char* name : {"w4.firn", "split.firn"}) {
    const Model loaded = must(Model::load((folder / name).string()));
    Session again = session_of(loaded, WeightUse::automatic);
    CHECK(run_all(again, frame(3)) == want);
    CHECK(run_all(again, frame(4, small_shape(3)), small_shape(3)).size() > want.size());
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("weights: what is refused") {
  const Model model = small_model();
  const auto message = [&](const WeightOptions& options) {
    return quantize_weights(model, options).status().message();
  };
  CHECK(message({.bits = 1}) == "quantize_weights: bits 1, expected 2 to 8, or 16");
  CHECK(message({.bits = 9}) == "quantize_weights: bits 9, expected 2 to 8, or 16");
  CHECK(message({.block = 33}) ==
        "quantize_weights: block 33, expected a multiple of 32, or 0 for an output channel");
  CHECK(message({.block = -32}) ==
        "quantize_weights: block -32, expected a multiple of 32, or 0 for an output channel");
  CHECK(message({.short_row_bits = 16}) == "quantize_weights: short_row_bits 16, expected 2 to 8");
  CHECK(message({.keep_float = {"nothing*"}}) == "keep_float: no layer matches \"nothing*\"");
  CHECK(message({.keep_float = {"*"}}) ==
        "quantize_weights: no layer is left; stem: kept by pattern *");
  const Model once = must(quantize_weights(model)).model;
  CHECK(quantize_weights(once).status().message() ==
        "quantize_weights: no layer is left; stem: its weights are no floats any more");
  Session session = session_of(once, WeightUse::automatic);
  CHECK(session.calibrate().code() == Code::failed_precondition);
}

}  // namespace firn::test
