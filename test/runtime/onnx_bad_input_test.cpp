// SPDX-License-Identifier: Apache-2.0
// Broken and hostile ONNX files: each class gets an error that says what is wrong, never a crash.
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "runtime/import/onnx.h"
#include "test/runtime/onnx_builder.h"
#include "test/runtime/onnx_run.h"

namespace firn {
namespace {

using namespace test;
namespace fs = std::filesystem;
using Ints = std::vector<int64_t>;

// A small valid model to break: a convolution with bias, and a Relu.
OnnxModel valid_model() {
  OnnxModel model = OnnxModel().input("x", {"N", 1, 4, 4});
  model.initializer(onnx_floats("w", {2, 1, 3, 3}, std::vector<float>(18, 0.5f)))
      .initializer(onnx_floats("b", {2}, {1, 2}))
      .node("Conv", {"x", "w", "b"}, {"c"}, {attr("pads", Ints{1, 1, 1, 1})}, "conv")
      .node("Relu", {"c"}, {"y"})
      .output("y");
  return model;
}

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

}  // namespace

TEST_CASE("onnx: looks_like_onnx tells models from other files, also cut-off ones") {
  const std::string bytes = valid_model().bytes();
  CHECK(looks_like_onnx(as_bytes(bytes)));
  CHECK(looks_like_onnx(as_bytes(bytes.substr(0, bytes.size() / 2))));
  for (const char* other :
       {"", "\x08", "FIRN....", "PK\x03\x04", "\x1c\x00\x00\x00TFL3", "hello, world"}) {
    CHECK_FALSE(looks_like_onnx(as_bytes(std::string(other))));
  }
}

TEST_CASE("onnx: a convolution of scalars is refused") {
  OnnxModel model = OnnxModel().input("x", {});
  model.initializer(onnx_floats("w", {}, {1}))
      .node("Conv", {"x", "w"}, {"y"}, {}, "conv")
      .output("y");
  CHECK(refusal(model.bytes()) ==
        "malformed: onnx: node 'conv' (Conv): the input has rank 0, expected 3 to 5");
}

TEST_CASE("onnx: a model cut off anywhere is refused") {
  const std::string bytes = valid_model().bytes();
  REQUIRE(refusal(bytes) == "ok");
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string why = refusal(bytes.substr(0, size));
    CHECK_MESSAGE(starts_with(why, "malformed: onnx: "), size << ": " << why);
  }
}

TEST_CASE("onnx: flipped bytes give a graph that checks out, or an error") {
  const std::string bytes = valid_model().bytes();
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string broken = bytes;
    for (uint32_t flips = 1 + random() % 3; flips > 0; --flips) {
      broken[random() % broken.size()] = static_cast<char>(random());
    }
    DataFiles none("");
    const Result<Graph> graph = read_onnx(as_bytes(broken), nullptr, none);
    if (graph.ok()) {
      CHECK(check(*graph).ok());
    } else {
      CHECK_FALSE(graph.status().message().empty());
      CHECK(graph.status().code() != Code::internal);
    }
  }
}

TEST_CASE("onnx: frames that are not a model") {
  CHECK(refusal(std::string("")) == "malformed: onnx: the model has no graph");
  CHECK(refusal(std::string("\x08\x08", 2)) == "malformed: onnx: the model has no graph");
  CHECK(refusal(std::string("\x3d\x00\x00\x00\x00", 5)) ==
        "malformed: onnx: field 7 has wire type 5, expected 2");
  CHECK(refusal(OnnxModel(29).input("x", {1}).output("x")) ==
        "unsupported: onnx: opset 29, supported are 1 to 28");
  CHECK(refusal(OnnxModel().input("x", {1})) == "malformed: onnx: the graph has no outputs");
}

