// SPDX-License-Identifier: Apache-2.0
// Model::load_firn and parse_firn: frozen models, without the parsers of other formats.
#include <utility>

#include "firn/model.h"
#include "runtime/file.h"
#include "runtime/import/native.h"
#include "runtime/model_impl.h"

namespace firn {

Result<Model> Model::load_firn(const std::string& path) {
  FIRN_ASSIGN(const MappedFile file, map_file(path));
  Result<Graph> graph = read_native(file.bytes, file.owner, folder_of(path));
  if (!graph.ok()) return Status(graph.status().code(), path + ": " + graph.status().message());
  return make_model("firn", *std::move(graph), file);
}

Result<Model> Model::parse_firn(std::span<const std::byte> bytes) {
  FIRN_ASSIGN(Graph graph, read_native(bytes, nullptr));
  return make_model("firn", std::move(graph));
}

}  // namespace firn
