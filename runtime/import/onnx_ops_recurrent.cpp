// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN.
#include <algorithm>
#include <limits>

#include "runtime/import/onnx_ops.h"
#include "runtime/recurrent.h"

namespace firn::onnx {
namespace {

struct Activation {
  const char* name;
  Unary f;
  bool takes_alpha, takes_beta;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr Activation kActivations[] = {
    {"elu", {Unary::Kind::elu, 1}, true, false},
    {"hardsigmoid", {Unary::Kind::hard_sigmoid, 0.2f, 0.5f}, true, true},
    {"leakyrelu", {Unary::Kind::leaky_relu, 0.01f}, true, false},
    {"relu", {Unary::Kind::clamp, 0, kInfinity}, false, false},
    {"sigmoid", {Unary::Kind::sigmoid}, false, false},
    {"softplus", {Unary::Kind::softplus}, false, false},
    {"softsign", {Unary::Kind::softsign}, false, false},
    {"tanh", {Unary::Kind::tanh}, false, false},
};

// Names in any case; alphas and betas are handed out in order to those that take one.
Result<std::vector<Unary>> read_activations(Context& c) {
  const AttributeProto* names = c.find("activations");
  FIRN_ASSIGN(const std::vector<float> alphas, c.attr_floats("activation_alpha"));
  FIRN_ASSIGN(const std::vector<float> betas, c.attr_floats("activation_beta"));
  std::vector<Unary> list;
  if (names == nullptr) return list;
  size_t alpha = 0, beta = 0;
  for (const std::string_view given : names->strings) {
    std::string name(given);
    std::ranges::transform(name, name.begin(), [](char letter) {
      return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    });
    const auto* found = std::ranges::find(kActivations, name,
                                          [](const Activation& a) { return std::string(a.name); });
    if (found == std::end(kActivations))
      return c.unsupported("activation '" + std::string(given) + "'");
    Unary f = found->f;
    if (found->takes_alpha && alpha < alphas.size()) f.alpha = alphas[alpha++];
    if (found->takes_beta && beta < betas.size()) f.beta = betas[beta++];
    list.push_back(f);
  }
  return list;
}

Status read_direction(Context& c, Recurrent& op) {
  FIRN_ASSIGN(const std::string direction, c.attr("direction", "forward"));
  if (direction == "reverse") {
    op.direction = Recurrent::Direction::reverse;
  } else if (direction == "bidirectional") {
    op.direction = Recurrent::Direction::both;
  } else if (direction != "forward") {
    return c.malformed("direction is '" + direction + "'");
  }
  return {};
}

Status recurrent(Context& c, Recurrent::Cell cell) {
  Recurrent op{.cell = cell};
  FIRN_TRY(read_direction(c, op));
  FIRN_ASSIGN(op.activations, read_activations(c));
  FIRN_ASSIGN(op.clip, c.attr("clip", kInfinity));
  FIRN_ASSIGN(const int64_t batch_first, c.attr("layout", int64_t{0}));
  for (const char* implied : {"hidden_size", "output_sequence"}) static_cast<void>(c.find(implied));
  if (cell == Recurrent::Cell::lstm) {
    FIRN_ASSIGN(const int64_t coupled, c.attr("input_forget", int64_t{0}));
    op.couple_input_forget = coupled != 0;
  }
  if (cell == Recurrent::Cell::gru) {
    FIRN_ASSIGN(const int64_t linear, c.attr("linear_before_reset", int64_t{0}));
    op.linear_before_reset = linear != 0;
  }
  // ONNX's inputs have the operator's order: X, W, R, B, lengths, h, c, P.
  std::vector<ValueId> in;
  const size_t inputs = cell == Recurrent::Cell::lstm ? 8 : 6;
  for (size_t i = 0; i < inputs; ++i) {
    ValueId id = c.optional_input(i);
    const bool turns = i == recurrent::kX || i == recurrent::kH || i == recurrent::kC;
    if (batch_first != 0 && turns && id != ValueId::none) {
      if (c.rank(id) != 3)
        return c.malformed("input " + std::to_string(i) + " is " + to_string(c.shape(id)));
      FIRN_ASSIGN(id, c.transpose("input" + std::to_string(i), id, {1, 0, 2}));
    }
    in.push_back(id);
  }
  const size_t outputs = cell == Recurrent::Cell::lstm ? 3 : 2;
  FIRN_ASSIGN(std::vector<ValueId> y, c.emit_all("", std::move(op), std::move(in), outputs));
  if (batch_first != 0) {
    FIRN_ASSIGN(y[0], c.transpose("batch_first", y[0], {2, 0, 1, 3}));
    for (size_t i = 1; i < outputs; ++i) {
      FIRN_ASSIGN(y[i], c.transpose("state" + std::to_string(i), y[i], {1, 0, 2}));
    }
  }
  for (size_t i = 0; i < outputs; ++i) FIRN_TRY(c.bind(y[i], i));
  return {};
}

constexpr Operator kOperators[] = {
    {"GRU", [](Context& c) { return recurrent(c, Recurrent::Cell::gru); }},
    {"LSTM", [](Context& c) { return recurrent(c, Recurrent::Cell::lstm); }},
    {"RNN", [](Context& c) { return recurrent(c, Recurrent::Cell::rnn); }},
};

}  // namespace

std::span<const Operator> recurrent_operators() {
  return kOperators;
}

}  // namespace firn::onnx
