// SPDX-License-Identifier: Apache-2.0
// An ncnn model on pictures: classified as its authors' examples do, in float and quantized.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "test/tool/tool.h"

namespace firn::tool {
namespace {

namespace fs = std::filesystem;
const fs::path kModel = fs::path(FIRN_SHARED) / "models/ncnn/squeezenet_v1.1.param";
const fs::path kPictures = fs::path(FIRN_SHARED) / "data/imagenet500";
const std::string kPrepare = " --pixel BGR --mean 104,117,123 --short-side 256";

// The first class of --top's list.
std::string best(const Outcome& outcome) {
  const size_t begin = outcome.out.find_first_not_of(' ');
  if (outcome.status != 0 || begin == std::string::npos) return outcome.err;
  return outcome.out.substr(begin, outcome.out.find(' ', begin) - begin);
}

TEST_CASE("SqueezeNet from ncnn's files names what is on pictures") {
  if (!fs::exists(kModel) || !fs::exists(kPictures)) {
    MESSAGE("skipped: " << kModel.string() << " or its pictures are not there");
    return;
  }
  const TempFolder folder;
  const std::string frozen = folder.path("frozen.firn");
  const Outcome quantized = firn("quantize " + kModel.string() + " --data " + kPictures.string() +
                                 "/labels.csv --limit 40" + kPrepare + " -o " + frozen);
  REQUIRE_MESSAGE(quantized.status == 0, quantized.err);
  for (const auto& [file, label] : {std::pair("n01440764_tench.JPEG", "0"),
                                    {"n01608432_kite.JPEG", "21"},
                                    {"n01484850_great_white_shark.JPEG", "2"}}) {
    const std::string picture = (kPictures / file).string();
    if (!fs::exists(picture)) continue;
    CAPTURE(picture);
    for (const std::string& model : {kModel.string(), frozen}) {
      CHECK(best(firn("run " + model + " --input " + picture + kPrepare + " --top 1")) == label);
    }
  }
}

}  // namespace
}  // namespace firn::tool
