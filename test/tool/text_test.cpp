// SPDX-License-Identifier: Apache-2.0
// Text for people and for programs: tables, numbers, JSON, the progress bar, names of files.
#include "examples/firn/text.h"

#include <doctest/doctest.h>
#include <cmath>
#include <optional>
#include <set>
#include <string>

#include "examples/firn/json.h"
#include "examples/firn/progress.h"

namespace firn::tool {
namespace {

using Parts = std::vector<std::string>;

TEST_CASE("numbers are taken whole or not at all") {
  CHECK(*parse_number<int>("-12") == -12);
  CHECK(*parse_number<size_t>("18446744073709551615") == SIZE_MAX);
  CHECK(*parse_number<float>("1.5e2") == 150.0f);
  for (const char* bad : {"", " 1", "1 ", "1x", "0x10", "--1", "1,2", "99999999999"}) {
    CAPTURE(bad);
    CHECK(parse_number<int>(bad).status().code() == Code::invalid_argument);
  }
  CHECK(!parse_number<size_t>("-1").ok());
}

TEST_CASE("units") {
  CHECK(count_text(0) == "0");
  CHECK(count_text(999) == "999");
  CHECK(count_text(1000) == "1.00 k");
  CHECK(count_text(3'504'872) == "3.50 M");
  CHECK(count_text(999'999) == "1.00 M");
  CHECK(bytes_text(13'968'518) == "14.0 MB");
  CHECK(bytes_text(12) == "12 B");
  CHECK(percent_text(0.8875) == "88.75 %");
  CHECK(decibel_text(34.12) == "34.1 dB");
  CHECK(decibel_text(INFINITY) == "exact");
}

TEST_CASE("tables align their columns and have no spaces at the ends of lines") {
  Table table("lr");
  table.row({"name", "ms"});
  table.row({"a", "10.5"});
  CHECK(table.text() == "name    ms\na     10.5\n");
  Table ragged("ll");
  ragged.row({"x", ""});
  CHECK(ragged.text(2) == "  x\n");
}

TEST_CASE("names of outputs become names of files") {
  std::set<std::string> taken;
  CHECK(unique_file_name("prob", taken) == "prob");
  CHECK(unique_file_name("a/b:0", taken) == "a_b_0");
  CHECK(unique_file_name("a b:0", taken) == "a_b_0_2");
  CHECK(unique_file_name("../x", taken) == "_._x");
  CHECK(unique_file_name("", taken) == "output");
  CHECK(unique_file_name(std::string(1000, 'n'), taken).size() == 200);
  CHECK(unique_file_name(std::string(1001, 'n'), taken).size() == 202);
}

TEST_CASE("splitting") {
  CHECK(split("a,b,,c", ',') == Parts{"a", "b", "", "c"});
  CHECK(split("", ',') == Parts{""});
}

TEST_CASE("JSON has commas, escapes and null where it has no word") {
  Json json;
  json.open('{').member("text", "a\"b\\c\n\x01").member("flag", true);
  json.member("int", size_t{18446744073709551615u}).member("small", -3);
  json.member("nan", NAN).member("inf", INFINITY).member("tenth", 0.1);
  json.member("none", std::optional<double>()).member("some", std::optional<double>(2.5));
  json.open("list", '[').value(1).open('{').close().open('[').close().value("x").close();
  json.open("empty", '{').close().close();
  CHECK(
      json.text() ==
      R"({"text": "a\"b\\c\u000a\u0001", "flag": true, "int": 18446744073709551615, "small": -3, )"
      R"("nan": null, "inf": null, "tenth": 0.1, "none": null, "some": 2.5, )"
      R"("list": [1, {}, [], "x"], "empty": {}})");
}

TEST_CASE("JSON keeps UTF-8 and replaces what is none") {
  const auto quoted = [](const char* text) { return Json().value(text).text(); };
  CHECK(quoted("gr\xc3\xbc\xc3\x9f") == "\"gr\xc3\xbc\xc3\x9f\"");
  CHECK(quoted("\xe2\x82\xac\xf0\x9f\x98\x80") == "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
  CHECK(quoted("a\xff") == "\"a\\ufffd\"");
  CHECK(quoted("\xc3") == "\"\\ufffd\"");                        // cut off
  CHECK(quoted("\xc0\xaf") == "\"\\ufffd\\ufffd\"");             // overlong
  CHECK(quoted("\xed\xa0\x80") == "\"\\ufffd\\ufffd\\ufffd\"");  // a surrogate
  CHECK(quoted("\xf4\x90\x80\x80") == "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

TEST_CASE("one line stays one line") {
  CHECK(one_line("a\nb\x1b[31m\xc3\xbc") == "a?b?[31m\xc3\xbc");
}

TEST_CASE("the progress bar") {
  CHECK(progress_text("x", 0, 100, 0, "") == "x [........................] 0/100");
  CHECK(progress_text("x", 50, 100, 10, "n") ==
        "x [############............] 50/100  10 s left  n");
  CHECK(progress_text("x", 100, 100, 20, "") == "x [########################] 100/100");
  CHECK(progress_text("x", 7, 5, 1, "") == "x [########################] 5/5");
}

}  // namespace
}  // namespace firn::tool
