// SPDX-License-Identifier: Apache-2.0
// Every command on a real network and its data, as a user would go through them.
#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/firn/npy.h"
#include "test/tool/mnist.h"
#include "test/tool/tool.h"

namespace firn::tool {
namespace {

// The first test image as a gray picture; it shows a 7.
std::string first_digit(const TempFolder& folder) {
  Result<NpyFile> images = NpyFile::open(kImages);
  REQUIRE(images.ok());
  const Result<Array> image = images->read_sample(0);
  REQUIRE(image.ok());
  const uint8_t* pixels = image->as<uint8_t>();
  return folder.write("digit.png", png(28, 28, 1, {pixels, pixels + 28 * 28}));
}

TEST_CASE("info") {
  if (!have_data()) return;
  CHECK(contains(output_of("info " + kModel), "1x1x28x28"));
  const std::string json = output_of("info " + kModel + " --json");
  CHECK(json_number(json, "layers_int8") == 0);
  CHECK(json_number(json, "layers_float") == 3);
  // 5x5x1x8 + 5x5x8x16 + 4x4x16x10 products at 28x28, 14x14 and one place.
  CHECK(json_number(json, "macs") == 28 * 28 * 200 + 14 * 14 * 3200 + 2560);
  CHECK(contains(json, "\"shape\": [1, 1, 28, 28]"));
}

TEST_CASE("run takes a picture or an .npy and writes every output") {
  if (!have_data()) return;
  const TempFolder folder;
  const std::string picture = first_digit(folder);
  const std::string top = output_of("run " + kModel + " --input " + picture + " --top 3 --output " +
                                    folder.path("out"));
  CHECK(contains(top, "\n  7  "));
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path("out"))) {
    files.push_back(entry.path().string());
  }
  REQUIRE(files.size() == 1);
  Result<NpyFile> scores = NpyFile::open(files[0]);
  REQUIRE(scores.ok());
  CHECK(scores->shape() == Shape{1, 10});

  // The same pixels as floats in the model's own shape give the same bytes.
  Result<Array> pixels = NpyFile::open(kImages)->read_sample(0);
  REQUIRE(pixels.ok());
  std::vector<float> floats(pixels->as<uint8_t>(), pixels->as<uint8_t>() + 28 * 28);
  REQUIRE(write_npy(folder.path("x.npy"), view({1, 1, 28, 28}, floats.data())).ok());
  output_of("run " + kModel + " --input Input3=" + folder.path("x.npy") + " --output " +
            folder.path("again"));
  const std::string name = std::filesystem::path(files[0]).filename().string();
  CHECK(read_text(files[0]) == read_text(folder.path("again/" + name)));
}

TEST_CASE("wrong inputs are named") {
  if (!have_data()) return;
  const TempFolder folder;
  const std::string run = "run " + kModel + " --output " + folder.path("out") + " --input ";
  float values[5] = {};
  REQUIRE(write_npy(folder.path("five.npy"), view({1, 5}, values)).ok());
  CHECK(failed_with(firn(run + folder.path("five.npy")), "shape 1x5, input 'Input3' is 1x1x28x28"));
  CHECK(failed_with(firn(run + folder.path("none.npy")), "none.npy: no such file"));
  CHECK(failed_with(firn(run + folder.write("broken.png", "\x89PNG\r\n\x1a\nxx")), "broken.png"));
  CHECK(failed_with(firn(run + folder.write("broken.npy", "\x93NUMPY")), "broken.npy"));
  CHECK(failed_with(firn(run + kImages + " " + kImages), "too many"));
  CHECK(failed_with(firn("run " + kModel + " --top 1"), "Input3"));
  CHECK(failed_with(firn("run " + kModel + " --input x"), "--output"));
  CHECK(failed_with(firn("bench " + kModel + " --isa abacus"), "abacus"));
  CHECK(failed_with(firn("bench " + kModel + " --shape 2x1x28x28"), "1x1x28x28"));
  CHECK(failed_with(firn("bench " + kModel + " --shape y=1"), "no input 'y'"));
  CHECK(!std::filesystem::exists(folder.path("out")));
}

