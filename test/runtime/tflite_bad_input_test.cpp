// SPDX-License-Identifier: Apache-2.0
// Broken and hostile TensorFlow Lite files: each class gets an error that says what is wrong, never
// a crash.
#include <doctest/doctest.h>

#include <limits>
#include <random>

#include "runtime/import/tflite.h"
#include "test/runtime/tflite_run.h"

namespace firn::tflite {
namespace {

TestOp::Options conv(wire::Padding padding, int32_t stride, int32_t dilation = 1,
                     wire::Activation activation = wire::Activation::none) {
  return options([=](auto& b) {
    return wire::CreateConv2DOptions(b, padding, stride, stride, activation, dilation, dilation);
  });
}

// A small valid model to break: a quantized convolution. Tensors: 0 x, 1 w, 2 bias, 3 y.
TestModel valid_model() {
  TestModel m;
  const int32_t x = m.add_input({"x", TensorType::int8, {1, 4, 4, 2}, {}, {0.5f}, {3}});
  const int32_t w = m.add({"w",
                           TensorType::int8,
                           {3, 3, 3, 2},
                           std::vector<uint8_t>(54, 7),
                           {0.1f, 0.2f, 0.3f},
                           {0, 0, 0}});
  const int32_t bias =
      m.add({"bias", TensorType::int32, {3}, bytes_of<int32_t>({5, -5, 100}), {0.05f}, {0}});
  const int32_t y = m.add_output({"y", TensorType::int8, {1, 4, 4, 3}, {}, {2.0f}, {-1}});
  m.ops.push_back({BuiltinOperator::CONV_2D,
                   {x, w, bias},
                   {y},
                   BuiltinOptions::Conv2D,
                   conv(wire::Padding::same, 1)});
  return m;
}

template <typename Break>
std::string broken(Break&& change) {
  TestModel model = valid_model();
  change(model);
  return refusal(model);
}

constexpr const char* kNode = "tflite: node 0 (CONV_2D): ";

// One operator from an input `x` of this shape to an output `y`.
TestModel one_operator(BuiltinOperator code, std::vector<int32_t> shape) {
  TestModel m;
  m.add_input({"x", TensorType::float32, std::move(shape)});
  m.add_output({"y"});
  m.ops.push_back({code, {0}, {1}});
  return m;
}

}  // namespace

TEST_CASE("tflite: the model that the others break is read") {
  CHECK(refusal(valid_model()) == "ok");
}

TEST_CASE("tflite: a file cut off anywhere is refused, not read past") {
  const std::vector<uint8_t> bytes = valid_model().bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<uint8_t> part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    const std::string why = refusal(part);
    CHECK_MESSAGE(why.starts_with("malformed: "), size << ": " << why);
    if (size >= 8) {
      CHECK(why ==
            "malformed: tflite: the file is damaged or cut off: its FlatBuffer does not verify");
    }
  }
}

TEST_CASE("tflite: flipped bytes give a graph that checks out, or an error") {
  const std::vector<uint8_t> bytes = valid_model().bytes();
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint8_t> damaged = bytes;
    for (uint32_t flips = 1 + random() % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
    }
    const Result<Graph> graph = read_tflite(std::as_bytes(std::span(damaged)), nullptr);
    if (graph.ok()) {
      CHECK(check(*graph).ok());
    } else {
      CHECK_FALSE(graph.status().message().empty());
    }
  }
}

TEST_CASE("tflite: a wrong root, version or nothing at all") {
  std::vector<uint8_t> bytes = valid_model().bytes();
  bytes[0] ^= 0x40;  // the offset of the root table
  CHECK(refusal(bytes) ==
        "malformed: tflite: the file is damaged or cut off: its FlatBuffer does not verify");
  CHECK(broken([](TestModel& m) { m.version = 2; }) ==
        "unsupported: tflite: version 2, supported is 3");
  CHECK(broken([](TestModel& m) { m.has_graph = false; }) ==
        "malformed: tflite: the model has no graph");
  CHECK(broken([](TestModel& m) { m.outputs.clear(); }) ==
        "malformed: tflite: the graph has no outputs");
}

