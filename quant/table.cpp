// SPDX-License-Identifier: Apache-2.0
// Writing calibration tables, and reading them strictly: nothing is skipped, nothing is guessed.
#include "quant/table.h"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <limits>
#include <locale>
#include <sstream>

#include "quant/ncnn_table.h"
#include "quant/table_lines.h"
#include "runtime/file.h"
#include "runtime/int8_ops.h"

namespace firn {
namespace {

constexpr std::string_view kTitle = "# firn calibration table";
constexpr std::string_view kVersion = "2";
constexpr std::string_view kGiven = "given";  // in place of a method
constexpr uint64_t kBits = 8;

class Parser {
 public:
  Parser(std::string_view text, const std::string& source) : lines_(text, source) {}

  Result<Table> parse(uint64_t fingerprint, const TableNames& names);

 private:
  Status error(const std::string& what, Code code = Code::malformed) const {
    return lines_.error(what, code);
  }
  Status end_of_line();
  // A line of `key` and one word.
  Result<std::string_view> header(const std::string& key);
  Result<uint64_t> header_number(const std::string& key, int base);
  // The number of rows that follow: one for each of `names`.
  Status section(const std::string& key, const char* what, size_t count);
  // As many rows as names, in any order; `row` reads one behind its name, into the place of that
  // name.
  template <typename Row>
  Result<std::vector<Row>> rows(const char* what, const std::vector<std::string>& names,
                                const std::function<Status(Row&, size_t)>& row);
  Result<std::string> name();
  Result<float> number(const std::string& what);
  Status bits();
  Status tensor(TableRow& row);
  Status layer(TableLayer& row, size_t channels);

