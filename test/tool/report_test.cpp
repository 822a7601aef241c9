// SPDX-License-Identifier: Apache-2.0
// The page of firn report: whole by itself, safe whatever names models have, and with the figures
// of firn compare and firn profile.
#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "examples/firn/html.h"
#include "examples/firn/report_page.h"
#include "test/tool/mnist.h"
#include "test/tool/tool.h"

namespace firn::tool {
namespace {

using Floats = std::vector<float>;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

LayerReport layer(const std::string& name, Precision precision, double sqnr_db,
                  const std::string& why = {}) {
  LayerReport made;
  made.name = name;
  made.op = "Conv2d";
  made.precision = precision;
  made.sqnr_db = sqnr_db;
  made.why = why;
  made.bytes_before = 4000;
  made.bytes_after = precision == Precision::i8 ? 1000 : 4000;
  return made;
}

StepProfile step(const std::string& name, Precision precision, double ms) {
  return {name,      "Conv2d", "1x4x4x8", precision == Precision::i8 ? "gemm_s8" : "xnnpack",
          precision, ms};
}

// Three layers, of which the middle one takes no step, and a conversion that is no layer.
ReportData small_data(const std::string& name = "conv") {
  ReportData data;
  data.model = "net.onnx";
  data.frozen = "net.firn";
  data.info_before.weight_bytes = 4'000'000;
  data.info_after.weight_bytes = 1'000'000;
  FreezeReport freeze;
  freeze.verified_frames = 8;
  freeze.layers_int8 = 2;
  freeze.layers_float = 1;
  freeze.layers = {layer(name + "1", Precision::i8, 31.5), layer(name + "2", Precision::i8, 12),
                   layer(name + "3", Precision::f32, INFINITY, "kept by pattern " + name + "3")};
  freeze.warnings = {"watch out for " + name};
  TensorReport tensor;
  tensor.name = name + "1";
  tensor.method = Method::mse;
  tensor.lo = -2;
  tensor.hi = 2;
  tensor.scale = 4.0f / 255;
  tensor.frames = 10;
  tensor.min = -4;
  tensor.max = 4;
  tensor.clipped = 0.25;
  tensor.zeros = 0.1;
  tensor.bins_lo = -4;
  tensor.bins_hi = 4;
  tensor.bins = {0.1f, 0, 0.7f, 0.1f};
  freeze.tensors = {tensor};
  data.freeze = freeze;
  data.calibration.frames = 10;
  data.calibration.held_back = 2;
  data.comparison.samples = 3;
  data.comparison.names = {name + "_out"};
  data.comparison.errors.resize(1);
  data.comparison.errors[0].add(Floats{10, 0}, Floats{10, 1});
  data.comparison.top.add(Floats{0, 1}, Floats{0, 1}, 1);
  data.comparison.top.add(Floats{0, 1}, Floats{1, 0}, 1);
  data.comparison.top.add(Floats{1, 0}, Floats{1, 0}, 0);
  data.before = {
      "avx2", 2, {step(name + "1", Precision::f32, 3), step(name + "3", Precision::f32, 5)}, 8};
  data.after = {"avx2",
                2,
                {step("x.quantize", Precision::f32, 0.5), step(name + "1", Precision::i8, 1),
                 step(name + "3", Precision::f32, 2.5)},
                4};
  return data;
}

TEST_CASE("steps and layers become one list in order") {
  const std::vector<ReportLayer> layers = report_layers(small_data());
  REQUIRE(layers.size() == 4);
  CHECK(layers[0].name == "x.quantize");
  CHECK(!layers[0].sqnr_db);
  CHECK(!layers[0].ms_before);
  CHECK(layers[1].name == "conv1");
  CHECK(*layers[1].sqnr_db == 31.5);
  CHECK(*layers[1].ms_before == 3);
  CHECK(*layers[1].ms_after == 1);
  CHECK(layers[1].kernel == "gemm_s8");
  CHECK(layers[2].name == "conv2");  // fused into another
  CHECK(!layers[2].ms_after);
  CHECK(*layers[2].sqnr_db == 12);
  CHECK(layers[3].why == "kept by pattern conv3");
  ReportData loaded = small_data();
  loaded.freeze.reset();
  CHECK(report_layers(loaded).size() == 3);
  // Whatever order they come in, each is there once.
  ReportData swapped = small_data();
  std::swap(swapped.after.steps[1], swapped.after.steps[2]);
  CHECK(report_layers(swapped).size() == 4);
}

TEST_CASE("the worst class comes first") {
  TopOne top;
  const Floats first = {1, 0}, second = {0, 1};
  top.add(first, first, 0);   // always right
  top.add(first, second, 0);  // once lost
  top.add(first, second, 1);  // both times gained
  top.add(first, second, 1);
  top.add(second, second, 2);
  const auto classes = worst_classes(top);
  REQUIRE(classes.size() == 3);
  CHECK(classes[0].first == 1);
  CHECK(classes[1].first == 0);
  CHECK(classes[2].first == 2);
}

TEST_CASE("the page shows every figure") {
  const ReportData data = small_data();
  const std::string page = report_page(data);
  for (const char* part : {"100.00\u00a0% \u2192 66.67\u00a0%",
                           "66.67 %",
                           "20.0 dB",
                           "4.00\u00a0MB \u2192 1.00\u00a0MB",
                           "8\u00a0ms \u2192 4\u00a0ms",
                           "2.00 times faster; avx2, 2 threads",
                           "2 int8, 1 fp32",
                           "verified on 8 held-back",
                           "31.5 dB",
                           "class=\"n low\"",
                           "12.0 dB",
                           "fp32: kept by pattern conv3",
                           "62.5 %",
                           "25.0 %",
                           "gemm_s8",
                           "int8 reaches -2 to 2 (mse)",
                           "clipped <span class=low>25 %",
                           "exactly 0: 10 %",
                           "watch out for conv",
                           "<svg "}) {
    CAPTURE(std::string(part));
    CHECK(contains(page, part));
  }
  CHECK(contains(page, "\"compare\": " + as_json(data.comparison)));
  CHECK(contains(page, "\"profile\": " + as_json(data.after, "net.firn")));
  CHECK(contains(page, "\"profile_before\": " + as_json(data.before, "net.onnx")));
  // Class 1 is the one that they disagree on.
  const size_t classes = page.find("id=classes");
  CHECK(page.find("<th scope=row>1</th>", classes) < page.find("<th scope=row>0</th>", classes));
}

TEST_CASE("the page loads nothing, whatever is asked of it") {
  const std::string page = report_page(small_data());
  for (const char* part : {" src=", "url(", "@import", "http://", "https://", "<link", "fetch("}) {
    CAPTURE(std::string(part));
    CHECK(!contains(page, part));
  }
  CHECK(contains(page, "default-src 'none'"));
}

TEST_CASE("names cannot break out of the page") {
  CHECK(html_text("a<b>&\"'\n\xff\xc3\xa9") == "a&lt;b&gt;&amp;&quot;&#39;\\x0a\\xff\xc3\xa9");
  CHECK(json_for_script("[\"</script>\"]") == "[\"\\u003c/script>\"]");
  const std::string evil = "</script><script>alert('x')</script>\"><img onerror=x>\x01";
  ReportData data = small_data(evil);
  data.model = data.frozen = evil;
  const std::string page = report_page(data);
  CHECK(!contains(page, "alert('x')</script>"));
  CHECK(!contains(page, "<img"));
  CHECK(!contains(page, "\x01"));
  // Three elements: the figures and the script close once each.
  const std::regex close("</script");
  CHECK(std::distance(std::sregex_iterator(page.begin(), page.end(), close), {}) == 2);
}

TEST_CASE("a page without a freeze, and one of a table's ranges") {
  ReportData data = small_data();
  data.freeze.reset();
  std::string page = report_page(data);
  CHECK(contains(page, "Frozen as <code>net.firn</code>"));
  CHECK(!contains(page, "id=activations"));
  CHECK(contains(page, "1 int8, 2 fp32"));
  data = small_data();
  data.calibration = {};
  data.freeze->tensors[0] = {};
  data.freeze->verified_frames = 0;
  data.freeze->warnings.clear();
  data.comparison.top = {};
  page = report_page(data);
  CHECK(contains(page, "Ranges from a table"));
  CHECK(contains(page, "range from a table: no values were seen"));
  CHECK(!contains(page, "31.5 dB"));  // not verified
  CHECK(!contains(page, "id=classes"));
  CHECK(!contains(page, "<section class=warn"));
}

// The text of a JSON without its times.
std::string without_times(const std::string& json) {
  return std::regex_replace(json, std::regex("\"(ms|share|total_ms)\": [-0-9.e+]+"), "");
}

std::vector<std::string> names_in(const std::string& json) {
  const std::regex name("\"name\": \"([^\"]*)\"");
  std::vector<std::string> names;
  for (std::sregex_iterator it(json.begin(), json.end(), name), end; it != end; ++it)
    names.push_back((*it)[1]);
  return names;
}

TEST_CASE("a report's figures are those of compare and profile") {
  if (!have_data()) return;
  const TempFolder folder;
  const std::string page_path = folder.path("page.html"), frozen = folder.path("frozen.firn");
  const std::string data = " --data " + kImages + " --labels " + kLabels;
  Outcome made = firn("report " + kModel + data + " --calibrate 100 --limit 500 --runs 5 --save " +
                      frozen + " -o " + page_path);
  REQUIRE(made.status == 0);
  CHECK(made.err == "");
  const std::string page = read_text(page_path);
  const std::string compared =
      firn("compare " + kModel + " " + frozen + data + " --skip 100 --limit 400 --json").out;
  CHECK(json_number(compared, "samples") == 400);
  CHECK(contains(page, compared.substr(0, compared.find('\n'))));
  const std::string percent = std::to_string(100 * json_number(compared, "agreement")).substr(0, 5);
  CHECK(contains(page, percent));

  const std::string figures = page.substr(page.find("id=figures>"));
  const std::string profile = figures.substr(figures.find("\"profile\": ") + 11);
  const std::string again = firn("profile " + frozen + " --runs 5 --json").out;
  CHECK(names_in(without_times(profile)) == names_in(without_times(again)));
  CHECK(names_in(profile).size() > 3);
  CHECK(json_number(profile, "total_ms") < 20 * json_number(again, "total_ms"));
  CHECK(json_number(profile, "total_ms") > json_number(again, "total_ms") / 20);
  for (const std::string& name : names_in(profile)) {
    CAPTURE(name);
    CHECK(contains(page, html_text(name) + "<small>"));
  }
  // Nothing is left but the page and the model that was asked for.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);

  // The frozen model beside it: the same comparison.
  made = firn("report " + kModel + " " + frozen + data + " --skip 100 --limit 400 --runs 5 -o " +
              page_path);
  REQUIRE(made.status == 0);
  CHECK(contains(read_text(page_path), compared.substr(0, compared.find('\n'))));
}

TEST_CASE("a report that cannot be made says why") {
  if (!have_data()) return;
  const TempFolder folder;
  const std::string report = "report " + kModel + " --data " + kImages + " -o ";
  const std::string page = folder.path("page.html");
  CHECK(failed_with(firn(report + page + " --limit 10 --calibrate 10"), "none are left"));
  CHECK(failed_with(firn(report + folder.path("no/such/folder/page.html") + " --limit 10"),
                    "no/such/folder"));
  CHECK(failed_with(
      firn("report " + kModel + " " + kModel + " --data " + kImages + " -o " + page + " --table x"),
      "excludes"));
  CHECK(failed_with(firn(report + page + " --method best"), "best"));
  CHECK(failed_with(firn("report " + kModel + " -o " + page), "--data"));
  CHECK(!std::filesystem::exists(page));
}

}  // namespace
}  // namespace firn::tool
