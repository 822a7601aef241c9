// SPDX-License-Identifier: Apache-2.0
// Operators of TensorFlow Lite that keep a state, or that come as custom ones.
#include <doctest/doctest.h>

#include "flatbuffers/flexbuffers.h"
#include "test/runtime/tflite_run.h"

namespace firn::tflite {
namespace {

// h = relu(x + h / 2 + 1) over three steps.
TestModel counter() {
  TestModel m;
  m.add_input({"x", TensorType::float32, {1, 3, 1}});
  m.add({"w", TensorType::float32, {1, 1}, bytes_of<float>({1})});
  m.add({"r", TensorType::float32, {1, 1}, bytes_of<float>({0.5f})});
  m.add({"b", TensorType::float32, {1}, bytes_of<float>({1})});
  TestTensor state{"state", TensorType::float32, {1, 1}};
  state.variable = true;
  m.add(state);
  m.add_output({"y"});
  m.ops = {{BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_RNN,
            {0, 1, 2, 3, 4},
            {5},
            BuiltinOptions::SequenceRNN,
            options([](auto& b) {
              return wire::CreateSequenceRNNOptions(b, false, wire::Activation::relu);
            })}};
  return m;
}

// Two boxes that nearly are one, and a third; two classes behind a background.
TestModel detector(bool regular) {
  TestModel m;
  m.add_input({"boxes", TensorType::float32, {1, 3, 4}});
  m.add({"scores",
         TensorType::float32,
         {1, 3, 3},
         bytes_of<float>({0.9f, 0.5f, 0.1f, 0.9f, 0.6f, 0.2f, 0.9f, 0.0f, 0.7f})});
  m.add({"anchors",
         TensorType::float32,
         {3, 4},
         bytes_of<float>({0.5f, 0.5f, 1, 1, 0.5f, 0.5f, 1, 1, 4, 4, 2, 2})});
  m.add_output({"found"});
  m.add({"classes"});
  m.add({"best"});
  m.add({"count"});
  flexbuffers::Builder options;
  options.Map([&] {
    options.Int("num_classes", 2);
    options.Int("max_detections", 3);
    options.Int("max_classes_per_detection", 1);
    options.Int("detections_per_class", 2);
    options.Bool("use_regular_nms", regular);
    options.Float("nms_score_threshold", 0.15f);
    options.Float("nms_iou_threshold", 0.5f);
    for (const char* scale : {"y_scale", "x_scale", "h_scale", "w_scale"}) options.Float(scale, 1);
  });
  options.Finish();
  m.ops = {{BuiltinOperator::CUSTOM, {0, 1, 2}, {3, 4, 5, 6}}};
  m.ops[0].custom_code = "TFLite_Detection_PostProcess";
  m.ops[0].custom_options = options.GetBuffer();
  return m;
}

}  // namespace

TEST_CASE("tflite: variables start from zero, and go on where the session keeps them") {
  const std::vector<float> x{0, 2, -9};
  Runner fresh(counter());
  CHECK(fresh.session().inputs().size() == 1);
  CHECK(fresh.session().outputs().size() == 1);
  for (int run = 0; run < 2; ++run) {
    CHECK(fresh.run<float>(x) == std::vector<float>{1, 3.5f, 0});
  }
  SessionOptions keeping;
  keeping.keep_state = true;
  Runner kept(counter(), keeping);
  CHECK(kept.run<float>(std::vector<float>{0, 2, 1}) == std::vector<float>{1, 3.5f, 3.75f});
  CHECK(kept.run<float>(std::vector<float>(3)) == std::vector<float>{2.875f, 2.4375f, 2.21875f});
}

TEST_CASE("tflite: a state that is no variable is refused") {
  TestModel m = counter();
  m.tensors[4].variable = false;
  m.tensors[4].data = bytes_of<float>({0});
  CHECK(refusal(m) ==
        "malformed: tflite: node 0 (UNIDIRECTIONAL_SEQUENCE_RNN): its state, input "
        "4, is no variable");
}

TEST_CASE("tflite: TFLite_Detection_PostProcess, fast and class by class") {
  const std::vector<float> plain(12, 0.0f);
  // The second box hides the first; each keeps its best class.
  CHECK(Runner(detector(false)).run<float>(plain) ==
        std::vector<float>{3, 3, 5, 5, 0, 0, 1, 1, 0, 0, 0, 0});
  // The second box is found once more, as of the other class.
  CHECK(Runner(detector(true)).run<float>(plain) ==
        std::vector<float>{3, 3, 5, 5, 0, 0, 1, 1, 0, 0, 1, 1});
}

TEST_CASE("tflite: options of custom operators are checked") {
  TestModel m = detector(false);
  m.ops[0].custom_options.clear();
  const std::string node = "tflite: node 0 (custom operator 'TFLite_Detection_PostProcess'): ";
  CHECK(refusal(m) == "malformed: " + node + "it has no options");
  m.ops[0].custom_options = {1, 2, 3, 4, 5};
  CHECK(refusal(m).starts_with("malformed: " + node + "its options are no "));
}

}  // namespace firn::tflite
