// SPDX-License-Identifier: Apache-2.0
// Recurrent layers in fp32: the input's products of all steps by one matrix product, the state's
// step by step. Quantized tensors are dequantized, constants when lowered; but weights of few bits
// are multiplied as they are where the session wants that.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/xnn.h"
#include "runtime/lower/lower.h"
#include "runtime/lower/weight_product.h"
#include "runtime/packed.h"
#include "runtime/recurrent.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

using namespace recurrent;
using kernels::Pool;
using kernels::XnnOp;
using Cell = Recurrent::Cell;
using Floats = std::vector<float>;

// Waking threads for one step costs more than a product below so many multiplications.
constexpr size_t kWorthThreads = size_t{1} << 20;

void activate(const kernels::VecF32& vec, const Unary& f, float* x, size_t n) {
  if (f.kind == Unary::Kind::sigmoid) return vec.sigmoid(n, x, x);
  if (f.kind == Unary::Kind::tanh) return vec.tanh(n, x, x);
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(evaluate(f, static_cast<double>(x[i])));
}

void clip(float* x, size_t n, float limit) {
  if (limit == std::numeric_limits<float>::infinity()) return;
  for (size_t i = 0; i < n; ++i) x[i] = std::clamp(x[i], -limit, limit);
}

Floats with_slack(size_t n) {
  return Floats(n + Buffer::kSlack / sizeof(float));
}

// A constant as floats; empty where the input is left out.
Floats constant_floats(const LowerContext& context, const Node& node, size_t i) {
  if (i >= node.in.size() || node.in[i] == ValueId::none) return {};
  const Value& value = context.value(node.in[i]);
  Floats floats(value.shape.elements());
  if (is_stored_weights(value)) {
    read_weights(value, 0, floats);
    return floats;
  }
  const std::span<const std::byte> bytes = value.constant->bytes();
  convert({value.type, value.shape, const_cast<std::byte*>(bytes.data())}, value.quant,
          {DType::f32, value.shape, floats.data()}, std::nullopt);
  return floats;
}

// The part of a tensor that belongs to one direction.
std::span<const float> part(const Floats& all, size_t direction, size_t directions) {
  const size_t each = all.size() / directions;
  return std::span(all).subspan(direction * each, each);
}

// Rows times packed weights, in floats or in integers.
class Product {
 public:
  Product() = default;
  Product(size_t rows, size_t k, size_t n, std::unique_ptr<XnnOp> floats,
          std::unique_ptr<WeightProduct> integers)
      : rows_(rows), k_(k), n_(n), floats_(std::move(floats)), integers_(std::move(integers)) {}

  explicit operator bool() const { return floats_ != nullptr || integers_ != nullptr; }
  bool run(const float* x, float* y, Pool& pool) {
    if (integers_ == nullptr) return floats_->run(std::span(&x, 1), y);
    integers_->run(
        rows_, [&](size_t row, float*) { return x + row * k_; }, y, static_cast<ptrdiff_t>(n_),
        pool);
    return true;
  }
  // Null where it runs in floats.
  const WeightProduct* integers() const { return integers_.get(); }

 private:
  size_t rows_ = 0, k_ = 0, n_ = 0;
  std::unique_ptr<XnnOp> floats_;
  std::unique_ptr<WeightProduct> integers_;
};

// One direction's weights.
struct Direction {
  Product input, state, hidden, projection;
  Floats peephole;    // input, output, forget; empty: none
  Floats norm, bias;  // by gate and cell; empty: sums are not normalized, and the bias is in them
  std::array<Unary, 3> f;
};

class RecurrentStep final : public Step {
 public:
  RecurrentStep(const LowerContext& context, const Node& node, const Recurrent& op)
      : graph_(context.graph),
        node_(node),
        vec_(context.vec_f32()),
        op_(op),
        s_(recurrent_sizes(op, context.value(node.in[kX]).shape, context.value(node.in[kR]).shape)),
        rows_(s_.gates * s_.cells) {}

