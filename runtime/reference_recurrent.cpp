// SPDX-License-Identifier: Apache-2.0
// The reference of recurrent layers: one sequence after the other, step by step, in double.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/recurrent.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

using namespace recurrent;
using Cell = Recurrent::Cell;
using Doubles = std::vector<double>;

double clipped(double x, float limit) {
  return std::clamp(x, -static_cast<double>(limit), static_cast<double>(limit));
}

// One direction of one sequence.
class Sequence {
 public:
  Sequence(const Recurrent& op, const RecurrentSizes& s, const std::array<Operand, kInputs>& in,
           size_t direction, size_t batch)
      : op_(op),
        s_(s),
        in_(in),
        direction_(direction),
        f_(recurrent_activations(op, direction)),
        x_(s.gates * s.cells),
        r_(s.gates * s.cells),
        h(initial(kH, batch, s.outputs)),
        c(initial(kC, batch, s.cells)) {}

  void step(const float* x) {
    for (size_t row = 0; row < s_.gates * s_.cells; ++row) {
      x_[row] = product(kW, row, s_.inputs, [&](size_t i) { return static_cast<double>(x[i]); });
      if (!given(kNorm)) x_[row] += bias(row);
      if (after_reset(row)) continue;
      r_[row] = recurrent(row, h) + (given(kNorm) ? 0 : recurrent_bias(row));
    }
    if (op_.cell == Cell::lstm) return lstm();
    if (op_.cell == Cell::gru) return gru();
    for (size_t j = 0; j < s_.cells; ++j) h[j] = activated(0, x_[j] + r_[j]);
  }

 private:
  bool given(size_t i) const { return in_[i].tensor.data != nullptr; }
  // Row `row` of an input [directions, rows, length].
  const float* row_of(size_t input, size_t row, size_t rows, size_t length) const {
    return in_[input].f32().data() + (direction_ * rows + row) * length;
  }
  Doubles initial(size_t input, size_t batch, size_t length) const {
    if (!given(input)) return Doubles(length, 0.0);
    const float* from = row_of(input, batch, s_.batch, length);
    return Doubles(from, from + length);
  }
  template <typename At>
  double product(size_t input, size_t row, size_t length, At at) const {
    const float* weights = row_of(input, row, s_.gates * s_.cells, length);
    double sum = 0;
    for (size_t i = 0; i < length; ++i) sum += static_cast<double>(weights[i]) * at(i);
    return sum;
  }
  double recurrent(size_t row, const Doubles& state) const {
    return product(kR, row, s_.outputs, [&](size_t i) { return state[i]; });
  }
  double bias(size_t entry) const {
    const size_t rows = 2 * s_.gates * s_.cells;
    return given(kBias) ? static_cast<double>(*row_of(kBias, entry, rows, 1)) : 0.0;
  }
  double recurrent_bias(size_t row) const { return bias(s_.gates * s_.cells + row); }
  double peephole(size_t gate, size_t j, double state) const {
    if (!given(kPeephole)) return 0;
    return static_cast<double>(*row_of(kPeephole, gate * s_.cells + j, 3 * s_.cells, 1)) * state;
  }
  double activated(size_t which, double x) const {
    return evaluate(f_[which], clipped(x, op_.clip));
  }
  double gate(size_t index, size_t j) const {
    return x_[index * s_.cells + j] + r_[index * s_.cells + j];
  }
  // A row whose recurrent product waits for the reset gate.
  bool after_reset(size_t row) const {
    return op_.cell == Cell::gru && !op_.linear_before_reset && row >= 2 * s_.cells;
  }

  // The sums of a gate, which looks at the cells through peephole `hole`; 3: through none.
  Doubles sums(size_t index, size_t hole) const {
    Doubles all(s_.cells);
    for (size_t j = 0; j < s_.cells; ++j)
      all[j] = gate(index, j) + (hole < 3 ? peephole(hole, j, c[j]) : 0.0);
    if (!given(kNorm)) return all;
    const double n = static_cast<double>(s_.cells);
    const double mean = std::accumulate(all.begin(), all.end(), 0.0) / n;
    double variance = 0;
    for (const double x : all) variance += (x - mean) * (x - mean) / n;
    const double scale = 1 / std::sqrt(variance + static_cast<double>(kNormEpsilon));
    for (size_t j = 0; j < s_.cells; ++j) {
      const size_t row = index * s_.cells + j;
      const double by = static_cast<double>(*row_of(kNorm, row, s_.gates * s_.cells, 1));
      all[j] = (all[j] - mean) * scale * by + bias(row) + recurrent_bias(row);
    }
    return all;
  }

