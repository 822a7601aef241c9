// SPDX-License-Identifier: Apache-2.0
// Reads comma-separated values with a header row (RFC 4180).
#ifndef FIRN_EXAMPLES_FIRN_CSV_H_
#define FIRN_EXAMPLES_FIRN_CSV_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "firn/status.h"

namespace firn::tool {

struct Csv {
  struct Row {
    int line = 0;  // of the file, from 1
    std::vector<std::string> cells;
  };
  std::string path;
  std::vector<std::string> header;
  std::vector<Row> rows;  // each with as many cells as the header; blank lines are left out

  // malformed where the header does not name it exactly once.
  Result<size_t> column(std::string_view name) const;
};

// Quoted cells may hold commas, line ends and "" for a quote; line ends are \n or \r\n.
// malformed names the line.
Result<Csv> parse_csv(std::string path, std::string_view text);
Result<Csv> read_csv(const std::string& path);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_CSV_H_