  TableLines lines_;
};

Status Parser::end_of_line() {
  const std::string_view extra = lines_.word();
  if (extra.empty()) return {};
  return error(in_quotes(extra) + " after the end of the row");
}

Result<std::string_view> Parser::header(const std::string& key) {
  FIRN_TRY(lines_.next(in_quotes(key + " ...")));
  const std::string_view found = lines_.word(), value = lines_.word();
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

Status Parser::section(const std::string& key, const char* what, size_t count) {
  FIRN_ASSIGN(const uint64_t stated, header_number(key, 10));
  if (stated == count) return {};
  return error(std::to_string(stated) + " " + what + ", the model has " + std::to_string(count));
}

Result<std::string> Parser::name() {
  std::string_view& rest = lines_.rest_of_line();
  if (!rest.starts_with('"')) return error("expected a name in quotes");
  std::string found;
  for (size_t i = 1; i < rest.size(); ++i) {
    const char c = rest[i];
    if (c == '"') {
      rest.remove_prefix(i + 1);
      return found;
    }
    if (c != '\\') {
      found += c;
      continue;
    }
    const char escaped = ++i < rest.size() ? rest[i] : '\0';
    if (escaped != 'n' && escaped != '"' && escaped != '\\')
      return error("unknown escape in a name: expected \\\", \\\\ or \\n");
    found += escaped == 'n' ? '\n' : escaped;
  }
  return error("a name without its closing quote");
}

Result<float> Parser::number(const std::string& what) {
  const std::string_view text = lines_.word();
  if (text.empty()) return error("the row ends, expected the " + what);
  if (const std::optional<float> value = to_float(text)) return *value;
  return error(what + ": " + in_quotes(text) + " is not a finite number");
}

Status Parser::bits() {
  const std::string_view text = lines_.word();
  if (text.empty()) return error("the row ends, expected the bits");
  if (to_integer(text, 10) == kBits) return {};
  return error("bits: expected " + std::to_string(kBits) + ", got " + in_quotes(text));
}

Status Parser::tensor(TableRow& row) {
  FIRN_ASSIGN(row.range.lo, number("minimum"));
  FIRN_ASSIGN(row.range.hi, number("maximum"));
  if (row.range.lo > row.range.hi) return error("the minimum is above the maximum");
  FIRN_TRY(bits());
  const std::string_view method = lines_.word();
  if (method.empty()) return error("the row ends, expected the method");
  if (method != kGiven) {
    const Result<Method> known = method_from_name(std::string(method));
    if (!known.ok()) return error(known.status().message());
    row.method = *known;
  }
  const std::string_view count = lines_.word();
  if (count.empty()) return error("the row ends, expected the count");
  const std::optional<uint64_t> counted = to_integer(count, 10);
  if (!counted) return error("count: " + in_quotes(count) + " is not a number");
  row.count = *counted;
  return end_of_line();
}

Status Parser::layer(TableLayer& row, size_t channels) {
  FIRN_TRY(bits());
  for (std::string_view text = lines_.word(); !text.empty(); text = lines_.word()) {
    const std::optional<float> scale = to_float(text);
    if (!scale || *scale < std::numeric_limits<float>::min())
      return error("scale: " + in_quotes(text) + " is not a positive number");
    row.scales.push_back(*scale);
  }
  if (row.scales.empty() || row.scales.size() == channels) return {};
  return error(std::to_string(row.scales.size()) + " scales, the layer has " +
               std::to_string(channels) + " channels");
}

template <typename Row>
Result<std::vector<Row>> Parser::rows(const char* what, const std::vector<std::string>& names,
                                      const std::function<Status(Row&, size_t)>& row) {
  std::map<std::string_view, size_t> slot;
  for (size_t i = 0; i < names.size(); ++i) slot[names[i]] = i;
  std::vector<size_t> found(names.size());  // the line, 0: none yet
  std::vector<Row> rows(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t missing = static_cast<size_t>(std::ranges::find(found, size_t{0}) - found.begin());
    FIRN_TRY(lines_.next("a row for " + std::string(what) + " " + in_quotes(names[missing])));
    Row read;
    read.unused = lines_.rest_of_line().starts_with('#');
    if (read.unused) lines_.rest_of_line().remove_prefix(1);
    FIRN_ASSIGN(read.name, name());
    const auto at = slot.find(read.name);
    if (at == slot.end())
      return error("the model has no " + std::string(what) + " " + in_quotes(read.name));
    if (found[at->second] != 0)
      return error(std::string(what) + " " + in_quotes(read.name) + " is in line " +
                   std::to_string(found[at->second]) + " already");
    FIRN_TRY(row(read, at->second));
    found[at->second] = lines_.line();
    rows[at->second] = std::move(read);
  }
  return rows;
}

Result<Table> Parser::parse(uint64_t fingerprint, const TableNames& names) {
  FIRN_TRY(lines_.next(in_quotes(kTitle)));
  if (lines_.rest_of_line() != kTitle) return error("expected " + in_quotes(kTitle));
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
  FIRN_TRY(section("tensors", "tensors", names.tensors.size()));
  FIRN_ASSIGN(table.rows, rows<TableRow>("tensor", names.tensors,
                                         [&](TableRow& row, size_t) { return tensor(row); }));
  FIRN_TRY(section("layers", "layers with weights", names.layers.size()));
  FIRN_ASSIGN(table.layers, rows<TableLayer>("layer", names.layers, [&](TableLayer& row, size_t i) {
                return layer(row, names.channels[i]);
              }));
  if (!lines_.at_end()) {
    FIRN_TRY(lines_.next("nothing"));
    return error("more lines than layers");
  }
  return table;
}

}  // namespace

std::string to_text(const Table& table) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << kTitle << "\nversion " << kVersion << "\nfingerprint " << std::hex << std::setw(16)
      << std::setfill('0') << table.fingerprint << std::dec << "\nframes " << table.frames
      << "\ntensors " << table.rows.size() << '\n';
  constexpr int kExact = std::numeric_limits<float>::max_digits10;
  for (const TableRow& row : table.rows) {
    const Quant quant = to_quant(row.range);
    out << (row.unused ? "#" : "") << in_quotes(row.name) << std::setprecision(kExact) << ' '
        << row.range.lo << ' ' << row.range.hi << ' ' << kBits << ' '
        << (row.method ? method_name(*row.method) : kGiven) << ' ' << row.count
        << std::setprecision(6) << " # scale " << quant.scale[0] << " zero " << quant.zero[0]
        << '\n';
  }
  out << "layers " << table.layers.size() << '\n' << std::setprecision(kExact);
  for (const TableLayer& layer : table.layers) {
    out << (layer.unused ? "#" : "") << in_quotes(layer.name) << ' ' << kBits;
    for (float scale : layer.scales) out << ' ' << scale;
    out << '\n';
  }
  return out.str();
}

TableNames names_of(const Graph& graph) {
  TableNames names;
  for (const ObservedTensor& tensor : tensors_to_observe(graph))
    if (tensor.range) names.tensors.push_back(tensor.name);
  const std::vector<Int8Form> forms = int8_forms(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (forms[n].kind != Int8Form::Kind::weighted) continue;
    names.layers.push_back(graph.nodes[n].name);
    names.channels.push_back(static_cast<size_t>(graph.value(graph.nodes[n].in[1]).shape[0]));
  }
  return names;
}

Result<Table> parse_table(std::string_view text, const std::string& source, uint64_t fingerprint,
                          const TableNames& names) {
  return Parser(text, source).parse(fingerprint, names);
}

Table make_table(const Graph& graph, const ChosenRanges& chosen, const Observer& observer) {
  Table table{fingerprint(graph), observer.frames(), {}, {}};
  for (size_t i = 0; i < observer.tensors().size(); ++i) {
    const ObservedTensor& tensor = observer.tensors()[i];
    if (!tensor.range) continue;
    TableRow row{tensor.name, {}, {}, observer.histogram(i).samples(), true};
    if (const auto found = chosen.ranges.find(tensor.name); found != chosen.ranges.end()) {
      row.range = found->second;
      row.method = chosen.methods.at(tensor.name);
      row.unused = false;
    }
    table.rows.push_back(std::move(row));
  }
  for (const std::string& layer : names_of(graph).layers)
    table.layers.push_back({layer, {}, false});
  return table;
}

Table make_table(const Graph& graph, const GivenRanges& given) {
  const TableNames names = names_of(graph);
  Table table{fingerprint(graph), 0, {}, {}};
  for (const std::string& name : names.tensors) {
    const auto found = given.ranges.find(name);
    const bool known = found != given.ranges.end();
    table.rows.push_back({name, known ? found->second : Interval(), {}, 0, !known});
  }
  for (const std::string& name : names.layers) {
    const auto scales = given.weight_scales.find(name);
    table.layers.push_back(
        {name, scales == given.weight_scales.end() ? std::vector<float>() : scales->second,
         given.float_layers.contains(name)});
  }
  return table;
}

GivenRanges to_given(const Table& table, const std::string& source) {
  GivenRanges given;
  for (const TableRow& row : table.rows)
    if (!row.unused) given.ranges[row.name] = row.range;
  for (const TableLayer& layer : table.layers) {
    if (layer.unused) given.float_layers[layer.name] = "behind a # in " + source;
    if (!layer.scales.empty()) given.weight_scales[layer.name] = layer.scales;
  }
  return given;
}

Status write_table(const std::string& path, std::string_view text) {
  return write_file(path, std::as_bytes(std::span(text)));
}

Result<GivenRanges> read_table(const std::string& path, const Graph& graph) {
  FIRN_ASSIGN(const MappedFile file, map_file(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size());
  // One title, whole: a cut or misspelt one is no row of ncnn's either.
  if (!text.starts_with(kTitle.substr(0, 6))) return parse_ncnn_table(text, path, graph);
  FIRN_ASSIGN(const Table table, parse_table(text, path, fingerprint(graph), names_of(graph)));
  return to_given(table, path);
}

}  // namespace firn
