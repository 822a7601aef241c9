// SPDX-License-Identifier: Apache-2.0
// Reads ONNX models into canonical graphs.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_H_
#define FIRN_RUNTIME_IMPORT_ONNX_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/graph.h"

namespace firn {

// Whether the bytes look like a serialized ONNX ModelProto.
bool looks_like_onnx(std::span<const std::byte> bytes);

// The graph, shapes not inferred yet, open input dimensions -1. Constants view `bytes` where their
// alignment allows; `owner` keeps those alive. External data is in `files`.
Result<Graph> read_onnx(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner,
                        DataFiles& files);

// The operators that read_onnx() translates, sorted.
std::vector<std::string> onnx_operators();

}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_ONNX_H_
