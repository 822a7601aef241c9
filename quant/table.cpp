// SPDX-License-Identifier: Apache-2.0
// Writing calibration tables, and reading them strictly: nothing is skipped, nothing is guessed.
#include "quant/table.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <locale>
#include <map>
#include <optional>
#include <sstream>

#include "quant/observe.h"
#include "runtime/file.h"

namespace firn {
namespace {

constexpr std::string_view kTitle = "# firn calibration table";
constexpr std::string_view kVersion = "1";

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

// Streams in the classic locale, because the application may have set one with decimal commas.
// Overflowing and trailing characters are no numbers.
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

// The tensors that a table has a row for.
std::vector<std::string> ranged_tensors(const Graph& graph) {
  std::vector<std::string> names;
  for (const ObservedTensor& tensor : tensors_to_observe(graph))
    if (tensor.range) names.push_back(tensor.name);
  return names;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& source) : rest_(text), source_(source) {}

  Result<Table> parse(uint64_t fingerprint, const std::vector<std::string>& tensors);

 private:
  Status error(const std::string& what, Code code = Code::malformed) const {
    return {code, source_ + ":" + std::to_string(line_) + ": " + what};
  }
  // The next line into rest_of_line_.
  Status next_line(const std::string& expected);
  // The next word of the line; empty at its end or where a comment begins.
  std::string_view word();
  Status end_of_line();
  // A line of `key` and one word.
  Result<std::string_view> header(const std::string& key);
  Result<uint64_t> header_number(const std::string& key, int base);
  Result<std::string> name();
  Result<float> number(const char* what);
  Result<TableRow> row();

