// SPDX-License-Identifier: Apache-2.0
// Real trained networks through the public API: fp32 against stored references, frozen against
// fp32, every instruction set against the others. Skipped where the shared folder is missing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/firn/npy.h"
#include "firn/session.h"
#include "kernels/isa.h"

namespace firn::tool {
namespace {

const std::string kShared = FIRN_SHARED;

bool have(const std::string& path) {
  const bool there = std::filesystem::exists(kShared + path);
  if (!there) MESSAGE("skipped: no " << kShared + path);
  return there;
}

template <typename T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return *std::move(result);
}

void must(const Status& status) {
  REQUIRE_MESSAGE(status.ok(), status.message());
}

Array read_npy(const std::string& path) {
  return must(must(NpyFile::open(kShared + path)).read());
}

// As a part of the reference's range.
double relative_error(const Tensor& got, const Array& reference) {
  const auto values = got.as<float>();
  const size_t n = reference.shape.elements();
  REQUIRE(values.size() == n);
  const float* want = reference.as<float>();
  double error = 0;
  for (size_t i = 0; i < n; ++i)
    error = std::max(error, std::abs(static_cast<double>(values[i]) - want[i]));
  const auto [lo, hi] = std::minmax_element(want, want + n);
  return error / (static_cast<double>(*hi) - *lo);
}

// CIFAR-10 pictures first..first+count as ResNet-20 wants them: NCHW, normalized.
std::vector<float> cifar(const std::string& file, size_t first, size_t count) {
  const Array images = read_npy("/data/cifar10/" + file);
  constexpr float kMean[3] = {123.675f, 116.28f, 103.53f}, kStd[3] = {58.395f, 57.12f, 57.375f};
  constexpr size_t kPixels = 32 * 32;
  std::vector<float> out(count * 3 * kPixels);
  const uint8_t* from = images.as<uint8_t>() + first * 3 * kPixels;
  for (size_t n = 0; n < count; ++n)
    for (size_t p = 0; p < kPixels; ++p)
      for (size_t c = 0; c < 3; ++c)
        out[(n * 3 + c) * kPixels + p] =
            (static_cast<float>(from[(n * kPixels + p) * 3 + c]) - kMean[c]) / kStd[c];
  return out;
}

int largest(std::span<const float> values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

const Shape kOne{1, 3, 32, 32};

TEST_CASE("ResNet-20: a batch of 200 equals the stored reference") {
  if (!have("/models/cifar10/resnet20.onnx")) return;
  Session session =
      must(Session::create(must(Model::load(kShared + "/models/cifar10/resnet20.onnx"))));
  std::vector<float> images = cifar("test_images.npy", 0, 200);
  Outputs outputs;
  must(session.run({{"input", view(Shape{200, 3, 32, 32}, images.data())}}, outputs));
  CHECK(relative_error(outputs["logits"], read_npy("/data/reference/resnet20_200images.npy")) <
        1e-4);
}

TEST_CASE("UltraFace: boxes and scores equal the stored reference") {
  const std::string name = "ultraface_version-RFB-320";
  if (!have("/models/onnx/" + name + ".onnx")) return;
  Session session =
      must(Session::create(must(Model::load(kShared + "/models/onnx/" + name + ".onnx"))));
  const Shape shape{1, 3, 240, 320};
  std::vector<float> data(shape.elements());
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i * 7919 % 256) / 255.0f;
  Outputs outputs;
  must(session.run({{session.inputs()[0].name, view(shape, data.data())}}, outputs));
  for (const char* output : {"scores", "boxes"})
    CHECK(relative_error(outputs[output], read_npy("/data/reference/" + name + "_synthetic_" +
                                                   output + ".npy")) < 1e-4);
}

TEST_CASE("ResNet-20 frozen: within a point of fp32, the same bytes from every instruction set") {
  if (!have("/models/cifar10/resnet20.onnx")) return;
  const Model model = must(Model::load(kShared + "/models/cifar10/resnet20.onnx"));
  Session session = must(Session::create(model));
  must(session.calibrate());
  std::vector<float> images = cifar("calib_images.npy", 0, 100);
  Outputs outputs;
  for (size_t i = 0; i < 100; ++i)
    must(session.run({{"input", view(kOne, &images[i * kOne.elements()])}}, outputs));
  const FreezeReport report = must(session.freeze({.timed = false}));
  CHECK(report.layers_float == 0);
  CHECK(report.outputs[0].sqnr_db > 25);

  constexpr size_t kCount = 400;
  const std::vector<float> tests = cifar("test_images.npy", 200, kCount);
  const Array labels = read_npy("/data/cifar10/test_labels.npy");
  const auto label = [&](size_t i) {
    switch (labels.type) {
      case DType::u8:
        return static_cast<int>(labels.as<uint8_t>()[i]);
      case DType::i32:
        return static_cast<int>(labels.as<int32_t>()[i]);
      default:
        return static_cast<int>(labels.as<int64_t>()[i]);
    }
  };
  Session fp32 = must(Session::create(model));
  int right_fp32 = 0, right_int8 = 0, agree = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const Tensor input = view(kOne, tests.data() + i * kOne.elements());
    must(fp32.run({{"input", input}}, outputs));
    const int a = largest(outputs["logits"].as<float>());
    must(session.run({{"input", input}}, outputs));
    const int b = largest(outputs["logits"].as<float>());
    right_fp32 += a == label(200 + i);
    right_int8 += b == label(200 + i);
    agree += a == b;
  }
  CHECK(right_fp32 > 350);
  CHECK(right_int8 >= right_fp32 - 4);
  CHECK(agree >= 384);

  const std::string path = std::string(FIRN_BINARY) + "/resnet20.int8.firn";
  must(session.save(path));
  const Model frozen = must(Model::load(path));
  std::filesystem::remove(path);
  const Tensor input = view(kOne, tests.data());
  must(session.run({{"input", input}}, outputs));
  const auto values = outputs["logits"].as<float>();
  const std::vector<float> expected(values.begin(), values.end());
  for (int i = 0; i < kernels::kIsaCount; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if ((kernels::supported_isas() & kernels::bit(isa)) == 0) continue;
    CAPTURE(kernels::isa_name(isa));
    Session forced = must(Session::create(frozen, {.isa = kernels::isa_name(isa)}));
    Outputs own;
    must(forced.run({{"input", input}}, own));
    CHECK(std::ranges::equal(own["logits"].as<float>(), expected));
  }
}

}  // namespace
}  // namespace firn::tool
