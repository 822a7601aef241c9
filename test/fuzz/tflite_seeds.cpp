// SPDX-License-Identifier: Apache-2.0
// TensorFlow Lite models that hold nearly every operator that the importer knows.
#include "test/fuzz/seeds.h"
#include "test/runtime/tflite_builder.h"

namespace firn::fuzz {
namespace {

using namespace tflite;
using Code = BuiltinOperator;
using Ids = std::vector<int32_t>;

// A model whose operators follow one another: each reads the one before, and what else it is given.
class Chain {
 public:
  explicit Chain(TestTensor input) : last_(model_.add_input(std::move(input))) {}

  Chain& then(Code code, const Ids& more = {}, BuiltinOptions type = BuiltinOptions::NONE,
              TestOp::Options options = {}) {
    Ids in{last_};
    in.insert(in.end(), more.begin(), more.end());
    last_ = model_.add({"t" + std::to_string(model_.tensors.size())});
    model_.ops.push_back({code, std::move(in), {last_}, type, std::move(options)});
    return *this;
  }
  // The last tensor is int8.
  Chain& quantized(float scale, int64_t zero) {
    TestTensor& tensor = model_.tensors[static_cast<size_t>(last_)];
    tensor.type = TensorType::int8;
    tensor.scale = {scale};
    tensor.zero = {zero};
    return *this;
  }
  TestModel& model() { return model_; }
  int32_t last() const { return last_; }
  std::string done() {
    model_.outputs.push_back(last_);
    const std::vector<uint8_t> bytes = model_.bytes();
    return {bytes.begin(), bytes.end()};
  }