  // false where XNNPACK does not take the products.
  Result<bool> prepare(const LowerContext& context);
  size_t weight_bytes() const { return weight_bytes_; }
  // Whether any product is XNNPACK's.
  bool uses_floats() const { return uses_floats_; }
  // Of the input's product.
  const char* kernel() const {
    const WeightProduct* integers = directions_[0].input.integers();
    return integers == nullptr ? "xnnpack" : integers->kernel_name();
  }
  Status run(const Frame& frame) override;

 private:
  bool given(size_t i) const { return i < node_.in.size() && node_.in[i] != ValueId::none; }
  const Value& value(size_t i) const { return graph_.value(node_.in[i]); }
  // Whether the hidden gate's product waits for the reset gate.
  bool resets_first() const { return op_.cell == Cell::gru && !op_.linear_before_reset; }
  Result<bool> prepare(const LowerContext& context, size_t d,
                       const std::array<Floats, kInputs>& weights);
  // Whether the weights of input i are multiplied in integers.
  bool in_integers(const LowerContext& context, size_t i) const;
  // Of rows [first, first + n) of a direction's weights; `floats` are those rows where it is
  // wanted.
  Result<Product> product(const LowerContext& context, size_t i, size_t d, size_t first, size_t n,
                          size_t rows, std::span<const float> all, std::span<const float> bias,
                          XnnOp::Range range, const Pool& pool);
  // A run-time input as floats: itself, or dequantized.
  const float* floats(const Frame& frame, size_t i);
  Status read_lengths(const Frame& frame);
  bool run_direction(const Frame& frame, size_t d, const float* x, float* y);
  void advance(const Direction& direction, const float* x, size_t b);
  void finish(const Direction& direction, const float* x, size_t b);
  void normalize(const Direction& direction, float* gates, size_t gate) const;
  void lstm(const Direction& direction, float* gates, float* h, float* c) const;
  void gru(const Direction& direction, const float* x, float* gates, size_t b);
  void blend(const Direction& direction, const float* update, float* hidden, float* h) const;

  const Graph& graph_;
  const Node& node_;
  const kernels::VecF32& vec_;
  const Recurrent op_;
  const RecurrentSizes s_;
  const size_t rows_;  // of gates and cells
  size_t weight_bytes_ = 0;
  bool uses_floats_ = false;
  std::unique_ptr<Pool> alone_;
  std::vector<Direction> directions_;
  std::array<Floats, kInputs> dequantized_;  // inputs that are not floats
  std::array<Floats, 3> quantized_;          // outputs that will not be
  Floats products_, state_;                  // by step, batch, gate and cell; by the latter three
  Floats h_, c_, out_, second_;              // the state; what the second product takes and gives
  std::vector<size_t> lengths_;
};

bool RecurrentStep::in_integers(const LowerContext& context, size_t i) const {
  const Shape& shape = value(i).shape;
  return context.integer_weights &&
         takes_integer_product(value(i),
                               {0, static_cast<size_t>(shape[1]), static_cast<size_t>(shape[2])});
}

Result<Product> RecurrentStep::product(const LowerContext& context, size_t i, size_t d,
                                       size_t first, size_t n, size_t rows,
                                       std::span<const float> all, std::span<const float> bias,
                                       XnnOp::Range range, const Pool& pool) {
  const Shape& shape = value(i).shape;
  const size_t k = static_cast<size_t>(shape[2]);
  if (!in_integers(context, i)) {
    uses_floats_ = true;
    weight_bytes_ += n * (k + 1) * sizeof(float);
    auto dense = XnnOp::dense(rows, k, n, all.data() + first * k,
                              bias.empty() ? nullptr : bias.data(), range, pool);
    if (dense != nullptr && dense->no_memory())
      return Status(Code::out_of_memory, node_.name + ": no memory for XNNPACK");
    return Product(rows, k, n, std::move(dense), nullptr);
  }
  FIRN_ASSIGN(auto made, WeightProduct::create(
                             value(i), {d * static_cast<size_t>(shape[1]) + first, n, k}, bias,
                             range.lo, range.hi, rows,
                             kernels::pick(kernels::gemm_wn_table(), context.isa), pool.threads()));
  weight_bytes_ += made->weight_bytes();
  return Product(rows, k, n, nullptr, std::move(made));
}

