// SPDX-License-Identifier: Apache-2.0
// The 64-bit fingerprint of a graph, by which a calibration table knows its network.
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "runtime/graph.h"

namespace firn {
namespace {

// Multiply-and-shift mixing of 64-bit words: spreads every bit, is quick on long constants and the
// same on every machine. Not meant to withstand forgery.
class Hash {
 public:
  void word(uint64_t w) {
    state_ = (state_ ^ w) * 0x9e3779b97f4a7c15u;
    state_ ^= state_ >> 32;
  }
  void bytes(std::span<const std::byte> data) {
    word(data.size());
    size_t i = 0;
    for (; i + 8 <= data.size(); i += 8) word(read(data.subspan(i, 8)));
    if (i < data.size()) word(read(data.subspan(i)));
  }
  uint64_t value() const { return state_; }

 private:
  static uint64_t read(std::span<const std::byte> data) {
    uint64_t w = 0;
    std::memcpy(&w, data.data(), data.size());
    return w;
  }
  uint64_t state_ = 0xcbf29ce484222325u;
};

// mix(hash, x...): every field of x, in a fixed order.
template <typename T>
requires std::is_integral_v<T> || std::is_enum_v<T>
void mix(Hash& h, T x) {
  h.word(static_cast<uint64_t>(x));
}
void mix(Hash& h, float x) {
  h.word(std::bit_cast<uint32_t>(x));
}
void mix(Hash& h, double x) {
  h.word(std::bit_cast<uint64_t>(x));
}
void mix(Hash& h, std::string_view x) {
  h.bytes(std::as_bytes(std::span(x)));
}
template <typename T, size_t N>
void mix(Hash& h, const std::array<T, N>& xs) {
  for (const T& x : xs) mix(h, x);
}
void mix(Hash& h, const Unary& x);
template <typename T>
void mix(Hash& h, const std::vector<T>& xs) {
  h.word(xs.size());
  for (const T& x : xs) mix(h, x);
}
template <typename First, typename Second, typename... Rest>
void mix(Hash& h, const First& first, const Second& second, const Rest&... rest) {
  mix(h, first);
  mix(h, second);
  (mix(h, rest), ...);
}

void mix(Hash& h, const Shape& x) {
  h.word(x.rank);
  for (int32_t d : x.dims()) mix(h, d);
}
void mix(Hash& h, const Quant& x) {
  mix(h, x.axis, x.bits, x.block, x.scale, x.zero);
}
void mix(Hash& h, const Clamp& x) {
  mix(h, x.lo, x.hi);
}
void mix(Hash& h, const Window& x) {
  mix(h, x.kernel, x.stride, x.dilation, x.pad);
}

void mix(Hash& h, const Conv2d& x) {
  mix(h, x.window, x.groups, x.clamp);
}
void mix(Hash& h, const ConvTranspose2d& x) {
  mix(h, x.window, x.output_pad, x.groups, x.clamp);
}
void mix(Hash& h, const Dense& x) {
  mix(h, x.clamp);
}
void mix(Hash&, const MatMul&) {}
void mix(Hash& h, const Binary& x) {
  mix(h, x.kind, x.clamp);
}
void mix(Hash& h, const Unary& x) {
  mix(h, x.kind, x.alpha, x.beta);
}
void mix(Hash&, const PRelu&) {}
void mix(Hash& h, const Pool2d& x) {
  mix(h, x.kind, x.window, x.count_pad, x.ceil);
}
void mix(Hash& h, const Reduce& x) {
  mix(h, x.kind, x.axes, x.keep, x.from_input, x.none_if_empty);
}
void mix(Hash& h, const Softmax& x) {
  mix(h, x.axis, x.log);
}
void mix(Hash& h, const Concat& x) {
  mix(h, x.axis);
}
void mix(Hash& h, const Slice& x) {
  mix(h, x.begin, x.end, x.step, x.from_input);
}
void mix(Hash& h, const Pad& x) {
  mix(h, x.mode, x.before, x.after, x.value, x.from_input);
}
void mix(Hash& h, const Reshape& x) {
  mix(h, x.shape, x.from_input, x.plain_zero);
}
void mix(Hash& h, const Transpose& x) {
  mix(h, x.perm);
}
void mix(Hash& h, const Resize2d& x) {
  mix(h, x.kind, x.coordinates, x.nearest, x.size, x.scale);
}
void mix(Hash& h, const LocalResponseNorm& x) {
  mix(h, x.size, x.alpha, x.beta, x.bias);
}
void mix(Hash& h, const InstanceNorm& x) {
  mix(h, x.epsilon);
}
void mix(Hash& h, const LayerNorm& x) {
  mix(h, x.epsilon, x.centred);
}
void mix(Hash& h, const DepthToSpace& x) {
  mix(h, x.block, x.crd);
}
void mix(Hash& h, const Gather& x) {
  mix(h, x.axis);
}
void mix(Hash& h, const ShapeOf& x) {
  mix(h, x.begin, x.end);
}
void mix(Hash&, const Expand&) {}
void mix(Hash& h, const Fill& x) {
  mix(h, x.type, x.value);
}
void mix(Hash&, const Range&) {}
void mix(Hash&, const Where&) {}
void mix(Hash& h, const ArgMax& x) {
  mix(h, x.axis, x.keep, x.min);
}
void mix(Hash& h, const Convert& x) {
  mix(h, x.to);
}
void mix(Hash& h, const Squeeze& x) {
  mix(h, x.insert);
}
void mix(Hash&, const Tile&) {}
void mix(Hash& h, const GatherElements& x) {
  mix(h, x.axis);
}
void mix(Hash& h, const GatherNd& x) {
  mix(h, x.batch);
}
void mix(Hash& h, const Scatter& x) {
  mix(h, x.kind, x.reduction, x.axis);
}
void mix(Hash& h, const CumSum& x) {
  mix(h, x.axis, x.exclusive, x.reverse);
}
void mix(Hash&, const NonZero&) {}
void mix(Hash& h, const NonMaxSuppression& x) {
  mix(h, x.center);
}
void mix(Hash& h, const GridSample& x) {
  mix(h, x.kind, x.padding, x.align_corners);
}
void mix(Hash& h, const Resize& x) {
  mix(h, x.kind, x.coordinates, x.nearest, x.from, x.aspect, x.axes, x.size, x.scale, x.begin,
      x.end, x.cubic, x.exclude_outside, x.antialias, x.extrapolation);
}
void mix(Hash& h, const Recurrent& x) {
  mix(h, x.cell, x.direction, x.linear_before_reset, x.couple_input_forget, x.clip, x.cell_clip,
      x.output_clip, x.activations);
}
void mix(Hash& h, const DetectionPostProcess& x) {
  mix(h, x.classes, x.detections, x.classes_per_detection, x.per_class, x.regular,
      x.score_threshold, x.iou_threshold, x.scale);
}
void mix(Hash& h, const TopK& x) {
  mix(h, x.axis, x.k, x.largest);
}
void mix(Hash& h, const RegionPool& x) {
  mix(h, x.kind, x.size, x.scale, x.samples, x.half_pixel);
}
void mix(Hash& h, const DetectionOutput& x) {
  mix(h, x.first_class, x.best_class, x.score_threshold, x.iou_threshold, x.candidates, x.keep);
}

}  // namespace

uint64_t fingerprint(const Graph& graph) {
  Hash h;
  if (graph.dynamic) h.word(1);
  // Values count by where they come from, not by their ids: those change when others are swept.
  std::vector<uint64_t> origin(graph.values.size(), 0);
  uint64_t next = 1;
  const auto enter = [&](ValueId id) {
    const Value& value = graph.value(id);
    if (value.quant) mix(h, value.type, *value.quant);
    origin[index(id)] = next++;
  };
  for (ValueId id : graph.inputs) {
    mix(h, std::string_view(graph.value(id).name));
    mix(h, graph.value(id).type, graph.value(id).shape);
    enter(id);
  }
  for (const Node& node : graph.nodes) {
    mix(h, std::string_view(node.name));
    mix(h, node.op.index());
    std::visit([&](const auto& op) { mix(h, op); }, node.op);
    mix(h, node.in.size());
    for (ValueId id : node.in) {
      if (id == ValueId::none) {
        h.word(0);
        continue;
      }
      if (origin[index(id)] == 0) {  // a constant, at its first use
        enter(id);
        mix(h, graph.value(id).type, graph.value(id).shape);
        if (graph.is_constant(id)) h.bytes(graph.value(id).constant->bytes());
      }
      h.word(origin[index(id)]);
    }
    for (ValueId id : node.out) enter(id);
  }
  for (ValueId id : graph.outputs) {
    mix(h, std::string_view(graph.value(id).name));
    h.word(origin[index(id)]);
  }
  return h.value();
}

}  // namespace firn
