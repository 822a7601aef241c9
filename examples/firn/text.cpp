// SPDX-License-Identifier: Apache-2.0
// Text for people: formatting, units, aligned tables, and whole small files as strings.
#include "text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace firn::tool {

std::string format(const char* pattern, ...) {
  va_list args, again;
  va_start(args, pattern);
  va_copy(again, args);
  const int length = std::vsnprintf(nullptr, 0, pattern, args);
  va_end(args);
  std::string text(static_cast<size_t>(std::max(length, 0)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  return text;
}

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return line;
}

size_t utf8_length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length == 0 || lead > 0xf4 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies past U+10FFFF.
  if (lead == 0xe0 && at(1) < 0xa0) return 0;
  if (lead == 0xed && at(1) > 0x9f) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

namespace {

std::string scaled(double value, const char* unit) {
  static constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T"};
  size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  const int decimals = prefix == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  const std::string tail = std::string(kPrefixes[prefix]) + unit;
  return format("%.*f", decimals, value) + (tail.empty() ? "" : " " + tail);
}

}  // namespace

std::string count_text(size_t count) {
  return scaled(static_cast<double>(count), "");
}
std::string bytes_text(size_t bytes) {
  return scaled(static_cast<double>(bytes), "B");
}
std::string percent_text(double fraction) {
  return format("%.2f %%", 100 * fraction);
}

std::string decibel_text(double db) {
  if (std::isinf(db)) return db > 0 ? "exact" : "-inf dB";
  return format("%.1f dB", db);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    parts.emplace_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

template <typename T>
Result<T> parse_number(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range) {
    return Status(Code::invalid_argument, "'" + std::string(text) + "' is out of range");
  }
  if (error != std::errc() || rest != end) {
    return Status(Code::invalid_argument, "'" + std::string(text) + "' is not a number");
  }
  return value;
}

template Result<int> parse_number(std::string_view);
template Result<size_t> parse_number(std::string_view);
template Result<float> parse_number(std::string_view);

Result<size_t> file_bytes(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return Status(Code::not_found, path + ": no such file");
  if (std::filesystem::is_directory(status)) {
    return Status(Code::io_error, path + ": is a folder, expected a file");
  }
  if (!std::filesystem::is_regular_file(status)) {
    return Status(Code::io_error, path + ": not a regular file");
  }
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) return Status(Code::io_error, path + ": " + error.message());
  return static_cast<size_t>(bytes);
}

Result<std::string> read_file(const std::string& path) {
  FIRN_ASSIGN(const size_t bytes, file_bytes(path));
  std::string text(bytes, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(bytes))) {
    return Status(Code::io_error, path + ": cannot be read");
  }
  return text;
}

std::string unique_file_name(std::string_view name, std::set<std::string>& taken) {
  constexpr size_t kMaxLength = 200;  // file systems take 255 bytes, endings included
  std::string stem(name.substr(0, kMaxLength));
  for (char& c : stem) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') c = '_';
  }
  if (stem.empty()) stem = "output";
  if (stem[0] == '.') stem[0] = '_';
  std::string unique = stem;
  for (int i = 2; !taken.insert(unique).second; ++i) unique = stem + "_" + std::to_string(i);
  return unique;
}

std::string Table::text(int indent) const {
  std::vector<size_t> width(align_.size());
  for (const auto& cells : rows_) {
    for (size_t i = 0; i < cells.size(); ++i) width[i] = std::max(width[i], cells[i].size());
  }
  std::string text;
  for (const auto& cells : rows_) {
    std::string line(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string fill(width[i] - cells[i].size(), ' ');
      if (i > 0) line += "  ";
      line += align_[i] == 'r' ? fill + cells[i] : cells[i] + fill;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

}  // namespace firn::tool