Result<bool> RecurrentStep::prepare(const LowerContext& context, size_t d,
                                    const std::array<Floats, kInputs>& weights) {
  const auto of = [&](size_t i) { return part(weights[i], d, s_.directions); };
  // Where the reset gate does not come between, the recurrent bias joins the input's.
  Floats bias(rows_, 0.0f), hidden_bias(rows_, 0.0f);
  Direction& direction = directions_[d];
  if (given(kNorm)) {
    direction.norm.assign(of(kNorm).begin(), of(kNorm).end());
    direction.bias.assign(rows_, 0.0f);
    for (size_t i = 0; given(kBias) && i < rows_; ++i)
      direction.bias[i] = of(kBias)[i] + of(kBias)[rows_ + i];
  } else if (given(kBias)) {
    const bool late = op_.cell == Cell::gru && op_.linear_before_reset;
    const size_t joined = late ? 2 * s_.cells : rows_;
    for (size_t i = 0; i < rows_; ++i) {
      bias[i] = of(kBias)[i] + (i < joined ? of(kBias)[rows_ + i] : 0.0f);
      if (i >= joined) hidden_bias[i] = of(kBias)[rows_ + i];
    }
  }
  constexpr XnnOp::Range kAll{-std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::infinity()};
  const bool small = s_.batch * rows_ * s_.outputs < kWorthThreads;
  const Pool& pool = small ? *alone_ : context.pool;
  direction.f = recurrent_activations(op_, d);
  FIRN_ASSIGN(direction.input, product(context, kW, d, 0, rows_, s_.steps * s_.batch, of(kW), bias,
                                       kAll, context.pool));
  const size_t now = resets_first() ? 2 * s_.cells : rows_;
  FIRN_ASSIGN(direction.state, product(context, kR, d, 0, now, s_.batch, of(kR),
                                       std::span(hidden_bias).first(now), kAll, pool));
  if (resets_first()) {
    FIRN_ASSIGN(direction.hidden,
                product(context, kR, d, now, s_.cells, s_.batch, of(kR), {}, kAll, pool));
    if (!direction.hidden) return false;
  }
  if (given(kProjection)) {
    FIRN_ASSIGN(direction.projection,
                product(context, kProjection, d, 0, s_.outputs, s_.batch, of(kProjection), {},
                        {-op_.output_clip, op_.output_clip}, pool));
    if (!direction.projection) return false;
  }
  if (given(kPeephole)) direction.peephole.assign(of(kPeephole).begin(), of(kPeephole).end());
  return direction.input && direction.state;
}

Result<bool> RecurrentStep::prepare(const LowerContext& context) {
  alone_ = Pool::create(1);
  if (alone_ == nullptr) return false;
  std::array<Floats, kInputs> weights;
  for (const size_t i : {kW, kR, kBias, kPeephole, kProjection, kNorm}) {
    const bool matrix = i == kW || i == kR || (i == kProjection && given(i));
    if (!matrix || !in_integers(context, i)) weights[i] = constant_floats(context, node_, i);
  }
  directions_.resize(s_.directions);
  for (size_t d = 0; d < s_.directions; ++d) {
    FIRN_ASSIGN(const bool done, prepare(context, d, weights));
    if (!done) return false;
  }
  for (const size_t i : {kX, kH, kC})
    if (given(i) && value(i).type != DType::f32)
      dequantized_[i] = with_slack(value(i).shape.elements());
  for (size_t i = 0; i < node_.out.size(); ++i) {
    const Value& out = graph_.value(node_.out[i]);
    if (out.type != DType::f32) quantized_[i] = Floats(out.shape.elements());
  }
  products_ = with_slack(s_.steps * s_.batch * rows_);
  state_ = with_slack(s_.batch * rows_);
  h_ = with_slack(s_.batch * s_.outputs);
  c_ = Floats(s_.batch * s_.cells);
  out_ = with_slack(s_.batch * s_.cells);
  second_ = Floats(s_.batch * std::max(s_.cells, s_.outputs));
  lengths_.resize(s_.batch);
  return true;
}

