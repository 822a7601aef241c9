// SPDX-License-Identifier: Apache-2.0
// Dispatch from operators to their lowering, placements, and what all lowerings share.
#include "runtime/lower/lower.h"

#include <algorithm>
#include <cmath>

#include "kernels/dwconv_s8.h"
#include "runtime/packed.h"

namespace firn {
namespace {

bool per_tensor_i8(const Value& v) {
  return v.type == DType::i8 && v.quant && v.quant->per_tensor();
}

// A Conv2d whose int8 kernel can write into wider pixels.
bool writes_strided(const Graph& graph, const Node& node) {
  return std::holds_alternative<Conv2d>(node.op) && is_int8_layer(graph, node) &&
         graph.value(node.out[0]).type == DType::i8;
}

// All int8, innermost axis, and every input made for this concatenation alone.
bool concat_in_place(const Graph& graph, const Uses& uses, const Node& node, const Concat& concat) {
  const Value& out = graph.value(node.out[0]);
  if (out.type != DType::i8 || out.shape.rank != 4 || concat.axis != 3) return false;
  return std::all_of(node.in.begin(), node.in.end(), [&](ValueId in) {
    const int producer = uses.producer_of(in);
    return producer >= 0 && writes_strided(graph, graph.nodes[static_cast<size_t>(producer)]) &&
           uses.consumers_of(in).size() == 1 && !graph.is_output(in) &&
           moves_as_is(graph.value(in), out);
  });
}

bool has_weights(const Op& op) {
  return std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
         std::holds_alternative<Dense>(op);
}

// What it takes one thread to go once over a node's inputs and outputs: int8 by vector
// instructions, others most often by plain loops.
double elementwise_ns(const LowerContext& context, const Node& node) {
  double ns = 0;
  const auto add = [&](ValueId id) {
    if (id == ValueId::none || context.graph.is_constant(id)) return;
    const Value& value = context.value(id);
    const auto bytes = static_cast<double>(value.shape.elements() * dtype_bytes(value.type));
    ns += bytes / (value.type == DType::i8 ? 40 : 4);
  };
  std::ranges::for_each(node.in, add);
  std::ranges::for_each(node.out, add);
  return ns;
}

bool moves_no_bytes(const Graph& graph, const Node& node) {
  const bool view = std::holds_alternative<Reshape>(node.op) ||
                    (std::holds_alternative<Convert>(node.op) &&
                     moves_as_is(graph.value(node.in[0]), graph.value(node.out[0])));
  return view && graph.value(node.in[0]).type == graph.value(node.out[0]).type;
}

// Overloads for the operators that have kernels.
struct Lowering {
  const LowerContext& context;
  const Node& node;
  std::vector<LoweredStep>& steps;

