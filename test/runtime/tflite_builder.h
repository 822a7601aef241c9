// SPDX-License-Identifier: Apache-2.0
// Writes small TensorFlow Lite models for tests, right or wrong ones.
#ifndef FIRN_TEST_RUNTIME_TFLITE_BUILDER_H_
#define FIRN_TEST_RUNTIME_TFLITE_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tflite_generated.h"

namespace firn::tflite {

using wire::BuiltinOperator;
using wire::BuiltinOptions;
using wire::TensorType;

template <typename T>
std::vector<uint8_t> bytes_of(const std::vector<T>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

struct TestTensor {
  std::string name;
  TensorType type = TensorType::float32;
  std::vector<int32_t> shape{};
  std::vector<uint8_t> data{};  // empty: no constant
  std::vector<float> scale{};
  std::vector<int64_t> zero{};
  int32_t axis = 0;
  std::vector<int32_t> signature{};
  bool variable = false, sparse = false;
  int32_t buffer = -1;  // another than its own
  uint8_t details = 0;
  uint64_t file_offset = 0, file_size = 0;  // of data that lies elsewhere in the file
};

struct TestOp {
  using Options = std::function<flatbuffers::Offset<void>(flatbuffers::FlatBufferBuilder&)>;
  BuiltinOperator code = BuiltinOperator::ADD;
  std::vector<int32_t> inputs{}, outputs{};
  BuiltinOptions options_type = BuiltinOptions::NONE;
  Options options{};
  std::string custom_code{};
  std::vector<uint8_t> custom_options{};
  int32_t opcode_index = -1;  // another than its own
};

struct TestModel {
  std::vector<TestTensor> tensors{};
  std::vector<TestOp> ops{};
  std::vector<int32_t> inputs{}, outputs{};
  uint32_t version = 3;
  bool has_graph = true;

  // The index of the tensor.
  int32_t add(TestTensor tensor) {
    tensors.push_back(std::move(tensor));
    return static_cast<int32_t>(tensors.size()) - 1;
  }
  int32_t add_input(TestTensor tensor) { return inputs.emplace_back(add(std::move(tensor))); }
  int32_t add_output(TestTensor tensor) { return outputs.emplace_back(add(std::move(tensor))); }
  int32_t add_ints(std::vector<int32_t> values) {
    const auto count = static_cast<int32_t>(values.size());
    return add(
        {"ints" + std::to_string(tensors.size()), TensorType::int32, {count}, bytes_of(values)});
  }

  std::vector<uint8_t> bytes() const {
    flatbuffers::FlatBufferBuilder b;
    std::vector<flatbuffers::Offset<wire::Buffer>> buffers{wire::CreateBuffer(b)};
    std::vector<flatbuffers::Offset<wire::Tensor>> wire_tensors;
    for (const TestTensor& t : tensors) {
      uint32_t buffer = 0;
      if (t.file_offset != 0) {
        buffer = static_cast<uint32_t>(buffers.size());
        buffers.push_back(wire::CreateBuffer(b, 0, t.file_offset, t.file_size));
      } else if (!t.data.empty()) {
        buffer = static_cast<uint32_t>(buffers.size());
        b.ForceVectorAlignment(t.data.size(), 1, 16);
        const auto data = b.CreateVector(t.data);
        buffers.push_back(wire::CreateBuffer(b, data));
      }
      if (t.buffer >= 0) buffer = static_cast<uint32_t>(t.buffer);
      flatbuffers::Offset<wire::QuantizationParameters> quantization;
      if (!t.scale.empty() || t.details != 0) {
        const auto scale = b.CreateVector(t.scale);
        const auto zero = b.CreateVector(t.zero);
        quantization = wire::CreateQuantizationParameters(
            b, 0, 0, scale, zero, t.details, t.details != 0 ? wire::CreateUnread(b) : 0, t.axis);
      }
      const auto shape = b.CreateVector(t.shape);
      const auto name = b.CreateString(t.name);
      const auto signature = t.signature.empty() ? 0 : b.CreateVector(t.signature);
      const auto sparsity = t.sparse ? wire::CreateUnread(b) : 0;
      wire_tensors.push_back(wire::CreateTensor(b, shape, t.type, buffer, name, quantization,
                                                t.variable, sparsity, signature));
    }
    std::vector<flatbuffers::Offset<wire::OperatorCode>> codes;
    std::vector<flatbuffers::Offset<wire::Operator>> operators;
    for (const TestOp& op : ops) {
      const auto custom = op.custom_code.empty() ? 0 : b.CreateString(op.custom_code);
      const auto old = static_cast<int8_t>(std::min(static_cast<int>(op.code), 127));
      const int32_t index =
          op.opcode_index >= 0 ? op.opcode_index : static_cast<int32_t>(codes.size());
      codes.push_back(wire::CreateOperatorCode(b, old, custom, 1, op.code));
      const auto in = b.CreateVector(op.inputs);
      const auto out = b.CreateVector(op.outputs);
      const auto custom_options = op.custom_options.empty() ? 0 : b.CreateVector(op.custom_options);
      const auto options = op.options ? op.options(b) : flatbuffers::Offset<void>();
      operators.push_back(wire::CreateOperator(b, static_cast<uint32_t>(index), in, out,
                                               op.options_type, options, custom_options));
    }
    std::vector<flatbuffers::Offset<wire::SubGraph>> graphs;
    if (has_graph) {
      const auto all_tensors = b.CreateVector(wire_tensors);
      const auto in = b.CreateVector(inputs);
      const auto out = b.CreateVector(outputs);
      const auto all_operators = b.CreateVector(operators);
      graphs.push_back(wire::CreateSubGraph(b, all_tensors, in, out, all_operators));
    }
    const auto all_codes = b.CreateVector(codes);
    const auto all_graphs = b.CreateVector(graphs);
    const auto all_buffers = b.CreateVector(buffers);
    wire::FinishModelBuffer(b,
                            wire::CreateModel(b, version, all_codes, all_graphs, 0, all_buffers));
    return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
  }
};

// The options of an operator from a function that creates their table.
template <typename Create>
TestOp::Options options(Create create) {
  return [=](flatbuffers::FlatBufferBuilder& b) { return create(b).Union(); };
}

}  // namespace firn::tflite

#endif  // FIRN_TEST_RUNTIME_TFLITE_BUILDER_H_