const float* RecurrentStep::floats(const Frame& frame, size_t i) {
  const Value& v = value(i);
  if (v.type == DType::f32) return frame.at<const float>(node_.in[i]);
  convert({v.type, v.shape, frame.at<void>(node_.in[i])}, v.quant,
          {DType::f32, v.shape, dequantized_[i].data()}, std::nullopt);
  return dequantized_[i].data();
}

Status RecurrentStep::read_lengths(const Frame& frame) {
  std::ranges::fill(lengths_, s_.steps);
  if (!given(kLengths)) return {};
  for (size_t b = 0; b < s_.batch; ++b) {
    const int64_t length = value(kLengths).type == DType::i64
                               ? frame.at<const int64_t>(node_.in[kLengths])[b]
                               : frame.at<const int32_t>(node_.in[kLengths])[b];
    if (length < 0 || length > static_cast<int64_t>(s_.steps))
      return {Code::invalid_argument, describe(node_) + ": sequence " + std::to_string(b) +
                                          " has length " + std::to_string(length) + " of " +
                                          std::to_string(s_.steps)};
    lengths_[b] = static_cast<size_t>(length);
  }
  return {};
}

// One gate's sums, if they are to be.
void RecurrentStep::normalize(const Direction& direction, float* gates, size_t gate) const {
  if (direction.norm.empty()) return;
  const size_t n = s_.cells;
  float* x = gates + gate * n;
  const float* norm = direction.norm.data() + gate * n;
  const float* bias = direction.bias.data() + gate * n;
  double sum = 0, squares = 0;
  for (size_t j = 0; j < n; ++j) sum += static_cast<double>(x[j]);
  const double mean = sum / static_cast<double>(n);
  for (size_t j = 0; j < n; ++j) {
    const double centred = static_cast<double>(x[j]) - mean;
    squares += centred * centred;
  }
  const double variance = squares / static_cast<double>(n);
  const auto scale = static_cast<float>(1 / std::sqrt(variance + double{kNormEpsilon}));
  const auto middle = static_cast<float>(mean);
  for (size_t j = 0; j < n; ++j) x[j] = (x[j] - middle) * scale * norm[j] + bias[j];
}

// `gates`: input, output, forget, cell.
void RecurrentStep::lstm(const Direction& direction, float* gates, float* h, float* c) const {
  const size_t n = s_.cells;
  float *i = gates, *o = gates + n, *f = gates + 2 * n, *g = gates + 3 * n;
  const float* peephole = direction.peephole.empty() ? nullptr : direction.peephole.data();
  for (size_t j = 0; peephole != nullptr && j < n; ++j) {
    i[j] += peephole[j] * c[j];
    f[j] += peephole[2 * n + j] * c[j];
  }
  for (const size_t gate : {0, 2, 3}) normalize(direction, gates, gate);
  clip(i, n, op_.clip);
  clip(f, 2 * n, op_.clip);
  activate(vec_, direction.f[0], i, n);
  activate(vec_, direction.f[0], f, n);
  activate(vec_, direction.f[1], g, n);
  for (size_t j = 0; op_.couple_input_forget && j < n; ++j) f[j] = 1.0f - i[j];
  for (size_t j = 0; j < n; ++j) c[j] = f[j] * c[j] + i[j] * g[j];
  clip(c, n, op_.cell_clip);
  for (size_t j = 0; peephole != nullptr && j < n; ++j) o[j] += peephole[n + j] * c[j];
  normalize(direction, gates, 1);
  clip(o, n, op_.clip);
  activate(vec_, direction.f[0], o, n);
  std::copy_n(c, n, g);
  activate(vec_, direction.f[2], g, n);
  for (size_t j = 0; j < n; ++j) h[j] = o[j] * g[j];
}

