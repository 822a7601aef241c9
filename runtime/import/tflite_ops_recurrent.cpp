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
// forget, cell, output, and so do factors of normalized sums at `norm`; 0: there are none.
struct LstmPlaces {
  size_t first, state, cell, norm = 0;

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

// A sequence of one step, from its rows.
Result<ValueId> one_step(Context& c, ValueId x) {
  if (c.rank(x) != 2) {
    return c.malformed("its input is " + to_string(c.shape(x)) + ", expected 2 dimensions");
  }
  return c.reshape("step", x, {TargetDim::of(1), TargetDim::copy(0), TargetDim::copy(1)});
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
  std::vector<ValueId> in(10, ValueId::none);
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
  if (at.norm != 0 && c.has(at.norm + kForget)) {
    // The opposite of a sum is normalized to the opposite: these factors keep their sign.
    std::vector<ValueId> parts;
    for (const int gate : kGateOrder) {
      const int stated = coupled && gate == 0 ? kForget : gate;
      FIRN_ASSIGN(const ValueId part, c.scaled_input(at.norm + static_cast<size_t>(stated)));
      parts.push_back(part);
    }
    FIRN_ASSIGN(in[9], stack(c, suffix + "norm", std::move(parts)));
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
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId steps, time_first(c, x, options.time_major));
  return c.bind(lstm_direction(c, "", steps, {1, 18, 19, 20}, options, false));
}

// One step of one: [batch, features].
Status lstm_step(Context& c) {
  FIRN_ASSIGN(const auto* const wire, c.options<wire::LSTMOptions>(wire::BuiltinOptions::LSTM));
  constexpr size_t kLeastInputs = 20;  // the other kind of kernel has 5
  if (c.input_count() < kLeastInputs) {
    return c.unsupported(std::to_string(c.input_count()) + " inputs, expected " +
                         std::to_string(kLeastInputs) + " or more");
  }
  const LstmOptions options{wire->activation(), wire->cell_clip(), wire->projection_clip(), true};
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId steps, one_step(c, x));
  FIRN_ASSIGN(const ValueId y, lstm_direction(c, "", steps, {1, 18, 19, 20}, options, false));
  return c.bind(c.reshape("row", y, {TargetDim::copy(1), TargetDim::copy(2)}));
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

// Where one direction of a plain recurrent layer has its inputs.
struct RnnPlaces {
  size_t weights, recurrent, bias, state;
};

Result<ValueId> rnn_direction(Context& c, const std::string& suffix, ValueId x, const RnnPlaces& at,
                              wire::Activation activation, bool time_major, bool reverse) {
  Recurrent op;
  op.cell = Recurrent::Cell::rnn;
  op.direction = reverse ? Recurrent::Direction::reverse : Recurrent::Direction::forward;
  FIRN_ASSIGN(const Unary f, activation_of(c, activation));
  op.activations = {f};
  std::vector<ValueId> in(6, ValueId::none);
  in[0] = x;
  FIRN_ASSIGN(const ValueId weights, c.real_input(at.weights));
  FIRN_ASSIGN(in[1], with_direction(c, suffix + "weights", weights));
  FIRN_ASSIGN(const ValueId recurrent, c.real_input(at.recurrent));
  FIRN_ASSIGN(in[2], with_direction(c, suffix + "recurrent", recurrent));
  FIRN_ASSIGN(const ValueId bias, c.real_input(at.bias));
  FIRN_ASSIGN(const ValueId none, zeros(c, suffix + "no_bias", c.shape(bias)));
  FIRN_ASSIGN(in[3], stack(c, suffix + "bias", {bias, none}));
  FIRN_ASSIGN(const ValueId state, c.real_input(at.state));
  FIRN_ASSIGN(in[5], with_direction(c, suffix + "state", state));
  FIRN_ASSIGN(const std::vector<ValueId> out, c.emit_all(suffix + "rnn", op, std::move(in), 2));
  FIRN_TRY(keep_state(c, suffix + "last", at.state, out[1]));
  return as_sequence(c, suffix, out[0], time_major);
}

Status rnn(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::SequenceRNNOptions>(wire::BuiltinOptions::SequenceRNN));
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId steps, time_first(c, x, options->time_major()));
  return c.bind(rnn_direction(c, "", steps, {1, 2, 3, 4}, options->activation(),
                              options->time_major(), false));
}

