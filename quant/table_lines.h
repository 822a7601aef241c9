// SPDX-License-Identifier: Apache-2.0
// The lines and words of a calibration table, for readers that are strict: every error has the
// line it is about.
#ifndef FIRN_QUANT_TABLE_LINES_H_
#define FIRN_QUANT_TABLE_LINES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "firn/status.h"

namespace firn {

// "a \"name\"\\n": as rows have it.
std::string in_quotes(std::string_view name);

// A plain number: no overflow, nothing behind it, whatever locale the application has set.
std::optional<float> to_float(std::string_view text);
std::optional<uint64_t> to_integer(std::string_view text, int base);

class TableLines {
 public:
  TableLines(std::string_view text, const std::string& source) : rest_(text), source_(source) {}

  Status error(const std::string& what, Code code = Code::malformed) const {
    return {code, source_ + ":" + std::to_string(line_) + ": " + what};
  }
  size_t line() const { return line_; }
  bool at_end() const { return rest_.empty(); }
  // To the next line; malformed where there is none or it is blank.
  Status next(const std::string& expected);
  // What is left of the line; for taking from its front.
  std::string_view& rest_of_line() { return rest_of_line_; }
  // The next word of the line; empty at its end or, if comments are known, where one begins.
  std::string_view word(bool comments = true);

 private:
  std::string_view rest_, rest_of_line_;
  const std::string& source_;
  size_t line_ = 0;
};

}  // namespace firn

#endif  // FIRN_QUANT_TABLE_LINES_H_
