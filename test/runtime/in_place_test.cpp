// SPDX-License-Identifier: Apache-2.0
// Elementwise int8 steps write where an input lay that nobody reads later, and nowhere else.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "runtime/program.h"
#include "test/runtime/tiny_graph.h"

namespace firn {
namespace {

constexpr size_t kElements = size_t{100} * 1000;
const Shape kShape{1, 100, 10, 100};

Value int8(const std::string& name, float scale = 0.05f) {
  Value value = test::open(name, kShape, DType::i8);
  value.quant = test::per_tensor(scale, 3);
  return value;
}

// x -> a = swish(x) -> b = tanh(a) -> c = b + a -> y = swish(c): b and c may be where what they
// read was; a is read again, x is the caller's.
Graph chain() {
  Graph g;
  const ValueId x = g.add(int8("x")), a = g.add(int8("a")), b = g.add(int8("b", 0.01f)),
                c = g.add(int8("c")), y = g.add(int8("y"));
  g.inputs = {x};
  g.outputs = {y};
  g.add({"a", Unary{Unary::Kind::hard_swish}, {x}, {a}});
  g.add({"b", Unary{Unary::Kind::tanh}, {a}, {b}});
  g.add({"c", Binary{Binary::Kind::add}, {b, a}, {c}});
  g.add({"y", Unary{Unary::Kind::hard_swish}, {c}, {y}});
  return g;
}

TEST_CASE("elementwise int8 steps run in place where their input dies") {
  for (const int threads : {1, 3}) {
    CAPTURE(threads);
    const auto pool = kernels::Pool::create(threads);
    const Graph g = chain();
    auto program = Program::compile(std::make_shared<Graph>(g),
                                    {kernels::allowed_isas(kernels::best_isa()), nullptr}, *pool);
    REQUIRE(program.ok());
    std::vector<int8_t> pixels(kElements);
    for (size_t i = 0; i < kElements; ++i) pixels[i] = static_cast<int8_t>(i * 7919 / 13);
    const std::vector<int8_t> given = pixels;
    const std::vector<Tensor> inputs{{DType::i8, kShape, pixels.data()}};
    const auto expected = reference_run(g, inputs);
    REQUIRE(expected.ok());
    (*program)->bind_input(0, pixels.data());
    REQUIRE((*program)->run(*pool).ok());
    const auto* y = static_cast<const int8_t*>((*program)->data(g.outputs[0]));
    CHECK(std::memcmp(y, expected->front().constant->bytes().data(), kElements) == 0);
    CHECK(pixels == given);

    const auto data = [&](int value) { return (*program)->data(static_cast<ValueId>(value)); };
    CHECK(data(1) != data(0));
    CHECK(data(2) != data(1));
    CHECK((data(3) == data(2) || data(3) == data(1)));
    CHECK(data(4) == data(3));
    // The input's copy and two tensors at a time.
    CHECK((*program)->memory().arena_bytes < 3 * kElements + 1000);
  }
}

TEST_CASE("an output of the graph is not written over") {
  Graph g = chain();
  g.outputs = {g.outputs[0], static_cast<ValueId>(3), static_cast<ValueId>(2)};
  const auto pool = kernels::Pool::create(1);
  auto program = Program::compile(std::make_shared<Graph>(g),
                                  {kernels::bit(kernels::Isa::scalar), nullptr}, *pool);
  REQUIRE(program.ok());
  std::vector<int8_t> pixels(kElements, 5);
  const std::vector<Tensor> inputs{{DType::i8, kShape, pixels.data()}};
  const auto expected = reference_run(g, inputs);
  REQUIRE(expected.ok());
  (*program)->bind_input(0, pixels.data());
  REQUIRE((*program)->run(*pool).ok());
  for (size_t i = 0; i < g.outputs.size(); ++i)
    CHECK(std::memcmp((*program)->data(g.outputs[i]), (*expected)[i].constant->bytes().data(),
                      kElements) == 0);
}

}  // namespace
}  // namespace firn
