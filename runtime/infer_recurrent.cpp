// SPDX-License-Identifier: Apache-2.0
// The shape rule of recurrent layers.
#include <algorithm>
#include <cmath>

#include "runtime/infer_context.h"
#include "runtime/packed.h"
#include "runtime/recurrent.h"

namespace firn {
namespace {

using Cell = Recurrent::Cell;

Status expect_shape(const InferContext& c, size_t i, const Shape& expected) {
  if (c.in(i) == nullptr || c.shape(i) == expected) return {};
  return c.malformed("input " + c.name(i) + " is " + to_string(c.shape(i)) + ", expected " +
                     to_string(expected));
}

Status check_attributes(const InferContext& c, const Recurrent& op, size_t directions) {
  const size_t expected = activation_count(op.cell) * directions;
  if (!op.activations.empty() && op.activations.size() != expected)
    return c.malformed(std::to_string(op.activations.size()) + " activations, expected " +
                       std::to_string(expected));
  for (const Unary& f : op.activations)
    if (f.kind == Unary::Kind::logical_not || f.kind == Unary::Kind::is_nan)
      return c.malformed(std::string("activation ") + op_name(f) + " does not give a number");
  for (const float clip : {op.clip, op.cell_clip, op.output_clip})
    if (!(clip >= 0)) return c.malformed("clips at " + std::to_string(clip));
  const size_t only_lstm[] = {recurrent::kC, recurrent::kPeephole, recurrent::kProjection,
                              recurrent::kNorm};
  for (const size_t i : only_lstm)
    if (op.cell != Cell::lstm && c.in(i) != nullptr)
      return c.malformed("input " + c.name(i) + " is for LSTM cells alone");
  return {};
}

}  // namespace

RecurrentSizes recurrent_sizes(const Recurrent& op, const Shape& x, const Shape& r) {
  const auto size = [](int32_t dim) { return static_cast<size_t>(dim); };
  RecurrentSizes s;
  s.steps = size(x[0]);
  s.batch = size(x[1]);
  s.inputs = size(x[2]);
  s.gates = gate_count(op.cell);
  s.directions = size(r[0]);
  s.cells = size(r[1]) / s.gates;
  s.outputs = size(r[2]);
  return s;
}

std::array<Unary, 3> recurrent_activations(const Recurrent& op, size_t direction) {
  const Unary sigmoid{Unary::Kind::sigmoid}, tanh{Unary::Kind::tanh};
  if (op.activations.empty()) {
    if (op.cell == Cell::rnn) return {tanh, tanh, tanh};
    return {sigmoid, tanh, tanh};
  }
  const size_t count = activation_count(op.cell);
  std::array<Unary, 3> all{};
  std::copy_n(op.activations.begin() + static_cast<std::ptrdiff_t>(direction * count), count,
              all.begin());
  return all;
}

Result<std::vector<Inferred>> infer_op(const InferContext& c, const Recurrent& op) {
  using namespace recurrent;
  FIRN_TRY(c.expect_inputs(3, kInputs));
  for (size_t i = 0; i < kInputs; ++i) {
    if (i == kLengths) continue;
    FIRN_TRY(takes_stored_weights(op, i) ? c.expect_weights(i) : c.expect_real(i));
    if (i < kBias) FIRN_TRY(c.expect_rank(i, 3));
  }
  const bool both = op.direction == Recurrent::Direction::both;
  const int32_t directions = both ? 2 : 1, gates = static_cast<int32_t>(gate_count(op.cell));
  FIRN_TRY(check_attributes(c, op, static_cast<size_t>(directions)));
  const Shape& x = c.shape(kX);
  const Shape& r = c.shape(kR);
  const int32_t rows = r[1], cells = rows / gates, outputs = r[2];
  if (rows % gates != 0 || rows < 1 || outputs < 1 || rows > INT32_MAX / 2)
    return c.malformed("recurrent weights " + c.name(kR) + " are " + to_string(r));
  const bool projects = c.in(kProjection) != nullptr;
  if (!projects && outputs != cells)
    return c.malformed("recurrent weights " + c.name(kR) + " are " + to_string(r) +
                       ", and there is no projection");
  FIRN_TRY(expect_shape(c, kR, {directions, rows, outputs}));
  FIRN_TRY(expect_shape(c, kW, {directions, rows, x[2]}));
  FIRN_TRY(expect_shape(c, kBias, {directions, 2 * rows}));
  FIRN_TRY(expect_shape(c, kLengths, {x[1]}));
  FIRN_TRY(expect_shape(c, kH, {directions, x[1], outputs}));
  FIRN_TRY(expect_shape(c, kC, {directions, x[1], cells}));
  FIRN_TRY(expect_shape(c, kProjection, {directions, outputs, cells}));
  if (op.cell == Cell::lstm) FIRN_TRY(expect_shape(c, kPeephole, {directions, rows / 4 * 3}));
  FIRN_TRY(expect_shape(c, kNorm, {directions, rows}));
  if (c.in(kLengths) != nullptr) FIRN_TRY(c.expect_indices(kLengths));
  const Shape state{directions, x[1], outputs};
  std::vector<Inferred> all{{DType::f32, {x[0], directions, x[1], outputs}}, {DType::f32, state}};
  if (op.cell == Cell::lstm) all.push_back({DType::f32, {directions, x[1], cells}});
  return all;
}

}  // namespace firn
