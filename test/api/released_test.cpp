// SPDX-License-Identifier: Apache-2.0
// What a model gives back once a session has packed it, and that whoever needs it gets it again.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "firn/model.h"
#include "runtime/file.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

// A model whose file, so to speak, is `graph`: every reading makes constants anew, and leaves word
// of them in `made`.
struct Imported {
  Graph graph;
  std::shared_ptr<std::vector<std::weak_ptr<const Buffer>>> made =
      std::make_shared<std::vector<std::weak_ptr<const Buffer>>>();
  std::shared_ptr<int> readings = std::make_shared<int>(0);

  Model model() const {
    const auto file = std::make_shared<const Graph>(graph);
    return must(make_model("test", [=, made = made, readings = readings]() -> Result<Graph> {
      ++*readings;
      Graph copy = *file;
      for (Value& value : copy.values) {
        if (value.constant == nullptr) continue;
        const auto bytes = value.constant->bytes();
        FIRN_ASSIGN(auto memory, Buffer::allocate(bytes.size()));
        std::ranges::copy(bytes, memory.second.begin());
        value.constant = memory.first;
        if (bytes.size() >= 256) made->push_back(memory.first);
      }
      return copy;
    }));
  }
  // Of the constants that are not small those that still take memory.
  size_t alive() const {
    return static_cast<size_t>(
        std::ranges::count_if(*made, [](const auto& constant) { return !constant.expired(); }));
  }
};

Imported float_network() {
  return {must(small_model().impl().imported())};
}

Imported int8_network(const Model& of = small_model()) {
  Session session = calibrated(of);
  must(session.freeze({.timed = false}));
  const std::string path =
      (std::filesystem::temp_directory_path() / "firn_released_test.firn").string();
  must(session.save(path));
  const Model model = must(Model::load(path));
  std::remove(path.c_str());
  return {must(model.impl().imported())};
}

std::string saved(const Model& model) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "firn_released_test.firn").string();
  must(model.save(path));
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::remove(path.c_str());
  return bytes;
}

}  // namespace

TEST_CASE("constants that a session has packed take no memory, and are there for who needs them") {
  for (const Imported& network : {float_network(), int8_network()}) {
    const Model model = network.model();
    const std::string before = saved(model);
    const ModelInfo info = model.info();
    Session session = must(Session::create(model));
    CHECK(network.alive() == 0);
    const auto want = run_all(session, frame(1));

    const int readings = *network.readings;
    CHECK(saved(model) == before);
    CHECK(*network.readings == readings + 1);
    CHECK(network.alive() == 0);
    CHECK(model.info().weight_bytes == info.weight_bytes);
    CHECK(model.info().parameters == info.parameters);
    CHECK(run_all(session, frame(1)) == want);
    CHECK(must(session.profile(1)).size() > 5);

    // Other shapes, there and back.
    std::vector<float> two = frame(1);
    two.insert(two.end(), two.begin(), two.end());
    const auto both = run_all(session, two, small_shape(2));
    CHECK(std::equal(want.begin(), want.begin() + 10, both.begin()));
    CHECK(run_all(session, frame(1)) == want);

    Session second = must(Session::create(model));
    CHECK(run_all(second, frame(1)) == want);
  }
}

TEST_CASE("a first session for other shapes leaves no constants behind either") {
  const Imported network = float_network();
  const Model model = network.model();
  CHECK(network.alive() > 0);
  Session two = must(Session::create(model, {.input_shapes = {{"image", small_shape(2)}}}));
  CHECK(network.alive() == 0);
  Session one = must(Session::create(model));
  CHECK(network.alive() == 0);
  std::vector<float> both = frame(1);
  both.insert(both.end(), both.begin(), both.end());
  const auto want = run_all(one, frame(1));
  const auto got = run_all(two, both, small_shape(2));
  CHECK(std::equal(want.begin(), want.begin() + 10, got.begin()));
}

TEST_CASE("a second session of an int8 model is made without importing it again") {
  const Imported network = int8_network();
  const Model model = network.model();
  Session first = must(Session::create(model));
  const int readings = *network.readings;
  Session second = must(Session::create(model));
  CHECK(*network.readings == readings);
  CHECK(second.memory().shared_weight_bytes > second.memory().weight_bytes / 2);
  CHECK(run_all(second, frame(3)) == run_all(first, frame(3)));
  // Of another instruction set they are packed otherwise.
  Session scalar = must(Session::create(model, {.isa = "scalar"}));
  CHECK((*network.readings == readings) == (first.isa() == "scalar"));
  CHECK(network.alive() == 0);
  CHECK(run_all(scalar, frame(3)) == run_all(first, frame(3)));
}

