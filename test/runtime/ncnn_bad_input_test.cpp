// SPDX-License-Identifier: Apache-2.0
// Hostile and broken ncnn files: each is refused with a message that says what is wrong where.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "firn/model.h"
#include "runtime/file.h"
#include "test/runtime/ncnn_builder.h"

using namespace firn;
using namespace firn::test;
namespace fs = std::filesystem;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
const std::string kInput = "Input data 0 1 data 0=4 1=4 2=2";

bool says(const std::string& message, const std::string& part) {
  if (message.find(part) != std::string::npos) return true;
  MESSAGE("expected \"" << part << "\" in \"" << message << "\"");
  return false;
}

// Of a .param as text.
std::string text_refusal(const std::string& param, const std::string& bin = "") {
  const Result<Graph> graph = read_ncnn({.param = as_bytes(param), .bin = as_bytes(bin)});
  if (graph.ok()) return "ok";
  return std::string(code_name(graph.status().code())) + ": " + graph.status().message();
}

// Of a model with one layer behind the input.
std::string layer_refusal(const std::string& line, const std::vector<float>& weights = {}) {
  NcnnModel model;
  model.layer(kInput).layer(line);
  if (!weights.empty()) model.tagged(weights);
  return refusal(model);
}

std::string word(int32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

}  // namespace

TEST_CASE("text that is no .param is refused by its line") {
  const std::string head = "7767517\n1 1\n";
  const std::string input = "Input data 0 1 data";
  CHECK(says(text_refusal("7767517"), "malformed: ncnn: line 1: the number of layers is missing"));
  CHECK(says(text_refusal("7767517 7\n"), "line 1"));
  CHECK(says(text_refusal("776751\n1 1\n"), "line 1: expected 7767517"));
  CHECK(says(text_refusal("7767517\nmany 1\n"), "line 2: the number of layers is 'many'"));
  CHECK(says(text_refusal("7767517\n-1 1\n"), "the number of layers is -1"));
  CHECK(says(text_refusal("7767517\n0 0\n"), "the number of layers is 0"));
  CHECK(says(text_refusal("7767517\n2000000000 2000000000\n" + input),
             "the file ends after 1 layers, it states 2000000000"));
  CHECK(says(text_refusal("7767517\n99999999999 1\n"), "expected a number"));
  CHECK(says(text_refusal(head + "Input"), "line 3: the layer has no name"));
  CHECK(says(text_refusal(head + "Input data -1 1 data"), "the number of inputs is -1"));
  CHECK(says(text_refusal(head + "Input data 0 2000000000 data"), "its line ends before"));
  CHECK(says(text_refusal("7767517\n1 0\n" + input), "another blob, the file states 0"));
  CHECK(says(text_refusal(head + input + " 0"), "'0' is no parameter"));
  CHECK(says(text_refusal(head + input + " x=1"), "'x=1' is no parameter"));
  CHECK(says(text_refusal(head + input + " 0="), "parameter 0 has no value"));
  CHECK(says(text_refusal(head + input + " 32=1"), "parameter 32: its number is out of range"));
  CHECK(says(text_refusal(head + input + " -5=1"), "out of range"));
  CHECK(says(text_refusal(head + input + " -23340=1,1"), "out of range"));
  CHECK(says(text_refusal(head + input + " 0=1 0=2"), "parameter 0 is given twice"));
  CHECK(says(text_refusal(head + input + " -23303=3,1,2"), "states '3' elements, there are 2"));
  CHECK(says(text_refusal(head + input + " -23303=-1"), "states '-1' elements"));
  CHECK(says(text_refusal(head + input + " 3=1,a"), "has 'a' in its list"));
  CHECK(says(text_refusal(head + input + " 0=1e99"), "expected a number"));
  CHECK(says(text_refusal(head + input + " 0=9999999999999"), "whole numbers"));
  CHECK(says(text_refusal(head + input + " 0=nan"), "parameter 0 is 'nan', expected a number"));
  CHECK(says(text_refusal(head + input + " 0=1,2"), "is a list of 2, expected one number"));
  CHECK(says(text_refusal(head + input + " 0=1.5"), "expected whole numbers"));
  CHECK(says(text_refusal(head + input + " 0=-3"), "a size is -3, expected at least 0"));
  // What ncnn does not read has no effect: lines behind the stated number of layers.
  CHECK(text_refusal("7767517\n2 2\n" + input + "\nReLU r 1 1 data out\ngarbage") == "ok");
  CHECK(text_refusal("7767517\r\n2 2\r\n" + input + "\r\nReLU r 1 1 data out\r\n") == "ok");
}