TEST_CASE("tflite: indices out of range, used twice, or before they are made") {
  CHECK(broken([](TestModel& m) { m.inputs[0] = 9; }) ==
        "malformed: tflite: an input is tensor 9 of 4");
  CHECK(broken([](TestModel& m) { m.outputs[0] = -1; }) ==
        "malformed: tflite: an output is tensor -1 of 4");
  CHECK(broken([](TestModel& m) { m.ops[0].inputs[1] = 4; }) ==
        "malformed: tflite: node 0: input 1 is tensor 4 of 4");
  CHECK(broken([](TestModel& m) { m.ops[0].outputs[0] = -7; }) ==
        "malformed: tflite: node 0: output 0 is tensor -7 of 4");
  CHECK(broken([](TestModel& m) { m.ops[0].opcode_index = 5; }) ==
        "malformed: tflite: node 0: operator code 5 of 1");
  CHECK(broken([](TestModel& m) { m.ops[0].outputs[0] = 0; }) ==
        "malformed: tflite: node 0: its output tensor 0 'x' is also written elsewhere");
  CHECK(broken([](TestModel& m) { m.inputs.push_back(0); }) ==
        "malformed: tflite: input tensor 0 'x' is listed twice");
  CHECK(broken([](TestModel& m) { m.outputs.push_back(3); }) ==
        "malformed: tflite: two outputs are called 'y'");
  CHECK(broken([](TestModel& m) { m.ops[0].inputs[0] = -1; }) ==
        std::string("malformed: ") + kNode + "input 0 is left out");
  CHECK(broken([](TestModel& m) { m.ops[0].inputs[0] = 3; }) ==
        std::string("malformed: ") + kNode +
            "tensor 3 'y' is not written by any operator before it, nor given");
  CHECK(broken([](TestModel& m) { m.ops[0].outputs.clear(); }) ==
        std::string("malformed: ") + kNode + "it has no outputs");
  CHECK(broken([](TestModel& m) { m.inputs[0] = 1; }) ==
        "malformed: tflite: input 'w' is a constant");
}

TEST_CASE("tflite: options that are missing, of another kind, or make no sense") {
  CHECK(broken([](TestModel& m) {
          m.ops[0].options_type = BuiltinOptions::NONE;
          m.ops[0].options = {};
        }) == std::string("malformed: ") + kNode + "it has no options");
  CHECK(broken([](TestModel& m) {
          m.ops[0].options_type = BuiltinOptions::Softmax;
          m.ops[0].options = options([](auto& b) { return wire::CreateSoftmaxOptions(b, 1); });
        }) == std::string("malformed: ") + kNode + "its options are Softmax, expected Conv2D");
  const auto with_options = [](TestOp::Options options) {
    return broken([&](TestModel& m) { m.ops[0].options = options; });
  };
  CHECK(with_options(conv(wire::Padding::same, 0)) ==
        std::string("malformed: ") + kNode + "a stride of rows of 0");
  CHECK(with_options(conv(wire::Padding::valid, -3)) ==
        std::string("malformed: ") + kNode + "a stride of rows of -3");
  CHECK(with_options(conv(wire::Padding::same, 1, 0)) ==
        std::string("malformed: ") + kNode + "a dilation of rows of 0");
  CHECK(with_options(conv(wire::Padding::same, 1, std::numeric_limits<int32_t>::max())) ==
        std::string("malformed: ") + kNode + "padding of 4294967294");
  CHECK(with_options(conv(wire::Padding::same, 1, 1, wire::Activation::sign_bit)) ==
        std::string("unsupported: ") + kNode + "the fused activation 5 is not supported");
}