TEST_CASE("a second session finds what Winograd's kernels packed") {
  GraphBuilder b;
  const ValueId x = b.to_nhwc(b.input("image", small_shape()));
  const ValueId stem = b.relu("relu", b.conv("stem", x, 128, 3, 1));
  b.output(b.conv("last", b.relu("relu2", b.conv("wide", stem, 128, 3, 1)), 8));
  const Imported network = int8_network(must(make_model("test", std::move(b.graph))));
  const Model model = network.model();
  Session first = must(Session::create(model));
  const auto steps = must(first.profile(1));
  const bool winograd = std::ranges::any_of(
      steps, [](const StepProfile& s) { return s.kernel.starts_with("winograd"); });
  if (!winograd) MESSAGE("skipped: no Winograd kernel of " << first.isa());
  const int readings = *network.readings;
  Session second = must(Session::create(model));
  CHECK(*network.readings == readings);
  CHECK(run_all(second, frame(3)) == run_all(first, frame(3)));
}

TEST_CASE("freezing and thawing find the weights that were given back") {
  const Imported network = float_network();
  const Model model = network.model();
  Session session = must(Session::create(model));
  REQUIRE(network.alive() == 0);
  const auto floats = run_all(session, frame(1));
  must(session.calibrate());
  observe(session, 40);
  CHECK(network.alive() == 0);
  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(report.layers_int8 >= 7);
  CHECK(network.alive() == 0);
  const auto frozen = run_all(session, frame(1));
  Session same = calibrated(small_model());
  must(same.freeze({.timed = false}));
  CHECK(run_all(same, frame(1)) == frozen);
  must(session.thaw());
  CHECK(run_all(session, frame(1)) == floats);
}

TEST_CASE("constants that something else reads stay") {
  GraphBuilder b;
  const ValueId x = b.input("image", {1, 8, 8, 8});
  const ValueId weights = b.random({8, 1, 1, 8});
  const Window window{{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}};
  const ValueId once = b.add("once", Conv2d{window, 1, {}}, {x, weights});
  const ValueId twice = b.add("twice", Conv2d{window, 1, {}}, {once, weights});
  SUBCASE("two layers") {
    b.output(twice);
  }
  SUBCASE("an addition") {
    b.output(b.binary("sum", Binary::Kind::add, twice, weights));
  }
  SUBCASE("the caller") {
    b.output(twice);
    b.output(weights);
  }
  const bool read = b.graph.outputs.size() > 1 || b.graph.nodes.size() > 2;
  const Imported network{b.graph};
  Session session = must(Session::create(network.model()));
  CHECK((network.alive() > 0) == read);
  Outputs outputs;
  std::vector<float> data = frame(1, {1, 8, 8, 8});
  must(session.run({{"image", view({1, 8, 8, 8}, data.data())}}, outputs));
  const std::vector<float> got = copy(outputs.all()[0].tensor);
  const auto want = must(reference_run(b.graph, std::vector{view({1, 8, 8, 8}, data.data())}));
  CHECK(largest_difference(got, {want[0].as<float>().begin(), want[0].as<float>().end()}) < 1e-4);
}

TEST_CASE("a model whose file has become another one says so") {
  const auto other = std::make_shared<bool>(false);
  const Imported one = float_network();
  const auto graph = std::make_shared<const Graph>(one.graph);
  const Model model = must(make_model("test", [=]() -> Result<Graph> {
    Graph copy = *graph;
    for (Value& value : copy.values)
      if (value.constant != nullptr) {
        FIRN_ASSIGN(auto memory, Buffer::allocate(value.constant->size()));
        std::ranges::copy(value.constant->bytes(), memory.second.begin());
        value.constant = memory.first;
      }
    if (*other) copy.nodes[0].name = "another";
    return copy;
  }));
  Session session = must(Session::create(model));
  *other = true;
  const Status status = session.calibrate();
  CHECK(status.code() == Code::failed_precondition);
  CHECK(status.message() == "the model's file is not the one that was loaded");
  *other = false;
  must(session.calibrate());
}

}  // namespace firn::test
