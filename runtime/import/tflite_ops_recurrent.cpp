// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over sequences. All are computed in float: quantized weights and states are
// taken as the real numbers that they stand for.
#include <array>
#include <optional>

#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

using imports::TargetDim;

constexpr int kGates = 4;

// Where one direction of an LSTM has its inputs: weights begin at `first` with the gates input,
// forget, cell, output.
struct LstmPlaces {
  size_t first, state, cell;

  size_t weights(int gate) const { return first + static_cast<size_t>(gate); }
  size_t recurrent(int gate) const { return first + 4 + static_cast<size_t>(gate); }
  size_t peephole(int gate) const { return first + 8 + static_cast<size_t>(gate); }  // no cell
  size_t bias(int gate) const { return first + 11 + static_cast<size_t>(gate); }
  size_t projection() const { return first + 15; }
  size_t projection_bias() const { return first + 16; }
};

struct LstmOptions {
  wire::Activation activation;
  float cell_clip, projection_clip;
  bool time_major;
};

// The gates' order in Recurrent: input, output, forget, cell.
constexpr std::array<int, kGates> kGateOrder{0, 3, 1, 2};
constexpr std::array<int, 3> kPeepholeOrder{0, 2, 1};  // input, output, forget

// x with a dimension of 1, the direction's, in front.
Result<ValueId> with_direction(Context& c, std::string_view suffix, ValueId x) {
  std::vector<TargetDim> to{TargetDim::of(1)};
  for (int d = 0; d < c.rank(x); ++d) to.push_back(TargetDim::of(c.shape(x)[d]));
  return c.reshape(suffix, x, to);
}

Result<ValueId> stack(Context& c, const std::string& suffix, std::vector<ValueId> parts) {
  FIRN_ASSIGN(const ValueId all, c.emit(suffix + "_all", Concat{0}, std::move(parts)));
  return with_direction(c, suffix, all);
}

// The gates' parts found by `place`, in the order of Recurrent. Without an input gate, that is 1
// less the forget gate: the logistic function of the opposite sum.
template <typename Place>
Result<ValueId> gates(Context& c, const std::string& suffix, std::span<const int> order,
                      bool coupled, int forget, Place&& place) {
  std::vector<ValueId> parts;
  for (const int gate : order) {
    const bool opposite = coupled && gate == 0;
    FIRN_ASSIGN(ValueId part, c.scaled_input(place(opposite ? forget : gate)));
    if (opposite) {
      FIRN_ASSIGN(part, c.unary(suffix + "_input", Unary::Kind::neg, part));
    }
    parts.push_back(part);
  }
  return stack(c, suffix, std::move(parts));
}

Result<ValueId> zeros(Context& c, const std::string& suffix, const Shape& shape) {
  FIRN_TRY(c.allow(shape.elements() * sizeof(float)));
  return c.constant<float>(suffix, shape, std::vector<float>(shape.elements()));
}

Result<Unary> activation_of(const Context& c, wire::Activation activation) {
  if (activation == wire::Activation::tanh) return Unary{Unary::Kind::tanh};
  FIRN_ASSIGN(const Clamp clamp, c.clamp_of(activation));
  return Unary{Unary::Kind::clamp, clamp.lo, clamp.hi};
}

// [time, batch, features], whatever comes first in the model.
Result<ValueId> time_first(Context& c, ValueId x, bool time_major) {
  if (c.rank(x) != 3) {
    return c.malformed("its input is " + to_string(c.shape(x)) + ", expected 3 dimensions");
  }
  return time_major ? x : c.transpose("steps", x, {1, 0, 2});
}

// The sequence [time, 1, batch, features] of a Recurrent as the model wants it.
Result<ValueId> as_sequence(Context& c, const std::string& suffix, ValueId y, bool time_major) {
  const std::vector<TargetDim> to{TargetDim::copy(0), TargetDim::copy(2), TargetDim::copy(3)};
  FIRN_ASSIGN(const ValueId sequence, c.reshape(suffix + "sequence", y, to));
  return time_major ? sequence : c.transpose(suffix, sequence, {1, 0, 2});
}

Status keep_state(Context& c, const std::string& suffix, size_t input, ValueId last) {
  std::vector<TargetDim> to{TargetDim::copy(1), TargetDim::copy(2)};
  FIRN_ASSIGN(const ValueId state, c.reshape(suffix, last, to));
  return c.update(input, state);
}

