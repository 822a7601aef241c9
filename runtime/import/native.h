// SPDX-License-Identifier: Apache-2.0
// Reads and writes firn's own format: a graph of canonical operators in a FlatBuffer, fp32 or int8,
// its constants aligned for mapping.
#ifndef FIRN_RUNTIME_IMPORT_NATIVE_H_
#define FIRN_RUNTIME_IMPORT_NATIVE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/graph.h"

namespace firn {

bool looks_like_native(std::span<const std::byte> bytes);

// The graph; constants view `bytes`, which `owner` keeps alive, or a file inside `folder` that the
// graph names. malformed: magic, version, checksum, a name that leaves the folder, or what the
// FlatBuffers verifier or the graph's own check finds. not_found: the other file. unsupported:
// there is another file, and no folder.
Result<Graph> read_native(std::span<const std::byte> bytes,
                          const std::shared_ptr<const void>& owner, const std::string& folder = "");

// The file's bytes.
Result<std::vector<std::byte>> serialize_native(const Graph& graph);
// The same in two files, of which the first names the second, with the constants, `data_file`.
struct NativeFiles {
  std::vector<std::byte> model, data;
};
Result<NativeFiles> serialize_native_split(const Graph& graph, const std::string& data_file);

}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_NATIVE_H_
