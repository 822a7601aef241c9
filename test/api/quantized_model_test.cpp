// SPDX-License-Identifier: Apache-2.0
// Models that others quantized, as users meet them: they run as they are, are saved and loaded, and
// cannot be calibrated again.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>

#include "firn/quantize.h"
#include "test/api/network.h"
#include "test/runtime/qdq_model.h"

namespace firn::test {
namespace {

// Open batch; the second convolution stays float.
std::string mixed_model() {
  constexpr Scheme kScheme{0.05f, 117, kUint8};
  QdqModel model;
  model.input("image", {"n", 3, 8, 8});
  model.node("Conv", {model.pair("image", kScheme), model.weights("w", {8, 3, 3, 3})}, {"c"})
      .node("Relu", {"c"}, {"r"});
  model.node("Conv", {model.pair("r", kScheme), model.weights("v", {8, 8, 1, 1})}, {"d"})
      .initializer(onnx_floats("u", {4, 8, 1, 1}, model.floats(32)))
      .node("Conv", {"d", "u"}, {"y"})
      .output("y");
  return model.bytes();
}

std::vector<float> answer(Session& session, const std::vector<float>& data, const Shape& shape) {
  Outputs outputs;
  must(session.run({{"image", view(shape, data.data())}}, outputs));
  return copy(outputs["y"]);
}

TEST_CASE("a model quantized by others runs with its own scales, and keeps them when saved") {
  const std::string bytes = mixed_model();  // which the model goes on reading
  const Model model = must(Model::parse(as_bytes(bytes)));
  CHECK(model.info().layers_int8 == 2);
  CHECK(model.info().layers_float == 1);
  Session session = must(Session::create(model));
  CHECK(session.state() == State::frozen);
  CHECK(session.calibrate().code() == Code::failed_precondition);
  CHECK(session.freeze().status().code() == Code::failed_precondition);
  CHECK(session.thaw().code() == Code::failed_precondition);

  const Shape shape{1, 3, 8, 8};
  const std::vector<float> data = frame(1, shape);
  const std::vector<float> expected = answer(session, data, shape);
  const std::string path = "quantized_model_test.firn";
  must(session.save(path));
  const Model loaded = must(Model::load(path));
  std::remove(path.c_str());
  CHECK(loaded.info().layers_int8 == 2);
  Session again = must(Session::create(loaded));
  CHECK(answer(again, data, shape) == expected);

  // Another batch is planned anew, and folded alike.
  std::vector<float> both = data;
  both.insert(both.end(), data.begin(), data.end());
  const std::vector<float> twice = answer(session, both, {2, 3, 8, 8});
  CHECK(std::equal(expected.begin(), expected.end(), twice.begin()));
  CHECK(std::equal(expected.begin(), expected.end(),
                   twice.begin() + static_cast<std::ptrdiff_t>(expected.size())));
}

}  // namespace
}  // namespace firn::test
