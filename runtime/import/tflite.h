// SPDX-License-Identifier: Apache-2.0
// Reads TensorFlow Lite models.
#ifndef FIRN_RUNTIME_IMPORT_TFLITE_H_
#define FIRN_RUNTIME_IMPORT_TFLITE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "firn/status.h"
#include "runtime/graph.h"

namespace firn {

// By the file identifier alone.
bool looks_like_tflite(std::span<const std::byte> bytes);

// The model's main graph in canonical operators; constants may view `bytes`, which `owner` keeps
// alive. Quantized tensors stay quantized: uint8 ones are int8 inside, shifted exactly, and uint8
// at inputs and outputs. malformed: what the FlatBuffers verifier finds, or a tensor or operator
// that does not make sense. unsupported names operator and node.
Result<Graph> read_tflite(std::span<const std::byte> bytes,
                          const std::shared_ptr<const void>& owner);

// The operators that are read, sorted.
std::vector<std::string> tflite_operators();

}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_TFLITE_H_
