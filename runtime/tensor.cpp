// SPDX-License-Identifier: Apache-2.0
// Sizes and names of element types; shapes, their text and their checked sizes.
#include "firn/tensor.h"

#include <algorithm>
#include <cstdint>

namespace firn {
namespace {

// No tensor may need more bytes than this as f64, nor more than half of an address space: then
// offsets, strides and byte counts fit their types on 32-bit machines, too.
constexpr uint64_t kMaxBytes = std::min<uint64_t>(uint64_t{1} << 40, SIZE_MAX / 2);
constexpr uint64_t kMaxElements = kMaxBytes / 8;

}  // namespace

size_t dtype_bytes(DType type) {
  switch (type) {
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
    case DType::f16:
    case DType::i16:
      return 2;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::i64:
      return 8;
  }
  return 0;
}

const char* dtype_name(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::i8:
      return "i8";
    case DType::u8:
      return "u8";
    case DType::i16:
      return "i16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::boolean:
      return "bool";
  }
  return "unknown";
}

Shape::Shape(std::initializer_list<int32_t> dims) {
  if (dims.size() > kMaxRank) fatal(__FILE__, __LINE__, "a Shape of more than kMaxRank dimensions");
  std::copy(dims.begin(), dims.end(), dim.begin());
  rank = static_cast<uint8_t>(dims.size());
}

Result<Shape> Shape::from(std::span<const int64_t> dims) {
  if (dims.size() > kMaxRank)
    return Status(Code::malformed, "a shape of " + std::to_string(dims.size()) +
                                       " dimensions, at most " + std::to_string(kMaxRank) +
                                       " are known");
  Shape shape;
  shape.rank = static_cast<uint8_t>(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < -1 || dims[i] > INT32_MAX)
      return Status(Code::malformed,
                    "dimension " + std::to_string(i) + " is " + std::to_string(dims[i]));
    shape.dim[i] = static_cast<int32_t>(dims[i]);
  }
  return shape;
}

bool Shape::known() const {
  return std::ranges::all_of(dims(), [](int32_t d) { return d >= 0; });
}

size_t Shape::elements() const {
  if (!known()) return 0;
  size_t product = 1;
  for (int32_t d : dims()) product *= static_cast<size_t>(d);
  return product;
}

std::string to_string(const Shape& shape) {
  if (shape.rank == 0) return "scalar";
  std::string text;
  for (int32_t d : shape.dims()) {
    if (!text.empty()) text += 'x';
    text += d < 0 ? "?" : std::to_string(d);
  }
  return text;
}

Result<size_t> checked_elements(const Shape& shape) {
  // A zero dimension counts as one here, so that the strides of an empty tensor are bounded, too.
  uint64_t bound = 1;
  for (int32_t d : shape.dims()) {
    if (d < 0)
      return Status(Code::malformed, "shape " + to_string(shape) + " has an open dimension");
    bound *= static_cast<uint64_t>(std::max(d, 1));
    if (bound > kMaxElements)
      return Status(Code::malformed, "shape " + to_string(shape) + " is too large");
  }
  return shape.elements();
}

}  // namespace firn
