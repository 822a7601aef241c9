// SPDX-License-Identifier: Apache-2.0
// Checks quantization parameters before anything computes, or indexes, with them.
#include "runtime/quant_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "runtime/packed.h"

namespace firn {
namespace {

// The zero points of a type; empty (lo > hi) for types that are not quantized.
std::pair<int32_t, int32_t> zero_range(DType type, unsigned bits) {
  switch (type) {
    case DType::i8:
      if (bits < 8) return {-(1 << bits) / 2, (1 << bits) / 2 - 1};
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

}  // namespace

Status check_quant(const Value& value, bool shape_known) {
  if (!value.quant) return {};
  const Quant& quant = *value.quant;
  const auto malformed = [&](const std::string& what) {
    return Status(Code::malformed, value.name + ": quantization: " + what);
  };
  if (quant.bits < 2 || quant.bits > 8 * dtype_bytes(value.type)) {
    return malformed(std::to_string(quant.bits) + " bits of " + dtype_name(value.type));
  }
  const auto [lo, hi] = zero_range(value.type, quant.bits);
  if (lo > hi) return malformed(std::string("of type ") + dtype_name(value.type));
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
  const int needed_rank = std::max(quant.axis + 1, quant.block > 0 ? 1 : 0);
  if (value.shape.rank < needed_rank) {
    return malformed("axis " + std::to_string(quant.axis) + " of shape " + to_string(value.shape));
  }
  const size_t expected = scale_layout(quant, value.shape).scales();
  if (quant.scale.size() != expected) {
    return malformed(std::to_string(quant.scale.size()) + " scales, shape " +
                     to_string(value.shape) + " needs " + std::to_string(expected));
  }
  return {};
}

}  // namespace firn
