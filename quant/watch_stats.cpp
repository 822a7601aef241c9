// SPDX-License-Identifier: Apache-2.0
// Counting int8 values at the ends of their ranges, and the test of two sets of counts.
#include "quant/watch_stats.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "kernels/stats_f32.h"
#include "quant/range.h"
#include "runtime/passes/layer.h"

namespace firn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Interval kAnything{-kInfinity, kInfinity};

Interval hull(Interval a, Interval b) {
  return {std::min(a.lo, b.lo), std::max(a.hi, b.hi)};
}

// What a function can give of any x: looked up along the number line, closely enough for int8.
Interval image_of(const Unary& op) {
  constexpr double kStep = 1.01, kNearest = 1e-4, kFarthest = 1e6, kFar = 1e4;
  Interval image{kInfinity, -kInfinity};
  const auto add = [&](double x) {
    const auto y = static_cast<float>(evaluate(op, x));
    if (!std::isnan(y)) image = hull(image, {y, y});
  };
  add(0);
  for (double x = kNearest; x < kFarthest; x *= kStep) {
    add(x);
    add(-x);
  }
  return {image.lo < -kFar ? -kInfinity : image.lo, image.hi > kFar ? kInfinity : image.hi};
}

Interval image_of(const Binary& op, Interval a, Interval b) {
  switch (op.kind) {
    case Binary::Kind::add:
      return {a.lo + b.lo, a.hi + b.hi};
    case Binary::Kind::sub:
      return {a.lo - b.hi, a.hi - b.lo};
    case Binary::Kind::mul:
      return a.lo >= 0 && b.lo >= 0 ? Interval{a.lo * b.lo, kInfinity} : kAnything;
    case Binary::Kind::max:
      return {std::max(a.lo, b.lo), std::max(a.hi, b.hi)};
    case Binary::Kind::min:
      return {std::min(a.lo, b.lo), std::min(a.hi, b.hi)};
    default:
      return kAnything;
  }
}

// Whether the elements of the output are those of the first input, and nothing else.
bool moves(const Op& op) {
  const auto* pool = std::get_if<Pool2d>(&op);
  return std::holds_alternative<Reshape>(op) || std::holds_alternative<Squeeze>(op) ||
         std::holds_alternative<Transpose>(op) || std::holds_alternative<Slice>(op) ||
         std::holds_alternative<DepthToSpace>(op) || std::holds_alternative<Tile>(op) ||
         std::holds_alternative<Expand>(op) || std::holds_alternative<Gather>(op) ||
         (pool != nullptr && pool->kind == Pool2d::Kind::max);
}

// What the values of a graph can be, whatever its inputs are: nothing is known of sums of products,
// but a good deal of what follows a clamp.
std::vector<Interval> possible_values(const Graph& graph) {
  std::vector<Interval> possible(graph.values.size(), kAnything);
  for (const Node& node : graph.nodes) {
    const auto in = [&](size_t i) {
      return i < node.in.size() && node.in[i] != ValueId::none ? possible[index(node.in[i])]
                                                               : kAnything;
    };
    Interval out = kAnything;
    const auto* pad = std::get_if<Pad>(&node.op);
    const auto* reduce = std::get_if<Reduce>(&node.op);
    const auto* softmax = std::get_if<Softmax>(&node.op);
    if (moves(node.op) || std::holds_alternative<Convert>(node.op) ||
        std::holds_alternative<Pool2d>(node.op) || std::holds_alternative<Resize2d>(node.op)) {
      out = in(0);
    } else if (reduce != nullptr && reduce->kind == Reduce::Kind::mean) {
      out = in(0);
    } else if (pad != nullptr) {
      out = hull(in(0), {pad->value, pad->value});
    } else if (std::holds_alternative<Concat>(node.op)) {
      out = in(0);
      for (size_t i = 1; i < node.in.size(); ++i) out = hull(out, in(i));
    } else if (softmax != nullptr && !softmax->log) {
      out = {0, 1};
    } else if (const auto* unary = std::get_if<Unary>(&node.op)) {
      out = image_of(*unary);
    } else if (const auto* binary = std::get_if<Binary>(&node.op)) {
      out = image_of(*binary, in(0), in(1));
    }
    if (const Clamp* clamp = clamp_of(node.op))
      out = {std::max(out.lo, clamp->lo), std::min(out.hi, clamp->hi)};
    for (const ValueId id : node.out) possible[index(id)] = out;
  }
  return possible;
}

}  // namespace

std::vector<WatchedTensor> tensors_to_watch(const Graph& graph) {
  const std::vector<Interval> possible = possible_values(graph);
  const Uses uses(graph);
  std::vector<WatchedTensor> tensors;
  const auto add = [&](ValueId id) {
    const Value& value = graph.value(id);
    if (value.type != DType::i8 || value.constant != nullptr || !value.quant.has_value() ||
        !value.quant->per_tensor())
      return;
    const Interval range = to_interval(*value.quant), can_be = possible[index(id)];
    const float half = 0.5f * value.quant->scale[0];
    tensors.push_back({value.name, can_be.lo<range.lo - half, can_be.hi> range.hi + half});
  };
  for (const ValueId id : graph.inputs) add(id);
  for (const Node& node : graph.nodes) {
    // A conversion and a move behind it may be one step, which writes what is moved only.
    const bool fed = !node.in.empty() && node.in[0] != ValueId::none;
    const int source = fed ? uses.producer_of(node.in[0]) : -1;
    const bool converted =
        source >= 0 && std::holds_alternative<Convert>(graph.nodes[static_cast<size_t>(source)].op);
    if (moves(node.op) && !converted) continue;
    for (const ValueId id : node.out) add(id);
  }
  return tensors;
}

