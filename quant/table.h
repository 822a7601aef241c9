// SPDX-License-Identifier: Apache-2.0
// A calibration's ranges as a text file: one line a tensor, to be read and edited by people.
#ifndef FIRN_QUANT_TABLE_H_
#define FIRN_QUANT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "firn/quantize.h"
#include "quant/range.h"
#include "runtime/graph.h"

namespace firn {

struct TableRow {
  std::string name;
  Interval range;
  Method method = Method::automatic;  // that picked the range
  bool operator==(const TableRow&) const = default;
};

struct Table {
  uint64_t fingerprint = 0;  // of the graph
  size_t frames = 0;         // observed
  std::vector<TableRow> rows;
  bool operator==(const Table&) const = default;
};

//   # firn calibration table
//   version 1
//   fingerprint 0f3a5c7e11223344
//   frames 128
//   tensors 2
//   "input" -2.1179 2.64 minmax # scale 0.0186584 zero -14
//   "conv 1" 0 6 mse # scale 0.0235294 zero -128
//
// Names are quoted, with \" and \\ and \n inside. What follows # is for the reader: scale and zero
// point follow from the range. Numbers are written such that they are read back as they were.
std::string to_text(const Table& table);

// Reads such a text, written for a graph with this fingerprint and these tensors: all of them, each
// once, in any order; the rows come in the order of `tensors`. `source` stands in front of
// messages. malformed: "source:7: ..." says what the line has and what was expected.
// failed_precondition: the table is another graph's.
Result<Table> parse_table(std::string_view text, const std::string& source, uint64_t fingerprint,
                          const std::vector<std::string>& tensors);

// The table of a graph: its ranges by name, as one method picked them.
Table make_table_of(const Graph& graph, const std::map<std::string, Interval>& ranges,
                    Method method, size_t frames);

// io_error. Writes the whole file or leaves the old one.
Status write_table(const std::string& path, const Table& table);
// A file for this graph; its ranges by name. not_found, io_error, and what parse_table says.
Result<std::map<std::string, Interval>> read_table(const std::string& path, const Graph& graph);

}  // namespace firn

#endif  // FIRN_QUANT_TABLE_H_