TEST_CASE("binary files are refused by the layer") {
  NcnnModel model;
  model.layer(kInput).layer("ReLU r 1 1 data out 0=0.1");
  const std::string good = model.binary_param();
  CHECK(text_refusal(good) == "ok");
  for (size_t size = 4; size < good.size(); size += 4) {
    CAPTURE(size);
    CHECK(text_refusal(good.substr(0, size)).starts_with("malformed: ncnn: layer "));
  }
  CHECK(says(text_refusal(good + "zzzz"), "layer 2: 4 bytes behind the last layer"));
  const std::string head = word(ncnn::kMagic) + word(1) + word(1);
  CHECK(says(text_refusal(word(ncnn::kMagic) + word(-2) + word(1)), "number of layers is -2"));
  CHECK(says(text_refusal(word(ncnn::kMagic) + word(INT32_MAX) + word(1)), "number of layers is"));
  CHECK(says(text_refusal(head + word(9999) + word(0)), "layer 0: type number 9999 is not known"));
  CHECK(says(text_refusal(head + word(16) + word(0) + word(INT32_MAX)), "number of outputs is"));
  const std::string input = head + word(16) + word(0) + word(1);
  CHECK(says(text_refusal(input + word(1) + word(-233)), "blob 1 of 1"));
  CHECK(says(text_refusal(input + word(-1) + word(-233)), "blob -1 of 1"));
  CHECK(says(text_refusal(input + word(0) + word(32) + word(1)), "out of range"));
  CHECK(says(text_refusal(input + word(0) + word(-23303) + word(INT32_MAX)), "length of a list"));
  CHECK(says(text_refusal(input + word(0) + word(-23406) + word(-1)), "a text of -1 bytes"));
  CHECK(says(text_refusal(input + word(0) + word(0) + word(1) + word(0) + word(2)), "given twice"));
}

TEST_CASE("blobs are written once, before they are read") {
  NcnnModel early, twice, itself, none, cut_off;
  early.layer(kInput).layer("ReLU a 1 1 b c").layer("ReLU b 1 1 data b");
  CHECK(says(refusal(early), "layer 'a' (ReLU): blob 'b' is not written by any layer before it"));
  twice.layer(kInput).layer("ReLU a 1 1 data b").layer("ReLU b 1 1 data b");
  CHECK(says(refusal(twice), "layer 'b' (ReLU): blob 'b' is also written elsewhere"));
  itself.layer(kInput).layer("ReLU a 1 1 b b");
  CHECK(says(refusal(itself), "is not written by any layer before it"));
  none.layer("MemoryData m 0 1 m 0=1").raw({1});
  CHECK(says(refusal(none), "the model has no Input layer"));
  cut_off.layer(kInput).layer("Noop n 1 0 data");
  CHECK(refusal(cut_off) == "ok");  // kept alive: an output
  CHECK(says(layer_refusal("ReLU a 0 1 b"), "0 inputs, expected 1"));
  CHECK(says(layer_refusal("ReLU a 2 1 data data b"), "2 inputs, expected 1"));
  CHECK(says(layer_refusal("ReLU a 1 2 data b c"), "output 'c' is not supported"));
  CHECK(says(layer_refusal("ReLU a 1 0 data"), "0 outputs, it makes more"));
  CHECK(says(layer_refusal("Magic a 1 1 data b"), "layer 'a': type 'Magic' is not supported"));
}

