// SPDX-License-Identifier: Apache-2.0
// Imports a model in memory and runs it through the reference, for tests.
#ifndef FIRN_TEST_RUNTIME_ONNX_RUN_H_
#define FIRN_TEST_RUNTIME_ONNX_RUN_H_

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/import/onnx.h"
#include "test/runtime/onnx_builder.h"

namespace firn::test {

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The graph, checked. `model` must live as long.
inline Graph import(const std::string& model) {
  DataFiles none("");
  Result<Graph> graph = read_onnx(as_bytes(model), nullptr, none);
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  const Status status = check(*graph);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return *std::move(graph);
}

// The outputs for inputs of these shapes.
inline std::vector<Value> run(Graph graph, const std::vector<Tensor>& inputs) {
  REQUIRE(graph.inputs.size() == inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    graph.value(graph.inputs[i]).shape = inputs[i].shape;
  }
  const Status inferred = infer_shapes(graph);
  REQUIRE_MESSAGE(inferred.ok(), inferred.message());
  Result<std::vector<Value>> outputs = reference_run(graph, inputs);
  REQUIRE_MESSAGE(outputs.ok(), outputs.status().message());
  return *std::move(outputs);
}

// Of a model with one float input and one output.
inline Value run(const OnnxModel& model, const Shape& shape, const std::vector<float>& input) {
  const std::string bytes = model.bytes();
  return run(import(bytes), {view(shape, input.data())})[0];
}

inline std::vector<float> floats_of(const Value& value) {
  REQUIRE(value.type == DType::f32);
  return {value.as<float>().begin(), value.as<float>().end()};
}

inline std::vector<float> run_floats(const OnnxModel& model, const Shape& shape,
                                     const std::vector<float>& input) {
  return floats_of(run(model, shape, input));
}

// Why a model is not read: "unsupported: onnx: node ...".
inline std::string refusal(const std::string& model, const std::string& folder = "") {
  DataFiles files(folder);
  const Result<Graph> graph = read_onnx(as_bytes(model), nullptr, files);
  if (graph.ok()) return "ok";
  return std::string(code_name(graph.status().code())) + ": " + graph.status().message();
}

inline std::string refusal(const OnnxModel& model) {
  return refusal(model.bytes());
}

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_ONNX_RUN_H_
