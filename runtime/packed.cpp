// SPDX-License-Identifier: Apache-2.0
// Streams of small numbers, the layout of scales, and weights as floats whatever they are stored
// as.
#include "runtime/packed.h"

#include <algorithm>
#include <cstring>

#include "runtime/half.h"
#include "runtime/recurrent.h"

namespace firn {

size_t constant_bytes(const Value& value) {
  const size_t elements = value.shape.elements();
  return is_packed(value) ? packed_bytes(elements, value.quant->bits)
                          : elements * dtype_bytes(value.type);
}

std::vector<std::byte> pack_bits(std::span<const int8_t> values, unsigned bits) {
  std::vector<std::byte> packed(packed_bytes(values.size(), bits));
  const uint32_t mask = (1u << bits) - 1;
  uint32_t waiting = 0;
  unsigned count = 0;
  size_t at = 0;
  for (const int8_t v : values) {
    waiting |= (static_cast<uint32_t>(v) & mask) << count;
    for (count += bits; count >= 8; count -= 8, waiting >>= 8)
      packed[at++] = static_cast<std::byte>(waiting);
  }
  if (count > 0) packed[at] = static_cast<std::byte>(waiting);
  return packed;
}

int32_t unpack_one(std::span<const std::byte> packed, unsigned bits, size_t i) {
  int8_t value = 0;
  unpack_bits(packed, bits, i, {&value, 1});
  return value;
}

void unpack_bits(std::span<const std::byte> packed, unsigned bits, size_t first,
                 std::span<int8_t> values) {
  if (bits == 8) {
    std::memcpy(values.data(), packed.data() + first, values.size());
    return;
  }
  const uint32_t mask = (1u << bits) - 1, sign = 1u << (bits - 1);
  size_t at = first / 8 * bits + first % 8 * bits / 8;
  unsigned count = 0;  // bits that wait
  uint32_t waiting = 0;
  unsigned skip = static_cast<unsigned>(first % 8 * bits % 8);
  for (int8_t& v : values) {
    while (count < bits + skip) {
      waiting |= std::to_integer<uint32_t>(packed[at++]) << count;
      count += 8;
    }
    const uint32_t raw = waiting >> skip & mask;
    waiting >>= bits + skip;
    count -= bits + skip;
    skip = 0;
    v = static_cast<int8_t>(static_cast<int32_t>(raw ^ sign) - static_cast<int32_t>(sign));
  }
}

ScaleLayout scale_layout(const Quant& quant, const Shape& shape) {
  ScaleLayout layout;
  const size_t elements = shape.elements();
  const auto product = [&](int end) {
    size_t n = 1;
    for (int a = 0; a < end; ++a) n *= static_cast<size_t>(shape[a]);
    return n;
  };
  if (quant.per_tensor()) {
    layout.length = layout.block = std::max<size_t>(1, elements);
    return layout;
  }
  const int ends = quant.axis >= 0 ? quant.axis + 1 : shape.rank - 1;
  layout.rows = product(ends);
  layout.length = layout.rows == 0 ? 0 : elements / layout.rows;
  layout.period = layout.rows;
  layout.block = std::max<size_t>(1, layout.length);
  if (quant.block > 0) {
    layout.block = static_cast<size_t>(quant.block);
    layout.blocks = (layout.length + layout.block - 1) / layout.block;
  } else {
    layout.period = static_cast<size_t>(shape[quant.axis]);
  }
  return layout;
}

bool is_stored_weights(const Value& value) {
  return value.constant != nullptr &&
         (value.type == DType::f16 || (value.type == DType::i8 && value.quant.has_value()));
}

bool gives_floats(const Value& table) {
  return is_stored_weights(table) &&
         (table.type == DType::f16 || table.quant->bits < 8 || !table.quant->per_tensor());
}

void read_weights(const Value& constant, size_t first, std::span<float> out) {
  const std::span<const std::byte> bytes = constant.constant->bytes();
  if (constant.type == DType::f32) {
    std::memcpy(out.data(), bytes.data() + first * sizeof(float), out.size_bytes());
    return;
  }
  if (constant.type == DType::f16) {
    const auto* from = reinterpret_cast<const uint16_t*>(bytes.data()) + first;
    for (size_t i = 0; i < out.size(); ++i) out[i] = half_to_float(from[i]);
    return;
  }
  const Quant& quant = *constant.quant;
  const ScaleLayout layout = scale_layout(quant, constant.shape);
  constexpr size_t kChunk = 256;
  int8_t q[kChunk];
  for (size_t done = 0; done < out.size();) {
    // What has one scale.
    const size_t row = (first + done) / layout.length, column = (first + done) % layout.length;
    const size_t end = std::min(layout.length, column / layout.block * layout.block + layout.block);
    const size_t n = std::min({end - column, out.size() - done, kChunk});
    unpack_bits(bytes, quant.bits, first + done, {q, n});
    const size_t s = layout.scale_of(row, column);
    const int32_t zero = quant.zero[s];
    const float scale = quant.scale[s];
    for (size_t i = 0; i < n; ++i) out[done + i] = static_cast<float>(q[i] - zero) * scale;
    done += n;
  }
}

bool takes_stored_weights(const Op& op, size_t i) {
  if (std::holds_alternative<Conv2d>(op) || std::holds_alternative<ConvTranspose2d>(op) ||
      std::holds_alternative<Dense>(op))
    return i == 1;
  if (std::holds_alternative<Recurrent>(op))
    return i == recurrent::kW || i == recurrent::kR || i == recurrent::kProjection;
  return std::holds_alternative<Gather>(op) && i == 0;
}

}  // namespace firn