TEST_CASE("the .bin fits the .param exactly") {
  NcnnModel model;
  model.layer(kInput)
      .layer("Convolution conv 1 1 data out 0=1 1=1 5=1 6=2")
      .tagged({1, 2})
      .raw({3});
  CHECK(refusal(model) == "ok");
  for (size_t size = 0; size < model.bin().size(); ++size) {
    CAPTURE(size);
    NcnnModel shorter = model;
    shorter.bin().resize(size);
    CHECK(says(refusal(shorter), "layer 'conv' (Convolution): the .bin ends too soon"));
  }
  model.bin() += "four";
  CHECK(says(refusal(model), "the .bin has 20 bytes, the .param's layers take 16"));
  NcnnModel huge;
  huge.layer(kInput).layer("Convolution conv 1 1 data out 0=1073741824 1=1 6=2147483647");
  CHECK(says(refusal(huge), "weights for 1073741824 outputs"));
  NcnnModel large;
  large.layer(kInput).layer("InnerProduct fc 1 1 data out 0=2000000000 2=2000000000").tagged({});
  CHECK(says(refusal(large), "the .bin ends too soon: 8000000000 bytes are needed"));
  NcnnModel all;
  all.layer(kInput).layer("MemoryData m 0 1 m 0=2000000000 1=2000000000 2=2000000000");
  CHECK(says(refusal(all), "2000000000"));
}