TEST_CASE("onnx: names that are missing, doubled, unknown or not text") {
  CHECK(refusal(OnnxModel().input("", {1}).output("y")) == "malformed: onnx: an input has no name");
  CHECK(refusal(OnnxModel().input("x", {1}).input("x", {1}).output("x")) ==
        "malformed: onnx: input 'x' is listed twice");
  CHECK(refusal(OnnxModel().input("x", {1}).output("x").output("x")) ==
        "malformed: onnx: output 'x' is listed twice");
  CHECK(refusal(OnnxModel().input("x", {1}).output("z")) ==
        "malformed: onnx: output 'z' is not written by any node");
  CHECK(refusal(OnnxModel()
                    .initializer(onnx_floats("w", {1}, {1}))
                    .initializer(onnx_floats("w", {1}, {1}))
                    .output("w")) == "malformed: onnx: initializer 'w' is listed twice");
  CHECK(refusal(OnnxModel()
                    .input("x", {1})
                    .node("Neg", {"x"}, {"y"}, {}, "a")
                    .node("Abs", {"x"}, {"y"}, {}, "b")
                    .output("y")) ==
        "malformed: onnx: node 'b' (Abs): its output 'y' is also written elsewhere");
  CHECK(refusal(OnnxModel().input("x\xff", {1}).output("y")) ==
        "malformed: onnx: a name is not valid UTF-8");
  CHECK(refusal(OnnxModel().input("\xed\xa0\x80", {1}).output("y")) ==
        "malformed: onnx: a name is not valid UTF-8");
  CHECK(refusal(OnnxModel().input(std::string("a\0b", 3), {1}).output("y")) ==
        "malformed: onnx: a name is not valid UTF-8");
}

TEST_CASE("onnx: cycles and nodes in the wrong order") {
  CHECK(refusal(OnnxModel()
                    .input("x", {1})
                    .node("Add", {"x", "b"}, {"a"}, {}, "first")
                    .node("Neg", {"a"}, {"b"}, {}, "second")
                    .output("b")) ==
        "malformed: onnx: node 'first' (Add): input 'b' is not written by any node before it, nor "
        "given");
  CHECK(refusal(OnnxModel().input("x", {1}).node("Neg", {"y"}, {"y"}, {}, "own").output("y")) ==
        "malformed: onnx: node 'own' (Neg): input 'y' is not written by any node before it, nor "
        "given");
}

TEST_CASE("onnx: operators, domains and attributes that are not known are named") {
  CHECK(refusal(
            OnnxModel(17).input("x", {1}).node("Foo", {"x"}, {"y"}, {}, "xyz", "d").output("y")) ==
        "unsupported: onnx: node 'xyz': operator 'Foo' (domain 'd', opset 17) is not supported");
  CHECK(refusal(OnnxModel()
                    .input("x", {1})
                    .node("Conv", {"x"}, {"y"}, {}, "xyz", "com.me")
                    .output("y")) ==
        "unsupported: onnx: node 'xyz': operator 'Conv' (domain 'com.me', opset 13) is not "
        "supported");
  CHECK(refusal(OnnxModel()
                    .input("x", {1})
                    .node("Neg", {"x"}, {"y"}, {attr("odd", 1.0f)}, "n")
                    .output("y")) ==
        "unsupported: onnx: node 'n' (Neg): attribute 'odd' is not supported in opset 13");
  CHECK(refusal(OnnxModel()
                    .input("x", {1})
                    .node("Elu", {"x"}, {"y"}, {attr("alpha", 1.0f), attr("alpha", 1.0f)}, "n")
                    .output("y")) ==
        "malformed: onnx: node 'n' (Elu): attribute 'alpha' is given twice");
  CHECK(refusal(OnnxModel()
                    .input("x", {1})
                    .node("Elu", {"x"}, {"y"}, {attr("alpha", int64_t{1})}, "n")
                    .output("y")) ==
        "malformed: onnx: node 'n' (Elu): attribute 'alpha' has type 2, expected 1");
  CHECK(refusal(OnnxModel().input("x", {1}).node("Add", {"x"}, {"y"}, {}, "n").output("y")) ==
        "malformed: onnx: node 'n' (Add): input 1 is missing");
  CHECK(refusal(OnnxModel(23)
                    .input("x", {2, 3})
                    .initializer(onnx_floats("w", {3}, {1, 2, 3}))
                    .node("RMSNormalization", {"x", "w"}, {"y", "mean"}, {}, "n")
                    .output("y")) ==
        "unsupported: onnx: node 'n' (RMSNormalization): output 'mean' is not supported");
}

