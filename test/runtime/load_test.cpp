// SPDX-License-Identifier: Apache-2.0
// Loading: formats told by content, mistakes named, and models that come back from .firn the same.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "firn/model.h"
#include "runtime/file.h"
#include "runtime/graph.h"
#include "runtime/import/native.h"
#include "runtime/model_impl.h"

using namespace firn;
namespace fs = std::filesystem;
using namespace std::literals;

namespace {

std::string temporary(const std::string& name) {
  return (fs::temp_directory_path() / ("firn_load_" + std::to_string(::getpid()) + name)).string();
}

Status load_bytes(std::string_view bytes) {
  const std::string path = temporary("_mistake.bin");
  REQUIRE(write_file(path, std::as_bytes(std::span(bytes))).ok());
  const Status status = Model::load(path).status();
  fs::remove(path);
  CHECK(status.message().starts_with(path + ": "));
  return {status.code(), status.message().substr(path.size() + 2)};
}

template <typename T>
ValueId add_constant(Graph& graph, const std::string& name, const Shape& shape,
                     const std::vector<T>& data) {
  auto id = graph.add_constant<T>(name, shape, data);
  REQUIRE(id.ok());
  return *id;
}

// Convolutions without padding on an image of open size.
Graph open_net() {
  Graph graph;
  const ValueId x = graph.add({"x", DType::f32, {-1, -1, -1, 1}, {}, {}});
  const ValueId w = add_constant<float>(graph, "w", {2, 3, 3, 1}, std::vector<float>(18, 0.5f));
  const ValueId y = graph.add({"y", DType::f32, {}, {}, {}});
  graph.add({"conv", Conv2d{{.kernel = {3, 3}, .stride = {2, 2}}, 1, {}}, {x, w}, {y}});
  const ValueId mean = graph.add({"mean", DType::f32, {}, {}, {}});
  graph.add({"pool", Reduce{Reduce::Kind::mean, {1, 2}, false}, {y}, {mean}});
  graph.inputs = {x};
  graph.outputs = {y, mean};
  return graph;
}

}  // namespace

TEST_CASE("files that are no model are called by their name") {
  struct Mistake {
    std::string_view bytes;
    Code code;
    std::string_view says;
  };
  const Mistake mistakes[] = {
      {"\x1c\0\0\0TFL3\0\0\0\0"sv, Code::malformed, "tflite: the file is damaged"},
      {"7767517\n75 83\n"sv, Code::malformed, "ncnn: line 2"},
      {"\x89HDF\r\n\x1a\n"sv, Code::unsupported, "Keras"},
      {"PK\x03\x04 archive/data.pkl"sv, Code::unsupported, "PyTorch"},
      {"\x89PNG\r\n\x1a\n"sv, Code::malformed, "a PNG picture, not a model"},
      {"\xff\xd8\xff\xe0 JFIF"sv, Code::malformed, "a JPEG picture, not a model"},
      {"version https://git-lfs.github.com/spec/v1\n"sv, Code::malformed, "git lfs pull"},
      {"<!DOCTYPE html>"sv, Code::malformed, "a web page"},
      {"\x7f\x45LF"sv, Code::malformed, "a program or library"},
      {"\xde\xad\xbe\xef"sv, Code::malformed,
       "neither ONNX, TensorFlow Lite, ncnn nor .firn: begins with de ad be ef"},
      {"\0"sv, Code::malformed, "neither ONNX, TensorFlow Lite, ncnn nor .firn: begins with 00"},
      {"FIRN"sv, Code::malformed, "truncated"},
  };
  for (const Mistake& mistake : mistakes) {
    const Status status = load_bytes(mistake.bytes);
    CAPTURE(status.message());
    CHECK(status.code() == mistake.code);
    CHECK(status.message().find(mistake.says) != std::string::npos);
  }
  CHECK(load_bytes("").code() == Code::malformed);
  CHECK(Model::load(temporary("_none.onnx")).status().code() == Code::not_found);
  CHECK(Model::load("/").status().code() == Code::io_error);
  CHECK(Model::parse({}).status().code() == Code::malformed);
}

