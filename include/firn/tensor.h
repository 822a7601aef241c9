// SPDX-License-Identifier: Apache-2.0
// Element types, shapes, quantization parameters and the view of a tensor that every call takes.
#ifndef FIRN_TENSOR_H_
#define FIRN_TENSOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "firn/export.h"
#include "firn/status.h"

namespace firn {

enum class DType : uint8_t { f32, f16, i8, u8, i16, i32, i64, boolean };

// Bytes of one element.
FIRN_API size_t dtype_bytes(DType type);
// "f32", "i8", ..., "bool".
FIRN_API const char* dtype_name(DType type);

inline constexpr int kMaxRank = 6;

// Up to six dimensions, outermost first. -1 stands for a dimension that is not known yet.
struct FIRN_API Shape {
  std::array<int32_t, kMaxRank> dim{};
  uint8_t rank = 0;

  Shape() = default;
  Shape(std::initializer_list<int32_t> dims);
  // malformed where there are more than kMaxRank dimensions or one is outside [-1, 2^31).
  static Result<Shape> from(std::span<const int64_t> dims);

  int32_t operator[](int i) const { return dim[static_cast<size_t>(i)]; }
  int32_t& operator[](int i) { return dim[static_cast<size_t>(i)]; }
  std::span<const int32_t> dims() const { return {dim.data(), rank}; }
  bool known() const;  // no -1
  // The product of the dimensions; 0 where one is unknown. Never overflows for shapes that passed
  // checked_elements().
  size_t elements() const;
  bool operator==(const Shape&) const = default;
};

// "1x224x224x3", "?x1000", "scalar".
FIRN_API std::string to_string(const Shape& shape);
// The product of the dimensions, or malformed where one is negative or the bytes of an f64 tensor
// of that shape pass 2^40.
FIRN_API Result<size_t> checked_elements(const Shape& shape);

// real = scale * (q - zero). One scale: per tensor. As many as dim[axis]: per channel. block > 0:
// blocks of that many elements along the innermost dimension share a scale. One zero point a scale.
struct Quant {
  int8_t axis = -1;
  uint8_t bits = 8;
  int32_t block = 0;
  std::vector<float> scale;
  std::vector<int32_t> zero;

  bool per_tensor() const { return axis < 0 && block == 0; }
  bool operator==(const Quant&) const = default;
};

// A view: it owns nothing and is as valid as the memory behind it. Elements are dense, row-major.
struct Tensor {
  DType type = DType::f32;
  Shape shape;
  void* data = nullptr;

  size_t bytes() const { return shape.elements() * dtype_bytes(type); }
  template <typename T>
  std::span<T> as() const {
    return {static_cast<T*>(data), shape.elements()};
  }
};

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::i8;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<int16_t> {
  static constexpr DType value = DType::i16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};

// A view of the caller's memory; inputs are only read.
template <typename T>
Tensor view(const Shape& shape, T* data) {
  using Plain = std::remove_const_t<T>;
  return {DTypeOf<Plain>::value, shape, const_cast<Plain*>(data)};
}

// A tensor by the name that the source model gave it.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

}  // namespace firn

#endif  // FIRN_TENSOR_H_