TEST_CASE("onnx: shapes that cannot be") {
  CHECK(refusal(OnnxModel().input("x", {2, -3}).output("x")) ==
        "malformed: onnx: input 'x': a dimension is -3");
  CHECK(refusal(OnnxModel().input("x", {1, 1, 1, 1, 1, 1, 1}).output("x")) ==
        "unsupported: onnx: input 'x': rank 7, at most 6 is supported");
  CHECK(starts_with(refusal(OnnxModel().input("x", {65536, 65536, 65536}).output("x")),
                    "malformed: onnx: input 'x': "));
  CHECK(starts_with(
      refusal(OnnxModel().initializer(onnx_floats("w", {1 << 30, 1 << 30}, {1})).output("w")),
      "malformed: onnx: initializer 'w': "));
  CHECK(refusal(OnnxModel().initializer(onnx_floats("w", {-1}, {1})).output("w")) ==
        "malformed: onnx: initializer 'w': a dimension is -1");
  CHECK(refusal(OnnxModel()
                    .input("x", {2, 3})
                    .node("Transpose", {"x"}, {"y"}, {attr("perm", Ints{0, 0})}, "t")
                    .output("y")) ==
        "malformed: onnx: node 't' (Transpose): t: perm is not a permutation: entry 1 is 0");
  CHECK(starts_with(refusal(OnnxModel()
                                .input("x", {1, 1, 0, 4})
                                .initializer(onnx_floats("w", {1, 1, 3, 3}, std::vector<float>(9)))
                                .node("Conv", {"x", "w"}, {"y"}, {}, "conv")
                                .output("y")),
                    "malformed: onnx: node 'conv' (Conv): "));
}

TEST_CASE("onnx: data shorter or longer than its shape, of no known type, out of its range") {
  CHECK(refusal(OnnxModel().initializer(onnx_floats("w", {3}, {1, 2})).output("w")) ==
        "malformed: onnx: initializer 'w': float 3 needs 12 bytes, has 8");
  CHECK(refusal(OnnxModel().initializer(onnx_floats("w", {1}, {1, 2})).output("w")) ==
        "malformed: onnx: initializer 'w': float 1 needs 4 bytes, has 8");
  CHECK(
      refusal(OnnxModel().initializer(onnx_tensor<uint16_t>("w", kUint16, {1}, {1})).output("w")) ==
      "unsupported: onnx: initializer 'w': type uint16 is not supported");
  const auto typed = [](OnnxType type, const std::vector<int32_t>& numbers) {
    std::string tensor;
    protozero::pbf_writer writer(tensor);
    writer.add_int64(1, 1);
    writer.add_int32(2, type);
    writer.add_packed_int32(5, numbers.begin(), numbers.end());
    writer.add_string(8, "w");
    return OnnxModel().initializer(tensor).output("w");
  };
  CHECK(refusal(typed(kInt8, {128})) ==
        "malformed: onnx: initializer 'w': a value does not fit int8");
  CHECK(refusal(typed(kInt32, {1, 2})) ==
        "malformed: onnx: initializer 'w': shape 1 has 1 elements, the data has 2");
}

