// SPDX-License-Identifier: Apache-2.0
// Calibration tables: what is written is read back, and every mistake is named with its line.
#include "quant/table.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "test/runtime/random_graph.h"

namespace firn {
namespace {

constexpr uint64_t kFingerprint = 0x0f3a5c7e11223344;

Table example() {
  return {kFingerprint,
          128,
          {{"input", {-2.1179039f, 2.64f}, Method::minmax},
           {"conv 1/\"out\"\\", {0, 6}, Method::mse},
           {"Schicht_ä#1", {-1e-40f, 3.4028235e38f}, Method::kl}}};
}

std::vector<std::string> names(const Table& table) {
  std::vector<std::string> names;
  for (const TableRow& row : table.rows) names.push_back(row.name);
  return names;
}

const std::string kHeader =
    "# firn calibration table\n"
    "version 1\n"
    "fingerprint 0f3a5c7e11223344\n"
    "frames 9\n";

// What the parser says of a text for the tensors "a" and "b".
std::string error(const std::string& text) {
  const Result<Table> table = parse_table(text, "t.txt", kFingerprint, {"a", "b"});
  return table.ok() ? "ok" : code_name(table.status().code()) + (" " + table.status().message());
}

TEST_CASE("table: reads back what it wrote, exactly") {
  const Table table = example();
  const Result<Table> read = parse_table(to_text(table), "t", kFingerprint, names(table));
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(*read == table);
  Table odd{1, 0, {{"line\nbreak", {1.0f / 3, 2.0f / 3}, Method::percentile}, {"", {0, 0}, {}}}};
  const Result<Table> again = parse_table(to_text(odd), "t", 1, names(odd));
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  CHECK(*again == odd);
}

TEST_CASE("table: looks as documented") {
  CHECK(to_text({kFingerprint, 128, {{"conv 1", {0, 6}, Method::mse}}}) ==
        "# firn calibration table\n"
        "version 1\n"
        "fingerprint 0f3a5c7e11223344\n"
        "frames 128\n"
        "tensors 1\n"
        "\"conv 1\" 0 6 mse # scale 0.0235294 zero -128\n");
}

TEST_CASE("table: rows in any order, comments, tabs and \\r\\n are fine") {
  const Result<Table> table =
      parse_table(kHeader + "tensors 2\r\n\"b\"\t1  2 kl\r\n\"a\" -1 0.5 minmax # edited", "t",
                  kFingerprint, {"a", "b"});
  REQUIRE_MESSAGE(table.ok(), table.status().message());
  CHECK(table->frames == 9);
  CHECK(table->rows[0] == TableRow{"a", {-1, 0.5f}, Method::minmax});
  CHECK(table->rows[1] == TableRow{"b", {1, 2}, Method::kl});
}

TEST_CASE("table: mistakes in the header") {
  CHECK(error("") == "malformed t.txt:1: the file ends, expected \"# firn calibration table\"");
  CHECK(error("conv 1 2\n") == "malformed t.txt:1: expected \"# firn calibration table\"");
  CHECK(error("# firn calibration table\nversion 2\n") ==
        "unsupported t.txt:2: version 2, expected 1");
  CHECK(error("# firn calibration table\nversion 1\nfingerprint 12\n") ==
        "failed_precondition t.txt:3: the table was made for another model or other input shapes");
  CHECK(error("# firn calibration table\nversion 1\nfingerprint xyz\n") ==
        "malformed t.txt:3: fingerprint: \"xyz\" is not a number");
  CHECK(error("# firn calibration table\nversion 1\nframes 3\n") ==
        "malformed t.txt:3: expected \"fingerprint ...\", got \"frames\"");
  CHECK(error(kHeader + "tensors -2\n") == "malformed t.txt:5: tensors: \"-2\" is not a number");
  CHECK(error(kHeader + "tensors 3\n") == "malformed t.txt:5: 3 tensors, the model has 2");
  CHECK(error(kHeader + "tensors 99999999999999999999\n") ==
        "malformed t.txt:5: tensors: \"99999999999999999999\" is not a number");
}

TEST_CASE("table: mistakes in the rows") {
  const std::string head = kHeader + "tensors 2\n";
  const std::string a = "\"a\" -1 1 kl\n", b = "\"b\" 0 1 kl\n";
  CHECK(error(head + a + b) == "ok");
  CHECK(error(head + a + "\n" + b) ==
        "malformed t.txt:7: blank line, expected a row for tensor \"b\"");
  CHECK(error(head + a) == "malformed t.txt:7: the file ends, expected a row for tensor \"b\"");
  CHECK(error(head + a + b + "\n") == "malformed t.txt:8: more lines than tensors");
  CHECK(error(head + a + a) == "malformed t.txt:7: tensor \"a\" is in line 6 already");
  CHECK(error(head + "\"conv\" 0 1 kl\n" + b) ==
        "malformed t.txt:6: the model has no tensor \"conv\"");
  CHECK(error(head + a + "b 0 1 kl\n") == "malformed t.txt:7: expected a name in quotes");
  CHECK(error(head + "\"a 0 1 kl\n") == "malformed t.txt:6: a name without its closing quote");
  CHECK(error(head + "\"a\\t\" 0 1 kl\n") ==
        "malformed t.txt:6: unknown escape in a name: expected \\\", \\\\ or \\n");
  CHECK(error(head + "\"a\" 0\n") == "malformed t.txt:6: the row ends, expected the maximum");
  CHECK(error(head + "\"a\" 0 1\n") == "malformed t.txt:6: the row ends, expected the method");
  CHECK(error(head + "\"a\" 0 1 kl 5\n") == "malformed t.txt:6: \"5\" after the end of the row");
  for (const std::string bad : {"nan", "inf", "1e99", "0x", "1,5", "1.5.5", "-", "minmax"}) {
    CHECK(error(head + "\"a\" 0 " + bad + " kl\n") ==
          "malformed t.txt:6: maximum: \"" + bad + "\" is not a finite number");
  }
  CHECK(error(head + "\"a\" 2 1 kl\n") == "malformed t.txt:6: the minimum is above the maximum");
  CHECK(error(head + "\"a\" 0 1 best\n") ==
        "malformed t.txt:6: method \"best\": expected one of automatic, minmax, percentile, mse, "
        "kl");
}

TEST_CASE("table: every cut of a good text is an error or the whole table") {
  const Table table = example();
  const std::string text = to_text(table);
  for (size_t n = 0; n + 1 < text.size(); ++n) {
    const Result<Table> cut =
        parse_table(std::string_view(text).substr(0, n), "t", kFingerprint, names(table));
    if (cut.ok()) CHECK(*cut == table);  // only a comment was cut
  }
}

TEST_CASE("table: files") {
  test::GraphBuilder b;
  b.output(b.conv("c2", b.conv("c1", b.input("x", {1, 4, 4, 3}), 4), 4));
  const std::map<std::string, Interval> ranges{{"x", {-1, 1}}, {"c1", {-3, 2}}, {"c2", {0, 9}}};
  const std::string path = (std::filesystem::temp_directory_path() / "firn_table_test").string();
  const Table table = make_table_of(b.graph, ranges, Method::mse, 5);
  CHECK(names(table) == std::vector<std::string>{"x", "c1"});  // c2 gives floats
  REQUIRE(write_table(path, table).ok());
  const auto read = read_table(path, b.graph);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(*read == std::map<std::string, Interval>{{"x", {-1, 1}}, {"c1", {-3, 2}}});

  b.graph.nodes[0].name = "other";
  CHECK(read_table(path, b.graph).status().code() == Code::failed_precondition);
  std::filesystem::remove(path);
  CHECK(read_table(path, b.graph).status().code() == Code::not_found);
}

}  // namespace
}  // namespace firn