// `gates`: update, reset, and the hidden state's product where it does not wait for the reset gate.
void RecurrentStep::gru(const Direction& direction, const float* x, float* gates, size_t b) {
  const size_t n = s_.cells;
  float* h = h_.data() + b * n;
  clip(gates, 2 * n, op_.clip);
  activate(vec_, direction.f[0], gates, 2 * n);
  if (resets_first()) {
    for (size_t j = 0; j < n; ++j) out_[b * n + j] = gates[n + j] * h[j];
    return;
  }
  float* hidden = gates + 2 * n;
  for (size_t j = 0; j < n; ++j) hidden[j] = x[2 * n + j] + gates[n + j] * hidden[j];
  blend(direction, gates, hidden, h);
}

// h becomes the hidden state, or stays, as the update gate says.
void RecurrentStep::blend(const Direction& direction, const float* update, float* hidden,
                          float* h) const {
  clip(hidden, s_.cells, op_.clip);
  activate(vec_, direction.f[1], hidden, s_.cells);
  for (size_t j = 0; j < s_.cells; ++j) h[j] = (1.0f - update[j]) * hidden[j] + update[j] * h[j];
}

// What a step computes for one sequence behind the state's product. `x`: the input's.
void RecurrentStep::advance(const Direction& direction, const float* x, size_t b) {
  const size_t n = s_.cells, width = resets_first() ? 2 * n : rows_;
  const bool late = op_.cell == Cell::gru && op_.linear_before_reset;
  float* gates = state_.data() + b * width;
  for (size_t j = 0; j < (late ? 2 * n : width); ++j) gates[j] += x[j];
  float* h = h_.data() + b * s_.outputs;
  if (op_.cell == Cell::gru) return gru(direction, x, gates, b);
  if (op_.cell == Cell::lstm) {
    const bool projects = static_cast<bool>(direction.projection);
    return lstm(direction, gates, projects ? out_.data() + b * n : h, c_.data() + b * n);
  }
  clip(gates, n, op_.clip);
  activate(vec_, direction.f[0], gates, n);
  std::copy_n(gates, n, h);
}

// The second product of those that have one: of the reset state, or the projection.
void RecurrentStep::finish(const Direction& direction, const float* x, size_t b) {
  const size_t n = s_.cells;
  float* h = h_.data() + b * s_.outputs;
  if (direction.projection) {
    std::copy_n(second_.data() + b * s_.outputs, s_.outputs, h);
    return;
  }
  float* hidden = second_.data() + b * n;
  for (size_t j = 0; j < n; ++j) hidden[j] += x[2 * n + j];
  blend(direction, state_.data() + b * 2 * n, hidden, h);
}

