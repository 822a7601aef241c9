// SPDX-License-Identifier: Apache-2.0
// Reads comma-separated values with a header row (RFC 4180).
#include "csv.h"

#include <algorithm>
#include <utility>

#include "text.h"

namespace firn::tool {
namespace {

// Takes rows from the front of a text.
class Scanner {
 public:
  Scanner(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  bool done() const { return text_.empty(); }

  Result<Csv::Row> row() {
    Csv::Row row{line_, {}};
    while (true) {
      FIRN_ASSIGN(std::string text, cell());
      row.cells.push_back(std::move(text));
      if (take(',')) continue;
      if (done() || take('\n')) return row;
      return error("text after a closing quote");
    }
  }

 private:
  bool take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    if (c == '\n') ++line_;
    return true;
  }

  Result<std::string> cell() {
    if (!take('"')) {
      const size_t length = std::min(text_.find_first_of(",\n"), text_.size());
      std::string cell(text_.substr(0, length));
      text_.remove_prefix(length);
      return cell;
    }
    const int opened = line_;
    std::string cell;
    while (!done()) {
      const char c = text_[0];
      text_.remove_prefix(1);
      if (c == '"' && !take('"')) return cell;
      if (c == '\n') ++line_;
      cell += c;
    }
    line_ = opened;
    return error("a quote is never closed");
  }

  Status error(const char* what) const {
    return {Code::malformed, format("%s:%d: %s", path_.c_str(), line_, what)};
  }

  const std::string& path_;
  std::string_view text_;
  int line_ = 1;
};

std::string with_unix_line_ends(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\r\n")) continue;
    out += text[i];
  }
  return out;
}

}  // namespace

Result<size_t> Csv::column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end() || std::count(header.begin(), header.end(), name) > 1) {
    return Status(Code::malformed,
                  format("%s: expected one column '%s', got %s", path.c_str(),
                         std::string(name).c_str(), found == header.end() ? "none" : "several"));
  }
  return static_cast<size_t>(found - header.begin());
}

Result<Csv> parse_csv(std::string path, std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  const std::string lines = with_unix_line_ends(text);
  Csv csv;
  csv.path = std::move(path);
  Scanner scanner(csv.path, lines);
  if (scanner.done()) return Status(Code::malformed, csv.path + ": is empty, expected a header");
  FIRN_ASSIGN(Csv::Row header, scanner.row());
  csv.header = std::move(header.cells);
  while (!scanner.done()) {
    FIRN_ASSIGN(Csv::Row row, scanner.row());
    if (row.cells.size() == 1 && row.cells[0].empty()) continue;
    if (row.cells.size() != csv.header.size()) {
      return Status(Code::malformed,
                    format("%s:%d: %zu cells, expected %zu as in the header", csv.path.c_str(),
                           row.line, row.cells.size(), csv.header.size()));
    }
    csv.rows.push_back(std::move(row));
  }
  return csv;
}

Result<Csv> read_csv(const std::string& path) {
  FIRN_ASSIGN(const std::string text, read_file(path));
  return parse_csv(path, text);
}

}  // namespace firn::tool
