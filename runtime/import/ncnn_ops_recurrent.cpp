// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN over the rows of a blob.
#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/import/ncnn_int8.h"
#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

using Cell = Recurrent::Cell;

// How ncnn stores a cell's parameters: gates in an order of its own, and a bias of so many rows.
struct Layout {
  Cell cell;
  std::vector<size_t> gates;       // for each canonical gate, which of ncnn's it is
  std::vector<int> input_biases;   // for each canonical gate, the row of its bias; -1: none
  std::vector<int> hidden_biases;  // the same of the hidden product's
  int32_t bias_rows;
};

Layout layout_of(Cell cell) {
  switch (cell) {
    case Cell::lstm:  // i f o g, for i o f g
      return {cell, {0, 2, 1, 3}, {0, 2, 1, 3}, {-1, -1, -1, -1}, 4};
    case Cell::gru:  // r u n, for u r n; the new gate has a bias on either side of the reset
      return {cell, {1, 0, 2}, {1, 0, 2}, {-1, -1, 3}, 4};
    case Cell::rnn:
      break;
  }
  return {Cell::rnn, {0}, {0}, {-1}, 1};
}

struct Sizes {
  int32_t outputs = 0, cells = 0, inputs = 0, directions = 1, gates = 1;
};

Result<Sizes> read_sizes(const Context& c, const Layout& layout) {
  Sizes s;
  s.gates = static_cast<int32_t>(layout.gates.size());
  FIRN_ASSIGN(s.outputs, c.at_least(1, 0, "the number of outputs", 0));
  FIRN_ASSIGN(const int32_t weights, c.at_least(1, 1, "the number of weights", 0));
  FIRN_ASSIGN(const int32_t direction, c.param(2, 0));
  s.cells = s.outputs;
  if (layout.cell == Cell::lstm) {
    FIRN_ASSIGN(s.cells, c.at_least(1, 3, "hidden_size", s.outputs));
  }
  if (direction < 0 || direction > 2) {
    return c.malformed("direction is " + std::to_string(direction) + ", expected 0 to 2");
  }
  if (direction == 2) s.directions = 2;
  const int64_t rows = int64_t{s.directions} * s.cells * s.gates;
  if (rows > weights || weights % rows != 0) {
    return c.malformed(std::to_string(weights) + " weights for " + std::to_string(rows) + " rows");
  }
  s.inputs = static_cast<int32_t>(weights / rows);
  return s;
}

// Weights [directions,gates*cells,columns], their gates in the canonical order.
Result<ValueId> in_order(Context& c, std::string_view suffix, Value weights, const Layout& layout,
                         const Sizes& s) {
  const std::span<const float> from = weights.as<float>();
  FIRN_ASSIGN(auto memory, Buffer::allocate(from.size_bytes()));
  auto* to = reinterpret_cast<float*>(memory.second.data());
  const size_t gates = layout.gates.size();
  const size_t block = from.size() / gates / static_cast<size_t>(s.directions);
  for (size_t d = 0; d < static_cast<size_t>(s.directions); ++d) {
    for (size_t g = 0; g < gates; ++g) {
      std::memcpy(to + (d * gates + g) * block, from.data() + (d * gates + layout.gates[g]) * block,
                  block * sizeof(float));
    }
  }
  weights.constant = std::move(memory.first);
  return c.add_constant(suffix, std::move(weights));
}

// Biases [directions,rows,cells] as [directions,2*gates*cells]: of the input's product, then of the
// hidden one's.
Result<ValueId> biases_in_order(Context& c, const Value& biases, const Layout& layout,
                                const Sizes& s) {
  const std::span<const float> from = biases.as<float>();
  const auto cells = static_cast<size_t>(s.cells);
  std::vector<float> to;
  for (size_t d = 0; d < static_cast<size_t>(s.directions); ++d) {
    for (const std::vector<int>* rows : {&layout.input_biases, &layout.hidden_biases}) {
      for (const int row : *rows) {
        const size_t begin =
            (d * static_cast<size_t>(layout.bias_rows) + static_cast<size_t>(std::max(row, 0))) *
            cells;
        for (size_t i = 0; i < cells; ++i) to.push_back(row < 0 ? 0 : from[begin + i]);
      }
    }
  }
  return c.constant<float>("bias", {s.directions, static_cast<int32_t>(to.size()) / s.directions},
                           to);
}

