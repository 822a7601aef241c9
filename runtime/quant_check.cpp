// SPDX-License-Identifier: Apache-2.0
// Checks quantization parameters before anything computes, or indexes, with them.
#include "runtime/quant_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace firn {
namespace {

// The zero points of a type; empty (lo > hi) for types that are not quantized.
std::pair<int32_t, int32_t> zero_range(DType type) {
  switch (type) {
    case DType::i8:
      return {INT8_MIN, INT8_MAX};
    case DType::u8:
      return {0, UINT8_MAX};
    case DType::i16:
      return {INT16_MIN, INT16_MAX};
    case DType::i32:
      return {0, 0};  // biases
    case DType::f32:
    case DType::f16:
    case DType::i64:
    case DType::boolean:
      break;
  }
  return {1, 0};
}

// How many scales a tensor of that shape has. `axis` is inside the rank.
size_t expected_scales(const Quant& quant, const Shape& shape) {
  if (quant.block > 0) {
    const size_t innermost = static_cast<size_t>(shape[shape.rank - 1]);
    const size_t block = static_cast<size_t>(quant.block);
    return innermost == 0 ? 0 : shape.elements() / innermost * ((innermost + block - 1) / block);
  }
  return quant.axis < 0 ? 1 : static_cast<size_t>(shape[quant.axis]);
}

}  // namespace

Status check_quant(const Value& value, bool shape_known) {
  if (!value.quant) return {};
  const Quant& quant = *value.quant;
  const auto malformed = [&](const std::string& what) {
    return Status(Code::malformed, value.name + ": quantization: " + what);
  };
  const auto [lo, hi] = zero_range(value.type);
  if (lo > hi) return malformed(std::string("of type ") + dtype_name(value.type));
  if (quant.bits < 2 || quant.bits > 8 * dtype_bytes(value.type)) {
    return malformed(std::to_string(quant.bits) + " bits of " + dtype_name(value.type));
  }
  if (quant.block < 0) return malformed("block of " + std::to_string(quant.block));
  if (quant.axis < -1 || quant.axis >= kMaxRank) {
    return malformed("axis " + std::to_string(quant.axis));
  }
  const auto bad_scale =
      std::ranges::find_if_not(quant.scale, [](float s) { return std::isnormal(s) && s > 0; });
  if (bad_scale != quant.scale.end()) {
    return malformed("scale " + std::to_string(bad_scale - quant.scale.begin()) + " is " +
                     std::to_string(*bad_scale));
  }
  if (quant.zero.size() != quant.scale.size()) {
    return malformed(std::to_string(quant.zero.size()) + " zero points, " +
                     std::to_string(quant.scale.size()) + " scales");
  }
  const auto bad_zero =
      std::ranges::find_if(quant.zero, [lo = lo, hi = hi](int32_t z) { return z < lo || z > hi; });
  if (bad_zero != quant.zero.end()) {
    return malformed("zero point " + std::to_string(*bad_zero) + " of " + dtype_name(value.type));
  }
  if (!shape_known) return {};
  if (!value.shape.known()) return malformed("of an unknown shape");
  const int needed_rank = quant.block > 0 ? 1 : quant.axis + 1;
  if (value.shape.rank < needed_rank) {
    return malformed("axis " + std::to_string(quant.axis) + " of shape " + to_string(value.shape));
  }
  const size_t expected = expected_scales(quant, value.shape);
  if (quant.scale.size() != expected) {
    return malformed(std::to_string(quant.scale.size()) + " scales, shape " +
                     to_string(value.shape) + " needs " + std::to_string(expected));
  }
  return {};
}

}  // namespace firn
