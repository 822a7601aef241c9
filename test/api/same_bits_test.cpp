// SPDX-License-Identifier: Apache-2.0
// An int8 network gives the same bits on every instruction set of every architecture: those that
// are written here.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <thread>

#include "kernels/isa.h"
#include "quant/observe.h"
#include "quant/quantize_graph.h"
#include "runtime/passes/passes.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

// FNV-1a over the bits of floats.
uint64_t hash_of(std::span<const float> values) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const float value : values) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash ^= (std::bit_cast<uint32_t>(value) >> shift) & 255;
      hash *= 0x100000001b3u;
    }
  }
  return hash;
}

// Ranges are given, not observed: what is observed was computed in float, which differs by machine.
Model int8_model() {
  Graph graph = must(small_model().impl().imported());
  graph.value(graph.inputs[0]).shape = small_shape();
  Diag diag;
  must(optimize(graph, diag));
  std::map<std::string, Interval> ranges;
  for (const ObservedTensor& tensor : tensors_to_observe(graph))
    if (tensor.range) ranges[tensor.name] = {-3, 3};
  Graph int8 = must(quantize_graph(graph, ranges)).graph;
  int8.value(int8.inputs[0]).shape[0] = -1;
  return must(make_model("test", std::move(int8)));
}

}  // namespace

TEST_CASE("the same bits on every CPU") {
  const Model model = int8_model();
  CHECK(model.info().layers_int8 > 6);
  for (int i = 0; i < kernels::kIsaCount; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if ((kernels::supported_isas() & kernels::bit(isa)) == 0) continue;
    SessionOptions options;
    options.isa = kernels::isa_name(isa);
    CAPTURE(options.isa);
    Session session = must(Session::create(model, options));
    std::vector<float> pixels(small_shape().elements());
    uint32_t random = 1;
    for (float& pixel : pixels) {
      random = random * 1664525 + 1013904223;
      pixel = static_cast<float>(random >> 24) / 128 - 1;
    }
    Outputs outputs;
    must(session.run({{"image", view(small_shape(), pixels.data())}}, outputs));
    CHECK(hash_of(outputs["logits"].as<float>()) == 6102204297921966682u);
  }
}

TEST_CASE("sessions of a model share its packed int8 weights") {
  const Model model = int8_model();
  std::vector<Session> sessions{must(Session::create(model))};
  const MemoryUse alone = sessions[0].memory();
  CHECK(alone.weight_bytes > 0);
  CHECK(alone.shared_weight_bytes == 0);
  sessions.push_back(must(Session::create(model)));
  sessions.push_back(must(Session::create(model, {.threads = 2})));
  for (const Session& session : sessions) {
    const MemoryUse use = session.memory();
    CHECK(use.weight_bytes == alone.weight_bytes);
    // All but the scales.
    CHECK(use.shared_weight_bytes > alone.weight_bytes / 2);
    CHECK(use.shared_weight_bytes <= alone.weight_bytes);
  }
  // Of another instruction set they are packed otherwise.
  Session scalar = must(Session::create(model, {.isa = "scalar"}));
  CHECK((scalar.memory().shared_weight_bytes == 0) == (sessions[0].isa() != "scalar"));
  // Another input size needs no new packing, and the answers are its own.
  const Shape twice = small_shape(2);
  const std::vector<float> pixels = frame(1, twice);
  const std::vector<float> one = run_all(sessions[0], pixels, twice);
  CHECK(sessions[0].memory().weight_bytes == alone.weight_bytes);
  CHECK(sessions[0].memory().shared_weight_bytes == sessions[1].memory().shared_weight_bytes);
  CHECK(run_all(sessions[1], pixels, twice) == one);
  // Freed with the last of them.
  sessions.erase(sessions.begin() + 1, sessions.end());
  run_all(sessions[0], pixels, twice);  // lets go of the plan before
  CHECK(sessions[0].memory().shared_weight_bytes == 0);
}

TEST_CASE("sessions that are made at the same time share packed weights") {
  const Model model = int8_model();
  std::vector<std::optional<Session>> sessions(4);
  std::vector<std::thread> threads;
  for (auto& session : sessions)
    threads.emplace_back([&] {
      Result<Session> made = Session::create(model);
      if (made.ok()) session = *std::move(made);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& session : sessions) {
    REQUIRE(session.has_value());
    CHECK(session->memory().shared_weight_bytes > session->memory().weight_bytes / 2);
  }
}

}  // namespace firn::test