// The sequence of one direction; its states are kept.
Result<ValueId> lstm_direction(Context& c, const std::string& suffix, ValueId x,
                               const LstmPlaces& at, const LstmOptions& options, bool reverse) {
  const bool coupled = !c.has(at.weights(0));
  const bool peephole = c.has(at.peephole(1));
  Recurrent op;
  op.direction = reverse ? Recurrent::Direction::reverse : Recurrent::Direction::forward;
  FIRN_ASSIGN(const Unary activation, activation_of(c, options.activation));
  op.activations = {Unary{Unary::Kind::sigmoid}, activation, activation};
  if (options.cell_clip > 0) op.cell_clip = options.cell_clip;
  if (options.projection_clip > 0) op.output_clip = options.projection_clip;

  constexpr int kForget = 1;
  std::vector<ValueId> in(9, ValueId::none);
  in[0] = x;
  FIRN_ASSIGN(in[1], gates(c, suffix + "weights", kGateOrder, coupled, kForget,
                           [&](int gate) { return at.weights(gate); }));
  FIRN_ASSIGN(in[2], gates(c, suffix + "recurrent", kGateOrder, coupled, kForget,
                           [&](int gate) { return at.recurrent(gate); }));
  if (c.has(at.bias(kForget))) {
    FIRN_ASSIGN(const ValueId bias, gates(c, suffix + "bias", kGateOrder, coupled, kForget,
                                          [&](int gate) { return at.bias(gate); }));
    FIRN_ASSIGN(const ValueId none, zeros(c, suffix + "no_bias", c.shape(bias)));
    FIRN_ASSIGN(in[3], c.emit(suffix + "biases", Concat{1}, {bias, none}));
  }
  FIRN_ASSIGN(const ValueId state, c.real_input(at.state));
  FIRN_ASSIGN(const ValueId cell, c.real_input(at.cell));
  FIRN_ASSIGN(in[5], with_direction(c, suffix + "state", state));
  FIRN_ASSIGN(in[6], with_direction(c, suffix + "cell", cell));
  if (peephole) {
    FIRN_ASSIGN(in[7], gates(c, suffix + "peephole", kPeepholeOrder, coupled, kForget,
                             [&](int gate) { return at.peephole(gate); }));
  }
  if (c.has(at.projection())) {
    FIRN_ASSIGN(const ValueId projection, c.real_input(at.projection()));
    FIRN_ASSIGN(in[8], with_direction(c, suffix + "projection", projection));
    if (c.has(at.projection_bias())) return c.unsupported("a bias of the projection");
  }
  FIRN_ASSIGN(const std::vector<ValueId> out, c.emit_all(suffix + "lstm", op, std::move(in), 3));
  FIRN_TRY(keep_state(c, suffix + "last", at.state, out[1]));
  FIRN_TRY(keep_state(c, suffix + "last_cell", at.cell, out[2]));
  return as_sequence(c, suffix, out[0], options.time_major);
}

Status lstm(Context& c) {
  FIRN_ASSIGN(const auto* const wire, c.options<wire::SequenceLSTMOptions>(
                                          wire::BuiltinOptions::UnidirectionalSequenceLSTM));
  const LstmOptions options{wire->activation(), wire->cell_clip(), wire->projection_clip(),
                            wire->time_major()};
  constexpr size_t kNormalization = 20;
  for (size_t i = kNormalization; i < kNormalization + kGates; ++i) {
    if (c.has(i)) return c.unsupported("layer normalization is not supported");
  }
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId steps, time_first(c, x, options.time_major));
  return c.bind(lstm_direction(c, "", steps, {1, 18, 19}, options, false));
}

Status bidirectional_lstm(Context& c) {
  FIRN_ASSIGN(const auto* const wire, c.options<wire::BidirectionalSequenceLSTMOptions>(
                                          wire::BuiltinOptions::BidirectionalSequenceLSTM));
  const LstmOptions options{wire->activation(), wire->cell_clip(), wire->projection_clip(),
                            wire->time_major()};
  constexpr size_t kAuxiliary = 39;
  if (c.has(kAuxiliary)) return c.unsupported("an auxiliary input is not supported");
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId steps, time_first(c, x, options.time_major));
  FIRN_ASSIGN(const ValueId forward,
              lstm_direction(c, "forward_", steps, {1, 35, 36}, options, false));
  FIRN_ASSIGN(const ValueId backward,
              lstm_direction(c, "backward_", steps, {18, 37, 38}, options, true));
  if (wire->merge_outputs()) return c.bind(c.emit("", Concat{2}, {forward, backward}));
  FIRN_TRY(c.bind(forward, 0));
  return c.bind(backward, 1);
}

// in: x, weights, recurrent weights, bias, state.
Status rnn(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::SequenceRNNOptions>(wire::BuiltinOptions::SequenceRNN));
  constexpr size_t kState = 4;
  Recurrent op;
  op.cell = Recurrent::Cell::rnn;
  FIRN_ASSIGN(const Unary activation, activation_of(c, options->activation()));
  op.activations = {activation};
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  std::vector<ValueId> in(6, ValueId::none);
  FIRN_ASSIGN(in[0], time_first(c, x, options->time_major()));
  FIRN_ASSIGN(const ValueId weights, c.real_input(1));
  FIRN_ASSIGN(in[1], with_direction(c, "weights", weights));
  FIRN_ASSIGN(const ValueId recurrent, c.real_input(2));
  FIRN_ASSIGN(in[2], with_direction(c, "recurrent", recurrent));
  FIRN_ASSIGN(const ValueId bias, c.real_input(3));
  FIRN_ASSIGN(const ValueId none, zeros(c, "no_bias", c.shape(bias)));
  FIRN_ASSIGN(in[3], stack(c, "bias", {bias, none}));
  FIRN_ASSIGN(const ValueId state, c.real_input(kState));
  FIRN_ASSIGN(in[5], with_direction(c, "state", state));
  FIRN_ASSIGN(const std::vector<ValueId> out, c.emit_all("rnn", op, std::move(in), 2));
  FIRN_TRY(keep_state(c, "last", kState, out[1]));
  return c.bind(as_sequence(c, "", out[0], options->time_major()));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::BIDIRECTIONAL_SEQUENCE_LSTM, bidirectional_lstm},
    {wire::BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM, lstm},
    {wire::BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_RNN, rnn},
};

}  // namespace

std::span<const Operator> recurrent_operators() {
  return kOperators;
}

}  // namespace firn::tflite