  Lowered operator()(const Conv2d& op) { return lower_conv(context, node, op, steps); }
  Lowered operator()(const ConvTranspose2d& op) {
    return lower_conv_transpose(context, node, op, steps);
  }
  Lowered operator()(const Dense& op) { return lower_dense(context, node, op, steps); }
  Lowered operator()(const MatMul& op) { return lower_matmul(context, node, op, steps); }
  Lowered operator()(const Binary& op) { return lower_binary(context, node, op, steps); }
  Lowered operator()(const Unary& op) { return lower_unary(context, node, op, steps); }
  Lowered operator()(const Pool2d& op) { return lower_pool(context, node, op, steps); }
  Lowered operator()(const Reduce& op) { return lower_reduce(context, node, op, steps); }
  Lowered operator()(const Softmax& op) { return lower_softmax(context, node, op, steps); }
  Lowered operator()(const Resize2d& op) { return lower_resize(context, node, op, steps); }
  Lowered operator()(const Convert& op) { return lower_convert(context, node, op, steps); }
  Lowered operator()(const Concat& op) { return lower_concat(context, node, op, steps); }
  Lowered operator()(const Transpose& op) { return lower_transpose(context, node, op, steps); }
  Lowered operator()(const Slice& op) { return lower_slice(context, node, op, steps); }
  Lowered operator()(const Pad& op) { return lower_pad(context, node, op, steps); }
  Lowered operator()(const Where& op) { return lower_where(context, node, op, steps); }
  Lowered operator()(const PRelu& op) { return lower_prelu(context, node, op, steps); }
  Lowered operator()(const ArgMax& op) { return lower_arg_max(context, node, op, steps); }
  Lowered operator()(const InstanceNorm& op) {
    return lower_instance_norm(context, node, op, steps);
  }
  Lowered operator()(const LayerNorm& op) { return lower_layer_norm(context, node, op, steps); }
  Lowered operator()(const LocalResponseNorm& op) {
    return lower_response_norm(context, node, op, steps);
  }
  Lowered operator()(const Gather& op) { return lower_gather(context, node, op, steps); }
  Lowered operator()(const Expand& op) { return lower_expand(context, node, op, steps); }
  Lowered operator()(const Tile& op) { return lower_tile(context, node, op, steps); }
  Lowered operator()(const DepthToSpace& op) {
    return lower_depth_to_space(context, node, op, steps);
  }
  Lowered operator()(const Recurrent& op) { return lower_recurrent(context, node, op, steps); }
  // On the reference: not on any hot path of the networks firn is for.
  template <typename Other>
  Lowered operator()(const Other&) {
    return false;
  }
};

}  // namespace

bool kernels_take(const Graph& graph, const Node& node) {
  const auto fits = [&](ValueId id) {
    if (id == ValueId::none) return true;
    const Value& v = graph.value(id);
    const bool weights = (has_weights(node.op) && id == node.in[1]) ||
                         (std::holds_alternative<Recurrent>(node.op) && graph.is_constant(id)) ||
                         (std::holds_alternative<Gather>(node.op) && gives_floats(v));
    const size_t elements = v.shape.elements();
    return elements > 0 && elements <= INT32_MAX &&
           (v.type != DType::i8 || weights || (per_tensor_i8(v) && !is_packed(v)));
  };
  return std::ranges::all_of(node.in, fits) && std::ranges::all_of(node.out, fits);
}

bool is_int8_layer(const Graph& graph, const Node& node) {
  const Value& w = graph.value(node.in[1]);
  const Value& y = graph.value(node.out[0]);
  const ValueId bias = node.in.size() > 2 ? node.in[2] : ValueId::none;
  return per_tensor_i8(graph.value(node.in[0])) && is_int8_weights(w) &&
         (bias == ValueId::none ||
          (graph.is_constant(bias) && graph.value(bias).type == DType::i32)) &&
         (y.type == DType::f32 || per_tensor_i8(y));
}

bool is_wide_layer(const Graph& graph, const Node& node) {
  const Value& w = graph.value(node.in[1]);
  const Value& y = graph.value(node.out[0]);
  const ValueId bias = node.in.size() > 2 ? node.in[2] : ValueId::none;
  return is_wide(graph.value(node.in[0])) && is_int8_weights(w) &&
         std::ranges::all_of(w.quant->zero, [](int32_t z) { return z == 0; }) &&
         (bias == ValueId::none ||
          (graph.is_constant(bias) && is_plain(graph.value(bias), DType::f32))) &&
         (is_plain(y, DType::f32) || per_tensor_i8(y) || is_wide(y));
}

void Releases::release(ValueId id) {
  if (own_ == nullptr || !own_->value(id).constant->allocated() || own_->is_output(id)) return;
  if (++packed_[id] < uses_.consumers_of(id).size()) return;
  std::shared_ptr<const Buffer>& constant = own_->value(id).constant;
  constant = constant->released();
}

void LowerContext::release(ValueId weights) const {
  packed.forget(*value(weights).constant);
  releases.release(weights);
}

Status released_error(const Value& constant) {
  return {Code::failed_precondition, constant.name + ": its bytes were given back"};
}

int32_t LowerContext::pixel_stride(ValueId id) const {
  const int32_t stride = placement[index(id)].pixel_stride;
  const Shape& shape = value(id).shape;
  return stride != 0 ? stride : shape[shape.rank - 1];
}

std::vector<Placement> find_placements(const Graph& graph, const Uses& uses) {
  std::vector<Placement> placement(graph.values.size());
  for (const Node& node : graph.nodes) {
    if (moves_no_bytes(graph, node)) {
      placement[index(node.out[0])] = {node.in[0], 0, 0};
    } else if (const auto* concat = std::get_if<Concat>(&node.op);
               concat != nullptr && concat_in_place(graph, uses, node, *concat)) {
      const ValueId out = node.out[0];
      size_t channel = 0;
      for (const ValueId in : node.in) {
        placement[index(in)] = {out, channel, graph.value(out).shape[3]};
        channel += static_cast<size_t>(graph.value(in).shape[3]);
      }
    }
  }
  return placement;
}

Status lower_node(const LowerContext& context, const Node& node, std::vector<LoweredStep>& steps) {
  if (std::all_of(node.out.begin(), node.out.end(),
                  [&](ValueId id) { return context.graph.is_constant(id); }))
    return {};
  if (moves_no_bytes(context.graph, node)) return {};
  const bool takes = kernels_take(context.graph, node);
  // Weights that were packed for another program need no bytes where this one shares them.
  const bool layer =
      std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op);
  const bool shares = takes && layer && is_int8_layer(context.graph, node);
  for (const ValueId id : node.in)
    if (!shares && context.graph.is_constant(id) && context.value(id).constant->is_released())
      return released_error(context.value(id));
  if (!takes) return lower_reference(context, node, steps);
  FIRN_ASSIGN(const bool done, std::visit(Lowering{context, node, steps}, node.op));
  return done ? Status() : lower_reference(context, node, steps);
}

