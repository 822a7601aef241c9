// SPDX-License-Identifier: Apache-2.0
// The ONNX project's node tests, each model as it is, by the public interface. What is not
// supported must say so when it is loaded; nothing may be wrong, and no fewer may pass than did.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "firn/session.h"
#include "runtime/graph.h"
#include "runtime/import/onnx_proto.h"
#include "runtime/import/onnx_tensor.h"
#include "test/runtime/onnx_builder.h"
#include "test/runtime/onnx_run.h"

namespace firn {
namespace {

using namespace test;
namespace fs = std::filesystem;

// A file of test data, and the tensor in it.
struct Case {
  std::string file;
  Result<Value> value = Status(Code::internal, "");
};

std::vector<Case> read_tensors(const fs::path& folder, const std::string& prefix) {
  std::vector<Case> cases;
  for (int i = 0;; ++i) {
    const fs::path path = folder / (prefix + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(path)) return cases;
    Case& c = cases.emplace_back();
    c.file = read_file(path);
    const Result<onnx::TensorProto> proto = onnx::decode_tensor(as_bytes(c.file));
    if (!proto.ok()) {
      c.value = proto.status();
      continue;
    }
    // Copied: `c.file` moves when the vector grows.
    DataFiles none("");
    onnx::TensorReader reader({}, nullptr, none);
    c.value = reader.read(*proto, path.string());
  }
}

// Empty where the values agree.
std::string difference(const Tensor& got, const Value& expected) {
  if (got.type != expected.type) {
    return std::string("type ") + dtype_name(got.type) + ", expected " + dtype_name(expected.type);
  }
  if (got.shape != expected.shape) {
    return "shape " + to_string(got.shape) + ", expected " + to_string(expected.shape);
  }
  if (got.type != DType::f32) {
    const std::span bytes(static_cast<const std::byte*>(got.data), got.bytes());
    const bool same = std::ranges::equal(bytes, expected.constant->bytes());
    return same ? "" : "integers differ";
  }
  for (size_t i = 0; i < got.shape.elements(); ++i) {
    const float a = got.as<float>()[i], b = expected.as<float>()[i];
    const bool same = (std::isnan(a) && std::isnan(b)) || a == b ||
                      std::abs(a - b) <= 1e-5f + 1e-3f * std::abs(b);
    if (!same) {
      return "element " + std::to_string(i) + " is " + std::to_string(a) + ", expected " +
             std::to_string(b);
    }
  }
  return "";
}

enum class Outcome { passed, refused, wrong };

struct Verdict {
  Outcome outcome = Outcome::passed;
  std::string why;
};

// A message that tells which node, and which operator, is not supported.
bool names_operator(const std::string& message) {
  return message.starts_with("onnx: node '") && message.find("'") != std::string::npos;
}

// Loads, runs and compares as any app would.
Verdict run_case(const fs::path& folder) {
  const std::string file = read_file(folder / "model.onnx");
  const std::vector<Case> inputs = read_tensors(folder / "test_data_set_0", "input");
  const std::vector<Case> outputs = read_tensors(folder / "test_data_set_0", "output");
  for (const std::vector<Case>* cases : {&inputs, &outputs})
    for (const Case& c : *cases)
      if (!c.value.ok()) return {Outcome::wrong, c.value.status().message()};

  const Result<Model> model = Model::parse(as_bytes(file));
  if (!model.ok()) {
    const Status& status = model.status();
    const bool refused = status.code() == Code::unsupported && names_operator(status.message());
    return {refused ? Outcome::refused : Outcome::wrong, "load: " + status.message()};
  }
  SessionOptions options;
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < model->inputs().size(); ++i) {
    const Value& given = *inputs[i].value;
    const std::string& name = model->inputs()[i].name;
    options.input_shapes.emplace_back(name, given.shape);
    std::byte* data = const_cast<std::byte*>(given.constant->bytes().data());
    tensors.push_back({name, {given.type, given.shape, data}});
  }
  Result<Session> session = Session::create(*model, options);
  if (!session.ok()) return {Outcome::wrong, "create: " + session.status().message()};
  Outputs got;
  const Status status = session->run(tensors, got);
  if (!status.ok()) return {Outcome::wrong, "run: " + status.message()};
  if (got.all().size() != outputs.size()) return {Outcome::wrong, "number of outputs"};
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string what = difference(got.all()[i].tensor, *outputs[i].value);
    if (!what.empty()) return {Outcome::wrong, "output " + std::to_string(i) + ": " + what};
  }
  return {};
}

}  // namespace

TEST_CASE("onnx: the node tests pass or are refused") {
  const fs::path core = fs::path(FIRN_SHARED) / "data/onnx_node/core";
  if (!fs::exists(core)) {
    MESSAGE("skipped: no node tests in " << core.string());
    return;
  }
  int passed = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(core)) {
    const Verdict verdict = run_case(entry.path());
    const std::string name = entry.path().filename().string();
    if (verdict.outcome == Outcome::passed) ++passed;
    if (verdict.outcome == Outcome::refused) MESSAGE(name << ": " << verdict.why);
    CHECK_MESSAGE(verdict.outcome != Outcome::wrong, name << ": " << verdict.why);
  }
  MESSAGE(passed << " pass");
  CHECK(passed >= 740);
}

}  // namespace firn
