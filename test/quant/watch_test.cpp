// SPDX-License-Identifier: Apache-2.0
// Which ends of which tensors a watch counts, and what it makes of the counts.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "kernels/isa.h"
#include "quant/quantize_graph.h"
#include "quant/watch_stats.h"
#include "test/runtime/random_graph.h"

namespace firn {
namespace {

using test::GraphBuilder;

struct Fixture {
  std::shared_ptr<const Graph> graph;
  std::vector<WatchedTensor> tensors;

  const WatchedTensor& at(const std::string& name) const {
    const auto found = std::ranges::find(tensors, name, &WatchedTensor::name);
    REQUIRE(found != tensors.end());
    return *found;
  }
};

// Convolutions with and without ReLU, a pool, a sigmoid, sums, and parts of a concatenation.
Fixture fixture() {
  GraphBuilder b(3);
  const ValueId x = b.input("x", {1, 4, 12, 12});
  const ValueId relu = b.relu("relu", b.conv("conv1", b.to_nhwc(x), 16, 3, 1));
  Window window{{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}};
  const ValueId pooled = b.add("pool", Pool2d{Pool2d::Kind::max, window, false, false}, {relu});
  const ValueId plain = b.conv("plain", pooled, 16);
  const ValueId gate = b.unary("gate", Unary::Kind::sigmoid, b.conv("before", plain, 16));
  const ValueId sum = b.binary("sum", Binary::Kind::add, pooled, pooled);
  const ValueId mixed = b.binary("mixed", Binary::Kind::add, sum, plain);
  const ValueId scaled = b.binary("scaled", Binary::Kind::mul, mixed, gate);
  const ValueId left = b.conv("left", scaled, 8), right = b.conv("right", scaled, 8);
  b.output(b.conv("last", b.conv("inner", b.add("both", Concat{3}, {left, right}), 8), 8));
  Diag diag;
  REQUIRE(infer_shapes(b.graph).ok());
  REQUIRE(optimize(b.graph, diag).ok());
  std::map<std::string, Interval> ranges;
  for (const Value& value : b.graph.values) ranges[value.name] = {-4, 4};
  ranges["gate"] = {0.2f, 0.7f};
  auto quantized = quantize_graph(b.graph, ranges);
  REQUIRE(quantized.ok());
  Fixture made;
  made.graph = std::make_shared<const Graph>(std::move(quantized->graph));
  made.tensors = tensors_to_watch(*made.graph);
  return made;
}

TEST_CASE("an end that an operator cannot pass is not watched") {
  const Fixture f = fixture();
  CHECK(!f.at("relu").low_end);
  CHECK(f.at("relu").high_end);
  CHECK(f.at("plain").low_end);
  CHECK(f.at("plain").high_end);
  CHECK(!f.at("sum").low_end);  // of two that are not negative
  CHECK(f.at("mixed").low_end);
  // The range holds 0, where a sigmoid ends, but not 1.
  CHECK(!f.at("gate").low_end);
  CHECK(f.at("gate").high_end);
  // What is moved holds nothing new.
  CHECK(std::ranges::find(f.tensors, "pool", &WatchedTensor::name) == f.tensors.end());
}

void check_counts(kernels::IsaMask isa) {
  const Fixture f = fixture();
  auto pool = kernels::Pool::create(1);
  auto program = Program::compile(f.graph, {isa, nullptr}, *pool);
  REQUIRE(program.ok());
  std::vector<float> x(12 * 12 * 4);
  std::mt19937 random(5);
  for (float& v : x) v = static_cast<float>(random() % 1000) / 100 - 5;
  (*program)->bind_input(0, x.data());

  FrameCounter counter(f.tensors);
  std::map<std::string, std::pair<double, double>> expected;  // share at the ends, unused bits
  int inside = 0;                                             // tensors that lie inside another
  const Program::Hook hook = [&](const Program& p, size_t step) {
    counter.step(p, step);
    for (const ValueId id : p.steps()[step].writes) {
      const Value& value = p.graph().value(id);
      const auto watched = std::ranges::find(f.tensors, value.name, &WatchedTensor::name);
      if (watched == f.tensors.end()) continue;
      std::vector<float> real(value.shape.elements());
      p.read_float(id, real);
      inside += p.pixel_stride(id) > static_cast<size_t>(value.shape[value.shape.rank - 1]);
      const float scale = value.quant->scale[0];
      const auto zero = static_cast<float>(value.quant->zero[0]);
      double ends = 0, lo = 127, hi = -128;
      for (const float v : real) {
        const double q = std::nearbyint(v / scale + zero);
        ends += (q == -128 && watched->low_end) || (q == 127 && watched->high_end);
        lo = std::min(lo, q);
        hi = std::max(hi, q);
      }
      expected[value.name] = {ends / static_cast<double>(real.size()), 8 - std::log2(hi - lo + 1)};
    }
  };
  counter.begin(**program);
  REQUIRE((*program)->run(*pool, &hook).ok());
  std::vector<TensorMoments> moments(f.tensors.size());
  counter.end(moments);
  // All these tensors are small enough to be counted whole.
  CHECK(expected.size() > 6);
  CHECK(inside == 2);
  CHECK(expected.contains("x_nhwc"));  // quantized and moved in one step
  for (size_t i = 0; i < f.tensors.size(); ++i) {
    const auto found = expected.find(f.tensors[i].name);
    if (found == expected.end()) continue;
    CAPTURE(f.tensors[i].name);
    CHECK(moments[i].root_saturated.mean == doctest::Approx(std::sqrt(found->second.first)));
    CHECK(moments[i].unused_bits.mean == doctest::Approx(found->second.second));
  }
}

TEST_CASE("a frame's counts are those of its values") {
  check_counts(kernels::bit(kernels::Isa::scalar));
  check_counts(kernels::allowed_isas(kernels::best_isa()));  // some of them may be uint8 in memory
}

TEST_CASE("drift is found in both directions, and not below the margin") {
  const std::vector<WatchedTensor> tensors = {{"a"}, {"b"}};
  std::mt19937 random(2);
  std::normal_distribution<double> noise(0, 0.1);
  const auto frames = [&](int n, double share, double unused) {
    std::vector<TensorMoments> moments(2);
    for (int i = 0; i < n; ++i) {
      for (TensorMoments& m : moments) {
        m.root_saturated.add(std::sqrt(share) * (1 + noise(random)));
        m.unused_bits.add(unused + noise(random));
      }
    }
    return moments;
  };
  const auto expected = frames(8, 0.001, 1);
  const WatchOptions options;
  CHECK(find_drift(tensors, expected, frames(16, 0.001, 1), options).empty());
  CHECK(find_drift(tensors, expected, frames(16, 0.0025, 1.4), options).empty());
  auto seen = frames(16, 0.001, 1);
  seen[1] = frames(16, 0.05, 1)[1];
  auto drifted = find_drift(tensors, expected, seen, options);
  REQUIRE(drifted.size() == 1);
  CHECK(drifted[0].name == "b");
  CHECK(drifted[0].kind == TensorDrift::Kind::saturated);
  CHECK(drifted[0].expected == doctest::Approx(0.001).epsilon(0.3));
  CHECK(drifted[0].seen == doctest::Approx(0.05).epsilon(0.3));
  CHECK(drifted[0].p < 1e-4);
  seen = frames(16, 0.001, 3);
  drifted = find_drift(tensors, expected, seen, options);
  REQUIRE(drifted.size() == 2);
  CHECK(drifted[0].kind == TensorDrift::Kind::unused);
  CHECK(drifted[0].p <= drifted[1].p);
  CHECK(drifted[0].expected == doctest::Approx(7).epsilon(0.05));
  CHECK(drifted[0].seen == doctest::Approx(5).epsilon(0.05));
}

}  // namespace
}  // namespace firn
