// SPDX-License-Identifier: Apache-2.0
// Reads .bin files: blobs without names or sizes, in the order of the layers. What a blob has to
// hold is known from the layer's parameters alone.
#include "runtime/import/ncnn_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "runtime/half.h"

namespace firn::ncnn {
namespace {

// The storage tags. Any other that is not 0 announces a table of 256 numbers and indices into it.
constexpr uint32_t kPlain = 0, kHalf = 0x01306B47, kInt8 = 0x000D4B38, kPlainExtra = 0x0002C056;
constexpr size_t kTableEntries = 256;

// Every blob begins at a multiple of 4.
constexpr size_t padded(size_t bytes) {
  return (bytes + 3) / 4 * 4;
}

// More than any benchmark asks for; a few lines of text must not fill the memory.
constexpr size_t kMaxMadeUpBytes = size_t{4} << 30;

// SplitMix64 (Steele, Lea, Flood 2014).
uint64_t next_random(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

template <typename T>
T load(std::span<const std::byte> bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

// A constant of `shape`, element i being f(i).
template <typename Element>
Result<Value> make_floats(const Shape& shape, Element element) {
  const size_t count = shape.elements();
  FIRN_ASSIGN(auto memory, Buffer::allocate(count * sizeof(float)));
  float* const out = reinterpret_cast<float*>(memory.second.data());
  for (size_t i = 0; i < count; ++i) out[i] = element(i);
  Value value;
  value.shape = shape;
  value.constant = std::move(memory.first);
  return value;
}

}  // namespace

Spread Spread::of_weights(size_t inputs) {
  const float limit = std::sqrt(6.0f / static_cast<float>(std::max<size_t>(inputs, 1)));
  return {-limit, limit};
}

WeightReader WeightReader::made_up() {
  WeightReader reader({}, nullptr);
  reader.made_up_ = true;
  return reader;
}

Result<std::span<const std::byte>> WeightReader::take(size_t bytes) {
  if (bytes > bytes_.size() - position_) {
    return Status(Code::malformed, "the .bin ends too soon: " + std::to_string(bytes) +
                                       " bytes are needed at offset " + std::to_string(position_) +
                                       ", it has " + std::to_string(bytes_.size()));
  }
  const std::span<const std::byte> taken = bytes_.subspan(position_, bytes);
  position_ += bytes;
  return taken;
}

Result<Value> WeightReader::make_up(const Shape& shape, Spread spread) {
  made_up_bytes_ += shape.elements() * sizeof(float);
  if (made_up_bytes_ > kMaxMadeUpBytes) {
    return Status(Code::unsupported, "its made-up weights would pass " +
                                         std::to_string(kMaxMadeUpBytes >> 20) + " MiB");
  }
  return make_floats(shape, [&](size_t) {
    const auto unit = static_cast<float>(next_random(state_) >> 40) * 0x1p-24f;
    return spread.lo + unit * (spread.hi - spread.lo);
  });
}

Result<Value> WeightReader::view_or_copy(std::span<const std::byte> bytes, DType type,
                                         const Shape& shape) {
  Value value;
  value.type = type;
  value.shape = shape;
  if (reinterpret_cast<uintptr_t>(bytes.data()) % dtype_bytes(type) == 0) {
    value.constant = std::make_shared<const Buffer>(owner_, bytes);
    return value;
  }
  FIRN_ASSIGN(auto memory, Buffer::allocate(bytes.size()));
  std::ranges::copy(bytes, memory.second.begin());
  value.constant = std::move(memory.first);
  return value;
}

Result<Value> WeightReader::read(const Shape& shape, Spread spread) {
  FIRN_ASSIGN(const size_t count, checked_elements(shape));
  if (made_up_) return make_up(shape, spread);
  FIRN_ASSIGN(const std::span<const std::byte> bytes, take(count * sizeof(float)));
  return view_or_copy(bytes, DType::f32, shape);
}

Result<Value> WeightReader::read_tagged(const Shape& shape, Spread spread) {
  FIRN_ASSIGN(const size_t count, checked_elements(shape));
  if (made_up_) return make_up(shape, spread);
  FIRN_ASSIGN(const std::span<const std::byte> head, take(sizeof(uint32_t)));
  const auto tag = load<uint32_t>(head, 0);
  switch (tag) {
    case kPlain:
    case kPlainExtra:
      return read(shape, spread);
    case kHalf: {
      FIRN_ASSIGN(const std::span<const std::byte> halves, take(padded(count * sizeof(uint16_t))));
      return make_floats(shape, [&](size_t i) { return half_to_float(load<uint16_t>(halves, i)); });
    }
    case kInt8: {
      FIRN_ASSIGN(const std::span<const std::byte> bytes, take(padded(count)));
      return view_or_copy(bytes.first(count), DType::i8, shape);
    }
    default: {
      FIRN_ASSIGN(const std::span<const std::byte> table, take(kTableEntries * sizeof(float)));
      FIRN_ASSIGN(const std::span<const std::byte> indices, take(padded(count)));
      return make_floats(shape,
                         [&](size_t i) { return load<float>(table, load<uint8_t>(indices, i)); });
    }
  }
}

Status WeightReader::finish() const {
  if (position_ == bytes_.size()) return {};
  return {Code::malformed, "ncnn: the .bin has " + std::to_string(bytes_.size()) +
                               " bytes, the .param's layers take " + std::to_string(position_)};
}

}  // namespace firn::ncnn
