// SPDX-License-Identifier: Apache-2.0
// Every model of the folder of real ones loads and runs, whatever its format.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "test/api/network.h"

namespace firn::test {

TEST_CASE("every real model loads and runs") {
  const std::filesystem::path folder = std::filesystem::path(FIRN_SHARED) / "models";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("skipped: no models in " << folder.string());
    return;
  }
  int models = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".onnx" && extension != ".tflite" && extension != ".param") continue;
    ++models;
    CAPTURE(entry.path().string());
    const Model model = must(Model::load(entry.path().string()));
    Session session = must(Session::create(model));
    std::vector<std::vector<std::byte>> memory;
    std::vector<NamedTensor> inputs;
    for (const TensorInfo& input : session.inputs()) {
      Tensor tensor{input.type, input.shape, nullptr};
      memory.emplace_back(tensor.bytes(), std::byte{1});
      tensor.data = memory.back().data();
      inputs.push_back({input.name, tensor});
    }
    Outputs outputs;
    must(session.run(inputs, outputs));
    CHECK(outputs.all().size() == model.outputs().size());
    for (const NamedTensor& output : outputs.all()) {
      CHECK(output.tensor.data != nullptr);
      if (output.tensor.type != DType::f32) continue;
      for (const float y : copy(output.tensor)) REQUIRE(std::isfinite(y));
    }
  }
  CHECK(models > 0);
}

}  // namespace firn::test
