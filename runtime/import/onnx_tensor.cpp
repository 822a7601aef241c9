// SPDX-License-Identifier: Apache-2.0
// Element types, raw and typed data, and external files of ONNX tensors.
#include "runtime/import/onnx_tensor.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "runtime/half.h"

namespace firn::onnx {
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX's raw data is little-endian");

size_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::u8:
    case ElementType::i8:
    case ElementType::boolean:
      return 1;
    case ElementType::i16:
    case ElementType::f16:
    case ElementType::bf16:
      return 2;
    case ElementType::f32:
    case ElementType::i32:
      return 4;
    default:
      return 8;
  }
}

float bfloat_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

template <typename From, typename To, typename Convert>
void convert_raw(std::span<const std::byte> raw, std::span<std::byte> out, Convert convert) {
  To* to = reinterpret_cast<To*>(out.data());
  for (size_t i = 0; i < out.size() / sizeof(To); ++i) {
    From from;
    std::memcpy(&from, raw.data() + i * sizeof(From), sizeof(From));
    to[i] = convert(from);
  }
}

// Fills `out` from raw data of as many elements as it has.
void fill_from_raw(ElementType type, std::span<const std::byte> raw, std::span<std::byte> out) {
  switch (type) {
    case ElementType::f16:
      return convert_raw<uint16_t, float>(raw, out, half_to_float);
    case ElementType::bf16:
      return convert_raw<uint16_t, float>(raw, out, bfloat_to_float);
    case ElementType::f64:
      return convert_raw<double, float>(raw, out, [](double v) { return static_cast<float>(v); });
    case ElementType::boolean:  // any other bit pattern would be undefined as a bool
      return convert_raw<uint8_t, uint8_t>(raw, out, [](uint8_t v) { return uint8_t{v != 0}; });
    default:
      std::ranges::copy(raw, out.begin());
  }
}

// Narrows typed data, in ranges; the first value that does not fit makes it false.
template <typename To, typename From>
bool narrow(const std::vector<From>& from, std::span<std::byte> out, int64_t lo, int64_t hi) {
  To* to = reinterpret_cast<To*>(out.data());
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] < lo || from[i] > hi) return false;
    to[i] = static_cast<To>(from[i]);
  }
  return true;
}

template <typename To>
bool narrow(const std::vector<int32_t>& from, std::span<std::byte> out) {
  return narrow<To>(from, out, std::numeric_limits<To>::min(), std::numeric_limits<To>::max());
}

size_t typed_count(const TensorProto& proto) {
  switch (proto.type) {
    case ElementType::f32:
      return proto.floats.size();
    case ElementType::f64:
      return proto.doubles.size();
    case ElementType::i64:
      return proto.int64s.size();
    default:
      return proto.int32s.size();
  }
}

bool fill_from_typed(const TensorProto& proto, std::span<std::byte> out) {
  float* floats = reinterpret_cast<float*>(out.data());
  switch (proto.type) {
    case ElementType::f32:
      std::ranges::copy(proto.floats, floats);
      return true;
    case ElementType::f64:
      std::ranges::transform(proto.doubles, floats, [](double v) { return static_cast<float>(v); });
      return true;
    case ElementType::i64:
      std::ranges::copy(proto.int64s, reinterpret_cast<int64_t*>(out.data()));
      return true;
    case ElementType::f16:
    case ElementType::bf16: {
      const auto convert = proto.type == ElementType::f16 ? half_to_float : bfloat_to_float;
      for (size_t i = 0; i < proto.int32s.size(); ++i) {
        const int32_t bits = proto.int32s[i];
        if (bits < 0 || bits > 0xFFFF) return false;
        floats[i] = convert(static_cast<uint16_t>(bits));
      }
      return true;
    }
    case ElementType::u8:
      return narrow<uint8_t>(proto.int32s, out);
    case ElementType::i8:
      return narrow<int8_t>(proto.int32s, out);
    case ElementType::i16:
      return narrow<int16_t>(proto.int32s, out);
    case ElementType::boolean:
      return narrow<uint8_t>(proto.int32s, out, 0, 1);
    default:
      return narrow<int32_t>(proto.int32s, out);
  }
}

// Whether a constant can view the file: the bytes are what a graph wants, lie aligned, and have the
// readable bytes behind them that a Buffer promises.
bool can_view(ElementType type, std::span<const std::byte> bytes,
              std::span<const std::byte> whole) {
  switch (type) {
    case ElementType::f16:
    case ElementType::bf16:
    case ElementType::f64:
    case ElementType::boolean:
      return false;
    default: {
      const uintptr_t begin = reinterpret_cast<uintptr_t>(bytes.data());
      const uintptr_t end = reinterpret_cast<uintptr_t>(whole.data()) + whole.size();
      return begin % element_bytes(type) == 0 && begin < end &&
             end - begin >= bytes.size() + Buffer::kSlack;
    }
  }
}

// The one value of `key`; a second one is malformed.
Result<std::optional<std::string_view>> entry(const TensorProto& proto, std::string_view key) {
  std::optional<std::string_view> found;
  for (const auto& [name, value] : proto.external_data) {
    if (name != key) continue;
    if (found) return Status(Code::malformed, "external data has two of " + std::string(key));
    found = value;
  }
  return found;
}

