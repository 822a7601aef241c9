// SPDX-License-Identifier: Apache-2.0
// Custom operators: those that come with TensorFlow Lite. Their options are FlexBuffers.
#include <algorithm>

#include "flatbuffers/flexbuffers.h"
#include "runtime/import/tflite_ops.h"

namespace firn::tflite {
namespace {

Status detection_post_process(Context& c) {
  const std::span<const uint8_t> bytes = c.custom_options();
  if (bytes.empty()) return c.malformed("it has no options");
  std::vector<uint8_t> seen;
  if (!flexbuffers::VerifyBuffer(bytes.data(), bytes.size(), &seen)) {
    return c.malformed("its options are no FlexBuffer");
  }
  const flexbuffers::Reference root = flexbuffers::GetRoot(bytes.data(), bytes.size());
  if (!root.IsMap()) return c.malformed("its options are no map");
  const flexbuffers::Map options = root.AsMap();
  const auto integer = [&](const char* name, int32_t missing) {
    const flexbuffers::Reference value = options[name];
    if (value.IsNull()) return missing;
    return static_cast<int32_t>(std::clamp<int64_t>(value.AsInt64(), -1, INT32_MAX));
  };
  DetectionPostProcess op;
  op.classes = integer("num_classes", 0);
  op.detections = integer("max_detections", 0);
  op.classes_per_detection = integer("max_classes_per_detection", 1);
  op.per_class = integer("detections_per_class", 100);
  op.regular = !options["use_regular_nms"].IsNull() && options["use_regular_nms"].AsBool();
  op.score_threshold = options["nms_score_threshold"].AsFloat();
  op.iou_threshold = options["nms_iou_threshold"].AsFloat();
  op.scale = {options["y_scale"].AsFloat(), options["x_scale"].AsFloat(),
              options["h_scale"].AsFloat(), options["w_scale"].AsFloat()};
  std::vector<ValueId> in;
  for (size_t i = 0; i < 3; ++i) {
    FIRN_ASSIGN(const ValueId id, c.real_input(i));
    in.push_back(id);
  }
  constexpr size_t kOutputs = 4;
  FIRN_ASSIGN(const std::vector<ValueId> out, c.emit_all("", op, std::move(in), kOutputs));
  for (size_t i = 0; i < kOutputs; ++i) FIRN_TRY(c.bind(out[i], i));
  return {};
}

constexpr CustomOperator kOperators[] = {
    {"TFLite_Detection_PostProcess", detection_post_process},
};

}  // namespace

std::span<const CustomOperator> custom_operators() {
  return kOperators;
}

const CustomOperator* find_custom_operator(std::string_view name) {
  const auto* const found = std::ranges::find(kOperators, name, &CustomOperator::name);
  return found == std::end(kOperators) ? nullptr : found;
}

}  // namespace firn::tflite
