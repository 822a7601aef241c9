// SPDX-License-Identifier: Apache-2.0
// firn convert: what comes out runs as what went in, in the precision it has.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "test/tool/tool.h"

namespace firn::tool {
namespace {

// A 1x1 convolution of two channels: 0.5 x - 2 y.
std::string bin() {
  std::string bytes(4, '\0');
  for (const float weight : {0.5f, -2.0f}) {
    bytes.append(reinterpret_cast<const char*>(&weight), sizeof(weight));
  }
  return bytes;
}

const char* const kParam =
    "7767517\n2 2\nInput data 0 1 data 0=8 1=8 2=2\n"
    "Convolution conv 1 1 data out 0=1 1=1 6=2\n";

TEST_CASE("an ncnn model becomes a .firn file of the same layers") {
  const TempFolder folder;
  const std::string param = folder.write("net.param", kParam);
  folder.write("net.bin", bin());
  const std::string out = folder.path("net.firn");
  const Outcome made = firn("convert " + param + " " + out);
  CHECK(made.status == 0);
  CHECK(made.out.find("layers: 0 int8, 1 float") != std::string::npos);
  const Outcome info = firn("info " + out);
  CHECK(info.status == 0);
  CHECK(info.out.find("input data  f32  2x8x8") != std::string::npos);
  CHECK(info.out.find("output out  f32  1x8x8") != std::string::npos);
  // .firn again: from a file to itself is no special case.
  CHECK(firn("convert " + out + " " + out).status == 0);
  CHECK(firn("bench " + out + " --runs 1").status == 0);
}

TEST_CASE("without a .bin weights are made up on request alone") {
  const TempFolder folder;
  const std::string param = folder.write("alone.param", kParam);
  CHECK(failed_with(firn("info " + param), "its weights are not there"));
  for (const std::string command : {"info ", "bench --runs 1 ", "profile --runs 1 "}) {
    CAPTURE(command);
    CHECK(firn(command + param + " --random-weights").status == 0);
  }
}

}  // namespace
}  // namespace firn::tool