bool RecurrentStep::run_direction(const Frame& frame, size_t d, const float* x, float* y) {
  Direction& direction = directions_[d];
  const bool small = s_.batch * rows_ * s_.outputs < kWorthThreads;
  Pool& pool = small ? *alone_ : frame.pool;
  if (!direction.input.run(x, products_.data(), frame.pool)) return false;
  Product& second = direction.hidden ? direction.hidden : direction.projection;
  const size_t steps = *std::ranges::max_element(lengths_);
  for (size_t i = 0; i < steps; ++i) {
    // Sequences that have ended keep their state.
    const auto each = [&](auto visit) {
      for (size_t b = 0; b < s_.batch; ++b) {
        if (i >= lengths_[b]) continue;
        const size_t t = runs_backwards(op_, d) ? lengths_[b] - 1 - i : i;
        visit(b, t, products_.data() + (t * s_.batch + b) * rows_);
      }
    };
    if (!direction.state.run(h_.data(), state_.data(), pool)) return false;
    each([&](size_t b, size_t, const float* product) { advance(direction, product, b); });
    if (second) {
      if (!second.run(out_.data(), second_.data(), pool)) return false;
      each([&](size_t b, size_t, const float* product) { finish(direction, product, b); });
    }
    each([&](size_t b, size_t t, const float*) {
      std::copy_n(h_.data() + b * s_.outputs, s_.outputs,
                  y + ((t * s_.directions + d) * s_.batch + b) * s_.outputs);
    });
  }
  return true;
}

Status RecurrentStep::run(const Frame& frame) {
  FIRN_TRY(read_lengths(frame));
  const auto out = [&](size_t i) {
    return quantized_[i].empty() ? frame.at<float>(node_.out[i]) : quantized_[i].data();
  };
  const float* x = floats(frame, kX);
  std::fill_n(out(0), s_.steps * s_.directions * s_.batch * s_.outputs, 0.0f);
  for (size_t d = 0; d < s_.directions; ++d) {
    const size_t h_count = s_.batch * s_.outputs, c_count = s_.batch * s_.cells;
    const auto begin = [&](size_t i, Floats& state, size_t count) {
      if (given(i))
        std::copy_n(floats(frame, i) + d * count, count, state.data());
      else
        std::fill_n(state.data(), count, 0.0f);
    };
    begin(kH, h_, h_count);
    begin(kC, c_, c_count);
    if (!run_direction(frame, d, x, out(0)))
      return {Code::out_of_memory, node_.name + ": no memory for XNNPACK"};
    std::copy_n(h_.data(), h_count, out(1) + d * h_count);
    if (op_.cell == Cell::lstm) std::copy_n(c_.data(), c_count, out(2) + d * c_count);
  }
  for (size_t i = 0; i < node_.out.size(); ++i) {
    if (quantized_[i].empty()) continue;
    const Value& v = graph_.value(node_.out[i]);
    convert({DType::f32, v.shape, quantized_[i].data()}, std::nullopt,
            {v.type, v.shape, frame.at<void>(node_.out[i])}, v.quant);
  }
  return {};
}

}  // namespace

Lowered lower_recurrent(const LowerContext& context, const Node& node, const Recurrent& op,
                        std::vector<LoweredStep>& steps) {
  for (const size_t i : {kW, kR, kBias, kPeephole, kProjection, kNorm})
    if (i < node.in.size() && node.in[i] != ValueId::none && !context.graph.is_constant(node.in[i]))
      return false;
  auto step = std::make_unique<RecurrentStep>(context, node, op);
  FIRN_ASSIGN(const bool done, step->prepare(context));
  if (!done) return false;
  for (const size_t i : {kW, kR, kBias, kPeephole, kProjection, kNorm})
    if (i < node.in.size() && node.in[i] != ValueId::none) context.release(node.in[i]);
  const size_t weight_bytes = step->weight_bytes();
  const char* kernel = step->kernel();
  const bool floats = step->uses_floats();
  LoweredStep lowered = describe_step(context, node, std::move(step), kernel);
  lowered.xnn_threads = floats;
  lowered.shared_ns = floats ? 0 : static_cast<double>(macs(context.graph, node)) / 100;
  lowered.weight_bytes = weight_bytes;
  lowered.reads.clear();
  for (const size_t i : {kX, kLengths, kH, kC})
    if (i < node.in.size() && node.in[i] != ValueId::none) lowered.reads.push_back(node.in[i]);
  steps.push_back(std::move(lowered));
  return true;
}

}  // namespace firn
