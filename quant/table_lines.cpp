// SPDX-License-Identifier: Apache-2.0
// Lines, words and numbers of calibration tables.
#include "quant/table_lines.h"

#include <cmath>
#include <iomanip>
#include <locale>
#include <sstream>

namespace firn {

std::string in_quotes(std::string_view name) {
  std::string out = "\"";
  for (char c : name) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

std::optional<float> to_float(std::string_view text) {
  std::istringstream in{std::string(text)};
  in.imbue(std::locale::classic());
  float value;
  if (!(in >> value) || !in.eof() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<uint64_t> to_integer(std::string_view text, int base) {
  std::istringstream in{std::string(text)};
  in.imbue(std::locale::classic());
  uint64_t value;
  if (text.starts_with('-') || !(in >> std::setbase(base) >> value) || !in.eof())
    return std::nullopt;
  return value;
}

Status TableLines::next(const std::string& expected) {
  ++line_;
  if (rest_.empty()) return error("the file ends, expected " + expected);
  const size_t end = rest_.find('\n');
  rest_of_line_ = rest_.substr(0, end);
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  if (rest_of_line_.ends_with('\r')) rest_of_line_.remove_suffix(1);
  if (rest_of_line_.find_first_not_of(" \t") == std::string_view::npos)
    return error("blank line, expected " + expected);
  return {};
}

std::string_view TableLines::word(bool comments) {
  const size_t begin = rest_of_line_.find_first_not_of(" \t");
  if (begin == std::string_view::npos || (comments && rest_of_line_[begin] == '#')) return {};
  rest_of_line_.remove_prefix(begin);
  const std::string_view found = rest_of_line_.substr(0, rest_of_line_.find_first_of(" \t"));
  rest_of_line_.remove_prefix(found.size());
  return found;
}

}  // namespace firn
