// SPDX-License-Identifier: Apache-2.0
// The good models that the fuzzer starts from.
#ifndef FIRN_TEST_FUZZ_SEEDS_H_
#define FIRN_TEST_FUZZ_SEEDS_H_

#include <span>
#include <string>
#include <vector>

#include "firn/status.h"

namespace firn::fuzz {

struct Seeds {
  std::vector<std::string> onnx, tflite, ncnn, firn;  // files' bytes; of ncnn, both (ncnn_pair.h)
};

// Small ONNX models that hold nearly every operator that the importer knows.
std::vector<std::string> built_in_onnx();
// The same of TensorFlow Lite.
std::vector<std::string> built_in_tflite();

// The same for ncnn.
std::vector<std::string> built_in_ncnn();

// Those, the files at `paths`, and in .firn what each of them is as imported, optimised and, where
// it can be, quantized. malformed: a built-in one is not read; io_error: a path.
Result<Seeds> make_seeds(std::span<const std::string> paths);

}  // namespace firn::fuzz

#endif  // FIRN_TEST_FUZZ_SEEDS_H_
