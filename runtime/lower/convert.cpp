// SPDX-License-Identifier: Apache-2.0
// Quantize, dequantize and requantize; a picture's planes go straight to interleaved int8.
#include <algorithm>
#include <cstring>

#include "runtime/lower/lower.h"
#include "runtime/quant_axis.h"

namespace firn {
namespace {

// Kernels may read past the end of their input. The last elements are therefore taken from a copy,
// so that the input may be the caller's own memory.
constexpr size_t kTail = kernels::kReadSlack;

LoweredStep quantize_step(const LowerContext& context, const Node& node) {
  const ValueId x = node.in[0], y = node.out[0];
  const Quant& q = *context.value(y).quant;
  const size_t n = context.value(x).shape.elements();
  const kernels::VecS8& vec = context.vec();
  const float inverse = kernels::rescale(1.0 / q.scale[0]);
  const kernels::Clamp8 clamp = clamp8(Clamp{}, q);
  LoweredStep lowered = describe_step(
      context, node, make_step([=, quantize = vec.quantize](const Frame& frame) -> Status {
        const float* from = frame.at<const float>(x);
        int8_t* to = frame.at<int8_t>(y);
        const size_t body = n > kTail ? n - kTail : 0;
        parallel_elements(frame.pool, body, [&](size_t begin, size_t end) {
          quantize(end - begin, from + begin, to + begin, inverse, clamp);
        });
        float tail[2 * kTail] = {};
        std::copy(from + body, from + n, tail);
        quantize(n - body, tail, to + body, inverse, clamp);
        return {};
      }),
      std::string(vec.name) + " quantize");
  lowered.exact_reads = true;
  return lowered;
}

LoweredStep dequantize_step(const LowerContext& context, const Node& node) {
  const ValueId x = node.in[0], y = node.out[0];
  const Quant& q = *context.value(x).quant;
  const size_t n = context.value(x).shape.elements();
  const kernels::VecS8& vec = context.vec();
  return describe_step(context, node,
                       make_step([=, dequantize = vec.dequantize, scale = q.scale[0],
                                  zero = q.zero[0]](const Frame& frame) -> Status {
                         const auto* from = frame.at<const int8_t>(x);
                         auto* to = frame.at<float>(y);
                         parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
                           dequantize(end - begin, from + begin, to + begin, scale, zero);
                         });
                         return {};
                       }),
                       std::string(vec.name) + " dequantize");
}

LoweredStep quantize16_step(const LowerContext& context, const Node& node) {
  const ValueId x = node.in[0], y = node.out[0];
  const size_t n = context.value(x).shape.elements();
  const kernels::VecS8& vec = context.vec();
  const float inverse = kernels::rescale(1.0 / context.value(y).quant->scale[0]);
  LoweredStep lowered = describe_step(
      context, node, make_step([=, quantize = vec.quantize16](const Frame& frame) -> Status {
        const float* from = frame.at<const float>(x);
        auto* to = frame.at<int16_t>(y);
        parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
          quantize(end - begin, from + begin, to + begin, inverse);
        });
        return {};
      }),
      std::string(vec.name) + " quantize16");
  lowered.exact_reads = true;
  return lowered;
}

LoweredStep dequantize16_step(const LowerContext& context, const Node& node) {
  const ValueId x = node.in[0], y = node.out[0];
  const size_t n = context.value(x).shape.elements();
  const kernels::VecS8& vec = context.vec();
  return describe_step(
      context, node,
      make_step([=, dequantize = vec.dequantize16,
                 scale = context.value(x).quant->scale[0]](const Frame& frame) -> Status {
        const auto* from = frame.at<const int16_t>(x);
        auto* to = frame.at<float>(y);
        parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
          dequantize(end - begin, from + begin, to + begin, scale);
        });
        return {};
      }),
      std::string(vec.name) + " dequantize16");
}

