// SPDX-License-Identifier: Apache-2.0
// Plain fields to bytes and back; a reader past the end gives zeros and remembers it.
#ifndef FIRN_QUANT_BYTE_STREAM_H_
#define FIRN_QUANT_BYTE_STREAM_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace firn {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

class ByteWriter {
 public:
  template <typename T>
  void plain(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  // Seven bits a byte, the lowest first.
  void count(uint64_t value) {
    for (; value >= 0x80; value >>= 7) plain(static_cast<uint8_t>(value | 0x80));
    plain(static_cast<uint8_t>(value));
  }
  void text(const std::string& value) {
    count(value.size());
    for (char c : value) plain(c);
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename T>
  T plain() {
    T value{};
    if (rest_.size() < sizeof value) {
      fail();
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
    return value;
  }
  uint64_t count() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = plain<uint8_t>();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }
  // A number of things of which each takes a byte at least.
  size_t length() {
    const uint64_t value = count();
    if (value <= rest_.size()) return static_cast<size_t>(value);
    fail();
    return 0;
  }
  std::string text() {
    const size_t size = length();
    std::string value(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    return value;
  }

  void fail() {
    failed_ = true;
    rest_ = {};
  }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  bool has(size_t bytes) const { return bytes <= rest_.size(); }

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

}  // namespace firn

#endif  // FIRN_QUANT_BYTE_STREAM_H_
