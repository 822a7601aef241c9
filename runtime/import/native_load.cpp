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
  const ReadGraph read = [file, folder = folder_of(path)] {
    return read_native(file.bytes, file.owner, folder);
  };
  Result<Model> model = make_model("firn", read, file);
  if (!model.ok()) return Status(model.status().code(), path + ": " + model.status().message());
  return model;
}

Result<Model> Model::parse_firn(std::span<const std::byte> bytes) {
  return make_model("firn", [bytes] { return read_native(bytes, nullptr); });
}

}  // namespace firn
