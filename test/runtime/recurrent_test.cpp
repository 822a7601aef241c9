// SPDX-License-Identifier: Apache-2.0
// Recurrent layers: the reference against numbers worked out by hand, what a session computes
// against the reference, and what is wrong.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "firn/session.h"
#include "runtime/model_impl.h"
#include "runtime/recurrent.h"
#include "test/runtime/random_graph.h"
#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;

namespace {

using Cell = Recurrent::Cell;
using Direction = Recurrent::Direction;

float sigmoid(float x) {
  return 1 / (1 + std::exp(-x));
}

// A layer of 5 steps, 3 sequences, 4 inputs and 6 cells with all that its cell takes. Direction,
// cell and flags come in `op`; `outputs` differs from 6 where there is a projection.
struct Layer {
  GraphBuilder b;
  Recurrent op;

  explicit Layer(Recurrent layer, bool everything, int32_t outputs = 6) : b(3), op(layer) {
    const int32_t d = op.direction == Direction::both ? 2 : 1;
    const int32_t rows = 6 * static_cast<int32_t>(gate_count(op.cell));
    const bool lstm = op.cell == Cell::lstm;
    Node node{"layer", op, {}, {}};
    node.in = {b.input("x", {5, 3, 4}), b.random({d, rows, 4}), b.random({d, rows, outputs})};
    if (everything) {
      node.in.push_back(b.random({d, 2 * rows}));
      node.in.push_back(b.graph.add(ints({3}, {5, 0, 2})));
      b.graph.values.back().name = "lengths";
      node.in.push_back(b.input("h", {d, 3, outputs}));
      if (lstm) {
        node.in.push_back(b.input("c", {d, 3, 6}));
        node.in.push_back(b.random({d, 18}));
      }
    }
    if (outputs != 6) {
      node.in.resize(recurrent::kProjection, ValueId::none);
      node.in.push_back(b.random({d, outputs, 6}));
    }
    for (const char* name : {"y", "last_h", "last_c"}) {
      if (!lstm && std::string(name) == "last_c") continue;
      node.out.push_back(b.graph.add(open(name, {})));
      b.graph.outputs.push_back(node.out.back());
    }
    b.graph.add(std::move(node));
    must(infer_shapes(b.graph));
  }
};

void check_session_like_reference(Layer layer) {
  Graph& graph = layer.b.graph;
  Session session = must(Session::create(must(make_model("test", graph))));
  std::vector<std::vector<float>> memory;
  std::vector<Tensor> tensors;
  std::vector<NamedTensor> named;
  for (const ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    memory.push_back(layer.b.floats(value.shape.elements()));
    tensors.push_back({value.type, value.shape, memory.back().data()});
    named.push_back({value.name, tensors.back()});
  }
  const std::vector<Value> expected = must(reference_run(graph, tensors));
  for (int run = 0; run < 2; ++run) {  // the state does not outlive a run
    Outputs outputs;
    must(session.run(named, outputs));
    REQUIRE(outputs.all().size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const Tensor got = outputs.all()[i].tensor;
      REQUIRE(got.shape == expected[i].shape);
      for (size_t e = 0; e < got.shape.elements(); ++e)
        CHECK(std::abs(got.as<float>()[e] - expected[i].as<float>()[e]) < 1e-5f);
    }
  }
}

}  // namespace

TEST_CASE("LSTM, GRU and RNN: one cell by hand") {
  const Value x = floats({1, 1, 1}, {2});
  // Gates i, o, f, c.
  const std::vector<Value> lstm{x,
                                floats({1, 4, 1}, {0.1f, 0.2f, 0.3f, 0.4f}),
                                floats({1, 4, 1}, {1, 1, 1, 1}),
                                floats({1, 8}, {0, 0, 0, 0, 0.5f, 0, 0, 0}),
                                ints({1}, {1}),
                                floats({1, 1, 1}, {0.25f}),
                                floats({1, 1, 1}, {3})};
  const float c = sigmoid(0.6f + 0.25f) * 3 + sigmoid(0.2f + 0.25f + 0.5f) * std::tanh(1.05f);
  const float h = sigmoid(0.4f + 0.25f) * std::tanh(c);
  const std::vector<Value> y = must(evaluate_all(Recurrent{}, lstm));
  CHECK(y[0].as<float>()[0] == doctest::Approx(h));
  CHECK(y[1].as<float>()[0] == doctest::Approx(h));
  CHECK(y[2].as<float>()[0] == doctest::Approx(c));

  // Gates z, r, h.
  const std::vector<Value> gru{x,
                               floats({1, 3, 1}, {0.1f, 0.2f, 0.3f}),
                               floats({1, 3, 1}, {1, 1, 1}),
                               floats({1, 6}, {0, 0, 0, 0, 0, 0.5f}),
                               ints({1}, {1}),
                               floats({1, 1, 1}, {0.25f})};
  const float z = sigmoid(0.2f + 0.25f), r = sigmoid(0.4f + 0.25f);
  const float before = std::tanh(0.6f + 0.25f * r + 0.5f);
  const float after = std::tanh(0.6f + (0.25f + 0.5f) * r);
  Recurrent op{.cell = Cell::gru};
  CHECK(must(evaluate_all(op, gru))[0].as<float>()[0] ==
        doctest::Approx((1 - z) * before + z * 0.25f));
  op.linear_before_reset = true;
  CHECK(must(evaluate_all(op, gru))[0].as<float>()[0] ==
        doctest::Approx((1 - z) * after + z * 0.25f));

  op = {.cell = Cell::rnn, .clip = 0.75f};
  const std::vector<Value> rnn{x, floats({1, 1, 1}, {3}), floats({1, 1, 1}, {1})};
  CHECK(must(evaluate_all(op, rnn))[0].as<float>()[0] == doctest::Approx(std::tanh(0.75f)));
}

