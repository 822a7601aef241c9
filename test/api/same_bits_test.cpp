// SPDX-License-Identifier: Apache-2.0
// An int8 network gives the same bits on every instruction set of every architecture: those that
// are written here.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <map>

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
  Graph graph = small_model().impl().graph;
  graph.value(graph.inputs[0]).shape = small_shape();
  Diag diag;
  must(optimize(graph, diag));
  std::map<std::string, Interval> ranges;
  for (const ObservedTensor& tensor : tensors_to_observe(graph))
    if (tensor.range) ranges[tensor.name] = {-3, 3};
  return must(make_model("test", must(quantize_graph(graph, ranges)).graph));
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

}  // namespace firn::test
