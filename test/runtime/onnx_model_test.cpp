// SPDX-License-Identifier: Apache-2.0
// Real models through the importer: all but the recurrent one are read, and give what ONNX Runtime
// gave.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "firn/session.h"
#include "runtime/graph.h"
#include "runtime/import/onnx.h"
#include "test/runtime/onnx_run.h"

namespace firn {
namespace {

using namespace test;
namespace fs = std::filesystem;

const fs::path kShared = FIRN_SHARED;

bool missing(const fs::path& path) {
  if (fs::exists(path)) return false;
  MESSAGE("skipped: no " << path.string());
  return true;
}

// The data of a .npy file: what follows its header (16 bits of length at 8, in version 1).
template <typename T>
std::vector<T> read_npy(const fs::path& path) {
  const std::string file = read_file(path);
  REQUIRE(file.size() > 10);
  uint16_t header = 0;
  std::memcpy(&header, file.data() + 8, sizeof(header));
  const size_t begin = 10u + header;
  REQUIRE(file.size() >= begin);
  std::vector<T> values((file.size() - begin) / sizeof(T));
  std::memcpy(values.data(), file.data() + begin, values.size() * sizeof(T));
  return values;
}

void check_rows(std::span<const float> got, std::span<const float> expected, float tolerance) {
  REQUIRE(got.size() <= expected.size());
  float worst = 0;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE("onnx: the real models are read") {
  if (missing(kShared / "models")) return;
  for (const char* name :
       {"imagenet/mobilenet_v1_0.75_224", "imagenet/mobilenet_v2_1.0_224", "imagenet/squeezenet1.1",
        "cifar10/resnet20", "onnx/mnist", "onnx/ultraface_version-RFB-320"}) {
    const std::string bytes = read_file(kShared / "models" / (std::string(name) + ".onnx"));
    CHECK(looks_like_onnx(as_bytes(bytes)));
    Graph graph = import(bytes);
    for (const ValueId id : graph.inputs) {
      Shape& shape = graph.value(id).shape;
      for (int d = 0; d < shape.rank; ++d) shape[d] = std::abs(shape[d]);  // open: 1
    }
    const Status status = infer_shapes(graph);
    CHECK_MESSAGE(status.ok(), name << ": " << status.message());
    // Every layer's weights are constants, as kernels want them.
    for (const Node& node : graph.nodes) {
      if (std::holds_alternative<Conv2d>(node.op) || std::holds_alternative<Dense>(node.op)) {
        CHECK(graph.is_constant(node.in[1]));
      }
    }
  }
}

TEST_CASE("onnx: silero's voice detector equals ONNX Runtime") {
  const fs::path path = kShared / "models/onnx/silero_vad_openvino_16k.onnx";
  const fs::path reference = kShared / "data/reference";
  if (missing(path) || missing(reference)) return;
  const Result<Model> model = Model::load(path.string());
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  Result<Session> session = Session::create(*model);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  std::vector<float> samples(576), state(256, 0.0f);
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i] = static_cast<float>((i * 7919) % 256) / 255.0f - 0.5f;
  Outputs outputs;
  const Status status = session->run({{"input", view(Shape{1, 576}, samples.data())},
                                      {"state", view(Shape{2, 1, 128}, state.data())}},
                                     outputs);
  REQUIRE_MESSAGE(status.ok(), status.message());
  for (const char* name : {"output", "stateN"}) {
    const auto expected =
        read_npy<float>(reference / ("silero_vad_synthetic_" + std::string(name) + ".npy"));
    const Tensor got = outputs[name];
    REQUIRE(got.shape.elements() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(got.as<float>()[i] == doctest::Approx(expected[i]).epsilon(1e-4));
  }
}

TEST_CASE("onnx: mnist reads digits, its initializers being inputs, too") {
  const fs::path path = kShared / "models/onnx/mnist.onnx";
  if (missing(path) || missing(kShared / "data/mnist")) return;
  const std::string bytes = read_file(path);
  const Graph graph = import(bytes);
  REQUIRE(graph.inputs.size() == 1);
  CHECK(graph.value(graph.inputs[0]).name == "Input3");
  CHECK(graph.value(graph.outputs[0]).name == "Plus214_Output_0");
  const auto images = read_npy<uint8_t>(kShared / "data/mnist/mnist_test_images.npy");
  const auto labels = read_npy<uint8_t>(kShared / "data/mnist/mnist_test_labels.npy");
  constexpr size_t kPixels = 28 * 28, kImages = 20;
  int right = 0;
  for (size_t n = 0; n < kImages; ++n) {
    const std::vector<float> x(images.begin() + n * kPixels, images.begin() + (n + 1) * kPixels);
    const Value y = run(graph, {view(Shape{1, 1, 28, 28}, x.data())})[0];
    const auto scores = y.as<float>();
    right += std::ranges::max_element(scores) - scores.begin() == labels[n];
  }
  CHECK(right == kImages);
}

TEST_CASE("onnx: resnet20 equals ONNX Runtime") {
  const fs::path path = kShared / "models/cifar10/resnet20.onnx";
  if (missing(path) || missing(kShared / "data/reference")) return;
  const std::string bytes = read_file(path);
  const auto images = read_npy<uint8_t>(kShared / "data/cifar10/test_images.npy");
  const auto expected = read_npy<float>(kShared / "data/reference/resnet20_200images.npy");
  constexpr std::array<float, 3> kMean{123.675f, 116.28f, 103.53f},
      kDeviation{58.395f, 57.12f, 57.375f};
  constexpr size_t kPixels = 32 * 32;
  std::vector<float> x(3 * kPixels);
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t channel = i / kPixels, pixel = i % kPixels;
    x[i] = (static_cast<float>(images[pixel * 3 + channel]) - kMean[channel]) / kDeviation[channel];
  }
  const Value y = run(import(bytes), {view(Shape{1, 3, 32, 32}, x.data())})[0];
  CHECK(y.shape == Shape{1, 10});
  check_rows(y.as<float>(), expected, 1e-4f);
}

TEST_CASE("onnx: ultraface equals ONNX Runtime") {
  const fs::path path = kShared / "models/onnx/ultraface_version-RFB-320.onnx";
  if (missing(path) || missing(kShared / "data/reference")) return;
  const std::string bytes = read_file(path);
  std::vector<float> x(3 * 240 * 320);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 256) / 255.0f;
  const std::vector<Value> y = run(import(bytes), {view(Shape{1, 3, 240, 320}, x.data())});
  REQUIRE(y.size() == 2);
  const fs::path reference = kShared / "data/reference";
  check_rows(y[0].as<float>(),
             read_npy<float>(reference / "ultraface_version-RFB-320_synthetic_scores.npy"), 1e-4f);
  check_rows(y[1].as<float>(),
             read_npy<float>(reference / "ultraface_version-RFB-320_synthetic_boxes.npy"), 1e-4f);
}

}  // namespace firn