// f32 [N,C,H,W] to int8 [N,H,W,C]: `convert` quantizes x, `transpose` is the only reader of that.
LoweredStep quantize_planar_step(const LowerContext& context, const Node& convert,
                                 const Node& transpose) {
  const ValueId x = convert.in[0], y = transpose.out[0];
  const Shape& shape = context.value(x).shape;
  const Quant& q = *context.value(y).quant;
  const auto batch = static_cast<size_t>(shape[0]), c = static_cast<size_t>(shape[1]);
  const size_t pixels = static_cast<size_t>(shape[2]) * static_cast<size_t>(shape[3]);
  const kernels::VecS8& vec = context.vec();
  const float inverse = kernels::rescale(1.0 / q.scale[0]);
  const kernels::Clamp8 clamp = clamp8(Clamp{}, q);
  const size_t body = pixels > kTail ? pixels - kTail : 0;
  std::vector<float> tail(c * 2 * kTail, 0.0f);
  auto step = make_step([=, tail = std::move(tail),
                         planar = vec.quantize_planar](const Frame& frame) mutable -> Status {
    for (size_t n = 0; n < batch; ++n) {
      const float* from = frame.at<const float>(x) + n * c * pixels;
      int8_t* to = frame.at<int8_t>(y) + n * c * pixels;
      frame.pool.parallel_for(body, size_t{1} << 14, [&](size_t begin, size_t end) {
        planar(c, end - begin, pixels, from + begin, to + begin * c, inverse, clamp);
      });
      for (size_t i = 0; i < c; ++i)
        std::copy(from + i * pixels + body, from + (i + 1) * pixels, &tail[i * 2 * kTail]);
      planar(c, pixels - body, 2 * kTail, tail.data(), to + body * c, inverse, clamp);
    }
    return {};
  });
  LoweredStep lowered =
      describe_step(context, convert, std::move(step), std::string(vec.name) + " quantize");
  lowered.writes = {y};
  lowered.exact_reads = true;
  return lowered;
}

bool is_8_bit(const Value& v) {
  return (v.type == DType::i8 || v.type == DType::u8) && v.quant && v.quant->per_tensor() &&
         v.quant->bits == 8;
}

// By the bytes of x: those of uint8 are those of int8 with the top bit turned.
Table8 requantize_table(const Value& x, const Value& y) {
  const bool from_u8 = x.type == DType::u8, to_u8 = y.type == DType::u8;
  const Table8 numbers =
      make_table(from_u8 ? as_int8(*x.quant) : *x.quant, to_u8 ? as_int8(*y.quant) : *y.quant,
                 [](double v) { return v; });
  Table8 bytes;
  for (size_t i = 0; i < bytes.entry.size(); ++i) {
    const int8_t q = numbers.entry[from_u8 ? i ^ 0x80 : i];
    bytes.entry[i] = to_u8 ? static_cast<int8_t>(q ^ 0x80) : q;
  }
  return bytes;
}

}  // namespace

const Node* planar_transpose(const LowerContext& context, const Node& convert) {
  const Value& x = context.value(convert.in[0]);
  const ValueId quantized = convert.out[0];
  if (x.type != DType::f32 || x.shape.rank != 4 || context.graph.is_output(quantized))
    return nullptr;
  const auto readers = context.uses.consumers_of(quantized);
  if (readers.size() != 1) return nullptr;
  const Node& reader = context.graph.nodes[static_cast<size_t>(readers[0])];
  const auto* transpose = std::get_if<Transpose>(&reader.op);
  if (transpose == nullptr || transpose->perm != std::vector<int32_t>{0, 2, 3, 1}) return nullptr;
  const Value& from = context.value(quantized);
  const Value& to = context.value(reader.out[0]);
  return from.type == to.type && from.quant == to.quant ? &reader : nullptr;
}

Lowered lower_convert(const LowerContext& context, const Node& node, const Convert&,
                      std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  const bool from_i8 = x.type == DType::i8, to_i8 = y.type == DType::i8;
  if (is_plain(x, DType::f32) && is_wide(y)) {
    steps.push_back(quantize16_step(context, node));
    return true;
  }
  if (is_wide(x) && is_plain(y, DType::f32)) {
    steps.push_back(dequantize16_step(context, node));
    return true;
  }
  if (x.type == DType::f32 && to_i8) {
    const Node* transpose = planar_transpose(context, node);
    steps.push_back(transpose != nullptr ? quantize_planar_step(context, node, *transpose)
                                         : quantize_step(context, node));
  } else if (from_i8 && y.type == DType::f32) {
    steps.push_back(dequantize_step(context, node));
  } else if (is_8_bit(x) && is_8_bit(y)) {
    steps.push_back(table_step(context, node, node.in[0], requantize_table(x, y)));
  } else {
    return lower_convert_plain(context, node, steps);
  }
  return true;
}

}  // namespace firn
