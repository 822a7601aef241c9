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
          {{"input", {-2.1179039f, 2.64f}, Method::minmax, 1000},
           {"conv 1/\"out\"\\", {0, 6}, Method::mse, 0, true},
           {"Schicht_ä#1", {-1e-40f, 3.4028235e38f}, std::nullopt, 1ull << 60}},
          {{"conv\n2", {1.0f / 3, 1e-30f}, true}, {"conv 1"}}};
}

TableNames names(const Table& table) {
  TableNames names;
  for (const TableRow& row : table.rows) names.tensors.push_back(row.name);
  for (const TableLayer& layer : table.layers) {
    names.layers.push_back(layer.name);
    names.channels.push_back(2);
  }
  return names;
}

const std::string kHeader =
    "# firn calibration table\n"
    "version 2\n"
    "fingerprint 0f3a5c7e11223344\n"
    "frames 9\n";

// What the parser says of a text for the tensors "a" and "b" and the layer "l" with 3 channels.
const TableNames kNames{{"a", "b"}, {"l"}, {3}};
std::string error(const std::string& text) {
  const Result<Table> table = parse_table(text, "t.txt", kFingerprint, kNames);
  return table.ok() ? "ok" : code_name(table.status().code()) + (" " + table.status().message());
}

TEST_CASE("table: reads back what it wrote, exactly") {
  const Table table = example();
  const Result<Table> read = parse_table(to_text(table), "t", kFingerprint, names(table));
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(*read == table);
  Table odd{
      1, 0, {{"line\nbreak", {1.0f / 3, 2.0f / 3}, Method::percentile}, {"", {0, 0}, {}}}, {}};
  const Result<Table> again = parse_table(to_text(odd), "t", 1, names(odd));
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  CHECK(*again == odd);
}

TEST_CASE("table: looks as documented") {
  CHECK(to_text({kFingerprint,
                 128,
                 {{"conv 1", {0, 6}, Method::mse, 262144}, {"out", {0, 1}, {}, 0, true}},
                 {{"conv 1"}, {"conv 2", {0.0125f, 0.03125f}, true}}}) ==
        "# firn calibration table\n"
        "version 2\n"
        "fingerprint 0f3a5c7e11223344\n"
        "frames 128\n"
        "tensors 2\n"
        "\"conv 1\" 0 6 8 mse 262144 # scale 0.0235294 zero -128\n"
        "#\"out\" 0 1 8 given 0 # scale 0.00392157 zero -128\n"
        "layers 2\n"
        "\"conv 1\" 8\n"
        "#\"conv 2\" 8 0.0125000002 0.03125\n");
}

TEST_CASE("table: rows in any order, comments, tabs and \\r\\n are fine") {
  const Result<Table> table = parse_table(kHeader +
                                              "tensors 2\r\n\"b\"\t1  2 8 kl 7\r\n#\"a\" -1 0.5 8 "
                                              "given 0 # edited\nlayers 1\n\"l\" 8 # x",
                                          "t", kFingerprint, kNames);
  REQUIRE_MESSAGE(table.ok(), table.status().message());
  CHECK(table->frames == 9);
  CHECK(table->rows[0] == TableRow{"a", {-1, 0.5f}, std::nullopt, 0, true});
  CHECK(table->rows[1] == TableRow{"b", {1, 2}, Method::kl, 7});
  CHECK(table->layers[0] == TableLayer{"l"});
}

TEST_CASE("table: mistakes in the header") {
  CHECK(error("") == "malformed t.txt:1: the file ends, expected \"# firn calibration table\"");
  CHECK(error("conv 1 2\n") == "malformed t.txt:1: expected \"# firn calibration table\"");
  CHECK(error("# firn calibration table\nversion 1\n") ==
        "unsupported t.txt:2: version 1, expected 2");
  CHECK(error("# firn calibration table\nversion 2\nfingerprint 12\n") ==
        "failed_precondition t.txt:3: the table was made for another model or other input shapes");
  CHECK(error("# firn calibration table\nversion 2\nfingerprint xyz\n") ==
        "malformed t.txt:3: fingerprint: \"xyz\" is not a number");
  CHECK(error("# firn calibration table\nversion 2\nframes 3\n") ==
        "malformed t.txt:3: expected \"fingerprint ...\", got \"frames\"");
  CHECK(error(kHeader + "tensors -2\n") == "malformed t.txt:5: tensors: \"-2\" is not a number");
  CHECK(error(kHeader + "tensors 3\n") == "malformed t.txt:5: 3 tensors, the model has 2");
  CHECK(error(kHeader + "tensors 99999999999999999999\n") ==
        "malformed t.txt:5: tensors: \"99999999999999999999\" is not a number");
}