TEST_CASE("parameters that make no sense name layer and value") {
  const std::string conv = "Convolution conv 1 1 data out ";
  CHECK(
      says(layer_refusal(conv + "0=0 1=1 6=2"), "the number of outputs is 0, expected at least 1"));
  CHECK(says(layer_refusal(conv + "0=-8 1=1 6=2"), "the number of outputs is -8"));
  CHECK(says(layer_refusal(conv + "0=1 1=0 6=2"), "kernel size is 0"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 3=0 6=2"), "stride is 0"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 2=-1 6=2"), "dilation is -1"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 4=-7 6=2"), "padding is -7"));
  CHECK(says(layer_refusal(conv + "0=1 1=3 6=17"), "17 weights for 1 outputs of 3x3"));
  CHECK(says(layer_refusal(conv + "0=1 1=2147483647 11=2147483647 6=2147483647"), "weights for"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 6=3", {1, 2, 3}), "weight channels 3, input has 2"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 6=2 9=77", {1, 2}), "activation type 77"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 6=2 9=3", {1, 2}), "with 0 parameters, expected 2"));
  CHECK(says(layer_refusal(conv + "0=1 1=1 6=2 9=3 10=2,1", {1, 2}), "clips to [2"));
  CHECK(says(layer_refusal("ConvolutionDepthWise conv 1 1 data out 0=2 1=1 6=2 7=0"),
             "the number of groups is 0"));
  CHECK(says(layer_refusal("ConvolutionDepthWise c 1 1 data out 0=3 1=1 6=3 7=2", {1, 2, 3}),
             "output channels 3 in 2 groups"));
  CHECK(says(layer_refusal("Pooling p 1 1 data out 1=2 2=0"), "stride is 0"));
  CHECK(says(layer_refusal("Pooling p 1 1 data out 0=5 1=2"), "pooling type is 5"));
  CHECK(says(layer_refusal("Pooling p 1 1 data out 1=2 5=9"), "pad mode is 9"));
  CHECK(says(layer_refusal("Pooling p 1 1 data out 7=1 8=0"), "output size is 0"));
  CHECK(says(layer_refusal("Reshape r 1 1 data out"), "no size is given"));
  CHECK(says(layer_refusal("Reshape r 1 1 data out 0=-1 1=-1"), "two sizes are -1"));
  CHECK(says(layer_refusal("Reshape r 1 1 data out 0=-5"), "a size is -5"));
  CHECK(says(layer_refusal("Reshape r 1 1 data out 0=5 1=-1"), "with 32 elements"));
  CHECK(says(layer_refusal("Permute p 1 1 data out 0=6"), "order 6 of 3 dimensions"));
  CHECK(says(layer_refusal("Permute p 1 1 data out 0=-1"), "order is -1"));
  CHECK(says(layer_refusal("ShuffleChannel s 1 1 data out 0=3"), "2 channels in 3 groups"));
  CHECK(says(layer_refusal("Slice s 1 2 data a b -23300=1,1"), "1 sizes for 2 outputs"));
  CHECK(says(layer_refusal("Slice s 1 2 data a b -23300=2,2,1"), "part 1 has size 1 from 2 of 2"));
  CHECK(says(layer_refusal("Slice s 1 1 data a -23300=1,1 1=3"), "axis 3 of a blob of 3"));
  CHECK(says(layer_refusal("Concat c 1 1 data out 0=-4"), "axis -4 of a blob of 3"));
  CHECK(says(layer_refusal("Softmax s 1 1 data out 0=3 1=1"), "axis 3 of a blob of 3"));
  CHECK(says(layer_refusal("BinaryOp b 1 1 data out 0=99 1=1"), "binary operation 99"));
  CHECK(says(layer_refusal("UnaryOp b 1 1 data out 0=-1"), "unary operation -1"));
  CHECK(says(layer_refusal("Interp i 1 1 data out 0=1 1=0 2=1"), "a scale is 0"));
  CHECK(says(layer_refusal("Interp i 1 1 data out 0=2 1=1e30 2=1e30"), "output height would be"));
  CHECK(says(layer_refusal("Padding p 1 1 data out 0=-1"), "padding is -1"));
  CHECK(
      says(layer_refusal("Eltwise e 2 1 data data out 0=1 -23301=1,0.5"), "1 coefficients for 2"));
  CHECK(says(layer_refusal("Tile t 1 1 data out 0=0 1=0"), "0 repeats"));
  CHECK(says(layer_refusal("PriorBox p 1 1 data out -23300=1,30 9=0 10=1"), "size is 0"));
  CHECK(
      says(layer_refusal("Yolov3DetectionOutput y 1 1 data out 0=1 1=1"), "expected 1 boxes of 1"));
  CHECK(says(layer_refusal("Clip c 1 1 data out 0=2 1=1"), "clips to [2"));
  CHECK(says(layer_refusal("Reshape r 1 1 data out 6=\"0w,5\""), "with 32 elements"));
  CHECK(says(layer_refusal("Reshape r 1 1 data out 6=3"), "parameter 6 is no text"));
  CHECK(says(layer_refusal("ReLU r 1 1 data out 0=abc"), "parameter 0 is 'abc'"));
}

TEST_CASE("blobs of the wrong number of dimensions, and small files that ask for much") {
  NcnnModel flat, flat_pool;
  flat.layer("Input data 0 1 data 0=4").layer("ShuffleChannel s 1 1 data out 0=1");
  CHECK(says(refusal(flat), "layer 's' (ShuffleChannel): a blob of 1 dimensions, expected 3"));
  flat_pool.layer("Input data 0 1 data 0=4")
      .layer("Interp i 1 1 data x 0=2 3=3 4=3 6=0")
      .layer("Permute p 1 1 x out 0=7");
  CHECK(says(refusal(flat_pool), "order 7 of 3 dimensions"));
  const auto large = [](const std::string& line) {
    NcnnModel model;
    model.layer("Input data 0 1 data 0=30000 1=30000 2=36").layer("Input r 0 1 r 0=3").layer(line);
    return refusal(model);
  };
  CHECK(says(large("PriorBox p 1 1 data out -23300=1,30 9=300 10=300"),
             "it needs a constant of 28800000000 bytes, too many for a model of this size"));
  CHECK(says(large("Yolov3DetectionOutput y 1 1 data out 0=31 1=1 -23304=2,1,1 -23305=1,0 "
                   "-23306=1,1"),
             "it needs a constant of"));
  CHECK(says(large("Proposal p 3 1 data data r out"), "it needs a constant of"));
  NcnnModel names;
  names.layer("Input data 0 1 data 0=4").layer("Input data 0 1 data 0=4");
  CHECK(says(refusal(names), "blob 'data' is also written elsewhere"));
}

TEST_CASE("int8 scales are positive and finite") {
  const auto with = [](float weight, float bottom, float top) {
    NcnnModel model;
    model.layer(kInput)
        .layer("Convolution conv 1 1 data out 0=1 1=1 6=2 8=101")
        .integers({1, -1})
        .raw({weight, bottom, top});
    return refusal(model);
  };
  CHECK(with(10, 20, 30) == "ok");
  CHECK(with(0, 20, 30) == "ok");  // a channel of zeros, as ncnn writes it
  CHECK(says(with(kNaN, 20, 30), "layer 'conv' (Convolution): a weight scale is nan"));
  CHECK(says(with(-1, 20, 30), "a weight scale is -1"));
  CHECK(says(with(INFINITY, 20, 30), "a weight scale is inf"));
  CHECK(says(with(10, 0, 30), "the input's scale is 0"));
  CHECK(says(with(10, 1e-40f, 30), "the input's scale is 0"));
  CHECK(says(with(10, 20, kNaN), "the output's scale is nan"));
  NcnnModel unscaled;
  unscaled.layer(kInput).layer("Convolution conv 1 1 data out 0=1 1=1 6=2").integers({1, -1});
  CHECK(says(refusal(unscaled), "its weights are int8, and it states no scales"));
  NcnnModel bias;
  bias.layer(kInput)
      .layer("Convolution conv 1 1 data out 0=1 1=1 5=1 6=2 8=1")
      .integers({1, -1})
      .raw({1e30f})
      .raw({10, 20});
  CHECK(says(refusal(bias), "passes 32 bits"));
}

TEST_CASE("names that are not UTF-8 are refused, odd ones are spelled out") {
  const std::string bad = "7767517\n2 2\nInput data 0 1 data 0=1\nReLU r 1 1 data \xff\xfe\n";
  const Status status = Model::parse_ncnn(as_bytes(bad), {}).status();
  CHECK(status.code() == Code::malformed);
  CHECK(says(status.message(), "is not UTF-8"));
}

// A .param names no file: its weights are the .bin of its own name, or the one that the caller
// names.
TEST_CASE("files that belong together are found, and missing ones named") {
  const fs::path folder = fs::temp_directory_path() / ("firn_ncnn_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  NcnnModel model;
  model.layer(kInput).layer("Convolution conv 1 1 data out 0=1 1=1 6=2").tagged({1, 2});
  const auto write = [&](const char* name, const std::string& bytes) {
    const std::string path = (folder / name).string();
    REQUIRE(write_file(path, as_bytes(bytes)).ok());
    return path;
  };
  const std::string param = write("net.param", model.param());
  const Status missing = Model::load(param).status();
  CHECK(missing.code() == Code::not_found);
  CHECK(says(missing.message(), param + ": its weights are not there"));
  CHECK(Model::load(param, {.random_weights = true}).ok());
  const std::string bin = write("net.bin", model.bin());
  CHECK(Model::load(param).ok());
  CHECK(says(Model::load(bin).status().message(), "load the .param beside it"));
  CHECK(Model::load(write("net.param.bin", model.binary_param())).ok());
  const std::string other = write("other.weights", model.bin());
  CHECK(Model::load_ncnn(param, other).ok());
  CHECK(says(Model::load_ncnn(bin, param).status().message(), "no ncnn .param"));
  CHECK(says(Model::parse(as_bytes(model.param())).status().message(), "parse_ncnn"));
  fs::remove_all(folder);
}
