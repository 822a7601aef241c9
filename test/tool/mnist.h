// SPDX-License-Identifier: Apache-2.0
// The digits of ../shared and the network that reads them, for tests of whole commands.
#ifndef FIRN_TEST_TOOL_MNIST_H_
#define FIRN_TEST_TOOL_MNIST_H_

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

namespace firn::tool {

inline const std::string kModel = FIRN_SHARED "/models/onnx/mnist.onnx";
inline const std::string kImages = FIRN_SHARED "/data/mnist/mnist_test_images.npy";
inline const std::string kLabels = FIRN_SHARED "/data/mnist/mnist_test_labels.npy";

// Says so where they are missing.
inline bool have_data() {
  const bool there = std::filesystem::exists(kModel) && std::filesystem::exists(kImages);
  if (!there) MESSAGE("skipped: no " FIRN_SHARED);
  return there;
}

}  // namespace firn::tool

#endif  // FIRN_TEST_TOOL_MNIST_H_