TEST_CASE("sequences end where their lengths say, and run backwards from there") {
  const Value x = floats({3, 2, 1}, {1, 10, 2, 20, 3, 30});
  Recurrent op{.cell = Cell::rnn,
               .direction = Direction::reverse,
               .activations = {{Unary::Kind::clamp, -1000, 1000}}};
  const std::vector<Value> in{x, floats({1, 1, 1}, {1}), floats({1, 1, 1}, {1}),
                              floats({1, 2}, {0, 0}), ints({2}, {3, 2})};
  const std::vector<Value> y = must(evaluate_all(op, in));
  const auto got = y[0].as<float>();
  CHECK(std::vector<float>(got.begin(), got.end()) == std::vector<float>{6, 30, 5, 20, 3, 0});
  CHECK(y[1].as<float>()[1] == 30);
}

TEST_CASE("a session computes recurrent layers as the reference does") {
  for (const Direction direction : {Direction::forward, Direction::reverse, Direction::both}) {
    for (const bool everything : {false, true}) {
      CAPTURE(static_cast<int>(direction));
      CAPTURE(everything);
      Recurrent op{.cell = Cell::lstm, .direction = direction};
      check_session_like_reference(Layer(op, everything));
      check_session_like_reference(Layer(op, everything, 4));
      op.couple_input_forget = true;
      op.clip = 0.5f;
      op.cell_clip = 0.25f;
      op.output_clip = 0.125f;
      check_session_like_reference(Layer(op, everything, 4));
      op = {.cell = Cell::gru, .direction = direction};
      check_session_like_reference(Layer(op, everything));
      op.linear_before_reset = true;
      check_session_like_reference(Layer(op, everything));
      op = {.cell = Cell::rnn, .direction = direction};
      const size_t directions = direction == Direction::both ? 2 : 1;
      op.activations.assign(directions, {Unary::Kind::softsign});
      check_session_like_reference(Layer(op, everything));
    }
  }
}

TEST_CASE("a session names the sequence whose length does not fit") {
  Layer layer({.cell = Cell::rnn}, true);
  layer.b.graph.nodes[0].in[recurrent::kLengths] = layer.b.graph.add(ints({3}, {5, -1, 2}));
  layer.b.graph.values.back().name = "wrong";
  Session session = must(Session::create(must(make_model("test", layer.b.graph))));
  std::vector<float> x(60), h(18);
  Outputs outputs;
  const Status status = session.run(
      {{"x", {DType::f32, {5, 3, 4}, x.data()}}, {"h", {DType::f32, {1, 3, 6}, h.data()}}},
      outputs);
  CHECK(text(status) == "invalid_argument: layer (Rnn): sequence 1 has length -1 of 5");
}

TEST_CASE("recurrent layers: what is wrong") {
  const Value x = floats({1, 1, 1}, {2}), w = floats({1, 4, 1}, {1, 2, 3, 4});
  const auto error = [&](Recurrent op, const std::vector<Value>& in) {
    return text(evaluate_all(op, in).status());
  };
  CHECK(error({}, {x, w, floats({1, 3, 1}, {1, 2, 3})}) ==
        "malformed: node: recurrent weights c are 1x3x1");
  CHECK(error({}, {x, w, floats({1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8})}) ==
        "malformed: node: recurrent weights c are 1x4x2, and there is no projection");
  CHECK(error({.direction = Direction::both}, {x, w, w}) ==
        "malformed: node: input c is 1x4x1, expected 2x4x1");
  CHECK(error({.activations = {{}, {}}}, {x, w, w}) ==
        "malformed: node: 2 activations, expected 3");
  CHECK(error({.clip = -1}, {x, w, w}) == "malformed: node: clips at -1.000000");
}
