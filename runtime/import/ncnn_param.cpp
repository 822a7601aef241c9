// SPDX-License-Identifier: Apache-2.0
// Reads .param text: a magic number, the counts, and a line for each layer.
#include "runtime/import/ncnn_param.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_set>

namespace firn::ncnn {
namespace {

constexpr std::string_view kSpaces = " \t\r\v\f";

// Old arrays write -23300 - id for an id, then the count.
constexpr int64_t kOldArray = -23300;

std::string quoted(std::string_view text) {
  return "'" + std::string(text.substr(0, 64)) + "'";
}

template <typename T>
std::optional<T> parse(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Number> parse_number(std::string_view text) {
  if (const auto integer = parse<int32_t>(text)) return Number::of(*integer);
  const auto real = parse<double>(text);
  // Larger than floats can be is no number; smaller is zero.
  if (!real || !std::isfinite(static_cast<float>(*real))) return std::nullopt;
  return Number::of(static_cast<float>(*real));
}

class TextReader {
 public:
  explicit TextReader(std::string_view text) : rest_(text) {}
  Result<std::vector<Layer>> run();

 private:
  Status malformed(const std::string& what) const {
    return {Code::malformed, "ncnn: line " + std::to_string(line_number_) + ": " + what};
  }
  bool next_line();
  std::string_view next_word();
  Result<int32_t> next_count(const char* what);
  Result<Layer> read_layer();
  Result<Param> read_param();
  Status read_list(std::string_view list, Param& param) const;

  std::string_view rest_, line_;
  size_t line_number_ = 0;
};

// The next line with a word on it.
bool TextReader::next_line() {
  while (!rest_.empty()) {
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    line_ = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_number_;
    if (line_.find_first_not_of(kSpaces) != std::string_view::npos) return true;
  }
  line_ = {};
  return false;
}

std::string_view TextReader::next_word() {
  const size_t begin = std::min(line_.find_first_not_of(kSpaces), line_.size());
  line_.remove_prefix(begin);
  size_t end = 0;
  bool in_quotes = false;
  while (end < line_.size() && (in_quotes || kSpaces.find(line_[end]) == std::string_view::npos)) {
    if (line_[end] == '"') in_quotes = !in_quotes;
    ++end;
  }
  const std::string_view word = line_.substr(0, end);
  line_.remove_prefix(end);
  return word;
}

Result<int32_t> TextReader::next_count(const char* what) {
  const std::string_view word = next_word();
  const auto count = parse<int32_t>(word);
  if (!count) {
    return malformed(std::string(what) + " is " + quoted(word) + ", expected a number");
  }
  if (*count < 0) return malformed(std::string(what) + " is " + std::to_string(*count));
  return *count;
}

Status TextReader::read_list(std::string_view list, Param& param) const {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    const auto number = parse_number(list.substr(0, end));
    if (!number) {
      return malformed("parameter " + std::to_string(param.id) + " has " +
                       quoted(list.substr(0, end)) + " in its list, expected a number");
    }
    param.numbers.push_back(*number);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return {};
}

// "0=64", "1=0.5", "3=1,2,3", "-23303=3,1,2,3", "6=text", "6=\"text\"".
Result<Param> TextReader::read_param() {
  const std::string_view word = next_word();
  const size_t equals = word.find('=');
  const auto key = parse<int32_t>(word.substr(0, std::min(equals, word.size())));
  if (equals == std::string_view::npos || !key) {
    return malformed(quoted(word) + " is no parameter like 0=1");
  }
  Param param;
  const bool old_array = *key <= kOldArray;
  const int64_t id = old_array ? kOldArray - *key : *key;
  if (id < 0 || id >= kMaxParams) {
    return malformed("parameter " + std::to_string(*key) + ": its number is out of range");
  }
  param.id = static_cast<int>(id);
  std::string_view value = word.substr(equals + 1);
  if (value.empty()) return malformed("parameter " + std::to_string(id) + " has no value");
  if (old_array) {
    const size_t comma = std::min(value.find(','), value.size());
    const auto count = parse<int32_t>(value.substr(0, comma));
    param.array = true;
    FIRN_TRY(read_list(value.substr(std::min(comma + 1, value.size())), param));
    if (!count || *count < 0 || static_cast<size_t>(*count) != param.numbers.size()) {
      return malformed("parameter " + std::to_string(id) + " states " +
                       quoted(value.substr(0, comma)) + " elements, there are " +
                       std::to_string(param.numbers.size()));
    }
    return param;
  }
  if (value.front() == '"' || std::isalpha(static_cast<unsigned char>(value.front())) != 0) {
    if (value.front() == '"') value.remove_prefix(1);
    if (value.ends_with('"')) value.remove_suffix(1);
    param.text = true;
    param.string = value;
    return param;
  }
  param.array = value.find(',') != std::string_view::npos;
  FIRN_TRY(read_list(value, param));
  return param;
}

Result<Layer> TextReader::read_layer() {
  Layer layer;
  layer.type = next_word();
  layer.name = next_word();
  if (layer.name.empty()) return malformed("the layer has no name");
  FIRN_ASSIGN(const int32_t bottoms, next_count("the number of inputs"));
  FIRN_ASSIGN(const int32_t tops, next_count("the number of outputs"));
  for (auto [count, blobs] : {std::pair(bottoms, &layer.bottoms), std::pair(tops, &layer.tops)}) {
    for (int32_t i = 0; i < count; ++i) {
      const std::string_view blob = next_word();
      if (blob.empty()) {
        return malformed("layer " + quoted(layer.name) + " states " + std::to_string(bottoms) +
                         " inputs and " + std::to_string(tops) + " outputs, its line ends before");
      }
      blobs->emplace_back(blob);
    }
  }
  std::array<bool, kMaxParams> seen{};
  while (line_.find_first_not_of(kSpaces) != std::string_view::npos) {
    FIRN_ASSIGN(Param param, read_param());
    if (std::exchange(seen[static_cast<size_t>(param.id)], true)) {
      return malformed("layer " + quoted(layer.name) + ": parameter " + std::to_string(param.id) +
                       " is given twice");
    }
    layer.params.push_back(std::move(param));
  }
  return layer;
}

Result<std::vector<Layer>> TextReader::run() {
  if (!next_line() || next_word() != kTextMagic) return malformed("expected 7767517");
  if (!next_line()) return malformed("the number of layers is missing");
  FIRN_ASSIGN(const int32_t layer_count, next_count("the number of layers"));
  FIRN_ASSIGN(const int32_t blob_count, next_count("the number of blobs"));
  if (layer_count == 0) return malformed("the number of layers is 0");
  std::vector<Layer> layers;
  std::unordered_set<std::string> blobs;
  // As ncnn does, what stands behind that many layers is not read.
  while (layers.size() < static_cast<size_t>(layer_count) && next_line()) {
    FIRN_ASSIGN(Layer layer, read_layer());
    blobs.insert(layer.tops.begin(), layer.tops.end());
    if (blobs.size() > static_cast<size_t>(blob_count)) {
      return malformed("another blob, the file states " + std::to_string(blob_count));
    }
    layers.push_back(std::move(layer));
  }
  if (layers.size() < static_cast<size_t>(layer_count)) {
    return malformed("the file ends after " + std::to_string(layers.size()) +
                     " layers, it states " + std::to_string(layer_count));
  }
  return layers;
}

}  // namespace

Number Number::of(int32_t value) {
  return {Kind::integer, static_cast<uint32_t>(value)};
}

Number Number::of(float value) {
  return {Kind::real, std::bit_cast<uint32_t>(value)};
}

std::optional<int32_t> Number::as_int() const {
  if (kind_ != Kind::real) return static_cast<int32_t>(bits_);
  const float value = std::bit_cast<float>(bits_);
  if (value != std::trunc(value) || std::abs(value) > 2147483520.0f) return std::nullopt;
  return static_cast<int32_t>(value);
}

// ncnn reads 32 bits as they stand, so that some converters wrote floats as the integers of the
// same bits. Small integers would be denormal numbers: those are meant as what they say.
float Number::as_float() const {
  constexpr int32_t kLeastNormal = 0x00800000;
  const auto integer = static_cast<int32_t>(bits_);
  if (kind_ == Kind::integer && integer > -kLeastNormal && integer < kLeastNormal) {
    return static_cast<float>(integer);
  }
  return std::bit_cast<float>(bits_);
}

bool is_text_param(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::string_view rest = text.substr(begin);
  return rest.starts_with(kTextMagic) &&
         (rest.size() == kTextMagic.size() || std::isspace(rest[kTextMagic.size()]) != 0);
}

bool is_binary_param(std::span<const std::byte> bytes) {
  int32_t magic = 0;
  if (bytes.size() < sizeof(magic)) return false;
  std::memcpy(&magic, bytes.data(), sizeof(magic));
  return magic == kMagic;
}

Result<std::vector<Layer>> parse_text_param(std::string_view text) {
  return TextReader(text).run();
}

}  // namespace firn::ncnn
