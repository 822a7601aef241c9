// SPDX-License-Identifier: Apache-2.0
// ncnn's .param files, text and binary: layers, the blobs they read and write, and their numbered
// parameters.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_PARAM_H_
#define FIRN_RUNTIME_IMPORT_NCNN_PARAM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firn/status.h"

namespace firn::ncnn {

inline constexpr int32_t kMagic = 7767517;
inline constexpr std::string_view kTextMagic = "7767517";
inline constexpr int kMaxParams = 32;

// 32 bits whose type the text tells and the binary form does not: there the reader has to know.
class Number {
 public:
  static Number of(int32_t value);
  static Number of(float value);
  static Number of_bits(uint32_t bits) { return {Kind::either, bits}; }

  bool is_integer() const { return kind_ == Kind::integer; }
  // None where the file says it is a fraction.
  std::optional<int32_t> as_int() const;
  float as_float() const;

 private:
  enum class Kind : uint8_t { integer, real, either };
  Number(Kind kind, uint32_t bits) : kind_(kind), bits_(bits) {}
  Kind kind_;
  uint32_t bits_;
};

struct Param {
  int id = 0;
  bool array = false, text = false;
  std::vector<Number> numbers{};  // one, or those of an array
  std::string string{};           // of a text
};

struct Layer {
  std::string type, name;
  std::vector<std::string> bottoms, tops;  // blobs read and written
  std::vector<Param> params;               // one an id
};

bool is_text_param(std::span<const std::byte> bytes);
bool is_binary_param(std::span<const std::byte> bytes);

// malformed names the line, or the layer's number. A binary file has no names: blobs are called
// by their numbers, layers by type and number. The order of blobs is not checked here.
Result<std::vector<Layer>> parse_text_param(std::string_view text);
Result<std::vector<Layer>> parse_binary_param(std::span<const std::byte> bytes);

// The type that a binary file numbers so; empty where there is none.
std::string_view layer_type(int32_t number);

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_PARAM_H_
