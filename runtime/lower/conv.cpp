// SPDX-License-Identifier: Apache-2.0
// Convolutions and fully connected layers: int8 on our kernels, fp32 on XNNPACK.
#include <algorithm>
#include <cstring>
#include <new>

#include "kernels/dwconv_s8.h"
#include "kernels/winograd_s8.h"
#include "kernels/xnn.h"
#include "runtime/lower/lower.h"
#include "runtime/packed.h"

namespace firn {
namespace {

using kernels::ConvShape;

struct Operands {
  ValueId x, w, bias, y;
};

Operands operands(const Node& node) {
  return {node.in[0], node.in[1], node.in.size() > 2 ? node.in[2] : ValueId::none, node.out[0]};
}

// A 1x1 convolution that skips nothing is one matrix product over all pixels.
ConvShape as_matrix_product(ConvShape s) {
  const bool plain = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                     s.pad_top == 0 && s.pad_left == 0 && s.in_h == s.out_h && s.in_w == s.out_w;
  if (!plain) return s;
  s.in_w = s.out_w = s.batch * s.in_h * s.in_w;
  s.batch = s.in_h = s.out_h = 1;
  return s;
}

ConvShape dense_shape(const Value& x, const Value& y) {
  ConvShape s;
  s.in_c = s.in_pixel_stride = x.shape[x.shape.rank - 1];
  s.out_c = s.out_pixel_stride = y.shape[y.shape.rank - 1];
  s.in_w = s.out_w = static_cast<int32_t>(x.shape.elements() / static_cast<size_t>(s.in_c));
  return s;
}

// Weights less their zero points take 9 bits: they are split into as many int8 parts as it takes,
// which the kernels multiply one after the other.
struct WeightParts {
  std::vector<int8_t> values;    // [channels][count][the rest]; none where no zero points are
  const int8_t* data = nullptr;  // those, or else the weights themselves; null: given back
  int32_t count = 1;
};

Result<WeightParts> split_weights(const Value& w) {
  WeightParts parts;
  if (!w.constant->is_released()) parts.data = w.as<int8_t>().data();
  const std::vector<int32_t>& zero = w.quant->zero;
  if (std::ranges::all_of(zero, [](int32_t z) { return z == 0; })) return parts;
  if (parts.data == nullptr) return released_error(w);
  const std::span<const int8_t> all = w.as<int8_t>();
  const auto channels = static_cast<size_t>(w.shape[0]);
  const size_t filter = all.size() / channels;
  const auto at = [&](size_t c, size_t i) {
    return all[c * filter + i] - zero[w.quant->per_tensor() ? 0 : c];
  };
  for (size_t c = 0; c < channels; ++c)
    for (size_t i = 0; i < filter; ++i)
      while (at(c, i) < -128 * parts.count || at(c, i) > 127 * parts.count) ++parts.count;
  parts.values.resize(all.size() * static_cast<size_t>(parts.count));
  parts.data = parts.values.data();
  auto part = parts.values.begin();
  for (size_t c = 0; c < channels; ++c) {
    for (int32_t n = 0; n < parts.count; ++n) {
      for (size_t i = 0; i < filter; ++i, ++part) {
        // What the parts before have left over.
        const int32_t whole = at(c, i);
        const int32_t rest =
            whole < 0 ? std::min(whole + 128 * n, 0) : std::max(whole - 127 * n, 0);
        *part = static_cast<int8_t>(std::clamp(rest, -128, 127));
      }
    }
  }
  return parts;
}

template <typename Kernel>
PackedKey key_of(const LowerContext& context, const Kernel& kernel, const ConvShape& s,
                 const Operands& o) {
  const uint64_t bias = o.bias == ValueId::none ? 0 : context.value(o.bias).constant->id();
  return {context.value(o.w).constant->id(), bias, kernel.name, s,
          context.value(o.x).quant->zero[0]};
}

// From a cache that all cores share.
constexpr double kWeightBytesPerNs = 25;

// The packed weights and what else an int8 step reads besides its input.
struct Packed {
  std::shared_ptr<const Buffer> weights, zero_row;
  std::vector<float> scale;
  std::shared_ptr<const Buffer> float_sums;  // null where there are none
};

template <typename Kernel>
Result<Packed> pack(const LowerContext& context, const Kernel& kernel, const ConvShape& s,
                    const Operands& o, const int8_t* values) {
  const Value& x = context.value(o.x);
  const Value& w = context.value(o.w);
  const Value& y = context.value(o.y);
  const int32_t zero = x.quant->zero[0];
  Packed packed;

  const auto make = [&]() -> Result<std::shared_ptr<const Buffer>> {
    if (values == nullptr) return released_error(w);
    const int32_t* bias =
        o.bias == ValueId::none ? nullptr : context.value(o.bias).as<int32_t>().data();
    FIRN_ASSIGN(auto made, Buffer::allocate(kernel.packed_bytes(s)));
    kernel.pack(s, values, bias, zero, made.second.data());
    return made.first;
  };
  FIRN_ASSIGN(packed.weights, context.packed.get(key_of(context, kernel, s, o), make));
  context.release(o.w);

  FIRN_ASSIGN(auto zero_row,
              Buffer::allocate(static_cast<size_t>(s.groups * s.in_c) + kernels::kReadSlack));
  std::memset(zero_row.second.data(), zero + (context.is_unsigned[index(o.x)] ? 128 : 0),
              zero_row.second.size());
  packed.zero_row = zero_row.first;

  const auto channels = static_cast<size_t>(s.groups) * static_cast<size_t>(s.out_c);
  packed.scale.reserve(channels);
  const double out_scale = y.type == DType::i8 ? double{y.quant->scale[0]} : 1.0;
  for (size_t c = 0; c < channels; ++c) {
    const float w_scale = w.quant->scale[w.quant->per_tensor() ? 0 : c];
    packed.scale.push_back(
        kernels::rescale(double{x.quant->scale[0]} * double{w_scale} / out_scale));
  }
  return packed;
}

}  // namespace

double macs_per_ns(kernels::Isa isa, const ConvShape& s) {
  const double depthwise = s.in_c == 1 && s.groups > 1 ? 0.2 : 1;
  switch (isa) {
    case kernels::Isa::scalar:
      return 1;
    case kernels::Isa::avx2:
      return 80 * depthwise;
    case kernels::Isa::avxvnni:
      return 160 * depthwise;
    case kernels::Isa::avx512vnni:
      return 300 * depthwise;
    case kernels::Isa::amxint8: {
      if (depthwise < 1) return 60;
      // A tile's output takes as long as 160 products of each of its sums.
      const double products = double{1} * s.kernel_h * s.kernel_w * s.in_c;
      return 1800 * products / (products + 160);
    }
    case kernels::Isa::neon:
      return 15 * depthwise;
    case kernels::Isa::neondot:
      return 50 * depthwise;
    case kernels::Isa::neoni8mm:
      return 90 * depthwise;
  }
  return 1;
}

namespace {

template <typename Kernel>
Status lower_int8(const LowerContext& context, const Node& node, const Kernel& kernel, ConvShape s,
                  const Clamp& clamp, const WeightParts& parts, std::vector<LoweredStep>& steps) {
  const Operands o = operands(node);
  FIRN_ASSIGN(Packed packed, pack(context, kernel, s, o, parts.data));
  const Value& y = context.value(o.y);

  kernels::ConvS8Args args;
  args.to_float = y.type == DType::f32;
  args.float_lo = clamp.lo;
  args.float_hi = clamp.hi;
  if (!args.to_float) args.clamp = clamp8(clamp, *y.quant);
  args.unsigned_input = context.is_unsigned[index(o.x)];
  args.unsigned_output = context.is_unsigned[index(o.y)];
  if constexpr (requires { kernel.float_sums; }) {
    if (const size_t bytes = kernel.float_sums_bytes(s); bytes > 0 && !args.to_float) {
      FIRN_ASSIGN(auto found, Buffer::allocate(bytes));
      if (kernel.float_sums(s, packed.weights->bytes().data(), packed.scale.data(), args.clamp,
                            found.second.data()))
        packed.float_sums = found.first;
    }
  }
  const size_t units = kernel.units(s);
  // At the least what it takes to read the weights, which few threads are limited by together.
  const double ns =
      std::max(static_cast<double>(macs(context.graph, node)) / macs_per_ns(kernel.isa, s),
               static_cast<double>(packed.weights->bytes().size()) / kWeightBytesPerNs);
  const size_t channel_bytes =
      packed.scale.size() * sizeof(float) +
      (packed.float_sums != nullptr ? packed.float_sums->bytes().size() : 0);
  const size_t weight_bytes = packed.weights->bytes().size() + channel_bytes;
  const size_t scratch = kernel.workspace_bytes(s);

  const auto shared = std::move(packed.weights);
  const void* const weights = shared->bytes().data();
  auto step = make_step([=, &kernel, packed = std::move(packed)](const Frame& frame) -> Status {
    kernels::ConvS8Args now = args;
    now.input = frame.at<const int8_t>(o.x);
    now.output = frame.at<void>(o.y);
    now.packed = weights;
    now.zero_row = reinterpret_cast<const int8_t*>(packed.zero_row->bytes().data());
    now.scale = packed.scale.data();
    if (packed.float_sums != nullptr) now.float_sums = packed.float_sums->bytes().data();
    now.ahead = frame.ahead;
    frame.pool.parallel_work(units, ns, [&](kernels::Units& share, size_t thread) {
      kernel.run(s, now, frame.scratch + thread * scratch, share);
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), kernel.name);
  lowered.reads = {o.x};
  lowered.weight_bytes = weight_bytes;
  PackedLayer layer{shared, context.value(o.w).constant->id(), nullptr};
  if (parts.count == 1)
    layer.unpack = [s, weights, unpack = kernel.unpack](int8_t* to) { unpack(s, weights, to); };
  lowered.packed = std::make_shared<const PackedLayer>(std::move(layer));
  lowered.scratch_bytes = scratch * static_cast<size_t>(context.pool.threads());
  lowered.shared_ns = ns;
  steps.push_back(std::move(lowered));
  return {};
}

ConvShape int8_shape(const LowerContext& context, const Node& node) {
  const ValueId x = node.in[0], y = node.out[0];
  if (const auto* conv = std::get_if<Conv2d>(&node.op))
    return as_matrix_product(window_shape(context, conv->window, conv->groups, x, y));
  return dense_shape(context.value(x), context.value(y));
}

// Calls fn(kernel, shape, weights) with the kernel of ours that fits the layer best.
template <typename F>
Status with_int8_kernel(const LowerContext& context, const Node& node, const F& fn) {
  const Operands o = operands(node);
  ConvShape s = int8_shape(context, node);
  FIRN_ASSIGN(const WeightParts parts, split_weights(context.value(o.w)));
  s.repeat = parts.count;
  if (context.value(o.y).type == DType::i8) {
    if (s.in_c == 1 && s.out_c == 1 && s.groups > 1)
      return fn(kernels::pick(kernels::dwconv_s8_table(), context.isa), s, parts);
    const auto* winograd = kernels::pick_winograd_s8(s, context.isa);
    // Of weights that were given back it is known by how they were packed.
    if (winograd != nullptr &&
        (parts.data != nullptr ? kernels::winograd_s8_takes(s, parts.data)
                               : context.packed.find(key_of(context, *winograd, s, o)) != nullptr))
      return fn(*winograd, s, parts);
  }
  return fn(kernels::pick_gemm_s8(s, context.isa), s, parts);
}

Status lower_int8(const LowerContext& context, const Node& node, const Clamp& clamp,
                  std::vector<LoweredStep>& steps) {
  return with_int8_kernel(context, node,
                          [&](const auto& kernel, const ConvShape& s, const WeightParts& parts) {
                            return lower_int8(context, node, kernel, s, clamp, parts, steps);
                          });
}

Lowered lower_xnn(const LowerContext& context, const Node& node, std::unique_ptr<kernels::XnnOp> op,
                  std::vector<LoweredStep>& steps) {
  const Operands o = operands(node);
  FIRN_ASSIGN(const bool done, push_xnn(context, node, std::move(op), {o.x}, steps));
  if (!done) return false;
  steps.back().weight_bytes = context.value(o.w).shape.elements() * sizeof(float);
  context.release(o.w);
  return true;
}

bool constant_weights(const LowerContext& context, const Operands& o) {
  const auto floats = [&](ValueId id) {
    return context.graph.is_constant(id) && context.value(id).type == DType::f32;
  };
  return (floats(o.w) || is_stored_weights(context.value(o.w))) &&
         (o.bias == ValueId::none || floats(o.bias));
}

const float* bias_floats(const LowerContext& context, const Operands& o) {
  return o.bias == ValueId::none ? nullptr : context.value(o.bias).as<float>().data();
}

// Weights as XNNPACK is given them: it makes its own copy of what is held here.
class WeightFloats {
 public:
  explicit WeightFloats(const Value& weights) : weights_(weights) {
    if (weights.type == DType::f32) return;
    own_.resize(weights.shape.elements());
    read_weights(weights, 0, own_);
  }
  const float* data() const { return own_.empty() ? weights_.as<float>().data() : own_.data(); }

 private:
  const Value& weights_;
  std::vector<float> own_;
};

// What a node's kernel can do with unsigned bytes.
struct UnsignedBytes {
  bool reads = false, writes = false;
};

UnsignedBytes unsigned_bytes(const LowerContext& context, const Node& node) {
  UnsignedBytes bytes;
  const bool layer =
      std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op);
  if (!layer || !kernels_take(context.graph, node) || !is_int8_layer(context.graph, node))
    return bytes;
  const auto look = [&](const auto& kernel, const ConvShape& s, const WeightParts&) -> Status {
    if constexpr (requires { kernel.writes_unsigned; })
      bytes = {kernel.reads_unsigned(s), kernel.writes_unsigned};
    return {};
  };
  // What fails here will fail when it is lowered.
  return with_int8_kernel(context, node, look).ok() ? bytes : UnsignedBytes();
}

}  // namespace

std::vector<bool> find_unsigned(const LowerContext& context) {
  const Graph& g = context.graph;
  std::vector<UnsignedBytes> bytes;
  bytes.reserve(g.nodes.size());
  for (const Node& node : g.nodes) bytes.push_back(unsigned_bytes(context, node));
  std::vector<bool> found(g.values.size(), false);
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    if (!bytes[i].writes) continue;
    const ValueId y = g.nodes[i].out[0];
    const auto reads = [&](int node) { return bytes[static_cast<size_t>(node)].reads; };
    found[index(y)] = g.value(y).type == DType::i8 && !g.is_output(y) &&
                      !context.uses.consumers_of(y).empty() &&
                      std::ranges::all_of(context.uses.consumers_of(y), reads);
  }
  return found;
}

Lowered lower_conv(const LowerContext& context, const Node& node, const Conv2d& op,
                   std::vector<LoweredStep>& steps) {
  const Operands o = operands(node);
  const ConvShape s = window_shape(context, op.window, op.groups, o.x, o.y);
  if (is_wide_layer(context.graph, node)) {
    FIRN_TRY(lower_wide(context, node, as_matrix_product(s), op.clamp, steps));
    return true;
  }
  if (!is_int8_layer(context.graph, node)) {
    if (!constant_weights(context, o)) return false;
    FIRN_ASSIGN(const bool done, lower_conv_in_integers(context, node, op, steps));
    if (done) return true;
    FIRN_ASSIGN(const bool by_rows, lower_conv_by_rows(context, node, op, steps));
    if (by_rows) return true;
    const auto [bottom, right] = pad_bottom_right(s);
    return lower_xnn(
        context, node,
        kernels::XnnOp::conv2d(s, bottom, right, WeightFloats(context.value(o.w)).data(),
                               bias_floats(context, o), {op.clamp.lo, op.clamp.hi}, context.pool),
        steps);
  }
  FIRN_TRY(lower_int8(context, node, op.clamp, steps));
  return true;
}

Lowered lower_dense(const LowerContext& context, const Node& node, const Dense& op,
                    std::vector<LoweredStep>& steps) {
  const Operands o = operands(node);
  const ConvShape s = dense_shape(context.value(o.x), context.value(o.y));
  if (is_wide_layer(context.graph, node)) {
    FIRN_TRY(lower_wide(context, node, s, op.clamp, steps));
    return true;
  }
  if (!is_int8_layer(context.graph, node)) {
    if (!constant_weights(context, o)) return lower_dense_of_values(context, node, op, steps);
    FIRN_ASSIGN(const bool done, lower_dense_in_integers(context, node, op, steps));
    if (done) return true;
    return lower_xnn(
        context, node,
        kernels::XnnOp::dense(static_cast<size_t>(s.in_w), static_cast<size_t>(s.in_c),
                              static_cast<size_t>(s.out_c), WeightFloats(context.value(o.w)).data(),
                              bias_floats(context, o), {op.clamp.lo, op.clamp.hi}, context.pool),
        steps);
  }
  FIRN_TRY(lower_int8(context, node, op.clamp, steps));
  return true;
}

Lowered lower_conv_transpose(const LowerContext& context, const Node& node,
                             const ConvTranspose2d& op, std::vector<LoweredStep>& steps) {
  const Operands o = operands(node);
  if (!constant_weights(context, o)) return false;
  // XNNPACK defines such an operator, and fails when it runs.
  for (size_t i = 0; i < 2; ++i)
    if (op.output_pad[i] >= op.window.stride[i]) return false;
  const ConvShape s = window_shape(context, op.window, op.groups, o.x, o.y);
  return lower_xnn(context, node,
                   kernels::XnnOp::conv_transpose2d(
                       s, op.window.pad[2], op.window.pad[3], op.output_pad[0], op.output_pad[1],
                       WeightFloats(context.value(o.w)).data(), bias_floats(context, o),
                       {op.clamp.lo, op.clamp.hi}, context.pool),
                   steps);
}

}  // namespace firn
