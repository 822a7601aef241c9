// SPDX-License-Identifier: Apache-2.0
// Conversions between all element types, quantized and plain, one element at a time.
#include <cmath>
#include <limits>

#include "kernels/requant.h"
#include "runtime/half.h"
#include "runtime/packed.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

bool is_float(DType type) {
  return type == DType::f32 || type == DType::f16;
}

int64_t read_int(const Tensor& t, size_t i) {
  switch (t.type) {
    case DType::i8:
      return static_cast<const int8_t*>(t.data)[i];
    case DType::u8:
      return static_cast<const uint8_t*>(t.data)[i];
    case DType::boolean:  // as a byte: a file may hold others than 0 and 1
      return static_cast<const uint8_t*>(t.data)[i] != 0;
    case DType::i16:
      return static_cast<const int16_t*>(t.data)[i];
    case DType::i32:
      return static_cast<const int32_t*>(t.data)[i];
    case DType::i64:
      return static_cast<const int64_t*>(t.data)[i];
    case DType::f32:
    case DType::f16:
      break;
  }
  return 0;
}

double read_real(const Tensor& t, size_t i) {
  if (t.type == DType::f32) return static_cast<const float*>(t.data)[i];
  if (t.type == DType::f16) return half_to_float(static_cast<const uint16_t*>(t.data)[i]);
  return static_cast<double>(read_int(t, i));
}

void write_int(const Tensor& t, size_t i, int64_t x) {
  switch (t.type) {
    case DType::i8:
      static_cast<int8_t*>(t.data)[i] = static_cast<int8_t>(x);
      break;
    case DType::u8:
      static_cast<uint8_t*>(t.data)[i] = static_cast<uint8_t>(x);
      break;
    case DType::boolean:
      static_cast<uint8_t*>(t.data)[i] = x != 0;
      break;
    case DType::i16:
      static_cast<int16_t*>(t.data)[i] = static_cast<int16_t>(x);
      break;
    case DType::i32:
      static_cast<int32_t*>(t.data)[i] = static_cast<int32_t>(x);
      break;
    case DType::i64:
      static_cast<int64_t*>(t.data)[i] = x;
      break;
    case DType::f32:
    case DType::f16:
      break;
  }
}

template <typename T>
int64_t saturate(double x) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(x)) return 0;
  if (x <= static_cast<double>(Limits::min())) return Limits::min();
  if (x >= static_cast<double>(Limits::max())) return Limits::max();
  return static_cast<int64_t>(x);
}

}  // namespace

void write_number(const Tensor& t, size_t i, double x) {
  switch (t.type) {
    case DType::f32:
      static_cast<float*>(t.data)[i] = static_cast<float>(x);
      break;
    case DType::f16:
      static_cast<uint16_t*>(t.data)[i] = float_to_half(static_cast<float>(x));
      break;
    case DType::i8:
      return write_int(t, i, saturate<int8_t>(x));
    case DType::u8:
      return write_int(t, i, saturate<uint8_t>(x));
    case DType::i16:
      return write_int(t, i, saturate<int16_t>(x));
    case DType::i32:
      return write_int(t, i, saturate<int32_t>(x));
    case DType::i64:
      return write_int(t, i, saturate<int64_t>(x));
    case DType::boolean:
      return write_int(t, i, x != 0);
  }
}

