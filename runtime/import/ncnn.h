// SPDX-License-Identifier: Apache-2.0
// Reads ncnn models, a .param and its .bin, into canonical graphs.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_H_
#define FIRN_RUNTIME_IMPORT_NCNN_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graph.h"

namespace firn {

// Whether the bytes are a .param, text or binary.
bool looks_like_ncnn(std::span<const std::byte> bytes);

struct NcnnSource {
  std::span<const std::byte> param;
  std::shared_ptr<const void> param_owner{};        // keeps it alive, where that is needed
  std::optional<std::span<const std::byte>> bin{};  // none: the weights are made up
  std::shared_ptr<const void> bin_owner{};          // keeps the .bin alive, where there is one
  // For inputs whose layer states no shape: c,h,w or what they have. Those left out have three
  // open dimensions.
  std::vector<std::pair<std::string, Shape>> input_shapes{};
};

// The graph, shapes not inferred yet. Its inputs and outputs are ncnn's blobs, without a batch,
// outermost dimension first: c,h,w.
Result<Graph> read_ncnn(const NcnnSource& source);

// The layer types that read_ncnn() translates, sorted.
std::vector<std::string> ncnn_layers();

}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_H_