// One step: [batch, features].
Status rnn_step(Context& c) {
  FIRN_ASSIGN(const auto* const options, c.options<wire::RNNOptions>(wire::BuiltinOptions::RNN));
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId steps, one_step(c, x));
  FIRN_ASSIGN(const ValueId y,
              rnn_direction(c, "", steps, {1, 2, 3, 4}, options->activation(), true, false));
  return c.bind(c.reshape("row", y, {TargetDim::copy(1), TargetDim::copy(2)}));
}

// A layer of filters of low rank over time: each filter's products with the last inputs are its
// state [batch, filters * memory], the latest last; `rank` filters make a unit.
Status svdf(Context& c) {
  FIRN_ASSIGN(const auto* const options, c.options<wire::SVDFOptions>(wire::BuiltinOptions::SVDF));
  constexpr size_t kBias = 3, kState = 4;
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_ASSIGN(const ValueId features, c.scaled_input(1));
  FIRN_ASSIGN(const ValueId times, c.scaled_input(2));
  FIRN_ASSIGN(const ValueId state, c.real_input(kState));
  const Shape by_time = c.shape(times);
  const int32_t rank = options->rank(), filters = by_time[0], memory = by_time[1];
  if (by_time.rank != 2 || c.rank(x) != 2 || c.rank(features) != 2 || rank < 1 || filters < 1 ||
      memory < 1 || filters % rank != 0 || c.shape(features)[0] != filters) {
    return c.malformed("rank " + std::to_string(rank) + ", input " + to_string(c.shape(x)) +
                       ", weights " + to_string(c.shape(features)) + " and " + to_string(by_time));
  }
  const int32_t units = filters / rank;
  const auto of = [](int32_t number) { return TargetDim::of(number); };
  FIRN_ASSIGN(const ValueId now, c.emit("now", Dense{}, {x, features}));
  FIRN_ASSIGN(const ValueId latest,
              c.reshape("latest", now, {TargetDim::copy(0), of(filters), of(1)}));
  FIRN_ASSIGN(const ValueId kept,
              c.reshape("kept", state, {TargetDim::copy(0), of(filters), of(memory)}));
  ValueId all = latest;
  if (memory > 1) {
    FIRN_ASSIGN(const ValueId later, c.slice("later", kept, 2, 1, memory));
    FIRN_ASSIGN(all, c.emit("all", Concat{2}, {later, latest}));
  }
  FIRN_ASSIGN(const ValueId next,
              c.reshape("next", all, {TargetDim::copy(0), of(filters * memory)}));
  FIRN_TRY(c.update(kState, next));
  FIRN_ASSIGN(const ValueId weighted, c.binary("weighted", Binary::Kind::mul, all, times));
  FIRN_ASSIGN(const ValueId by_unit,
              c.reshape("by_unit", weighted, {TargetDim::copy(0), of(units), of(rank * memory)}));
  FIRN_ASSIGN(ValueId y, c.reduce("sum", Reduce::Kind::sum, by_unit, {2}, false));
  if (c.has(kBias)) {
    FIRN_ASSIGN(const ValueId bias, c.scaled_input(kBias));
    FIRN_ASSIGN(y, c.binary("biased", Binary::Kind::add, y, bias));
  }
  return c.bind(c.activate(y, options->activation()));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::BIDIRECTIONAL_SEQUENCE_LSTM, bidirectional_lstm},
    {wire::BuiltinOperator::LSTM, lstm_step},
    {wire::BuiltinOperator::RNN, rnn_step},
    {wire::BuiltinOperator::SVDF, svdf},
    {wire::BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM, lstm},
    {wire::BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_RNN, rnn},
};

}  // namespace

std::span<const Operator> recurrent_operators() {
  return kOperators;
}

}  // namespace firn::tflite