TEST_CASE("table: mistakes in the rows") {
  const std::string head = kHeader + "tensors 2\n";
  const std::string a = "\"a\" -1 1 8 kl 5\n", b = "\"b\" 0 1 8 kl 5\n";
  const std::string layers = "layers 1\n\"l\" 8\n";
  CHECK(error(head + a + b + layers) == "ok");
  CHECK(error(head + a + "\n" + b + layers) ==
        "malformed t.txt:7: blank line, expected a row for tensor \"b\"");
  CHECK(error(head + a) == "malformed t.txt:7: the file ends, expected a row for tensor \"b\"");
  CHECK(error(head + a + b + layers + "\n") == "malformed t.txt:10: blank line, expected nothing");
  CHECK(error(head + a + b + layers + b) == "malformed t.txt:10: more lines than layers");
  CHECK(error(head + a + a) == "malformed t.txt:7: tensor \"a\" is in line 6 already");
  CHECK(error(head + "\"conv\" 0 1 8 kl 5\n" + b) ==
        "malformed t.txt:6: the model has no tensor \"conv\"");
  CHECK(error(head + a + "b 0 1 kl\n") == "malformed t.txt:7: expected a name in quotes");
  CHECK(error(head + a + "# \"b\" 0 1 8 kl 5\n") == "malformed t.txt:7: expected a name in quotes");
  CHECK(error(head + "\"a 0 1 kl\n") == "malformed t.txt:6: a name without its closing quote");
  CHECK(error(head + "\"a\\t\" 0 1 kl\n") ==
        "malformed t.txt:6: unknown escape in a name: expected \\\", \\\\ or \\n");
  CHECK(error(head + "\"a\" 0\n") == "malformed t.txt:6: the row ends, expected the maximum");
  CHECK(error(head + "\"a\" 0 1\n") == "malformed t.txt:6: the row ends, expected the bits");
  CHECK(error(head + "\"a\" 0 1 8\n") == "malformed t.txt:6: the row ends, expected the method");
  CHECK(error(head + "\"a\" 0 1 8 kl\n") == "malformed t.txt:6: the row ends, expected the count");
  CHECK(error(head + "\"a\" 0 1 7 kl 5\n") == "malformed t.txt:6: bits: expected 8, got \"7\"");
  CHECK(error(head + "\"a\" 0 1 8 kl -5\n") == "malformed t.txt:6: count: \"-5\" is not a number");
  CHECK(error(head + "\"a\" 0 1 8 kl 5 5\n") ==
        "malformed t.txt:6: \"5\" after the end of the row");
  for (const std::string bad : {"nan", "inf", "1e99", "0x", "1,5", "1.5.5", "-", "minmax"}) {
    CHECK(error(head + "\"a\" 0 " + bad + " 8 kl 5\n") ==
          "malformed t.txt:6: maximum: \"" + bad + "\" is not a finite number");
  }
  CHECK(error(head + "\"a\" 2 1 8 kl 5\n") ==
        "malformed t.txt:6: the minimum is above the maximum");
  CHECK(error(head + "\"a\" 0 1 8 best 5\n") ==
        "malformed t.txt:6: method \"best\": expected one of automatic, minmax, ema, percentile, "
        "mse, kl, kl-tensorrt, kl-ncnn, aciq, eq");
  const std::string rows = head + a + b;
  CHECK(error(rows) == "malformed t.txt:8: the file ends, expected \"layers ...\"");
  CHECK(error(rows + "layers 2\n") == "malformed t.txt:8: 2 layers with weights, the model has 1");
  CHECK(error(rows + "layers 1\n\"k\" 8\n") == "malformed t.txt:9: the model has no layer \"k\"");
  CHECK(error(rows + "layers 1\n\"l\" 8 0.1 0.2\n") ==
        "malformed t.txt:9: 2 scales, the layer has 3 channels");
  CHECK(error(rows + "layers 1\n\"l\" 4\n") == "malformed t.txt:9: bits: expected 8, got \"4\"");
  for (const std::string bad : {"0", "-1", "nan", "1e-44", "x"}) {
    CHECK(error(rows + "layers 1\n\"l\" 8 1 1 " + bad + "\n") ==
          "malformed t.txt:9: scale: \"" + bad + "\" is not a positive number");
  }
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
  GivenRanges given;
  given.ranges = {{"x", {-1, 1}}, {"c1", {-3, 2}}, {"c2", {0, 9}}};
  given.weight_scales = {{"c2", {0.5f, 1, 2, 4}}};
  given.float_layers = {{"c1", "asked for"}};
  const std::string path = (std::filesystem::temp_directory_path() / "firn_table_test").string();
  const Table table = make_table(b.graph, given);
  CHECK(names(table).tensors == std::vector<std::string>{"x", "c1"});  // c2 gives floats
  REQUIRE(write_table(path, to_text(table)).ok());
  const auto read = read_table(path, b.graph);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(read->ranges == std::map<std::string, Interval>{{"x", {-1, 1}}, {"c1", {-3, 2}}});
  CHECK(read->weight_scales == given.weight_scales);
  CHECK(read->float_layers == std::map<std::string, std::string>{{"c1", "behind a # in " + path}});

  b.graph.nodes[0].name = "other";
  CHECK(read_table(path, b.graph).status().code() == Code::failed_precondition);
  REQUIRE(write_table(path, "# firm calibration table\n").ok());
  CHECK(read_table(path, b.graph).status().code() == Code::malformed);
  std::filesystem::remove(path);
  CHECK(read_table(path, b.graph).status().code() == Code::not_found);
}

}  // namespace
}  // namespace firn
