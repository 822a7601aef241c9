// SPDX-License-Identifier: Apache-2.0
// Where samples and their labels come from: folders, lists, CSVs, .npy files.
#include "examples/firn/source.h"

#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/firn/csv.h"
#include "examples/firn/jpeg_check.h"
#include "examples/firn/labels.h"
#include "test/tool/tool.h"

namespace firn::tool {
namespace {

using Cells = std::vector<std::string>;
using Labels = std::vector<int64_t>;

// A gray PNG of one pixel.
std::string pixel(uint8_t value) {
  return png(1, 1, 1, {value});
}

// The first byte of every sample.
std::vector<int> first_bytes(Source& source) {
  std::vector<int> bytes;
  for (size_t i = 0; i < source.size(); ++i) {
    const Result<Array> sample = source.read(i);
    REQUIRE(sample.ok());
    bytes.push_back(sample->as<uint8_t>()[0]);
  }
  return bytes;
}

TEST_CASE("CSV cells may be quoted") {
  const Result<Csv> csv =
      parse_csv("x.csv",
                "\xef\xbb\xbf"
                "file,class,name\r\n\"a, b.png\",1,\"say \"\"hi\"\"\"\r\n\nc.png,2,\"two\nlines\"\n"
                "d.png,,");
  REQUIRE(csv.ok());
  CHECK(csv->header == Cells{"file", "class", "name"});
  REQUIRE(csv->rows.size() == 3);
  CHECK(csv->rows[0].cells == Cells{"a, b.png", "1", "say \"hi\""});
  CHECK(csv->rows[1].cells == Cells{"c.png", "2", "two\nlines"});
  CHECK(csv->rows[1].line == 4);
  CHECK(csv->rows[2].cells == Cells{"d.png", "", ""});
  CHECK(*csv->column("class") == 1);
  CHECK(csv->column("Class").status().code() == Code::malformed);
}

TEST_CASE("a broken CSV names its line") {
  const auto message = [](const char* text) {
    const Result<Csv> csv = parse_csv("x.csv", text);
    return csv.ok() ? "ok" : csv.status().message();
  };
  CHECK(message("").starts_with("x.csv: is empty"));
  CHECK(message("a,b\n1\n").starts_with("x.csv:2: 1 cells"));
  CHECK(message("a,b\n1,2\n1,2,3\n").starts_with("x.csv:3: 3 cells"));
  CHECK(message("a\n\n\"x\ny\n").starts_with("x.csv:3: a quote is never closed"));
  CHECK(message("a\n\"x\"y\n").starts_with("x.csv:2: text after"));
  CHECK(parse_csv("x.csv", "a,a\n")->column("a").status().code() == Code::malformed);
}

TEST_CASE("a folder gives its pictures by name, or as a CSV of labels orders them") {
  const TempFolder folder;
  folder.write("b.png", pixel(2));
  folder.write("a.PNG", pixel(1));
  folder.write("c.png", pixel(3));
  folder.write("notes.txt", "no picture");
  const std::string labels = folder.write("labels.csv", "file,class\nc.png,30\na.PNG,10\n");

  Result<Source> source = Source::open(folder.path());
  REQUIRE(source.ok());
  CHECK(first_bytes(*source) == std::vector<int>{1, 2, 3});
  CHECK(read_labels(labels, *source).status().message().ends_with("no row for b.png"));

  source = Source::open(folder.path(), labels);
  REQUIRE(source.ok());
  CHECK(first_bytes(*source) == std::vector<int>{3, 1});
  CHECK(*read_labels(labels, *source) == Labels{30, 10});
}

TEST_CASE("lists and CSVs name files relative to themselves") {
  const TempFolder folder;
  folder.write("pictures/one.png", pixel(1));
  const std::string absolute = folder.write("two.png", pixel(2));
  const std::string labels = folder.write("labels.csv", "class,file\n5,one.png\n6,two.png\n");

  const std::string list = folder.write("list.txt", absolute + "\r\n\npictures/one.png");
  Result<Source> source = Source::open(list);
  REQUIRE(source.ok());
  CHECK(first_bytes(*source) == std::vector<int>{2, 1});
  CHECK(*read_labels(labels, *source) == Labels{6, 5});

  const std::string csv = folder.write("data.csv", "id,file\n1,pictures/one.png\n2,two.png\n");
  source = Source::open(csv);
  REQUIRE(source.ok());
  CHECK(first_bytes(*source) == std::vector<int>{1, 2});
}

TEST_CASE("an .npy gives one sample for each index of its first axis") {
  const TempFolder folder;
  std::vector<uint8_t> values = {7, 8, 9, 10, 11, 12};
  REQUIRE(write_npy(folder.path("x.npy"), view({3, 2}, values.data())).ok());
  Result<Source> source = Source::open(folder.path("x.npy"));
  REQUIRE(source.ok());
  CHECK(first_bytes(*source) == std::vector<int>{7, 9, 11});
  CHECK(source->name(1) == folder.path("x.npy") + "[1]");

  std::vector<int16_t> classes = {1, -2, 300};
  REQUIRE(write_npy(folder.path("y.npy"), view({3}, classes.data())).ok());
  CHECK(*read_labels(folder.path("y.npy"), *source) == Labels{1, -2, 300});
  REQUIRE(write_npy(folder.path("y.npy"), view({2}, classes.data())).ok());
  CHECK(
      read_labels(folder.path("y.npy"), *source).status().message().find("2 labels, expected 3") !=
      std::string::npos);
  std::vector<float> floats(3);
  REQUIRE(write_npy(folder.path("y.npy"), view({3}, floats.data())).ok());
  CHECK(!read_labels(folder.path("y.npy"), *source).ok());
  CHECK(!read_labels(folder.write("y.csv", "file,class\nx,1\n"), *source).ok());
}

TEST_CASE("what has no samples is an error") {
  const TempFolder folder;
  float scalar = 0;
  REQUIRE(write_npy(folder.path("scalar.npy"), view({}, &scalar)).ok());
  REQUIRE(write_npy(folder.path("empty.npy"), view({0, 4}, &scalar)).ok());
  CHECK(!Source::open(folder.path()).ok());  // no pictures
  CHECK(!Source::open(folder.path("scalar.npy")).ok());
  CHECK(!Source::open(folder.path("empty.npy")).ok());
  CHECK(!Source::open(folder.write("empty.txt", "\n")).ok());
  CHECK(!Source::open(folder.write("rows.csv", "file\n")).ok());
  CHECK(!Source::open(folder.write("other.csv", "name\nx\n")).ok());
  CHECK(!Source::open(folder.write("model.bin", std::string("\x08\x00\x12", 3))).ok());
  CHECK(Source::open(folder.path("missing")).status().code() == Code::not_found);
}

TEST_CASE("labels that contradict themselves or are no numbers name their line") {
  const TempFolder folder;
  Result<Source> source = Source::open(folder.write("a.png", pixel(0)));
  REQUIRE(source.ok());
  const auto message = [&](const char* text) {
    return read_labels(folder.write("l.csv", text), *source).status().message();
  };
  CHECK(message("file,class\na.png,x\n").find("l.csv:2: class 'x' is not a number") !=
        std::string::npos);
  CHECK(message("file,class\na.png,1\na.png,2\n").find("l.csv:3: a second class") !=
        std::string::npos);
  CHECK(message("file,class\na.png,1\na.png,1\n").empty());
}

TEST_CASE("pictures are decoded, broken ones are errors") {
  const TempFolder folder;
  const std::string file = png(2, 1, 3, {1, 2, 3, 250, 251, 252});
  Result<Array> picture = read_array(folder.write("c.png", file));
  REQUIRE(picture.ok());
  CHECK(picture->shape == Shape{1, 2, 3});
  CHECK(std::vector<uint8_t>(picture->as<uint8_t>(), picture->as<uint8_t>() + 6) ==
        std::vector<uint8_t>{1, 2, 3, 250, 251, 252});
  picture = read_array(folder.write("g.png", pixel(9)));
  REQUIRE(picture.ok());
  CHECK(picture->shape == Shape{1, 1, 1});

  // Up to the end of the data: the last chunk says nothing more.
  for (size_t length = 0; length + 12 < file.size(); ++length) {
    CAPTURE(length);
    const Status cut = read_array(folder.write("cut.png", file.substr(0, length))).status();
    CHECK(cut.code() == Code::malformed);
    CHECK(cut.message().find("cut.png") != std::string::npos);
  }
  CHECK(read_array(folder.write("x.jpg", "\xff\xd8\xff\xe0 nonsense")).status().code() ==
        Code::malformed);
  std::string huge = pixel(0);
  huge.replace(16, 8, std::string("\0\0\x4e\x20\0\0\x4e\x20", 8));  // 20000 x 20000
  CHECK(read_array(folder.write("huge.png", huge)).status().code() == Code::unsupported);
}

TEST_CASE("a JPEG is looked through before it is decoded") {
  using namespace std::string_literals;
  CHECK(is_jpeg("\xff\xff\xd8"));
  CHECK(!is_jpeg(pixel(0)));
  const std::string start = "\xff\xd8", end = "\xff\xd9";
  const auto tables = [](int length, const std::string& counts) {
    return "\xff\xc4"s + static_cast<char>(length >> 8) + static_cast<char>(length & 0xff) + '\0' +
           counts;
  };
  const std::string full = std::string(14, '\0') + "\xff\x01", over = full.substr(1) + '\x01';
  CHECK(jpeg_problem(start + end) == nullptr);
  CHECK(jpeg_problem(start + tables(19 + 256, full) + std::string(256, 'v') + end) == nullptr);
  CHECK(jpeg_problem(start + tables(19 + 257, over) + std::string(257, 'v') + end) != nullptr);
  // The counts may lie behind what the segment claims as its length, between two scans, and behind
  // fill bytes; what stands inside of another segment is no marker.
  CHECK(jpeg_problem(start + tables(3, over) + end) != nullptr);
  CHECK(jpeg_problem(start + "\xff\xda\0\2picture\xff\0\xff\xd0"s + '\xff' + tables(19, over) +
                     end) != nullptr);
  CHECK(jpeg_problem(start + "\xff\xe1\0\x17"s + tables(19, over) + end) == nullptr);
  CHECK(jpeg_problem(start + "\xff\xe1\0\1"s + end) != nullptr);
  CHECK(jpeg_problem(start + "\xff\xe1\0\x08"s + end) !=
        nullptr);  // the end belongs to the segment
  CHECK(jpeg_problem(start) != nullptr);
  CHECK(jpeg_problem("\xff") != nullptr);
}

TEST_CASE("a JPEG that is cut off anywhere is an error") {
  const std::string photo = FIRN_SHARED "/data/imagenet500/n01440764_tench.JPEG";
  if (!std::filesystem::exists(photo)) {
    MESSAGE("skipped: no " FIRN_SHARED);
    return;
  }
  const TempFolder folder;
  const std::string file = read_text(photo);
  REQUIRE(read_array(folder.write("whole.jpg", file)).ok());
  REQUIRE(read_array(folder.write("longer.jpg", file + "tail")).ok());
  for (size_t length = 0; length < file.size(); length += 499) {
    CAPTURE(length);
    CHECK(read_array(folder.write("cut.jpg", file.substr(0, length))).status().code() ==
          Code::malformed);
  }
}

TEST_CASE("the top classes come in order, NaN last, and the first of equals first") {
  const std::vector<float> scores = {0.5f, NAN, 2.0f, 0.5f, -1.0f};
  CHECK(top_classes(scores, 3) == std::vector<size_t>{2, 0, 3});
  CHECK(top_classes(scores, 9) == std::vector<size_t>{2, 0, 3, 4, 1});
}

}  // namespace
}  // namespace firn::tool
