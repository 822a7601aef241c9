// SPDX-License-Identifier: Apache-2.0
// A session frozen in place has its int8 weights in memory once, as the kernels read them, and all
// who need them as they were get them.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "firn/model.h"
#include "runtime/frozen_graph.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

const std::string kPath =
    (std::filesystem::temp_directory_path() / "firn_frozen_memory_test.firn").string();

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string saved(const Session& session) {
  must(session.save(kPath));
  std::string bytes = bytes_of(kPath);
  std::remove(kPath.c_str());
  return bytes;
}

// A small frozen network's graph, with all bytes.
Graph frozen_graph(const FreezeOptions& options) {
  Session session = calibrated(small_model());
  must(session.freeze(options));
  must(session.save(kPath));
  const Model model = must(Model::load(kPath));
  std::remove(kPath.c_str());
  return must(model.impl().optimised());
}

size_t released(const Graph& graph) {
  return static_cast<size_t>(std::ranges::count_if(graph.values, [](const Value& value) {
    return value.constant != nullptr && value.constant->is_released();
  }));
}

bool same_constants(const Graph& a, const Graph& b) {
  return std::ranges::equal(a.values, b.values, [](const Value& x, const Value& y) {
    if (x.constant == nullptr || y.constant == nullptr) return x.constant == y.constant;
    return x.constant->id() == y.constant->id() &&
           std::ranges::equal(x.constant->bytes(), y.constant->bytes());
  });
}

size_t weights_in(const Graph& graph) {
  return static_cast<size_t>(std::ranges::count_if(graph.nodes, [&](const Node& node) {
    const bool layer =
        std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op);
    return layer && graph.value(node.in[1]).type == DType::i8;
  }));
}

}  // namespace

TEST_CASE("what every instruction set has packed is unpacked to the same constants") {
  const auto pool = kernels::Pool::create(1);
  for (const auto& options :
       {FreezeOptions{.timed = false}, FreezeOptions{.keep_i16 = {"*"}, .timed = false}}) {
    const Graph graph = frozen_graph(options);
    const size_t weights = weights_in(graph);
    REQUIRE(weights > 3);
    for (int i = 0; i < kernels::kIsaCount; ++i) {
      const auto isa = static_cast<kernels::Isa>(i);
      if ((kernels::supported_isas() & kernels::bit(isa)) == 0) continue;
      INFO(kernels::isa_name(isa));
      const auto program =
          must(Program::compile(graph, {kernels::allowed_isas(isa), nullptr, false}, *pool));
      const FrozenGraph frozen(graph, *program);
      // Depthwise layers of 16 bits keep theirs.
      CHECK(released(frozen.graph()) >= (options.keep_i16.empty() ? weights : 1));
      const Graph whole = must(frozen.whole());
      CHECK(released(whole) == 0);
      CHECK(same_constants(whole, graph));
    }
  }
}

TEST_CASE("constants that somebody reads who has not packed them stay") {
  Graph graph = frozen_graph({.timed = false});
  const auto conv = std::ranges::find_if(
      graph.nodes, [](const Node& node) { return std::holds_alternative<Conv2d>(node.op); });
  REQUIRE(conv != graph.nodes.end());
  const ValueId weights = conv->in[1];
  graph.outputs.push_back(weights);
  const auto pool = kernels::Pool::create(1);
  const auto program = must(
      Program::compile(graph, {kernels::allowed_isas(kernels::best_isa()), nullptr, false}, *pool));
  const FrozenGraph frozen(graph, *program);
  CHECK(!frozen.graph().value(weights).constant->is_released());
  CHECK(released(frozen.graph()) == weights_in(graph) - 1);
}

TEST_CASE("a frozen session saves the same file whatever it ran, and other shapes run") {
  for (const bool keep : {true, false}) {
    Session session = calibrated(small_model());
    must(session.freeze({.timed = false, .keep_float_weights = keep}));
    const std::string file = saved(session);
    CHECK(file.size() > 1000);
    const auto want = run_all(session, frame(1));
    std::vector<float> two = frame(1);
    two.insert(two.end(), two.begin(), two.end());
    const auto both = run_all(session, two, small_shape(2));
    CHECK(std::equal(want.begin(), want.begin() + 10, both.begin()));
    CHECK(saved(session) == file);
    CHECK(run_all(session, frame(1)) == want);
    CHECK(saved(session) == file);
    CHECK(session.memory().shared_weight_bytes == 0);
    CHECK(must(session.profile(1)).size() > 5);
    if (keep) must(session.thaw());
  }
}

TEST_CASE("outputs of the last run can be read after a freeze") {
  // So large that the program's memory is pages of its own: where they are gone, reading faults.
  const Shape shape = small_shape(1, 96);
  Session session = must(Session::create(small_model(96)));
  REQUIRE(session.memory().arena_bytes > size_t{128} << 10);
  must(session.calibrate());
  Outputs outputs;
  for (uint32_t i = 0; i < 8; ++i) {
    std::vector<float> image = frame(i, shape);
    must(session.run({{"image", view(shape, image.data())}}, outputs));
  }
  std::vector<std::vector<float>> before, after;
  for (const NamedTensor& output : outputs.all()) before.push_back(copy(output.tensor));
  must(session.freeze({.timed = false, .keep_float_weights = false}));
  for (const NamedTensor& output : outputs.all()) after.push_back(copy(output.tensor));
  CHECK(before == after);
}

}  // namespace firn::test
