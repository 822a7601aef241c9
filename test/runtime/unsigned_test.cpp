// SPDX-License-Identifier: Apache-2.0
// Values that int8 layers hand to each other as uint8, where their kernels multiply that: which
// these are, and that nobody sees it.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "runtime/program.h"
#include "test/runtime/tiny_graph.h"

namespace firn {
namespace {

using kernels::Isa;

struct Layers {
  Graph graph;
  std::mt19937 random{7};

  int below(int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); }
  ValueId value(const std::string& name, const Shape& shape, int32_t zero) {
    Value v = test::open(name, shape, DType::i8);
    v.quant = test::per_tensor(0.05f, zero);
    return graph.add(std::move(v));
  }
  // A convolution, behind ReLU where the output's zero point is -128.
  ValueId conv(const std::string& name, ValueId x, int32_t channels, int32_t kernel, int32_t groups,
               int32_t zero) {
    const Shape in = graph.value(x).shape;
    const Shape filter{channels, kernel, kernel, in[3] / groups};
    std::vector<int8_t> w(filter.elements());
    for (int8_t& q : w) q = static_cast<int8_t>(below(255) - 127);
    Quant quant;
    quant.axis = 0;
    for (int32_t c = 0; c < channels; ++c)
      quant.scale.push_back(0.0001f * static_cast<float>(1 + below(50)));
    quant.zero.assign(quant.scale.size(), 0);
    std::vector<int32_t> bias(static_cast<size_t>(channels));
    for (int32_t& b : bias) b = below(2000) - 1000;
    const ValueId weights = graph.add(test::bytes(filter, w, quant));
    graph.value(weights).name = name + ".w";
    const ValueId biases = graph.add(test::ints({channels}, bias));
    graph.value(biases).name = name + ".b";
    Conv2d op{.groups = groups};
    op.window.kernel = {kernel, kernel};
    op.window.pad.fill(kernel / 2);
    if (zero == -128) op.clamp.lo = 0;
    const ValueId y = value(name, {in[0], in[1], in[2], channels}, zero);
    graph.add({name, op, {x, weights, biases}, {y}});
    return y;
  }
};

TEST_CASE("values that only layers see may be uint8 between them") {
  Layers l;
  const ValueId x = l.value("x", {2, 9, 11, 24}, 3);
  const ValueId expand = l.conv("expand", x, 70, 1, 1, -128);
  const ValueId depthwise = l.conv("depthwise", expand, 70, 3, 70, -128);
  const ValueId project = l.conv("project", depthwise, 24, 1, 1, 11);
  // Read by a sum as well, by a window of many channels, or as an output.
  const ValueId again = l.conv("again", project, 33, 1, 1, 5);
  const ValueId sum = l.value("sum", l.graph.value(x).shape, -9);
  l.graph.add({"sum", Binary{Binary::Kind::add}, {project, x}, {sum}});
  const ValueId window = l.conv("window", l.conv("before", sum, 40, 1, 1, 0), 20, 3, 1, -128);
  const ValueId shown = l.conv("shown", window, 17, 1, 1, 1);
  const ValueId last = l.conv("last", l.conv("large", shown, 37, 5, 1, -20), 8, 1, 1, 2);
  l.graph.inputs = {x};
  l.graph.outputs = {again, shown, last};
  // AMX multiplies int8, but depthwise kernels and those of few products are the next rung's.
  const std::set<std::string> vnni = {"expand", "depthwise", "window", "large"};
  const std::map<Isa, std::set<std::string>> unsigned_names = {
      {Isa::avxvnni, vnni}, {Isa::avx512vnni, vnni}, {Isa::amxint8, {"expand", "window"}}};

  std::vector<int8_t> pixels(l.graph.value(x).shape.elements());
  for (int8_t& p : pixels) p = static_cast<int8_t>(l.below(256) - 128);
  std::map<size_t, std::vector<float>> seen;  // per value, of the scalar kernels
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avxvnni, Isa::avx512vnni, Isa::amxint8,
                        Isa::neon, Isa::neondot, Isa::neoni8mm}) {
    if ((kernels::supported_isas() & bit(isa)) == 0) continue;
    for (const int threads : {1, 3}) {
      CAPTURE(kernels::isa_name(isa));
      CAPTURE(threads);
      const auto pool = kernels::Pool::create(threads);
      auto program = Program::compile(std::make_shared<Graph>(l.graph),
                                      {kernels::allowed_isas(isa), nullptr}, *pool);
      REQUIRE(program.ok());
      const Program::Hook hook = [&](const Program& p, size_t step) {
        for (const ValueId id : p.steps()[step].writes) {
          std::vector<float> real(p.graph().value(id).shape.elements());
          p.read_float(id, real);
          CAPTURE(p.graph().value(id).name);
          const auto [first, is_new] = seen.try_emplace(index(id), real);
          if (!is_new) CHECK(first->second == real);
        }
      };
      (*program)->bind_input(0, pixels.data());
      REQUIRE((*program)->run(*pool, &hook).ok());
      for (size_t v = 0; v < l.graph.values.size(); ++v) {
        const std::string& name = l.graph.values[v].name;
        CAPTURE(name);
        const auto found = unsigned_names.find(isa);
        CHECK((*program)->is_unsigned(static_cast<ValueId>(v)) ==
              (found != unsigned_names.end() && found->second.contains(name)));
      }
    }
  }
}

}  // namespace
}  // namespace firn