TEST_CASE("onnx: windows, groups and channels that do not fit") {
  const auto conv = [](const std::vector<std::string>& attributes,
                       const Ints& weights = {2, 1, 3, 3}) {
    int64_t size = 1;
    for (const int64_t dim : weights) size *= dim;
    return refusal(
        OnnxModel()
            .input("x", {1, 1, 4, 4})
            .initializer(onnx_floats("w", weights, std::vector<float>(static_cast<size_t>(size))))
            .node("Conv", {"x", "w"}, {"y"}, attributes, "conv")
            .output("y"));
  };
  CHECK(conv({}) == "ok");
  for (const std::string& broken :
       {conv({attr("strides", Ints{0, 1})}), conv({attr("dilations", Ints{1, 0})}),
        conv({attr("group", int64_t{0})}), conv({attr("group", int64_t{3})}),
        conv({attr("pads", Ints{-1, 0, 0, 0})}), conv({attr("pads", Ints{1, 1})}),
        conv({attr("kernel_shape", Ints{5, 5})}), conv({attr("strides", Ints{1LL << 40, 1})}),
        conv({attr("auto_pad", "WHAT")}), conv({}, {2, 3, 3, 3}), conv({}, {2, 1, 5, 5}),
        conv({}, {2, 1, 3}), conv({attr("group", INT64_MIN)}),
        conv({attr("auto_pad", "SAME_UPPER"), attr("strides", Ints{0, 0})})}) {
    CHECK_MESSAGE(starts_with(broken, "malformed: onnx: node 'conv' (Conv): "), broken);
  }
}

TEST_CASE("onnx: scales that are zero, negative, infinite, or of the wrong count") {
  const auto dequantize = [](const std::vector<float>& scales) {
    return refusal(OnnxModel()
                       .input("x", {2, 3}, kInt8)
                       .initializer(onnx_floats("s", {static_cast<int64_t>(scales.size())}, scales))
                       .node("DequantizeLinear", {"x", "s"}, {"y"}, {}, "dq")
                       .output("y"));
  };
  CHECK(dequantize({0.1f}) == "ok");
  CHECK(dequantize({0.1f, 0.2f, 0.3f}) == "ok");
  CHECK(dequantize({0.1f, 0.2f}) ==
        "malformed: onnx: node 'dq' (DequantizeLinear): 2 scales, axis 1 of the input has 3");
  for (const float scale : {0.0f, -1.0f, INFINITY, NAN, 1e-42f}) {
    CHECK(starts_with(dequantize({scale}),
                      "malformed: onnx: node 'dq' (DequantizeLinear): a scale is "));
  }
}

TEST_CASE("onnx: subgraphs, however deep, are refused without being read") {
  std::string nested;  // 2000 graphs, each in an attribute of a node of the one around it
  for (int depth = 0; depth < 2000; ++depth) {
    std::string attribute, node, graph;
    protozero::pbf_writer(attribute).add_string(1, "then_branch");
    protozero::pbf_writer(attribute).add_message(6, nested);
    protozero::pbf_writer(node).add_string(4, "If");
    protozero::pbf_writer(node).add_message(5, attribute);
    protozero::pbf_writer(graph).add_message(1, node);
    nested = graph;
  }
  std::string attribute;
  protozero::pbf_writer(attribute).add_string(1, "then_branch");
  protozero::pbf_writer(attribute).add_message(6, nested);
  CHECK(refusal(OnnxModel()
                    .input("x", {1}, kBool)
                    .node("If", {"x"}, {"y"}, {attribute}, "if")
                    .output("y")) ==
        "unsupported: onnx: node 'if': operator 'If' (domain '', opset 13) is not supported");
}

TEST_CASE("onnx: a small file cannot ask for large constants") {
  OnnxModel fill = OnnxModel().initializer(onnx_ints("shape", {1 << 30}));
  for (int i = 0; i < 100; ++i) fill.node("ConstantOfShape", {"shape"}, {"y" + std::to_string(i)});
  fill.output("y0");
  const std::string bytes = fill.bytes();
  DataFiles none("");
  const Result<Graph> graph = read_onnx(as_bytes(bytes), nullptr, none);
  REQUIRE(graph.ok());
  CHECK_FALSE(graph->is_constant(graph->outputs[0]));  // left for the run to make
  CHECK(
      refusal(OnnxModel()
                  .input("x", {2000000000, 1})
                  .node("Trilu", {"x"}, {"y"}, {}, "t")
                  .output("y")) ==
      "unsupported: onnx: node 't' (Trilu): it needs a constant of 16000000000 bytes, too many for "
      "a model of this size");
  CHECK(refusal(OnnxModel()
                    .input("x", {1, 0})
                    .initializer(onnx_floats("w", {0, 2000000000}, {}))
                    .initializer(onnx_floats("c", {1}, {1}))
                    .node("Gemm", {"x", "w", "c"}, {"y"}, {}, "g")
                    .output("y")) ==
        "unsupported: onnx: node 'g' (Gemm): it needs a constant of 8000000000 bytes, too many for "
        "a model of this size");
}

