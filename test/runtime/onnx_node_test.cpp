// SPDX-License-Identifier: Apache-2.0
// The ONNX project's node tests: each model through the importer and the reference, as it is, with
// every input but the first as a constant, and with all of them. What is not supported must say so;
// nothing may be wrong, and no fewer may pass than did.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "runtime/import/onnx.h"
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
    onnx::TensorReader reader({}, nullptr, "");
    c.value = reader.read(*proto, path.string());
  }
}

// Empty where the values agree.
std::string difference(const Value& got, const Value& expected) {
  if (got.type != expected.type) {
    return std::string("type ") + dtype_name(got.type) + ", expected " + dtype_name(expected.type);
  }
  if (got.shape != expected.shape) {
    return "shape " + to_string(got.shape) + ", expected " + to_string(expected.shape);
  }
  if (got.type != DType::f32) {
    const bool same = std::ranges::equal(got.constant->bytes(), expected.constant->bytes());
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

constexpr size_t kNoConstants = SIZE_MAX;

enum class Outcome { passed, refused, wrong, skipped };

struct Verdict {
  Outcome outcome = Outcome::passed;
  std::string why;
};

// Runs one test with the inputs from `first_constant` on bound as initializers, where it has that
// many.
Verdict run_case(const fs::path& folder, size_t first_constant) {
  std::string model = read_file(folder / "model.onnx");
  const std::vector<Case> inputs = read_tensors(folder / "test_data_set_0", "input");
  const std::vector<Case> outputs = read_tensors(folder / "test_data_set_0", "output");
  for (const std::vector<Case>* cases : {&inputs, &outputs}) {
    for (const Case& c : *cases) {
      if (!c.value.ok()) return {Outcome::skipped, c.value.status().message()};
    }
  }
  if (first_constant != kNoConstants) {
    if (inputs.size() <= first_constant) return {Outcome::skipped, "has too few inputs"};
    // Protobuf merges: this adds initializers to the model's graph, under the inputs' names.
    const Result<onnx::ModelProto> proto = onnx::decode_model(as_bytes(model));
    if (!proto.ok()) return {Outcome::wrong, proto.status().message()};
    std::string graph, extra;
    for (size_t i = first_constant; i < inputs.size(); ++i) {
      std::string tensor = inputs[i].file;
      protozero::pbf_writer(tensor).add_string(8, std::string(proto->graph->inputs[i].name));
      protozero::pbf_writer(graph).add_message(5, tensor);
    }
    protozero::pbf_writer(extra).add_message(7, graph);
    model += extra;
  }
  Result<Graph> graph = read_onnx(as_bytes(model), nullptr, "");
  if (!graph.ok()) return {Outcome::refused, graph.status().message()};
  if (const Status status = check(*graph); !status.ok()) {
    return {Outcome::wrong, "check: " + status.message()};
  }
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < graph->inputs.size(); ++i) {
    const Value& given = *inputs[i].value;
    graph->value(graph->inputs[i]).shape = given.shape;
    tensors.push_back(
        {given.type, given.shape, const_cast<std::byte*>(given.constant->bytes().data())});
  }
  if (const Status status = infer_shapes(*graph); !status.ok()) {
    return {Outcome::refused, "infer: " + status.message()};
  }
  const Result<std::vector<Value>> got = reference_run(*graph, tensors);
  if (!got.ok()) return {Outcome::refused, "run: " + got.status().message()};
  if (got->size() != outputs.size()) return {Outcome::wrong, "number of outputs"};
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string what = difference((*got)[i], *outputs[i].value);
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
  struct Mode {
    std::string name;
    size_t first_constant;
    std::map<Outcome, int> counts;
  };
  std::vector<Mode> modes{{"as they are", kNoConstants, {}},
                          {"all inputs but the first constant", 1, {}},
                          {"all inputs constant", 0, {}}};
  int passed_somehow = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(core)) {
    bool passed = false;
    for (Mode& mode : modes) {
      const Verdict verdict = run_case(entry.path(), mode.first_constant);
      ++mode.counts[verdict.outcome];
      passed = passed || verdict.outcome == Outcome::passed;
      CHECK_MESSAGE(verdict.outcome != Outcome::wrong,
                    entry.path().filename().string() << ", " << mode.name << ": " << verdict.why);
    }
    if (passed) ++passed_somehow;
  }
  for (Mode& mode : modes) {
    MESSAGE(mode.name << ": " << mode.counts[Outcome::passed] << " passed, "
                      << mode.counts[Outcome::refused] << " refused, "
                      << mode.counts[Outcome::skipped] << " do not apply");
  }
  MESSAGE(passed_somehow << " pass in some way");
  CHECK(passed_somehow >= 644);
}

}  // namespace firn