LoweredStep describe_step(const LowerContext& context, const Node& node, std::unique_ptr<Step> step,
                          std::string kernel) {
  LoweredStep lowered;
  lowered.step = std::move(step);
  lowered.name = node.name;
  lowered.op = op_name(node.op);
  lowered.kernel = std::move(kernel);
  const auto is_i8 = [&](ValueId id) {
    return id != ValueId::none && context.value(id).type == DType::i8;
  };
  if (!node.in.empty() && is_i8(node.in[0])) lowered.precision = Precision::i8;
  if (!node.in.empty() && node.in[0] != ValueId::none && is_wide(context.value(node.in[0])))
    lowered.precision = Precision::i16;
  for (const ValueId id : node.in)
    if (id != ValueId::none) lowered.reads.push_back(id);
  lowered.writes = node.out;
  lowered.shared_ns = elementwise_ns(context, node);
  return lowered;
}

Lowered push_xnn(const LowerContext& context, const Node& node, std::unique_ptr<kernels::XnnOp> op,
                 std::vector<ValueId> reads, std::vector<LoweredStep>& steps) {
  const auto is_f32 = [&](ValueId id) { return context.value(id).type == DType::f32; };
  if (op == nullptr || !std::ranges::all_of(reads, is_f32) || !is_f32(node.out[0])) return false;
  const Status no_memory(Code::out_of_memory, node.name + ": no memory for XNNPACK");
  if (op->no_memory()) return no_memory;
  const bool threads = op->uses_threads();
  auto step = make_step([reads, y = node.out[0], op = std::move(op),
                         no_memory](const Frame& frame) -> Status {
    std::array<const float*, 2> in{};
    for (size_t i = 0; i < reads.size(); ++i) in[i] = frame.at<const float>(reads[i]);
    return op->run(std::span(in).first(reads.size()), frame.at<float>(y)) ? Status() : no_memory;
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), "xnnpack");
  lowered.reads = std::move(reads);
  lowered.xnn_threads = threads;
  lowered.shared_ns = 0;
  steps.push_back(std::move(lowered));
  return true;
}

kernels::ConvShape window_shape(const LowerContext& context, const Window& window, int32_t groups,
                                ValueId x, ValueId y) {
  const Shape& in = context.value(x).shape;
  const Shape& out = context.value(y).shape;
  kernels::ConvShape s;
  s.batch = in[0];
  s.in_h = in[1];
  s.in_w = in[2];
  s.in_c = in[3] / groups;
  s.out_h = out[1];
  s.out_w = out[2];
  s.out_c = out[3] / groups;
  s.groups = groups;
  s.kernel_h = window.kernel[0];
  s.kernel_w = window.kernel[1];
  s.stride_h = window.stride[0];
  s.stride_w = window.stride[1];
  s.dilation_h = window.dilation[0];
  s.dilation_w = window.dilation[1];
  s.pad_top = window.pad[0];
  s.pad_left = window.pad[1];
  s.in_pixel_stride = context.pixel_stride(x);
  s.out_pixel_stride = context.pixel_stride(y);
  return s;
}

std::pair<int32_t, int32_t> pad_bottom_right(const kernels::ConvShape& s) {
  const auto behind = [](int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation,
                         int64_t pad) {
    const int64_t reached = (out - 1) * stride + (kernel - 1) * dilation + 1;
    return static_cast<int32_t>(std::clamp<int64_t>(reached - in - pad, 0, INT32_MAX));
  };
  return {behind(s.in_h, s.out_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top),
          behind(s.in_w, s.out_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left)};
}

kernels::Clamp8 clamp8(const Clamp& clamp, const Quant& quant) {
  const int32_t zero = quant.zero[0];
  const auto bound = [&](float x) {
    const double q = std::nearbyint(double{x} / quant.scale[0]) + zero;
    return static_cast<int32_t>(std::clamp(q, -128.0, 127.0));
  };
  kernels::Clamp8 c{zero, bound(clamp.lo), bound(clamp.hi)};
  c.hi = std::max(c.lo, c.hi);
  return c;
}

Table8 make_table(const Quant& in, const Quant& out, const std::function<double(double)>& f) {
  Table8 table;
  const int32_t in_zero = in.zero[0];
  const kernels::Clamp8 bounds = clamp8(Clamp{}, out);
  for (int q = -128; q < 128; ++q) {
    const double y = f((q - in_zero) * double{in.scale[0]}) / out.scale[0];
    table.entry[static_cast<size_t>(q + 128)] =
        kernels::round_clamped(static_cast<float>(y), bounds);
  }
  return table;
}

LoweredStep table_step(const LowerContext& context, const Node& node, ValueId x,
                       const Table8& table) {
  const ValueId y = node.out[0];
  const size_t n = context.value(y).shape.elements();
  const kernels::VecS8& vec = context.vec();
  LoweredStep lowered =
      describe_step(context, node, make_step([=, lut = vec.lut](const Frame& frame) -> Status {
                      const auto* in = frame.at<const int8_t>(x);
                      auto* out = frame.at<int8_t>(y);
                      parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
                        lut(end - begin, in + begin, out + begin, table.entry.data());
                      });
                      return {};
                    }),
                    std::string(vec.name) + " lut");
  lowered.reads = {x};
  lowered.in_place = true;
  return lowered;
}

}  // namespace firn