namespace {

// Which scale element i of a tensor goes by.
size_t scale_index(const Quant& quant, const Shape& shape, size_t i) {
  if (quant.per_tensor()) return 0;
  const ScaleLayout layout = scale_layout(quant, shape);
  return layout.scale_of(i / layout.length, i % layout.length);
}

// Of 16 bits: as the kernels of those, NaN becomes the least.
int64_t quantize16(float x, float scale, int32_t zero) {
  x *= kernels::rescale(1.0 / static_cast<double>(scale));
  const auto lo = static_cast<float>(INT16_MIN - zero), hi = static_cast<float>(INT16_MAX - zero);
  x = x > lo ? x : lo;
  x = x < hi ? x : hi;
  return static_cast<int64_t>(std::nearbyint(x)) + zero;
}

// 8-bit values as the normative arithmetic has them: u8 is i8 shifted by 128.
kernels::Clamp8 clamp_of(DType type, const Quant& quant, size_t s) {
  const int32_t half = 1 << (quant.bits - 1);
  if (type == DType::i8) return {quant.zero[s], -half, half - 1};
  return {quant.zero[s] - 128, -128, 2 * half - 1 - 128};
}

bool is_8bit(DType type) {
  return type == DType::i8 || type == DType::u8;
}
int64_t shift_of(DType type) {
  return type == DType::u8 ? 128 : 0;
}

void quantize(const Tensor& t, const Quant& quant, size_t i, double x) {
  const size_t s = scale_index(quant, t.shape, i);
  if (is_8bit(t.type)) {
    const float inverse = kernels::rescale(1.0 / static_cast<double>(quant.scale[s]));
    const int8_t q =
        kernels::round_clamped(static_cast<float>(x) * inverse, clamp_of(t.type, quant, s));
    return write_int(t, i, q + shift_of(t.type));
  }
  if (t.type == DType::i16)
    return write_int(t, i, quantize16(static_cast<float>(x), quant.scale[s], quant.zero[s]));
  write_number(t, i, std::nearbyint(x / static_cast<double>(quant.scale[s])) + quant.zero[s]);
}

// Of a type, shape and quantization: a constant, where it is in fewer bits than a byte.
double dequantize(const Tensor& t, const Quant& quant, size_t i) {
  const size_t s = scale_index(quant, t.shape, i);
  const bool packed = t.type == DType::i8 && quant.bits < 8;
  const int64_t q = packed ? unpack_one({static_cast<const std::byte*>(t.data),
                                         packed_bytes(t.shape.elements(), quant.bits)},
                                        quant.bits, i)
                           : read_int(t, i);
  return static_cast<float>(q - quant.zero[s]) * quant.scale[s];
}

// 8 bits to 8 bits: one multiplication by the ratio of the scales, one rounding.
void requantize(const Tensor& from, const Quant& from_quant, const Tensor& to,
                const Quant& to_quant) {
  const float ratio = kernels::rescale(static_cast<double>(from_quant.scale[0]) /
                                       static_cast<double>(to_quant.scale[0]));
  const kernels::Clamp8 clamp = clamp_of(to.type, to_quant, 0);
  const size_t n = to.shape.elements();
  for (size_t i = 0; i < n; ++i) {
    const int32_t q = static_cast<int32_t>(read_int(from, i)) - from_quant.zero[0];
    write_int(to, i, kernels::requantize(q, ratio, clamp) + shift_of(to.type));
  }
}

}  // namespace

void convert(const Tensor& from, const std::optional<Quant>& from_quant, const Tensor& to,
             const std::optional<Quant>& to_quant) {
  const size_t n = to.shape.elements();
  if (from.type == to.type && from_quant == to_quant) {
    Mover(from, to).move(0, 0, static_cast<int64_t>(n));
    return;
  }
  if (from_quant && to_quant && from_quant->per_tensor() && to_quant->per_tensor() &&
      is_8bit(from.type) && is_8bit(to.type))
    return requantize(from, *from_quant, to, *to_quant);
  const bool integers = !from_quant && !to_quant && !is_float(from.type) && !is_float(to.type);
  for (size_t i = 0; i < n; ++i) {
    if (integers) {
      write_int(to, i, read_int(from, i));
      continue;
    }
    const double x = from_quant ? dequantize(from, *from_quant, i) : read_real(from, i);
    if (to_quant)
      quantize(to, *to_quant, i, x);
    else
      write_number(to, i, x);
  }
}

Status compute(const Call& c, const Convert&) {
  convert(c.in[0], c.in_quant(0), c.out, c.out_quant());
  return {};
}

}  // namespace firn