TEST_CASE("real models come back from .firn the same") {
  size_t models = 0;
  const fs::path folder = fs::path(FIRN_SHARED) / "models";
  std::error_code missing;
  for (const auto& entry : fs::recursive_directory_iterator(folder, missing)) {
    if (entry.path().extension() != ".onnx") continue;
    CAPTURE(entry.path().string());
    const auto model = Model::load(entry.path().string());
    if (!model.ok() && model.status().code() == Code::unsupported) continue;
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    ++models;
    const std::string path = temporary(".firn");
    REQUIRE(model->save(path).ok());
    double best_ms = 1e9;
    for (int i = 0; i < 3; ++i) {
      const auto start = std::chrono::steady_clock::now();
      CHECK(Model::load(path).ok());
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      best_ms = std::min(best_ms, took.count());
    }
    MESSAGE(entry.path().filename().string() << ": loads from .firn in " << best_ms << " ms");
    const auto back = Model::load(path);
    REQUIRE_MESSAGE(back.ok(), back.status().message());
    fs::remove(path);  // the mapping stays
    const ModelInfo was = model->info(), is = back->info();
    CHECK(was.format == "onnx");
    CHECK(is.format == "firn");
    CHECK(is.inputs == was.inputs);
    CHECK(is.outputs == was.outputs);
    CHECK(is.ops == was.ops);
    CHECK(is.parameters == was.parameters);
    CHECK(is.weight_bytes == was.weight_bytes);
    CHECK(is.macs == was.macs);
    CHECK(is.layers_float == was.layers_float);
    CHECK(fingerprint(*back->impl().imported()) == fingerprint(*model->impl().imported()));
    CHECK(fingerprint(*back->impl().optimised()) == fingerprint(*model->impl().optimised()));
  }
  if (models == 0) MESSAGE("no models in " << folder.string());
}

TEST_CASE("open dimensions: declared as -1, tried with sizes that the model runs on") {
  const auto model = make_model("test", open_net());
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  CHECK(model->inputs() == std::vector<TensorInfo>{{"x", DType::f32, {-1, -1, -1, 1}, {}}});
  CHECK(model->outputs() == std::vector<TensorInfo>{{"y", DType::f32, {-1, -1, -1, 2}, {}},
                                                    {"mean", DType::f32, {-1, 2}, {}}});
  // 1 x 1 is too small for a 3 x 3 filter.
  CHECK(model->impl().start_shapes == std::vector<Shape>{{1, 64, 64, 1}});
  const ModelInfo info = model->info();
  CHECK(info.parameters == 18);
  CHECK(info.weight_bytes == 72);
  CHECK(info.layers_float == 1);
  CHECK(info.layers_int8 == 0);
  CHECK(info.macs == 31 * 31 * 2 * 9);
}

TEST_CASE("a model that can never run is refused at load") {
  Graph graph = open_net();
  graph.value(graph.nodes[0].in[1]).shape = Shape{2, 3, 1, 3};
  const Status status = make_model("test", std::move(graph)).status();
  CHECK(status.code() == Code::malformed);
  CHECK(status.message().find("conv") != std::string::npos);
}

TEST_CASE("names must be UTF-8") {
  for (const std::string& name :
       {"\xff"s, "\xc0\x80"s, "\xed\xa0\x80"s, "a\xe2\x82"s, "\xf4\x90\x80\x80"s, "\xc3("s}) {
    Graph graph = open_net();
    graph.nodes[0].name = name;
    CHECK(make_model("test", graph).status().message() == "the name of node 0 is not UTF-8");
    graph = open_net();
    graph.values[1].name = name;
    CHECK(make_model("test", graph).status().message() == "the name of value 1 is not UTF-8");
  }
  for (const std::string& name : {"größe"s, "画像"s, "\xf0\x9f\x98\x80"s, ""s}) {
    Graph graph = open_net();
    graph.nodes[0].name = name;
    CHECK(make_model("test", graph).ok());
  }
}

TEST_CASE("weights that a node quantizes by channel: their shape is not known before inference") {
  Graph graph = open_net();
  const Quant by_channel{0, 8, 0, {0.5f, 0.25f}, {0, 0}};
  const ValueId quantized = graph.add({"w_q", DType::i8, {}, by_channel, {}});
  const ValueId weights = graph.add({"w_dq", DType::f32, {}, {}, {}});
  Node& conv = graph.nodes[0];
  const Node quantize{"quantize", Convert{DType::i8}, {conv.in[1]}, {quantized}};
  const Node dequantize{"dequantize", Convert{DType::f32}, {quantized}, {weights}};
  conv.in[1] = weights;
  graph.nodes.insert(graph.nodes.begin(), {quantize, dequantize});
  const auto model = make_model("test", std::move(graph));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
}

TEST_CASE("quantization is checked once shapes are known") {
  Graph graph = open_net();
  Value& y = graph.value(graph.outputs[0]);
  y.type = DType::i8;
  y.shape = Shape{-1, -1, -1, 2};
  y.quant = Quant{3, 8, 0, {1, 1, 1}, {0, 0, 0}};  // there are two channels
  CHECK(make_model("test", graph).status().code() == Code::malformed);
}
