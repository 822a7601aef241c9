// SPDX-License-Identifier: Apache-2.0
// Calibrations as files on the command line: saved, merged, in ncnn's format, from other models, of
// models with several inputs; and frozen models as ONNX.
#include <doctest/doctest.h>
#include <cmath>
#include <filesystem>
#include <string>

#include "examples/firn/npy.h"
#include "test/tool/tool.h"

namespace firn::tool {
namespace {

const std::string kMnist = FIRN_SHARED "/models/onnx/mnist.onnx";
const std::string kImages = FIRN_SHARED "/data/mnist/mnist_test_images.npy";
const std::string kSilero = FIRN_SHARED "/models/onnx/silero_vad_openvino_16k.onnx";

bool have(const std::string& file) {
  const bool there = std::filesystem::exists(file);
  if (!there) MESSAGE("skipped: no " << file);
  return there;
}

// [count, dims...] of a sine that differs from sample to sample.
std::string samples(const TempFolder& folder, const std::string& name, const Shape& shape) {
  Array array(DType::f32, shape);
  for (size_t i = 0; i < shape.elements(); ++i)
    array.as<float>()[i] = 0.5f * std::sin(0.01f * static_cast<float>(i * (i % 7 + 1)));
  REQUIRE(write_npy(folder.path(name), array.view()).ok());
  return folder.path(name);
}

TEST_CASE("calibrations of parts of the data merge to the model of all of it, byte by byte") {
  if (!have(kMnist)) return;
  const TempFolder folder;
  const std::string calibrate = "calibrate " + kMnist + " --data " + kImages;
  const std::string a = folder.path("a.calib"), b = folder.path("b.calib"),
                    both = folder.path("both.calib"), all = folder.path("all.calib");
  output_of(calibrate + " --limit 60 --state " + a);
  output_of(calibrate + " --skip 60 --limit 40 --state " + b);
  output_of(calibrate + " --limit 100 --state " + all);
  output_of("merge-calibration " + b + " " + a + " -o " + both);
  const auto frozen = [&](const std::string& state) {
    const std::string out = folder.path("out.firn");
    CHECK(contains(output_of("quantize " + kMnist + " --state " + state + " -o " + out),
                   "100 frames observed"));
    return read_text(out);
  };
  CHECK(frozen(both) == frozen(all));
  const std::string verified =
      output_of("quantize " + kMnist + " --state " + both + " --data " + kImages +
                " --skip 100 --limit 5 --json -o " + folder.path("out.firn"));
  CHECK(json_number(verified, "frames") == 100);
  CHECK(json_number(verified, "verified_frames") == 5);

  CHECK(failed_with(firn("merge-calibration " + a + " " + kMnist + " -o " + both),
                    "not a calibration file"));
  CHECK(failed_with(firn("merge-calibration " + a + " none.calib -o " + both), "none.calib"));
  if (!have(kSilero)) return;
  CHECK(failed_with(
      firn("quantize " + kSilero + " --state " + a + " -o " + folder.path("silero.firn")),
      "another model"));
  CHECK_FALSE(std::filesystem::exists(folder.path("silero.firn")));
}

TEST_CASE("a calibration that is not settled is said to be so") {
  if (!have(kMnist)) return;
  const TempFolder folder;
  const std::string text = output_of("quantize " + kMnist + " --data " + kImages +
                                     " --limit 6 -o " + folder.path("out.firn"));
  CHECK(contains(text, "frames only; ranges of unseen ones may be clipped"));
}

TEST_CASE("ncnn's table, and the scales of an exported model, bring the calibration back") {
  if (!have(kMnist)) return;
  const TempFolder folder;
  const std::string frozen = folder.path("m.firn"), onnx = folder.path("m.onnx"),
                    table = folder.path("m.table");
  output_of("calibrate " + kMnist + " --data " + kImages + " --limit 60 --format ncnn -o " + table);
  CHECK(contains(read_text(table), "_param_0 "));
  output_of("quantize " + kMnist + " --table " + table + " -o " + frozen);
  CHECK(json_number(output_of("info " + frozen + " --json"), "layers_int8") >= 2);

  output_of("quantize " + kMnist + " --data " + kImages + " --limit 60 -o " + frozen);
  for (const char* flag : {"", " --uint8"}) {
    output_of("export-qdq " + frozen + flag + " -o " + onnx);
    const std::string same =
        output_of("compare " + frozen + " " + onnx + " --data " + kImages + " --limit 50 --json");
    CHECK(json_number(same, "max_abs_error") == 0);
  }
  CHECK(contains(output_of("calibrate " + kMnist + " --from " + onnx + " -o " + table),
                 "the scales of"));
  CHECK(contains(read_text(table), " given "));
  output_of("quantize " + kMnist + " --table " + table + " -o " + frozen);
  CHECK(json_number(output_of("compare " + kMnist + " " + frozen + " --data " + kImages +
                              " --limit 50 --json"),
                    "sqnr_db") > 20);
  CHECK(failed_with(firn("calibrate " + kMnist + " -o " + table), "--data"));
  CHECK(failed_with(firn("calibrate " + kMnist + " --from " + kMnist + " -o " + table),
                    "no int8 tensor"));
  CHECK(failed_with(firn("export-qdq " + kMnist + " -o " + folder.path("none/x.onnx")), "none"));
}

TEST_CASE("a network with several inputs is calibrated on an .npy each") {
  if (!have(kSilero)) return;
  const TempFolder folder;
  const std::string data = " --data input=" + samples(folder, "x.npy", {24, 1, 576}) +
                           " --data state=" + samples(folder, "s.npy", {24, 2, 1, 128});
  const std::string state = folder.path("v.calib"), frozen = folder.path("v.firn");
  CHECK(contains(output_of("calibrate " + kSilero + data + " --state " + state),
                 "24 frames observed"));
  output_of("quantize " + kSilero + " --state " + state + data + " -o " + frozen);
  const std::string json = output_of("compare " + kSilero + " " + frozen + data + " --json");
  CHECK(json_number(json, "samples") == 24);
  CHECK(json_number(json, "sqnr_db") > 3);  // on what is no speech, with a state that is none
  CHECK(failed_with(
      firn("calibrate " + kSilero + " --data " + folder.path("x.npy") + " --state " + state),
      "'state'"));
}

}  // namespace
}  // namespace firn::tool