FrameCounter::FrameCounter(std::vector<WatchedTensor> tensors)
    : tensors_(std::move(tensors)), counts_(tensors_.size()) {}

void FrameCounter::begin(const Program& program) {
  const Graph& graph = program.graph();
  if (mapped_ != program.shared_graph()) {
    mapped_ = program.shared_graph();
    std::map<std::string, int> by_name;
    for (size_t i = 0; i < tensors_.size(); ++i) by_name[tensors_[i].name] = static_cast<int>(i);
    slot_.assign(graph.values.size(), -1);
    for (size_t v = 0; v < slot_.size(); ++v)
      if (const auto found = by_name.find(graph.values[v].name); found != by_name.end())
        slot_[v] = found->second;
  }
  std::ranges::fill(counts_, Count());
  for (const ValueId id : graph.inputs) see(program, id);
}

void FrameCounter::step(const Program& program, size_t step) {
  for (const ValueId id : program.steps()[step].writes) see(program, id);
}

void FrameCounter::see(const Program& program, ValueId id) {
  const int slot = slot_[index(id)];
  if (slot < 0) return;
  const Shape& shape = program.graph().value(id).shape;
  const size_t elements = shape.elements();
  if (elements == 0) return;
  // All of a small tensor; of others blocks that lie together, spread over them: whole pixels where
  // the tensor lies inside another.
  constexpr size_t kBlock = 128;
  const size_t channels = shape.rank == 0 ? 1 : static_cast<size_t>(shape[shape.rank - 1]);
  const size_t stride = program.pixel_stride(id);
  const bool dense = stride == channels;
  const size_t block = !dense ? channels : elements <= kMaxValues ? elements : kBlock;
  const kernels::SamplePattern blocks(elements / block, std::max<size_t>(1, kMaxValues / block));
  const auto* data = static_cast<const int8_t*>(program.data(id));
  Count& count = counts_[static_cast<size_t>(slot)];
  for (size_t i = 0; i < blocks.count; ++i) {
    const int8_t* from = data + blocks[i] * (dense ? block : stride);
    if (!program.is_unsigned(id)) {
      kernels::add_stats_s8(block, from, count.stats);
      continue;
    }
    std::array<int8_t, kBlock> values;
    for (size_t n, left = block; left > 0; left -= n, from += n) {
      n = std::min(left, kBlock);
      std::transform(from, from + n, values.begin(),
                     [](int8_t byte) { return static_cast<int8_t>(byte - 128); });
      kernels::add_stats_s8(n, values.data(), count.stats);
    }
  }
  count.values += blocks.count * block;
}

void FrameCounter::end(std::vector<TensorMoments>& moments) const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Count& count = counts_[i];
    if (count.values == 0) continue;
    const uint32_t at_ends =
        (tensors_[i].low_end ? count.stats.low : 0) + (tensors_[i].high_end ? count.stats.high : 0);
    moments[i].root_saturated.add(
        std::sqrt(static_cast<double>(at_ends) / static_cast<double>(count.values)));
    moments[i].unused_bits.add(8 - std::log2(count.stats.max - count.stats.min + 1));
  }
}

std::vector<TensorDrift> find_drift(const std::vector<WatchedTensor>& tensors,
                                    const std::vector<TensorMoments>& expected,
                                    const std::vector<TensorMoments>& seen,
                                    const WatchOptions& options) {
  std::vector<TensorDrift> drifted;
  const auto counted = std::ranges::count_if(
      seen, [](const TensorMoments& moments) { return moments.unused_bits.n > 0; });
  const double limit = (1 - options.confidence) / (2 * std::max(static_cast<double>(counted), 1.0));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Moments &ends_then = expected[i].root_saturated, &ends_now = seen[i].root_saturated;
    const double share_then = ends_then.mean * ends_then.mean;
    const double margin = std::sqrt(share_then + options.saturated) - ends_then.mean;
    if (const double p = welch_p(ends_then, ends_now, margin); p < limit)
      drifted.push_back({tensors[i].name, TensorDrift::Kind::saturated, share_then,
                         ends_now.mean * ends_now.mean, p});
    const Moments &unused_then = expected[i].unused_bits, &unused_now = seen[i].unused_bits;
    if (const double p = welch_p(unused_then, unused_now, options.unused_bits); p < limit)
      drifted.push_back({tensors[i].name, TensorDrift::Kind::unused, 8 - unused_then.mean,
                         8 - unused_now.mean, p});
  }
  std::ranges::stable_sort(drifted, {}, &TensorDrift::p);
  return drifted;
}

}  // namespace firn