Result<std::optional<size_t>> size_entry(const TensorProto& proto, std::string_view key) {
  FIRN_ASSIGN(const std::optional<std::string_view> text, entry(proto, key));
  if (!text) return std::optional<size_t>();
  size_t value = 0;
  const char* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return Status(Code::malformed, "external data: " + std::string(key) + " is '" +
                                       std::string(*text) + "', not a number of bytes");
  }
  return std::optional<size_t>(value);
}

Status with_name(const std::string& what, const Status& status) {
  return {status.code(), "onnx: " + what + ": " + status.message()};
}

}  // namespace

std::optional<DType> canonical_type(ElementType type) {
  switch (type) {
    case ElementType::f32:
    case ElementType::f16:
    case ElementType::bf16:
    case ElementType::f64:
      return DType::f32;
    case ElementType::u8:
      return DType::u8;
    case ElementType::i8:
      return DType::i8;
    case ElementType::i16:
      return DType::i16;
    case ElementType::i32:
      return DType::i32;
    case ElementType::i64:
      return DType::i64;
    case ElementType::boolean:
      return DType::boolean;
    default:
      return std::nullopt;
  }
}

std::string element_name(ElementType type) {
  constexpr const char* kNames[] = {"undefined",  "float",   "uint8",  "int8",   "uint16",
                                    "int16",      "int32",   "int64",  "string", "bool",
                                    "float16",    "double",  "uint32", "uint64", "complex64",
                                    "complex128", "bfloat16"};
  const size_t at = static_cast<size_t>(type);
  return at < std::size(kNames) ? kNames[at] : "type " + std::to_string(at);
}

Result<TensorReader::Source> TensorReader::external(const TensorProto& proto, size_t expected) {
  FIRN_ASSIGN(const std::optional<std::string_view> location, entry(proto, "location"));
  FIRN_ASSIGN(const std::optional<size_t> given_offset, size_entry(proto, "offset"));
  FIRN_ASSIGN(const std::optional<size_t> given_length, size_entry(proto, "length"));
  if (!location) return Status(Code::malformed, "external data without a location");
  FIRN_ASSIGN(const MappedFile file, files_->open(*location));
  const size_t offset = given_offset.value_or(0), length = given_length.value_or(expected);
  if (offset > file.bytes.size() || length > file.bytes.size() - offset) {
    return Status(Code::malformed, "external data '" + std::string(*location) + "' has " +
                                       std::to_string(file.bytes.size()) + " bytes, needs " +
                                       std::to_string(length) + " at offset " +
                                       std::to_string(offset));
  }
  return Source{file.owner, file.bytes.subspan(offset, length), file.bytes};
}

Result<Value> TensorReader::read(const TensorProto& proto, const std::string& what) {
  const std::optional<DType> type = canonical_type(proto.type);
  if (!type) {
    return Status(Code::unsupported,
                  "onnx: " + what + ": type " + element_name(proto.type) + " is not supported");
  }
  for (const int64_t dim : proto.dims) {
    if (dim < 0) {
      return Status(Code::malformed, "onnx: " + what + ": a dimension is " + std::to_string(dim));
    }
  }
  if (proto.dims.size() > kMaxRank) {
    return Status(Code::unsupported, "onnx: " + what + ": rank " +
                                         std::to_string(proto.dims.size()) + ", at most " +
                                         std::to_string(kMaxRank) + " is supported");
  }
  const Result<Shape> shape = Shape::from(proto.dims);
  if (!shape.ok()) return with_name(what, shape.status());
  const Result<size_t> elements = checked_elements(*shape);
  if (!elements.ok()) return with_name(what, elements.status());

  Value value;
  value.name = proto.name;
  value.type = *type;
  value.shape = *shape;
  const size_t expected = *elements * element_bytes(proto.type);
  if (!proto.external && !proto.raw) {
    if (typed_count(proto) != *elements) {
      return Status(Code::malformed, "onnx: " + what + ": shape " + to_string(*shape) + " has " +
                                         std::to_string(*elements) + " elements, the data has " +
                                         std::to_string(typed_count(proto)));
    }
    FIRN_ASSIGN(auto memory, Buffer::allocate(*elements * dtype_bytes(*type)));
    if (!fill_from_typed(proto, memory.second)) {
      return Status(Code::malformed,
                    "onnx: " + what + ": a value does not fit " + element_name(proto.type));
    }
    value.constant = std::move(memory.first);
    return value;
  }

  Source source{owner_, {}, bytes_};
  if (proto.external) {
    Result<Source> file = external(proto, expected);
    if (!file.ok()) return with_name(what, file.status());
    source = *file;
  } else {
    source.bytes = std::as_bytes(std::span(proto.raw->data(), proto.raw->size()));
  }
  if (source.bytes.size() != expected) {
    return Status(Code::malformed, "onnx: " + what + ": " + element_name(proto.type) + " " +
                                       to_string(*shape) + " needs " + std::to_string(expected) +
                                       " bytes, has " + std::to_string(source.bytes.size()));
  }
  if (can_view(proto.type, source.bytes, source.whole)) {
    value.constant = std::make_shared<const Buffer>(source.owner, source.bytes);
    return value;
  }
  FIRN_ASSIGN(auto memory, Buffer::allocate(*elements * dtype_bytes(*type)));
  fill_from_raw(proto.type, source.bytes, memory.second);
  value.constant = std::move(memory.first);
  return value;
}

}  // namespace firn::onnx