// State [directions,width] as [directions,1,width].
Result<ValueId> initial_state(Context& c, size_t i, std::string_view suffix) {
  FIRN_ASSIGN(const ValueId state, c.input(i));
  FIRN_TRY(c.expect_dims(state, 1, 2));
  if (c.dims(state) == 1) {
    return c.reshape(suffix, state, {TargetDim::of(1), TargetDim::of(1), TargetDim::copy(1)});
  }
  return c.reshape(suffix, state, {TargetDim::copy(1), TargetDim::of(1), TargetDim::copy(2)});
}

Result<std::vector<ValueId>> read_operands(Context& c, const Layout& layout, const Sizes& s) {
  const auto spread = Spread::of_weights(static_cast<size_t>(s.inputs));
  const int32_t rows = s.gates * s.cells;
  FIRN_ASSIGN(Value w, c.tagged_value({s.directions, rows, s.inputs}, spread));
  FIRN_ASSIGN(const Value bias,
              c.tagged_value({s.directions, layout.bias_rows, s.cells}, Spread::of_biases()));
  FIRN_ASSIGN(Value r, c.tagged_value({s.directions, rows, s.outputs}, spread));
  if (bias.type != DType::f32) return c.malformed("its bias is int8");
  ValueId projection = ValueId::none;
  if (s.outputs != s.cells) {
    FIRN_ASSIGN(projection,
                c.tagged_weight("projection", {s.directions, s.outputs, s.cells}, spread));
  }
  FIRN_ASSIGN(const bool int8, c.flag(8, false));
  if (int8) {
    const float made_up = 127 / spread.hi;
    for (Value* weights : {&w, &r}) {
      FIRN_ASSIGN(const std::vector<float> scales,
                  c.weight_floats(s.directions * rows, {made_up, made_up}));
      FIRN_ASSIGN(*weights, dequantized(c, std::move(*weights), scales));
    }
  } else if (w.type != DType::f32 || r.type != DType::f32) {
    return c.malformed("its weights are int8, and it states no scales");
  }
  std::vector<ValueId> in(9, ValueId::none);
  FIRN_ASSIGN(in[1], in_order(c, "weights", std::move(w), layout, s));
  FIRN_ASSIGN(in[2], in_order(c, "hidden_weights", std::move(r), layout, s));
  FIRN_ASSIGN(in[3], biases_in_order(c, bias, layout, s));
  in[8] = projection;
  return in;
}

Status recurrent(Context& c, Cell cell) {
  const Layout layout = layout_of(cell);
  const size_t states = cell == Cell::lstm ? 2 : 1;
  if (c.input_count() != 1) FIRN_TRY(c.expect_inputs(1 + states, 1 + states));
  FIRN_ASSIGN(const Sizes sizes, read_sizes(c, layout));
  FIRN_ASSIGN(std::vector<ValueId> in, read_operands(c, layout, sizes));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_TRY(c.expect_dims(x, 2, 2));
  FIRN_ASSIGN(in[0],
              c.reshape("steps", x, {TargetDim::copy(1), TargetDim::of(1), TargetDim::copy(2)}));
  if (c.input_count() > 1) {
    FIRN_ASSIGN(in[5], initial_state(c, 1, "initial_h"));
  }
  if (c.input_count() > 2) {
    FIRN_ASSIGN(in[6], initial_state(c, 2, "initial_c"));
  }
  Recurrent op;
  op.cell = cell;
  FIRN_ASSIGN(const int32_t direction, c.param(2, 0));
  op.direction = static_cast<Recurrent::Direction>(direction);
  op.linear_before_reset = cell == Cell::gru;
  FIRN_ASSIGN(const std::vector<ValueId> out, c.emit_all("", op, std::move(in), 1 + states));
  FIRN_TRY(c.bind(
      c.as_blob("rows", out[0],
                {TargetDim::copy(0), TargetDim::of(int64_t{sizes.directions} * sizes.outputs)})));
  for (size_t i = 1; i < out.size() && i < c.output_count(); ++i) {
    FIRN_TRY(c.bind(
        c.as_blob("last_" + std::to_string(i), out[i], {TargetDim::copy(0), TargetDim::copy(2)}),
        i));
  }
  return {};
}

constexpr Operator kOperators[] = {
    {"GRU", [](Context& c) { return recurrent(c, Cell::gru); }},
    {"LSTM", [](Context& c) { return recurrent(c, Cell::lstm); }},
    {"RNN", [](Context& c) { return recurrent(c, Cell::rnn); }},
};

}  // namespace

std::span<const Operator> recurrent_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
