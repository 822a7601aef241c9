// SPDX-License-Identifier: Apache-2.0
// ONNX models with QuantizeLinear and DequantizeLinear nodes, for tests, and what passes make of
// them.
#ifndef FIRN_TEST_RUNTIME_QDQ_MODEL_H_
#define FIRN_TEST_RUNTIME_QDQ_MODEL_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "firn/session.h"
#include "runtime/model_impl.h"
#include "runtime/passes/passes.h"
#include "test/runtime/onnx_run.h"

namespace firn::test {

// How activations are quantized.
struct Scheme {
  float scale = 0.05f;
  int zero = 0;
  OnnxType type = kInt8;
};

class QdqModel : public OnnxModel {
 public:
  explicit QdqModel(uint32_t seed = 1) : random_(seed) {}

  // Initializers `name`_s and `name`_z.
  void scheme(const std::string& name, const Scheme& s) {
    initializer(onnx_floats(name + "_s", {}, {s.scale}));
    if (s.type == kInt8) {
      initializer(onnx_tensor<int8_t>(name + "_z", kInt8, {}, {static_cast<int8_t>(s.zero)}));
    } else {
      initializer(onnx_tensor<uint8_t>(name + "_z", kUint8, {}, {static_cast<uint8_t>(s.zero)}));
    }
  }
  // x quantized, and dequantized again: the name of that.
  std::string pair(const std::string& x, const Scheme& s) {
    scheme(x, s);
    node("QuantizeLinear", {x, x + "_s", x + "_z"}, {x + "_q"});
    node("DequantizeLinear", {x + "_q", x + "_s", x + "_z"}, {x + "_dq"});
    return x + "_dq";
  }
  // Random int8 weights with a scale for each slice along `axis`, or one where it is -1.
  std::string weights(const std::string& name, const std::vector<int64_t>& dims, int64_t axis = 0,
                      int8_t zero = 0) {
    size_t count = 1;
    for (const int64_t d : dims) count *= static_cast<size_t>(d);
    std::vector<int8_t> q(count);
    for (int8_t& v : q) v = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
    const size_t channels = axis < 0 ? 1 : static_cast<size_t>(dims[static_cast<size_t>(axis)]);
    std::vector<float> scale(channels);
    for (float& s : scale) s = 0.001f * static_cast<float>(1 + random_() % 9);
    const std::vector<int64_t> shape =
        axis < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{static_cast<int64_t>(channels)};
    initializer(onnx_tensor(name + "_q", kInt8, dims, q));
    initializer(onnx_floats(name + "_s", shape, scale));
    initializer(onnx_tensor(name + "_z", kInt8, shape, std::vector<int8_t>(channels, zero)));
    node("DequantizeLinear", {name + "_q", name + "_s", name + "_z"}, {name},
         {attr("axis", std::max<int64_t>(axis, 0))});
    return name;
  }
  // Random int32 biases of one scale.
  std::string bias(const std::string& name, int64_t channels, float scale) {
    std::vector<int32_t> q(static_cast<size_t>(channels));
    for (int32_t& v : q) v = static_cast<int32_t>(random_() % 2001) - 1000;
    initializer(onnx_tensor(name + "_q", kInt32, {channels}, q));
    initializer(onnx_floats(name + "_s", {}, {scale}));
    node("DequantizeLinear", {name + "_q", name + "_s"}, {name});
    return name;
  }
  std::vector<float> floats(size_t count, float lo = -3, float hi = 3) {
    std::vector<float> values(count);
    for (float& v : values) v = lo + (hi - lo) * static_cast<float>(random_() % 10007) / 10006.0f;
    return values;
  }

 private:
  std::mt19937 random_;
};

// A model before and after the passes, with input shapes as it declares them.
struct Passed {
  std::string bytes;
  Graph before, after;
};

inline Passed optimised(const OnnxModel& model) {
  Passed passed{model.bytes(), {}, {}};
  passed.before = import(passed.bytes);
  const Status inferred = infer_shapes(passed.before);
  REQUIRE_MESSAGE(inferred.ok(), inferred.message());
  passed.after = passed.before;
  Diag diag;
  const Status status = optimize(passed.after, diag);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return passed;
}

// Nodes that compute with floats: "conv_3 (Conv2d)". Converts and what moves data do not count.
inline std::string float_nodes(const Graph& graph) {
  std::string found;
  for (const Node& node : graph.nodes) {
    const bool moves = std::holds_alternative<Convert>(node.op) ||
                       std::holds_alternative<Transpose>(node.op) ||
                       std::holds_alternative<Reshape>(node.op);
    if (!moves && graph.value(node.in[0]).type == DType::f32)
      found += (found.empty() ? "" : ", ") + describe(node);
  }
  return found;
}

template <typename T>
int count(const Graph& graph) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes, [](const Node& node) { return std::holds_alternative<T>(node.op); }));
}

inline std::vector<double> numbers(const Value& value) {
  std::vector<double> out;
  const size_t n = value.shape.elements();
  for (size_t i = 0; i < n; ++i) {
    switch (value.type) {
      case DType::f32:
        out.push_back(value.as<float>()[i]);
        break;
      case DType::u8:
        out.push_back(value.as<uint8_t>()[i]);
        break;
      case DType::i8:
        out.push_back(value.as<int8_t>()[i]);
        break;
      default:
        out.push_back(value.as<int32_t>()[i]);
    }
  }
  return out;
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

// That the graph computes the same after the passes, by the reference and in a session, but for
// `tolerance`, or, of integers, `steps`. Returns the graph after them.
inline Graph same_after_passes(const OnnxModel& model, const std::vector<Tensor>& inputs,
                               double tolerance, double steps = 1) {
  const Passed passed = optimised(model);
  const Result<std::vector<Value>> expected = reference_run(passed.before, inputs);
  REQUIRE_MESSAGE(expected.ok(), expected.status().message());
  const Result<std::vector<Value>> got = reference_run(passed.after, inputs);
  REQUIRE_MESSAGE(got.ok(), got.status().message());
  Result<Model> loaded = make_model("test", import(passed.bytes));
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  Result<Session> session = Session::create(*loaded);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  std::vector<NamedTensor> named;
  for (size_t i = 0; i < inputs.size(); ++i)
    named.push_back({passed.before.value(passed.before.inputs[i]).name, inputs[i]});
  Outputs outputs;
  const Status ran = session->run(named, outputs);
  REQUIRE_MESSAGE(ran.ok(), ran.message());
  for (size_t i = 0; i < expected->size(); ++i) {
    const Value& wanted = (*expected)[i];
    CAPTURE(wanted.name);
    const double most = wanted.type == DType::f32 ? tolerance : steps;
    CHECK((*got)[i].type == wanted.type);
    CHECK((*got)[i].shape == wanted.shape);
    CHECK(largest_difference(numbers((*got)[i]), numbers(wanted)) <= most);
    const Tensor tensor = outputs[wanted.name];
    REQUIRE(tensor.type == wanted.type);
    const std::span bytes(static_cast<const std::byte*>(tensor.data), tensor.bytes());
    Value ran_value = wanted;
    ran_value.constant = std::make_shared<const Buffer>(nullptr, bytes);
    CHECK(largest_difference(numbers(ran_value), numbers(wanted)) <= most);
  }
  return passed.after;
}

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_QDQ_MODEL_H_