TEST_CASE("tflite: shapes that are negative, too large, of another rank") {
  CHECK(broken([](TestModel& m) { m.tensors[0].shape[2] = -4; }) ==
        "malformed: tflite: tensor 0 'x': a dimension is -4");
  CHECK(broken([](TestModel& m) { m.tensors[0].shape = {1, 1, 1, 1, 1, 1, 1}; }) ==
        "unsupported: tflite: tensor 0 'x': rank 7, at most 6 is supported");
  CHECK(broken([](TestModel& m) {
          m.tensors[0].shape = {1 << 30, 1 << 30, 1 << 30, 2};
        }).starts_with("malformed: tflite: tensor 0 'x': "));
  CHECK(broken([](TestModel& m) {
          m.tensors[0].shape = {4, 2};
        }) == std::string("malformed: ") + kNode + "its input is 4x2, expected 4 dimensions");
  CHECK(broken([](TestModel& m) {
          m.tensors[0].shape = {1, 0, 4, 2};
        }) == std::string("malformed: ") + kNode + "y: kernel 3x3 does not fit input 1x0x4x2");
  CHECK(broken([](TestModel& m) { m.tensors[0].shape = {}; }) ==
        std::string("malformed: ") + kNode + "its input is scalar, expected 4 dimensions");
  CHECK(broken([](TestModel& m) {
          m.tensors[0].shape = {1, 4, 4, 3};
        }) == std::string("malformed: ") + kNode + "weights of 2 channels, input has 3");
  CHECK(broken([](TestModel& m) {
          m.tensors[2].shape = {2, 1};
        }).starts_with("malformed: tflite: node 0 (CONV_2D): tensor 2 'bias': int32 2x1 needs 8"));
}

TEST_CASE("tflite: data shorter or longer than its shape, or of a buffer that is not there") {
  CHECK(broken([](TestModel& m) {
          m.tensors[1].data.resize(53);
        }).ends_with("tensor 1 'w': int8 3x3x3x2 needs 54 bytes, has 53"));
  CHECK(broken([](TestModel& m) {
          m.tensors[1].data.resize(55);
        }).ends_with("tensor 1 'w': int8 3x3x3x2 needs 54 bytes, has 55"));
  CHECK(broken([](TestModel& m) {
          m.tensors[1].buffer = 77;
        }).ends_with("tensor 1 'w': buffer 77 of 3"));
  CHECK(broken([](TestModel& m) {
          m.tensors[1].buffer = 0;
        }).ends_with("tensor 1 'w' is not written by any operator before it, nor given"));
}

TEST_CASE("tflite: data elsewhere in the file, or past its end") {
  const auto at = [](uint64_t offset, uint64_t size) {
    return broken([&](TestModel& m) {
      m.tensors[1].file_offset = offset;
      m.tensors[1].file_size = size;
    });
  };
  CHECK(at(16, 54) == "ok");
  CHECK(at(16, 55).ends_with("tensor 1 'w': int8 3x3x3x2 needs 54 bytes, has 55"));
  const std::string where = std::string("malformed: ") + kNode + "tensor 1 'w': buffer 1 has ";
  CHECK(
      at(uint64_t{1} << 40, 54).starts_with(where + "54 bytes at offset 1099511627776, the file"));
  CHECK(
      at(16, UINT64_MAX).starts_with(where + "18446744073709551615 bytes at offset 16, the file"));
  CHECK(at(UINT64_MAX, 54).starts_with(where + "54 bytes at offset 18446744073709551615"));
}

