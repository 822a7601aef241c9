// SPDX-License-Identifier: Apache-2.0
// Loads and runs small TensorFlow Lite models, for tests.
#ifndef FIRN_TEST_RUNTIME_TFLITE_RUN_H_
#define FIRN_TEST_RUNTIME_TFLITE_RUN_H_

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "firn/session.h"
#include "test/runtime/tflite_builder.h"

namespace firn::tflite {

// "malformed: tflite: ...", or "ok".
inline std::string refusal(const std::vector<uint8_t>& file) {
  const Result<Model> model = Model::parse(std::as_bytes(std::span(file)));
  if (model.ok()) return "ok";
  return std::string(code_name(model.status().code())) + ": " + model.status().message();
}
inline std::string refusal(const TestModel& model) {
  return refusal(model.bytes());
}

// A model and a session of it, which keeps no bytes of others.
class Runner {
 public:
  explicit Runner(const TestModel& model, const SessionOptions& options = {})
      : bytes_(model.bytes()), session_(make(bytes_, options)) {}

  // The one output for one input.
  template <typename Out, typename In>
  std::vector<Out> run(const std::vector<In>& input) {
    const TensorInfo info = session_.inputs()[0];
    REQUIRE(info.shape.elements() == input.size());
    Outputs outputs;
    const Status status = session_.run({{info.name, view(info.shape, input.data())}}, outputs);
    REQUIRE_MESSAGE(status.ok(), status.message());
    const Tensor& out = outputs.all()[0].tensor;
    REQUIRE(out.type == DTypeOf<Out>::value);
    return {out.as<Out>().begin(), out.as<Out>().end()};
  }
  Session& session() { return session_; }

 private:
  static Session make(const std::vector<uint8_t>& bytes, const SessionOptions& options) {
    const Result<Model> model = Model::parse(std::as_bytes(std::span(bytes)));
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    Result<Session> session = Session::create(*model, options);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    return *std::move(session);
  }

  std::vector<uint8_t> bytes_;
  Session session_;
};

}  // namespace firn::tflite

#endif  // FIRN_TEST_RUNTIME_TFLITE_RUN_H_