 private:
  TestModel model_;
  int32_t last_;
};

std::vector<uint8_t> floats(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i * 7 % 13) / 13 - 0.4f;
  return bytes_of(values);
}

std::string convolutions(TensorType weights) {
  Chain chain({"x", TensorType::float32, {1, 6, 6, 2}, {}, {}, {}, 0, {-1, 6, 6, 2}});
  TestModel& m = chain.model();
  const bool real = weights == TensorType::float32;
  const auto weight = [&](std::vector<int32_t> shape, size_t count) {
    TestTensor tensor{"w" + std::to_string(m.tensors.size()), weights, std::move(shape)};
    tensor.data = real ? floats(count) : std::vector<uint8_t>(count, 5);
    if (!real) tensor.scale = {0.1f};
    if (!real) tensor.zero = {weights == TensorType::uint8 ? 3 : 0};
    return m.add(tensor);
  };
  if (!real) chain.then(Code::QUANTIZE).quantized(0.05f, 3);
  const auto settle = [&] {
    if (!real) chain.quantized(0.1f, -7);
  };
  const int32_t w = weight({4, 3, 3, 2}, 72), depth = weight({1, 3, 3, 8}, 72);
  const int32_t up = weight({2, 2, 2, 8}, 64), dense = weight({3, 72}, 216);
  chain.then(Code::CONV_2D, {w}, BuiltinOptions::Conv2D, options([](auto& b) {
               return wire::CreateConv2DOptions(b, wire::Padding::same, 1, 1,
                                                wire::Activation::relu6);
             }));
  settle();
  chain.then(Code::DEPTHWISE_CONV_2D, {depth}, BuiltinOptions::DepthwiseConv2D,
             options([](auto& b) {
               return wire::CreateDepthwiseConv2DOptions(b, wire::Padding::same, 2, 2, 2);
             }));
  settle();
  m.ops.push_back({Code::TRANSPOSE_CONV,
                   {m.add_ints({1, 6, 6, 2}), up, chain.last()},
                   {m.add_output({"up"})},
                   BuiltinOptions::TransposeConv,
                   options([](auto& b) {
                     return wire::CreateTransposeConvOptions(b, wire::Padding::same, 2, 2);
                   })});
  chain.then(Code::AVERAGE_POOL_2D, {}, BuiltinOptions::Pool2D, options([](auto& b) {
               return wire::CreatePool2DOptions(b, wire::Padding::same, 1, 1, 2, 2);
             }));
  settle();
  chain.then(Code::FULLY_CONNECTED, {dense}, BuiltinOptions::FullyConnected, options([](auto& b) {
               return wire::CreateFullyConnectedOptions(b, wire::Activation::relu);
             }));
  settle();
  chain.then(Code::SOFTMAX, {}, BuiltinOptions::Softmax,
             options([](auto& b) { return wire::CreateSoftmaxOptions(b, 1); }));
  return chain.done();
}

std::string elementwise() {
  Chain chain({"x", TensorType::float32, {2, 3, 4, 5}});
  const int32_t row = chain.model().add({"row", TensorType::float32, {5}, floats(5)});
  for (const auto& [code, type] :
       {std::pair(Code::ADD, BuiltinOptions::Add), std::pair(Code::SUB, BuiltinOptions::Sub),
        std::pair(Code::MUL, BuiltinOptions::Mul), std::pair(Code::DIV, BuiltinOptions::Div)}) {
    chain.then(code, {row}, type, options([](auto& b) {
                 return wire::CreateActivationOptions(b, wire::Activation::relu);
               }));
  }
  for (const Code code :
       {Code::MAXIMUM, Code::MINIMUM, Code::SQUARED_DIFFERENCE, Code::FLOOR_DIV, Code::FLOOR_MOD}) {
    chain.then(code, {row});
  }
  for (const Code code : {Code::ABS, Code::EXP, Code::SQRT, Code::RSQRT, Code::TANH, Code::LOGISTIC,
                          Code::HARD_SWISH, Code::ELU, Code::RELU6, Code::ROUND, Code::NEG,
                          Code::SQUARE, Code::SIN, Code::LOG_SOFTMAX}) {
    chain.then(code);
  }
  return chain.done();
}

std::string layout() {
  Chain chain({"x", TensorType::float32, {2, 4, 6, 4}});
  TestModel& m = chain.model();
  const auto edges = [&](std::vector<int32_t> values) {
    const auto rows = static_cast<int32_t>(values.size() / 2);
    return m.add({"edges" + std::to_string(m.tensors.size()),
                  TensorType::int32,
                  {rows, 2},
                  bytes_of(values)});
  };
  chain.then(Code::SPACE_TO_BATCH_ND, {m.add_ints({2, 2}), edges({0, 0, 1, 1})});
  chain.then(Code::BATCH_TO_SPACE_ND, {m.add_ints({2, 2}), edges({0, 0, 1, 1})});
  chain.then(Code::SPACE_TO_DEPTH, {}, BuiltinOptions::SpaceToDepth,
             options([](auto& b) { return wire::CreateBlockOptions(b, 2); }));
  chain.then(Code::DEPTH_TO_SPACE, {}, BuiltinOptions::DepthToSpace,
             options([](auto& b) { return wire::CreateBlockOptions(b, 2); }));
  chain.then(Code::PAD, {edges({0, 0, 1, 0, 0, 1, 0, 0})});
  chain.then(Code::MIRROR_PAD, {edges({0, 0, 1, 0, 0, 1, 0, 0})}, BuiltinOptions::MirrorPad,
             options([](auto& b) { return wire::CreateMirrorPadOptions(b); }));
  chain.then(Code::TRANSPOSE, {m.add_ints({0, 2, 1, 3})});
  chain.then(Code::STRIDED_SLICE,
             {m.add_ints({0, 1, 0, 0}), m.add_ints({2, 7, 6, 4}), m.add_ints({1, 2, 1, 1})},
             BuiltinOptions::StridedSlice,
             options([](auto& b) { return wire::CreateStridedSliceOptions(b, 1, 4); }));
  chain.then(Code::SLICE, {m.add_ints({0, 0, 0, 0}), m.add_ints({1, 2, -1, 4})});
  chain.then(
      Code::RESIZE_BILINEAR, {m.add_ints({5, 3})}, BuiltinOptions::ResizeBilinear,
      options([](auto& b) { return wire::CreateResizeBilinearOptions(b, 0, 0, false, true); }));
  chain.then(Code::TILE, {m.add_ints({1, 2, 1, 1})});
  chain.then(Code::REVERSE_V2, {m.add_ints({1})});
  chain.then(Code::GATHER, {m.add_ints({3, 0})}, BuiltinOptions::Gather,
             options([](auto& b) { return wire::CreateGatherOptions(b, 1); }));
  chain.then(Code::MEAN, {m.add_ints({1})}, BuiltinOptions::Reducer,
             options([](auto& b) { return wire::CreateReducerOptions(b, true); }));
  chain.then(Code::SQUEEZE, {}, BuiltinOptions::Squeeze, options([](auto& b) {
               const std::vector<int32_t> dims{0};
               return wire::CreateSqueezeOptionsDirect(b, &dims);
             }));
  chain.then(Code::EXPAND_DIMS, {m.add_ints({0})});
  chain.then(Code::RESHAPE, {m.add_ints({-1, 4})});
  chain.then(Code::CUMSUM, {m.add_ints({0})});
  chain.then(Code::ARG_MAX, {m.add_ints({1})});
  return chain.done();
}

// Parameters that other operators compute; casts of quantized numbers.
std::string computed() {
  Chain chain({"x", TensorType::float32, {2, 4, 6}});
  TestModel& m = chain.model();
  const int32_t begin = m.add_input({"begin", TensorType::int32, {3}});
  const int32_t index = m.add_input({"index", TensorType::int32, {1}});
  const int32_t sides = m.add_input({"sides", TensorType::int32, {2, 2}});
  chain.then(Code::CAST).quantized(0.1f, 3);
  chain.then(Code::CAST);
  chain.then(Code::SLICE, {begin, m.add_ints({2, 3, 4})});
  chain.then(Code::STRIDED_SLICE, {index, m.add_ints({0}), m.add_ints({1})},
             BuiltinOptions::StridedSlice,
             options([](auto& b) { return wire::CreateStridedSliceOptions(b, 0, 0, 0, 0, 1); }));
  chain.then(Code::PAD, {sides});
  chain.then(Code::EXPAND_DIMS, {index});
  chain.then(Code::STRIDED_SLICE, {begin, m.add_ints({2, 2, 2}), m.add_ints({1, 1, -1})},
             BuiltinOptions::StridedSlice,
             options([](auto& b) { return wire::CreateStridedSliceOptions(b, 4, 2); }));
  chain.then(Code::SUM, {index}, BuiltinOptions::Reducer,
             options([](auto& b) { return wire::CreateReducerOptions(b, true); }));
  chain.then(Code::FAKE_QUANT, {}, BuiltinOptions::FakeQuant,
             options([](auto& b) { return wire::CreateFakeQuantOptions(b, -1, 1, 8); }));
  return chain.done();
}

// A filter with a memory, then a step of a plain recurrent layer.
std::string filters() {
  Chain chain({"x", TensorType::float32, {1, 2}});
  TestModel& m = chain.model();
  const auto weight = [&](const char* name, std::vector<int32_t> shape, size_t count) {
    return m.add({name, TensorType::float32, std::move(shape), floats(count)});
  };
  const auto state = [&](const char* name, int32_t size) {
    TestTensor tensor{name, TensorType::float32, {1, size}};
    tensor.variable = true;
    return m.add(tensor);
  };
  chain.then(
      Code::SVDF,
      {weight("f", {4, 2}, 8), weight("t", {4, 3}, 12), weight("b", {2}, 2), state("memory", 12)},
      BuiltinOptions::SVDF, options([](auto& b) { return wire::CreateSVDFOptions(b, 2); }));
  chain.then(
      Code::RNN,
      {weight("w", {2, 2}, 4), weight("r", {2, 2}, 4), weight("c", {2}, 2), state("hidden", 2)},
      BuiltinOptions::RNN,
      options([](auto& b) { return wire::CreateRNNOptions(b, wire::Activation::tanh); }));
  return chain.done();
}

std::string recurrent() {
  TestModel m;
  Ids in{m.add_input({"x", TensorType::float32, {1, 3, 2}})};
  for (int gate = 0; gate < 4; ++gate) {
    in.push_back(m.add({"w" + std::to_string(gate), TensorType::float32, {2, 2}, floats(4)}));
  }
  for (int gate = 0; gate < 4; ++gate) {
    in.push_back(m.add({"r" + std::to_string(gate), TensorType::float32, {2, 2}, floats(4)}));
  }
  in.insert(in.end(), 3, -1);
  for (int gate = 0; gate < 4; ++gate) {
    in.push_back(m.add({"b" + std::to_string(gate), TensorType::float32, {2}, floats(2)}));
  }
  in.insert(in.end(), 2, -1);
  for (const char* name : {"state", "cell"}) {
    TestTensor tensor{name, TensorType::float32, {1, 2}};
    tensor.variable = true;
    in.push_back(m.add(tensor));
  }
  for (int gate = 0; gate < 4; ++gate) {
    in.push_back(m.add({"n" + std::to_string(gate), TensorType::float32, {2}, floats(2)}));
  }
  m.add_output({"y"});
  m.ops = {{Code::UNIDIRECTIONAL_SEQUENCE_LSTM, in, m.outputs,
            BuiltinOptions::UnidirectionalSequenceLSTM, options([](auto& b) {
              return wire::CreateSequenceLSTMOptions(b, wire::Activation::tanh, 10);
            })}};
  const std::vector<uint8_t> bytes = m.bytes();
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::vector<std::string> built_in_tflite() {
  return {convolutions(TensorType::float32),
          convolutions(TensorType::int8),
          convolutions(TensorType::uint8),
          elementwise(),
          layout(),
          computed(),
          filters(),
          recurrent()};
}

}  // namespace firn::fuzz