  std::string_view rest_, rest_of_line_;
  const std::string& source_;
  size_t line_ = 0;
};

Status Parser::next_line(const std::string& expected) {
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

std::string_view Parser::word() {
  const size_t begin = rest_of_line_.find_first_not_of(" \t");
  if (begin == std::string_view::npos || rest_of_line_[begin] == '#') return {};
  rest_of_line_.remove_prefix(begin);
  const std::string_view found = rest_of_line_.substr(0, rest_of_line_.find_first_of(" \t"));
  rest_of_line_.remove_prefix(found.size());
  return found;
}

Status Parser::end_of_line() {
  const std::string_view extra = word();
  if (extra.empty()) return {};
  return error(in_quotes(extra) + " after the end of the row");
}

Result<std::string_view> Parser::header(const std::string& key) {
  FIRN_TRY(next_line(in_quotes(key + " ...")));
  const std::string_view found = word(), value = word();
  if (found != key || value.empty())
    return error("expected " + in_quotes(key + " ...") + ", got " + in_quotes(found));
  FIRN_TRY(end_of_line());
  return value;
}

Result<uint64_t> Parser::header_number(const std::string& key, int base) {
  FIRN_ASSIGN(const std::string_view value, header(key));
  if (const std::optional<uint64_t> number = to_integer(value, base)) return *number;
  return error(key + ": " + in_quotes(value) + " is not a number");
}

Result<std::string> Parser::name() {
  if (!rest_of_line_.starts_with('"')) return error("expected a name in quotes");
  std::string found;
  for (size_t i = 1; i < rest_of_line_.size(); ++i) {
    const char c = rest_of_line_[i];
    if (c == '"') {
      rest_of_line_.remove_prefix(i + 1);
      return found;
    }
    if (c != '\\') {
      found += c;
      continue;
    }
    const char escaped = ++i < rest_of_line_.size() ? rest_of_line_[i] : '\0';
    if (escaped != 'n' && escaped != '"' && escaped != '\\')
      return error("unknown escape in a name: expected \\\", \\\\ or \\n");
    found += escaped == 'n' ? '\n' : escaped;
  }
  return error("a name without its closing quote");
}

Result<float> Parser::number(const char* what) {
  const std::string_view text = word();
  if (text.empty()) return error(std::string("the row ends, expected the ") + what);
  if (const std::optional<float> value = to_float(text)) return *value;
  return error(std::string(what) + ": " + in_quotes(text) + " is not a finite number");
}

Result<TableRow> Parser::row() {
  TableRow row;
  FIRN_ASSIGN(row.name, name());
  FIRN_ASSIGN(row.range.lo, number("minimum"));
  FIRN_ASSIGN(row.range.hi, number("maximum"));
  if (row.range.lo > row.range.hi) return error("the minimum is above the maximum");
  const std::string_view method = word();
  if (method.empty()) return error("the row ends, expected the method");
  const Result<Method> known = method_from_name(std::string(method));
  if (!known.ok()) return error(known.status().message());
  row.method = *known;
  FIRN_TRY(end_of_line());
  return row;
}

Result<Table> Parser::parse(uint64_t fingerprint, const std::vector<std::string>& tensors) {
  FIRN_TRY(next_line(in_quotes(kTitle)));
  if (rest_of_line_ != kTitle) return error("expected " + in_quotes(kTitle));
  FIRN_ASSIGN(const std::string_view version, header("version"));
  if (version != kVersion)
    return error("version " + std::string(version) + ", expected " + std::string(kVersion),
                 Code::unsupported);
  Table table;
  FIRN_ASSIGN(table.fingerprint, header_number("fingerprint", 16));
  if (table.fingerprint != fingerprint)
    return error("the table was made for another model or other input shapes",
                 Code::failed_precondition);
  FIRN_ASSIGN(table.frames, header_number("frames", 10));
  FIRN_ASSIGN(const uint64_t count, header_number("tensors", 10));
  if (count != tensors.size())
    return error(std::to_string(count) + " tensors, the model has " +
                 std::to_string(tensors.size()));

  struct Wanted {
    size_t slot, line;  // line: where it was found, 0 before
  };
  std::map<std::string_view, Wanted> wanted;
  for (size_t i = 0; i < tensors.size(); ++i) wanted[tensors[i]] = {i, 0};
  table.rows.resize(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto missing = std::ranges::find_if(
        tensors, [&](const std::string& name) { return wanted[name].line == 0; });
    FIRN_TRY(next_line("a row for tensor " + in_quotes(*missing)));
    FIRN_ASSIGN(TableRow found, row());
    const auto at = wanted.find(found.name);
    if (at == wanted.end()) return error("the model has no tensor " + in_quotes(found.name));
    if (at->second.line != 0)
      return error("tensor " + in_quotes(found.name) + " is in line " +
                   std::to_string(at->second.line) + " already");
    at->second.line = line_;
    table.rows[at->second.slot] = std::move(found);
  }
  ++line_;
  if (!rest_.empty()) return error("more lines than tensors");
  return table;
}

}  // namespace

std::string to_text(const Table& table) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << kTitle << "\nversion " << kVersion << "\nfingerprint " << std::hex << std::setw(16)
      << std::setfill('0') << table.fingerprint << std::dec << "\nframes " << table.frames
      << "\ntensors " << table.rows.size() << '\n';
  for (const TableRow& row : table.rows) {
    const Quant quant = to_quant(row.range);
    out << in_quotes(row.name) << std::setprecision(std::numeric_limits<float>::max_digits10) << ' '
        << row.range.lo << ' ' << row.range.hi << ' ' << method_name(row.method)
        << std::setprecision(6) << " # scale " << quant.scale[0] << " zero " << quant.zero[0]
        << '\n';
  }
  return out.str();
}

Result<Table> parse_table(std::string_view text, const std::string& source, uint64_t fingerprint,
                          const std::vector<std::string>& tensors) {
  return Parser(text, source).parse(fingerprint, tensors);
}

Table make_table_of(const Graph& graph, const std::map<std::string, Interval>& ranges,
                    Method method, size_t frames) {
  Table table{fingerprint(graph), frames, {}};
  for (const std::string& name : ranged_tensors(graph))
    if (const auto found = ranges.find(name); found != ranges.end())
      table.rows.push_back({name, found->second, method});
  return table;
}

Status write_table(const std::string& path, const Table& table) {
  const std::string text = to_text(table);
  return write_file(path, std::as_bytes(std::span(text)));
}

Result<std::map<std::string, Interval>> read_table(const std::string& path, const Graph& graph) {
  FIRN_ASSIGN(const MappedFile file, map_file(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size());
  FIRN_ASSIGN(const Table table,
              parse_table(text, path, fingerprint(graph), ranged_tensors(graph)));
  std::map<std::string, Interval> ranges;
  for (const TableRow& row : table.rows) ranges[row.name] = row.range;
  return ranges;
}

}  // namespace firn