TEST_CASE("onnx: external data stays in the model's folder and in its file") {
  const fs::path root = fs::path(FIRN_BINARY) / "onnx_external_test";
  fs::remove_all(root);
  fs::create_directories(root / "model" / "sub");
  const float values[] = {1, 2, 3, 4};
  for (const fs::path& path :
       {root / "model/data.bin", root / "model/sub/data.bin", root / "secret.bin"}) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(values), sizeof(values));
  }
  fs::create_symlink(root / "secret.bin", root / "model/link.bin");
  fs::create_directory_symlink(root, root / "model/up");
  const std::string folder = (root / "model").string();

  const auto model = [](const std::vector<std::pair<std::string, std::string>>& entries) {
    std::string tensor;
    protozero::pbf_writer writer(tensor);
    writer.add_int64(1, 2);
    writer.add_int32(2, kFloat);
    writer.add_string(8, "w");
    for (const auto& [key, value] : entries) {
      std::string entry;
      protozero::pbf_writer(entry).add_string(1, key);
      protozero::pbf_writer(entry).add_string(2, value);
      writer.add_message(13, entry);
    }
    writer.add_int32(14, 1);
    return OnnxModel().initializer(tensor).output("w").bytes();
  };
  const std::string good = model({{"location", "sub/data.bin"}, {"offset", "4"}, {"length", "8"}});
  DataFiles files(folder);
  const Result<Graph> graph = read_onnx(as_bytes(good), nullptr, files);
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  CHECK(floats_of(graph->value(graph->outputs[0])) == std::vector<float>{2, 3});
  // Read once, it may lose its name: a model is read again.
  fs::rename(root / "model/sub/data.bin", root / "model/sub/elsewhere.bin");
  const Result<Graph> again = read_onnx(as_bytes(good), nullptr, files);
  CHECK(starts_with(refusal(good, folder), "not_found: onnx: initializer 'w'"));
  fs::rename(root / "model/sub/elsewhere.bin", root / "model/sub/data.bin");
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  CHECK(floats_of(again->value(again->outputs[0])) == std::vector<float>{2, 3});

  for (const char* path : {"../secret.bin", "sub/../../secret.bin", "link.bin", "up/secret.bin"}) {
    CHECK(refusal(model({{"location", path}}), folder) ==
          "malformed: onnx: initializer 'w': external data '" + std::string(path) +
              "' leaves the model's folder");
  }
  CHECK(starts_with(refusal(model({{"location", (root / "secret.bin").string()}}), folder),
                    "malformed: onnx: initializer 'w': external data"));
  CHECK(starts_with(refusal(model({{"location", "none.bin"}}), folder),
                    "not_found: onnx: initializer 'w': external data 'none.bin'"));
  CHECK(starts_with(refusal(model({{"location", "data.bin"}}), ""),
                    "unsupported: onnx: initializer 'w': external data 'data.bin'"));
  CHECK(
      refusal(model({{"location", "data.bin"}, {"offset", "12"}}), folder) ==
      "malformed: onnx: initializer 'w': external data 'data.bin' has 16 bytes, needs 8 at offset "
      "12");
  for (const char* offset : {"18446744073709551615", "-4", "x", "", "99999999999999999999"}) {
    CHECK(starts_with(refusal(model({{"location", "data.bin"}, {"offset", offset}}), folder),
                      "malformed: onnx: initializer 'w': external data"));
  }
  CHECK(refusal(model({{"location", "data.bin"}, {"length", "12"}}), folder) ==
        "malformed: onnx: initializer 'w': float 2 needs 8 bytes, has 12");
  CHECK(starts_with(refusal(model({{"location", "sub"}}), folder),
                    "io_error: onnx: initializer 'w': "));
  fs::remove_all(root);
}

}  // namespace firn