TEST_CASE("tflite: scales and zero points that make no sense") {
  const auto with_scale = [](float scale) {
    return broken([&](TestModel& m) { m.tensors[0].scale = {scale}; });
  };
  CHECK(with_scale(0) == "malformed: tflite: tensor 0 x: quantization: scale 0 is 0.000000");
  CHECK(with_scale(-1) == "malformed: tflite: tensor 0 x: quantization: scale 0 is -1.000000");
  CHECK(with_scale(std::numeric_limits<float>::infinity())
            .starts_with("malformed: tflite: tensor 0 x: quantization: scale 0 is inf"));
  CHECK(with_scale(std::numeric_limits<float>::quiet_NaN())
            .starts_with("malformed: tflite: tensor 0 x: quantization: scale 0 is "));
  CHECK(with_scale(1e-40f).starts_with("malformed: tflite: tensor 0 x: quantization: scale 0"));
  CHECK(broken([](TestModel& m) { m.tensors[0].zero = {128}; }) ==
        "malformed: tflite: tensor 0 x: quantization: zero point 128 of i8");
  CHECK(broken([](TestModel& m) { m.tensors[0].zero = {int64_t{1} << 40}; }) ==
        "malformed: tflite: tensor 0 'x': quantization: zero point 1099511627776");
  CHECK(broken([](TestModel& m) {
          m.tensors[1].zero = {0, 0};
        }).ends_with("tensor 1 w: quantization: 2 zero points, 3 scales"));
  CHECK(broken([](TestModel& m) {
          m.tensors[1].axis = 9;
        }).ends_with("tensor 1 'w': quantization: of dimension 9"));
  CHECK(broken([](TestModel& m) {
          m.tensors[1].scale = {1, 1};
          m.tensors[1].zero = {0, 0};
        }).ends_with("tensor 1 w: quantization: 2 scales, shape 3x3x3x2 needs 3"));
  CHECK(broken([](TestModel& m) { m.tensors[0].details = 2; }) ==
        "unsupported: tflite: tensor 0 'x': quantization of kind 2 is not supported");
}

TEST_CASE("tflite: types and forms of data that are not supported are named") {
  CHECK(broken([](TestModel& m) { m.tensors[0].type = TensorType::string; }) ==
        "unsupported: tflite: tensor 0 'x': string is not supported");
  CHECK(broken([](TestModel& m) { m.tensors[0].type = TensorType::complex64; }) ==
        "unsupported: tflite: tensor 0 'x': complex64 is not supported");
  CHECK(broken([](TestModel& m) { m.tensors[0].type = static_cast<TensorType>(99); }) ==
        "unsupported: tflite: tensor 0 'x': type 99 is not supported");
  CHECK(broken([](TestModel& m) { m.tensors[0].type = TensorType::float16; }) ==
        "unsupported: tflite: input 'x' is f16");
  CHECK(broken([](TestModel& m) {
          m.tensors[1].sparse = true;
        }).ends_with("tensor 1 'w': sparse data is not supported"));
}

TEST_CASE("tflite: operators that are not supported are named, with their node") {
  const auto with_code = [](BuiltinOperator code, const std::string& custom = "") {
    return broken([&](TestModel& m) {
      m.ops[0].code = code;
      m.ops[0].custom_code = custom;
    });
  };
  CHECK(with_code(BuiltinOperator::WHILE) ==
        "unsupported: tflite: node 0 (WHILE) for 'y': it is not supported");
  CHECK(with_code(BuiltinOperator::STABLEHLO_CASE) ==
        "unsupported: tflite: node 0 (STABLEHLO_CASE) for 'y': it is not supported");
  CHECK(with_code(static_cast<BuiltinOperator>(4000)) ==
        "unsupported: tflite: node 0 (operator 4000) for 'y': it is not supported");
  CHECK(with_code(BuiltinOperator::CUSTOM, "MyOperator") ==
        "unsupported: tflite: node 0 (custom operator 'MyOperator') for 'y': it is not supported");
  CHECK(with_code(BuiltinOperator::CUSTOM) ==
        "unsupported: tflite: node 0 (custom operator '') for 'y': it is not supported");
}

