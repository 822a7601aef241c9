// SPDX-License-Identifier: Apache-2.0
// Text for people: formatting, units, aligned tables, and whole small files as strings.
#ifndef FIRN_EXAMPLES_FIRN_TEXT_H_
#define FIRN_EXAMPLES_FIRN_TEXT_H_

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firn/status.h"

namespace firn::tool {

// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

// Text from a file or a model as one safe line of a terminal: control characters become '?'.
std::string one_line(std::string_view text);

// Bytes of the well-formed UTF-8 character (RFC 3629) that `text`, not empty, starts with; 0 where
// it starts with none.
size_t utf8_length(std::string_view text);

// "3.5 M", "14.0 MB", "87.25 %", "34.1 dB", "exact" for infinite dB.
std::string count_text(size_t count);
std::string bytes_text(size_t bytes);
std::string percent_text(double fraction);
std::string decibel_text(double db);

// The parts of "a,b,c"; one empty part for an empty text.
std::vector<std::string> split(std::string_view text, char separator);
// The whole of `text` as a number: no spaces, no rest, in T's range. T: int, size_t, float.
template <typename T>
Result<T> parse_number(std::string_view text);

// The size of a regular file. not_found; io_error for folders and devices.
Result<size_t> file_bytes(const std::string& path);
// The bytes of a regular file. not_found, io_error.
Result<std::string> read_file(const std::string& path);

// `name` as a file's name that is not in `taken` yet, and adds it there: anything but letters,
// digits, '.', '_' and '-' becomes '_', also a '.' at the start.
std::string unique_file_name(std::string_view name, std::set<std::string>& taken);

// Rows of cells that are printed with aligned columns.
class Table {
 public:
  // One character a column: 'l' aligns left, 'r' right. Rows have as many cells.
  explicit Table(std::string_view align) : align_(align) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // Every line starts with `indent` spaces.
  std::string text(int indent = 0) const;

 private:
  std::string align_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_TEXT_H_