  // Gates: input, output, forget, cell.
  void lstm() {
    Doubles out(s_.cells);
    const Doubles input = sums(0, 0), forget = sums(2, 2), cell = sums(3, 3);
    for (size_t j = 0; j < s_.cells; ++j) {
      const double i = activated(0, input[j]);
      const double f = op_.couple_input_forget ? 1 - i : activated(0, forget[j]);
      c[j] = clipped(f * c[j] + i * activated(1, cell[j]), op_.cell_clip);
    }
    const Doubles output = sums(1, 1);
    for (size_t j = 0; j < s_.cells; ++j) out[j] = activated(0, output[j]) * evaluate(f_[2], c[j]);
    if (!given(kProjection)) {
      h = out;
      return;
    }
    for (size_t p = 0; p < s_.outputs; ++p) {
      const float* weights = row_of(kProjection, p, s_.outputs, s_.cells);
      double sum = 0;
      for (size_t j = 0; j < s_.cells; ++j) sum += static_cast<double>(weights[j]) * out[j];
      h[p] = clipped(sum, op_.output_clip);
    }
  }

  // Gates: update, reset, hidden.
  void gru() {
    Doubles reset(s_.cells), kept(s_.cells);
    for (size_t j = 0; j < s_.cells; ++j) {
      reset[j] = activated(0, gate(1, j));
      kept[j] = reset[j] * h[j];
    }
    const Doubles before = h;
    for (size_t j = 0; j < s_.cells; ++j) {
      const size_t row = 2 * s_.cells + j;
      const double r =
          op_.linear_before_reset ? reset[j] * r_[row] : recurrent(row, kept) + recurrent_bias(row);
      const double update = activated(0, gate(0, j));
      h[j] = (1 - update) * activated(1, x_[row] + r) + update * before[j];
    }
  }

  const Recurrent& op_;
  const RecurrentSizes& s_;
  const std::array<Operand, kInputs>& in_;
  size_t direction_;
  std::array<Unary, 3> f_;
  Doubles x_, r_;  // products with the input, with the state; by gate and cell

 public:
  Doubles h, c;
};

void write(const Doubles& from, std::span<float> to, size_t at) {
  std::ranges::transform(from, to.begin() + static_cast<std::ptrdiff_t>(at),
                         [](double v) { return static_cast<float>(v); });
}

}  // namespace

Status compute(const Call& c, const Recurrent& op) {
  std::array<Operand, kInputs> in;
  for (size_t i = 0; i < c.in.size(); ++i) {
    if (c.in[i].data == nullptr) continue;
    FIRN_ASSIGN(in[i], c.load(i, i == kLengths ? DType::i64 : DType::f32));
  }
  const RecurrentSizes s = recurrent_sizes(op, c.in[kX].shape, c.in[kR].shape);
  std::vector<Operand> out;
  for (size_t i = 0; i < c.outs.size(); ++i) {
    FIRN_ASSIGN(out.emplace_back(), c.open_output(i, DType::f32));
  }
  std::ranges::fill(out[0].f32(), 0.0f);
  for (size_t d = 0; d < s.directions; ++d)
    for (size_t b = 0; b < s.batch; ++b) {
      size_t length = s.steps;
      if (in[kLengths].tensor.data != nullptr) {
        const int64_t given = in[kLengths].i64()[b];
        if (given < 0 || given > static_cast<int64_t>(s.steps))
          return c.invalid("sequence " + std::to_string(b) + " has length " +
                           std::to_string(given) + " of " + std::to_string(s.steps));
        length = static_cast<size_t>(given);
      }
      Sequence sequence(op, s, in, d, b);
      for (size_t i = 0; i < length; ++i) {
        const size_t t = runs_backwards(op, d) ? length - 1 - i : i;
        sequence.step(in[kX].f32().data() + (t * s.batch + b) * s.inputs);
        write(sequence.h, out[0].f32(), ((t * s.directions + d) * s.batch + b) * s.outputs);
      }
      write(sequence.h, out[1].f32(), (d * s.batch + b) * s.outputs);
      if (out.size() > 2) write(sequence.c, out[2].f32(), (d * s.batch + b) * s.cells);
    }
  for (size_t i = 0; i < out.size(); ++i) c.store(out[i], i);
  return {};
}

}  // namespace firn