TEST_CASE("from float to int8: calibrate, quantize, compare, bench, profile") {
  if (!have_data()) return;
  const TempFolder folder;
  const std::string table = folder.path("mnist.table"), frozen = folder.path("mnist.int8.firn"),
                    from_table = folder.path("table.int8.firn");
  const std::string data = " --data " + kImages;

  output_of("calibrate " + kModel + data + " --limit 100 -o " + table);
  CHECK(contains(read_text(table), "Input3"));
  CHECK(contains(output_of("quantize " + kModel + " --table " + table + " -o " + from_table),
                 "not verified"));
  // With both, the samples verify what the table gives, and decide whether it will do.
  const std::string table_and_data = "quantize " + kModel + data +
                                     " --skip 100 --limit 20 --table " + table + " -o " +
                                     from_table + " --json --min-sqnr ";
  CHECK(failed_with(firn(table_and_data + "200"), "refused"));
  const std::string verified = output_of(table_and_data + "20");
  CHECK(json_number(verified, "frames") == 0);
  CHECK(json_number(verified, "verified_frames") == 8);
  CHECK(json_number(verified, "sqnr_db") > 20);
  const std::string report =
      output_of("quantize " + kModel + data + " --limit 100 --json -o " + frozen);
  CHECK(json_number(report, "layers_float") < json_number(report, "layers_int8"));
  CHECK(json_number(report, "bytes_after") < json_number(report, "bytes_before"));
  CHECK(json_number(report, "sqnr_db") > 20);

  for (const std::string& model : {frozen, from_table}) {
    CAPTURE(model);
    CHECK(json_number(output_of("info " + model + " --json"), "layers_int8") == 3);
    const std::string json = output_of("compare " + kModel + " " + model + data +
                                       " --skip 100 --labels " + kLabels + " --json");
    CHECK(json_number(json, "samples") == 900);
    CHECK(json_number(json, "top1_a") > 0.97);
    CHECK(json_number(json, "top1_b") > json_number(json, "top1_a") - 0.01);
    CHECK(json_number(json, "agreement") > 0.98);
    CHECK(json_number(json, "sqnr_db") > 20);
    CHECK(json_number(json, "max_abs_error") > 0);
  }
  const std::string same =
      output_of("compare " + kModel + " " + kModel + data + " --limit 10 --json");
  CHECK(contains(same, "\"top1_a\": null"));
  CHECK(json_number(same, "agreement") == 1);
  CHECK(contains(same, "\"sqnr_db\": null"));  // infinite
  CHECK(contains(output_of("compare " + kModel + " " + frozen + data + " --limit 10"), "dB"));

  const std::string bench = output_of("bench " + frozen + " --runs 10 --json --isa scalar");
  for (const char* key : {"threads", "median_ms", "min_ms", "p90_ms", "layers_int8", "layers_float",
                          "arena_bytes", "weight_bytes", "peak_rss_bytes"}) {
    CAPTURE(key);
    CHECK(json_number(bench, key) >= 0);
  }
  CHECK(contains(bench, "\"isa\": \"scalar\""));
  CHECK(json_number(bench, "min_ms") <= json_number(bench, "median_ms"));
  CHECK(json_number(bench, "median_ms") <= json_number(bench, "p90_ms"));
  CHECK(json_number(output_of("bench " + kModel + " --runs 3 --threads 2 --json"), "threads") == 2);

  const std::string profile = output_of("profile " + frozen + " --runs 3 --json");
  CHECK(contains(profile, "\"precision\": \"int8\""));
  CHECK(json_number(profile, "total_ms") > 0);
  CHECK(contains(output_of("profile " + kModel + " --runs 3"), "100.0 %"));
}

TEST_CASE("quantize obeys patterns and limits") {
  if (!have_data()) return;
  const TempFolder folder;
  const std::string out = folder.path("out.firn");
  const std::string quantize =
      "quantize " + kModel + " --data " + kImages + " --limit 64 -o " + out + " ";
  CHECK(failed_with(firn(quantize + "--min-sqnr 200"), "200"));
  CHECK(!std::filesystem::exists(out));
  CHECK(failed_with(firn(quantize + "--keep-float 'nothing*'"), "nothing*"));
  const std::string text =
      output_of(quantize + "--keep-float 'Convolution2*' --method minmax --verbose");
  CHECK(contains(text, "kept by pattern Convolution2*"));
  CHECK(json_number(output_of("info " + out + " --json"), "layers_int8") == 2);
  CHECK(json_number(output_of(quantize + "--json"), "ms_float") == 0);
  // The machine decides which is faster.
  const Outcome timed = firn(quantize + "--timing --json");
  if (timed.status == 0) {
    CHECK(json_number(timed.out, "ms_float") > 0);
    CHECK(json_number(timed.out, "ms_int8") > 0);
  } else {
    CHECK(failed_with(timed, "int8 is slower here"));
  }
  CHECK(failed_with(firn("quantize " + kModel + " -o " + out), "--data"));
  CHECK(failed_with(firn("quantize " + kModel + " -o " + out + " --table " +
                         folder.write("bad.table", "nonsense\n")),
                    "bad.table"));
}

}  // namespace
}  // namespace firn::tool
