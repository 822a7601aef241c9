// SPDX-License-Identifier: Apache-2.0
// Layers in 16 bits, by hand and for a limit, and weights of as many bits as each layer needs: what
// the tool says and writes, with a real network where the shared folder has it.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "tool.h"

namespace firn::tool {
namespace {

const std::string kShared = FIRN_SHARED;
const std::string kNetwork = kShared + "/models/imagenet/mobilenet_v2_1.0_224.onnx";
const std::string kPictures = " --data " + kShared +
                              "/data/imagenet500/labels.csv --mean 127.5 --std 127.5 "
                              "--short-side 256 --resize crop";
const std::string kCalibration = kPictures + " --limit 40 ";

bool have_network() {
  const bool there = std::filesystem::exists(kNetwork);
  if (!there) MESSAGE("skipped: no " << kNetwork);
  return there;
}

// Of the output against fp32, on pictures that nothing was calibrated on.
double sqnr_of(const std::string& model) {
  return json_number(
      output_of("compare " + kNetwork + " " + model + kPictures + " --skip 100 --limit 40 --json"),
      "sqnr_db");
}

TEST_CASE("MobileNetV2 with 16-bit activations is much closer to fp32 than in int8") {
  if (!have_network()) return;
  const TempFolder folder;
  const std::string int8 = folder.path("int8.firn"), wide = folder.path("wide.firn");
  output_of("quantize " + kNetwork + kCalibration + "--json -o " + int8);
  const std::string json =
      output_of("quantize " + kNetwork + kCalibration + "--keep-i16 '*' --json -o " + wide);
  CHECK(json_number(json, "layers_int8") == 0);
  CHECK(json_number(json, "layers_i16") == 53);
  CHECK(contains(json, "\"precision\": \"int16\""));
  const double in_int8 = sqnr_of(int8), in_16_bits = sqnr_of(wide);
  MESSAGE("int8 " << in_int8 << " dB, 16 bits " << in_16_bits << " dB");
  CHECK(in_int8 > 18);
  CHECK(in_16_bits > in_int8 + 3);

  const std::string info = output_of("info " + wide);
  CHECK(contains(info, "0 int8, 53 int16, 0 float"));
  CHECK(json_number(output_of("info " + wide + " --json"), "layers_i16") == 53);
  const std::string profile = output_of("profile " + wide + " --runs 1");
  CHECK(contains(profile, "int16"));
  CHECK(contains(profile, "dwconv16"));
  CHECK_FALSE(contains(profile, "reference"));
  CHECK(failed_with(firn("export-qdq " + wide + " -o " + folder.path("x.onnx")),
                    "16-bit activations"));
}

TEST_CASE("MobileNetV2: layers get 16 bits until a limit holds, and the report says which") {
  if (!have_network()) return;
  const TempFolder folder;
  const std::string mixed = folder.path("mixed.firn");
  const std::string text =
      output_of("quantize " + kNetwork + kCalibration + "--min-sqnr 30 --back-off -o " + mixed);
  CHECK(contains(text, "layers with 16-bit activations\n"));
  CHECK(contains(text, "for the limit of 30.0 dB; alone in 16 bits it would give"));
  CHECK(contains(text, "16-bit activations: a run takes"));
  const std::string json = output_of("info " + mixed + " --json");
  CHECK(json_number(json, "layers_i16") >= 1);
  CHECK(json_number(json, "layers_int8") >= 1);
  CHECK(json_number(json, "layers_float") == 0);
}

TEST_CASE("MobileNetV2: weights by layer are smaller than 4 bits for all at the same error") {
  if (!have_network()) return;
  const TempFolder folder;
  const std::string four = folder.path("four.firn"), mixed = folder.path("mixed.firn");
  const std::string uniform =
      output_of("quantize " + kNetwork + kCalibration + "--weights 4 --json -o " + four);
  const double db = json_number(uniform, "sqnr_db");
  const std::string by_layer =
      output_of("quantize " + kNetwork + kCalibration + "--weights auto --min-sqnr " +
                std::to_string(db) + " --json -o " + mixed);
  CHECK(json_number(by_layer, "sqnr_db") >= db);
  CHECK(std::filesystem::file_size(mixed) < std::filesystem::file_size(four));
}

TEST_CASE("weights by layer take samples and a limit, and nothing else that says bits") {
  if (!have_network()) return;
  const TempFolder folder;
  const std::string out = " -o " + folder.path("x.firn");
  const auto refusal = [&](const std::string& flags, const std::string& why) {
    CHECK(failed_with(firn("quantize " + kNetwork + " " + flags + out), why));
  };
  refusal("--weights auto", "give --data and --min-sqnr");
  refusal("--weights auto --min-sqnr 20", "give --data and --min-sqnr");
  refusal("--weights 4 --min-sqnr 20", "it takes --weights auto");
  refusal("--weights auto --min-sqnr 20 --block 32" + kCalibration, "leave --dynamic, --block");
  refusal("--weights few", "is no number of bits");
  refusal("--weights 4 --keep-i16 '*'", "leave --table, --state, --method and --keep-i16 away");
}

}  // namespace
}  // namespace firn::tool
