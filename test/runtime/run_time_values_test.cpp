// SPDX-License-Identifier: Apache-2.0
// Indices, lengths and shapes that only a run brings: those that make no sense fail the run by node
// and value, in every format, and the next run goes on.
#include <doctest/doctest.h>

#include "firn/session.h"
#include "runtime/import/tflite.h"
#include "test/runtime/native_graphs.h"
#include "test/runtime/ncnn_builder.h"
#include "test/runtime/tflite_builder.h"

namespace firn {
namespace {

using namespace test;

Session session_of(const Result<Model>& model) {
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  Result<Session> session = Session::create(*model);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return *std::move(session);
}

// What a run with these indices for the only input says.
template <typename T>
std::string outcome(Session& session, const std::vector<T>& indices) {
  const TensorInfo info = session.inputs()[0];
  Outputs outputs;
  const Status status = session.run({{info.name, view(info.shape, indices.data())}}, outputs);
  return status.ok() ? "ok" : std::string(code_name(status.code())) + ": " + status.message();
}

OnnxModel onnx(const std::string& op, int count, const std::vector<std::string>& inputs) {
  OnnxModel model(18);
  model.input("i", {count}, kInt64)
      .initializer(onnx_floats("x", {3, 2}, {1, 2, 3, 4, 5, 6}))
      .initializer(onnx_floats("u", {1, 2}, {1, 1}))
      .initializer(onnx_ints("one", {1}))
      .node(op, inputs, {"y"}, {}, "n")
      .output("y");
  return model;
}

}  // namespace

TEST_CASE("onnx: indices that a run brings") {
  const auto run = [](const OnnxModel& model, const std::vector<int64_t>& indices) {
    const std::string bytes = model.bytes();
    Session session = session_of(Model::parse(as_bytes(bytes)));
    const std::string said = outcome(session, indices);
    CHECK(outcome(session, std::vector<int64_t>(indices.size(), 1)) == "ok");
    return said;
  };
  const OnnxModel gather = onnx("Gather", 2, {"x", "i"});
  CHECK(run(gather, {2, -3}) == "ok");
  CHECK(run(gather, {0, 3}) == "invalid_argument: n (Gather): index 3, axis 0 of the input has 3");
  CHECK(run(gather, {INT64_MIN, 0}) ==
        "invalid_argument: n (Gather): index -9223372036854775808, axis 0 of the input has 3");
  CHECK(run(onnx("GatherND", 1, {"x", "i"}), {-4})
            .starts_with("invalid_argument: n (GatherNd): index -4"));
  CHECK(run(onnx("Expand", 2, {"x", "i"}), {3, -2}).starts_with("malformed: n: "));
}

TEST_CASE("tflite: indices that a run brings") {
  using namespace tflite;
  TestModel m;
  m.add_input({"i", TensorType::int32, {2}});
  m.add({"x", TensorType::float32, {3, 2}, bytes_of<float>({1, 2, 3, 4, 5, 6})});
  m.add_output({"y"});
  m.ops.push_back({BuiltinOperator::GATHER, {1, 0}, {2}});
  const std::vector<uint8_t> bytes = m.bytes();
  Session session = session_of(Model::parse(std::as_bytes(std::span(bytes))));
  CHECK(outcome<int32_t>(session, {0, 2}) == "ok");
  CHECK(outcome<int32_t>(session, {0, 3}) ==
        "invalid_argument: y (Gather): index 3, axis 0 of the input has 3");
  CHECK(outcome<int32_t>(session, {INT32_MIN, 0}) ==
        "invalid_argument: y (Gather): index -2147483648, axis 0 of the input has 3");
  CHECK(outcome<int32_t>(session, {1, 1}) == "ok");
}

TEST_CASE("ncnn: words that a run brings") {
  NcnnModel model;
  model.layer("Input words 0 1 words 0=2")
      .layer("Embed e 1 1 words out 0=2 1=3 2=0 3=6")
      .tagged({1, 2, 3, 4, 5, 6});
  const std::string param = model.param();
  Session session = session_of(Model::parse_ncnn(as_bytes(param), as_bytes(model.bin())));
  CHECK(outcome<int32_t>(session, {0, 2}) == "ok");
  CHECK(outcome<int32_t>(session, {0, 3}) ==
        "invalid_argument: e (Gather): index 3, axis 0 of the input has 3");
  CHECK(outcome<int32_t>(session, {1, 1}) == "ok");
}

TEST_CASE(".firn: indices that a run brings") {
  Graph graph;
  graph.inputs = {graph.add({"i", DType::i64, {2}, {}, {}})};
  const ValueId x =
      graph.add({"x", DType::f32, {3, 1}, {}, native_test::constant<float>({1, 2, 3})});
  graph.outputs = {graph.add({"y", DType::f32, {}, {}, {}})};
  graph.add({"node", Gather{0}, {x, graph.inputs[0]}, graph.outputs});
  const native_test::Bytes bytes = native_test::serialize(graph);
  Session session = session_of(Model::parse_firn(bytes));
  CHECK(outcome<int64_t>(session, {-3, 2}) == "ok");
  CHECK(outcome<int64_t>(session, {-4, 2}) ==
        "invalid_argument: node (Gather): index -4, axis 0 of the input has 3");
  CHECK(outcome<int64_t>(session, {0, 0}) == "ok");
}

}  // namespace firn
