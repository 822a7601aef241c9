// SPDX-License-Identifier: Apache-2.0
// A calibration's result as a text file, to be read and edited by people: in firn's own format, or
// in ncnn's (ncnn_table.h).
#ifndef FIRN_QUANT_TABLE_H_
#define FIRN_QUANT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firn/quantize.h"
#include "quant/choose_ranges.h"
#include "quant/given_ranges.h"
#include "quant/range.h"
#include "runtime/graph.h"

namespace firn {

struct TableRow {
  std::string name;
  Interval range;
  std::optional<Method> method{};  // that picked the range; none: it was given
  uint64_t count = 0;              // of the values that were counted
  // Written behind a #: what needs the range stays in float.
  bool unused = false;
  bool operator==(const TableRow&) const = default;
};

// A layer with weights.
struct TableLayer {
  std::string name;
  std::vector<float> scales{};  // of the weights, one an output channel; none: found at the freeze
  bool unused = false;          // written behind a #: stays in float
  bool operator==(const TableLayer&) const = default;
};

struct Table {
  uint64_t fingerprint = 0;  // of the graph
  size_t frames = 0;         // observed
  std::vector<TableRow> rows;
  std::vector<TableLayer> layers;
  bool operator==(const Table&) const = default;
};

//   # firn calibration table
//   version 2
//   fingerprint 0f3a5c7e11223344
//   frames 128
//   tensors 2
//   "input" -2.1179 2.64 8 minmax 262144 # scale 0.0186584 zero -14
//   "conv 1" 0 6 8 mse 262144 # scale 0.0235294 zero -128
//   layers 2
//   "conv 1" 8
//   #"conv 2" 8 0.0125 0.03125
//
// A tensor: range, bits, the method that picked it (or `given`), how many values were counted. A
// layer: the bits of its weights, and their scales where those are given. A # in front of a tensor
// leaves in float what needs its range, one in front of a layer the layer. Names are quoted, with
// \" and \\ and \n inside. What else follows a # is for the reader: scale and zero point follow
// from the range. Numbers are written such that they are read back as they were.
std::string to_text(const Table& table);

// What a table must have rows for.
struct TableNames {
  std::vector<std::string> tensors;
  std::vector<std::string> layers;
  std::vector<size_t> channels;  // of the layers' weights
};
TableNames names_of(const Graph& graph);

// Reads such a text, written for a graph with this fingerprint and these names: all of them, each
// once, in any order within its section; rows come in the order of `names`. `source` stands in
// front of messages. malformed: "source:7: ..." says what the line has and what was expected.
// failed_precondition: the table is another graph's.
Result<Table> parse_table(std::string_view text, const std::string& source, uint64_t fingerprint,
                          const TableNames& names);

// The table of a graph: of what was chosen from an observer's counts, or was given.
Table make_table(const Graph& graph, const ChosenRanges& chosen, const Observer& observer);
Table make_table(const Graph& graph, const GivenRanges& given);
// What a freeze takes from a table.
GivenRanges to_given(const Table& table, const std::string& source);

// io_error. Writes the whole file or leaves the old one.
Status write_table(const std::string& path, std::string_view text);
// A file for this graph, in firn's format or, without its first line, in ncnn's. not_found,
// io_error, and what parse_table and parse_ncnn_table say.
Result<GivenRanges> read_table(const std::string& path, const Graph& graph);

}  // namespace firn

#endif  // FIRN_QUANT_TABLE_H_
