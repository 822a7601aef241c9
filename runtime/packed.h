// SPDX-License-Identifier: Apache-2.0
// Weights in fewer bits than a byte: constants of type i8 whose Quant has 2 to 7 bits, one stream
// of two's complement numbers, the lowest bits of each byte first, row-major without gaps. Only the
// weights of layers are stored so; whoever reads others' bytes never meets them (graph_check.cpp).
#ifndef FIRN_RUNTIME_PACKED_H_
#define FIRN_RUNTIME_PACKED_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/graph.h"

namespace firn {

inline bool is_packed(const Value& value) {
  return value.type == DType::i8 && value.quant && value.quant->bits < 8;
}

constexpr size_t packed_bytes(size_t elements, unsigned bits) {
  return elements / 8 * bits + (elements % 8 * bits + 7) / 8;
}
// Of a constant with the value's type, shape and quantization; the shape is known.
size_t constant_bytes(const Value& value);

// `values` fit `bits`, 2 to 8.
std::vector<std::byte> pack_bits(std::span<const int8_t> values, unsigned bits);
// The number at position i of such a stream.
int32_t unpack_one(std::span<const std::byte> packed, unsigned bits, size_t i);
// Those from position `first` on.
void unpack_bits(std::span<const std::byte> packed, unsigned bits, size_t first,
                 std::span<int8_t> values);

// How a quantized tensor is cut: rows of `length` elements, what lies behind one index of the
// dimensions that have scales of their own, each of `blocks` blocks. Scale s of row r and block b
// is number r * blocks + b, unless all rows share them.
struct ScaleLayout {
  size_t rows = 1, length = 0;
  size_t block = 0, blocks = 1;
  // Scales repeat behind so many rows: those of an axis that others come before.
  size_t period = 1;

  size_t scale_of(size_t row, size_t column) const {
    return row % period * blocks + column / block;
  }
  size_t scales() const { return period * blocks; }
};
// `shape` is known, with the rank that the axis needs.
ScaleLayout scale_layout(const Quant& quant, const Shape& shape);

// Weights that a layer reads as floats, though they are stored as something else: f16, or i8 with a
// Quant of any shape.
bool is_stored_weights(const Value& value);
// Of those, what a Gather makes floats of: the rest it moves as it is.
bool gives_floats(const Value& table);
// Elements [first, first + out.size()) of a constant f32, f16 or quantized i8 as floats.
void read_weights(const Value& constant, size_t first, std::span<float> out);

// Whether input i of the operator is weights that may be stored so. Every reader of such knows it.
bool takes_stored_weights(const Op& op, size_t i);

}  // namespace firn

#endif  // FIRN_RUNTIME_PACKED_H_