TEST_CASE("tflite: parameters of operators are checked") {
  const auto softmax = [](std::vector<int32_t> shape) {
    TestModel m = one_operator(BuiltinOperator::SOFTMAX, std::move(shape));
    m.ops[0].options_type = BuiltinOptions::Softmax;
    m.ops[0].options = options([](auto& b) { return wire::CreateSoftmaxOptions(b, 1); });
    return m;
  };
  CHECK(refusal(softmax({2, 3})) == "ok");
  CHECK(refusal(softmax({})).starts_with("malformed: tflite: node 0 (SOFTMAX): "));

  TestModel reshape = one_operator(BuiltinOperator::RESHAPE, {2, 3});
  CHECK(refusal(reshape) == "malformed: tflite: node 0 (RESHAPE): no shape is given");
  const int32_t to = reshape.add_ints({4, -1});
  reshape.ops[0].inputs.push_back(to);
  CHECK(refusal(reshape).starts_with("malformed: tflite: node 0 (RESHAPE): "));
  reshape.tensors[static_cast<size_t>(to)].data = bytes_of<int32_t>({-1, -1});
  CHECK(refusal(reshape) ==
        "malformed: tflite: node 0 (RESHAPE): two dimensions are to be inferred");
  reshape.tensors[static_cast<size_t>(to)].data = bytes_of<int32_t>({-5, 2});
  CHECK(refusal(reshape) == "malformed: tflite: node 0 (RESHAPE): it asks for a dimension of -5");

  TestModel transpose = one_operator(BuiltinOperator::TRANSPOSE, {2, 3});
  transpose.ops[0].inputs.push_back(transpose.add_ints({0, 7}));
  CHECK(refusal(transpose).starts_with("malformed: tflite: node 0 (TRANSPOSE): "));

  TestModel pad = one_operator(BuiltinOperator::PAD, {2, 3});
  pad.ops[0].inputs.push_back(pad.add_ints({0, 1, 2}));
  CHECK(refusal(pad) == "malformed: tflite: node 0 (PAD): paddings have 3 entries, expected 4");

  TestModel split = one_operator(BuiltinOperator::SPLIT, {2, 3});
  split.outputs.push_back(split.add({"z"}));
  split.ops[0] = {BuiltinOperator::SPLIT, {split.add_ints({1}), 0}, {1, 2}};
  CHECK(refusal(split) == "malformed: tflite: node 0 (SPLIT): 3 does not split into 2 equal parts");

  TestModel argmax = one_operator(BuiltinOperator::ARG_MAX, {2, 3});
  argmax.add({"axis", TensorType::int32, {1}});  // not constant
  argmax.inputs.push_back(2);
  argmax.ops[0].inputs.push_back(2);
  CHECK(refusal(argmax) ==
        "unsupported: tflite: node 0 (ARG_MAX): input 1 'axis' is computed at run "
        "time, it has to be constant");

  TestModel blocks = one_operator(BuiltinOperator::SPACE_TO_DEPTH, {1, 4, 4, 1});
  for (const int32_t block : {0, -2, 3}) {
    blocks.ops[0].options_type = BuiltinOptions::SpaceToDepth;
    blocks.ops[0].options = options([=](auto& b) { return wire::CreateBlockOptions(b, block); });
    CHECK(refusal(blocks) == "malformed: tflite: node 0 (SPACE_TO_DEPTH): " +
                                 (block < 1 ? "a block size of " + std::to_string(block)
                                            : std::string("input 1x4x4x1 in blocks of 3")));
  }
}

TEST_CASE("tflite: a few bytes of model do not fill the memory") {
  TestModel tile = one_operator(BuiltinOperator::FILL, {1});
  const int32_t dims = tile.add_ints({1 << 30, 1 << 10});
  tile.tensors[0].shape = {};
  tile.ops[0].inputs = {dims, 0};
  CHECK(refusal(tile).starts_with("malformed: tflite: node 0 (FILL): "));
}

TEST_CASE("tflite: names are UTF-8; doubled and missing ones are made up") {
  CHECK(broken([](TestModel& m) { m.tensors[3].name = "\xff\xfe"; }).find("UTF-8") !=
        std::string::npos);
  CHECK(broken([](TestModel& m) { m.tensors[1].name = "x"; }) == "ok");
  CHECK(broken([](TestModel& m) { m.tensors[3].name = ""; }) == "ok");
}

}  // namespace firn::tflite
