// SPDX-License-Identifier: Apache-2.0
// Layers with 16-bit activations, by hand and for a limit on the error: frozen, saved and loaded.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "firn/onnx_export.h"
#include "quant/report.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

const LayerReport& layer(const FreezeReport& report, const std::string& name) {
  const auto found = std::ranges::find(report.layers, name, &LayerReport::name);
  REQUIRE(found != report.layers.end());
  return *found;
}

double least_db(const FreezeReport& report) {
  double least = INFINITY;
  for (const OutputReport& output : report.outputs) least = std::min(least, output.sqnr_db);
  return least;
}

bool warns_of(const FreezeReport& report, const std::string& text) {
  return std::ranges::any_of(report.warnings, [&](const std::string& warning) {
    return warning.find(text) != std::string::npos;
  });
}

constexpr const char* kWeighted[] = {"stem", "expand", "depthwise", "project",
                                     "gate", "left",   "right",     "logits"};

TEST_CASE("16 bits: a whole network is much closer to fp32 than int8, also from its file") {
  const Model model = small_model();
  Session int8 = calibrated(model), session = calibrated(model);
  const FreezeReport plain = must(int8.freeze({.timed = false}));
  const FreezeReport report = must(session.freeze({.keep_i16 = {"*"}, .timed = false}));
  CHECK(report.layers_int8 == 0);
  CHECK(report.layers_i16 == 8);
  CHECK(report.layers_int8 + report.layers_i16 + report.layers_float ==
        static_cast<int>(report.layers.size()));
  for (const char* name : kWeighted) {
    CAPTURE(name);
    CHECK(layer(report, name).precision == Precision::i16);
    CHECK(layer(report, name).sqnr_db > layer(plain, name).sqnr_db + 3);
  }
  CHECK(least_db(report) > least_db(plain) + 5);
  for (const StepProfile& step : must(session.profile(1))) CHECK(step.kernel != "reference");

  const std::string path = std::string(FIRN_BINARY) + "/wide.firn";
  must(session.save(path));
  const Model saved = must(Model::load(path));
  CHECK(saved.info().layers_i16 == 8);
  CHECK(saved.info().layers_int8 == 0);
  Session loaded = must(Session::create(saved, {.threads = 2}));
  for (uint32_t i = 0; i < 3; ++i)
    CHECK(run_all(loaded, frame(300 + i)) == run_all(session, frame(300 + i)));
  CHECK(run_all(loaded, frame(1, small_shape(3)), small_shape(3)) ==
        run_all(session, frame(1, small_shape(3)), small_shape(3)));
  const Status exported = export_onnx(saved, path + ".onnx");
  CHECK(exported.code() == Code::unsupported);
  CHECK(exported.message().find("16-bit activations") != std::string::npos);
  std::remove(path.c_str());
}

TEST_CASE("16 bits: between int8 layers") {
  Session session = calibrated(small_model());
  const FreezeReport report = must(session.freeze(
      {.keep_float = {"left"}, .keep_i16 = {"dep*", "left", "last:1"}, .timed = false}));
  CHECK(layer(report, "depthwise").precision == Precision::i16);
  CHECK(layer(report, "depthwise").why == "kept by pattern dep*");
  CHECK(layer(report, "left").precision == Precision::f32);
  CHECK(layer(report, "logits").precision == Precision::i16);
  CHECK(layer(report, "project").precision == Precision::i8);
  CHECK(report.layers_i16 == 2);
  CHECK(least_db(report) > 20);
  CHECK(session.freeze({.keep_i16 = {"pool"}}).status().code() == Code::failed_precondition);
  must(session.thaw());
  CHECK(session.freeze({.keep_i16 = {"pool"}}).status().message() ==
        "keep_i16: no layer matches \"pool\"");
}

TEST_CASE("16 bits: as many layers as a limit takes, and float where they are not enough") {
  const Model model = small_model();
  Session session = calibrated(model);
  const double in_int8 = least_db(must(session.freeze({.timed = false})));
  must(session.thaw());
  const double in_16 = least_db(must(session.freeze({.keep_i16 = {"*"}, .timed = false})));
  must(session.thaw());
  REQUIRE(in_16 > in_int8 + 4);

  const double between = in_int8 + 2;
  FreezeReport report =
      must(session.freeze({.min_sqnr_db = between, .back_off = true, .timed = false}));
  CHECK(least_db(report) >= between);
  CHECK(report.layers_i16 > 0);
  CHECK(report.layers_i16 < 8);
  for (const LayerReport& l : report.layers)
    CHECK(l.why.find("int8 weights alone") == std::string::npos);
  CHECK(warns_of(report, "layers 16-bit activations: a run takes"));
  for (const LayerReport& l : report.layers)
    if (l.precision == Precision::i16)
      CHECK(l.why.find("alone in 16 bits it would give") != std::string::npos);

  must(session.thaw());
  const double beyond = in_16 + 6;
  report = must(session.freeze({.min_sqnr_db = beyond, .back_off = true, .timed = false}));
  CHECK(least_db(report) >= beyond);
  int in_float = 0;
  for (const char* name : kWeighted) in_float += layer(report, name).precision == Precision::f32;
  CHECK(in_float > 0);
  CHECK(in_float < 8);
  CHECK(warns_of(report, "layers in float: a run takes"));
}

TEST_CASE("16 bits: timed, a layer keeps them only where float is slower") {
  Session session = calibrated(small_model());
  const Result<FreezeReport> report = session.freeze({.keep_i16 = {"*"}});
  if (!report.ok()) {
    CHECK(report.status().code() == Code::refused);
    return;
  }
  CHECK(report->ms_int8 > 0);
  for (const char* name : kWeighted) {
    CAPTURE(name);
    const LayerReport& l = layer(*report, name);
    CHECK(l.ms_float > 0);
    CHECK(l.ms_int8 > 0);
    if (l.precision == Precision::f32) CHECK(l.why.find("fp32 is faster") != std::string::npos);
    if (l.precision == Precision::i16) CHECK(l.ms_int8 < l.ms_float);
  }
}

}  // namespace
}  // namespace firn::test
