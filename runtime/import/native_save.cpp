// SPDX-License-Identifier: Apache-2.0
// Saves models and what sessions run as .firn files.
#include <filesystem>

#include "firn/model.h"
#include "firn/session.h"
#include "runtime/file.h"
#include "runtime/import/native.h"
#include "runtime/model_impl.h"
#include "runtime/session_impl.h"
#include "runtime/utf8.h"

namespace firn {
namespace {

Status save_graph(const Graph& graph, const std::string& path, const std::string& weights_file) {
  if (weights_file.empty()) {
    FIRN_ASSIGN(const std::vector<std::byte> bytes, serialize_native(graph));
    return write_file(path, bytes);
  }
  const std::filesystem::path model(path), name(weights_file);
  if (name.has_parent_path() || name == "." || name == ".." || !is_utf8(weights_file) ||
      weights_file.find('\\') != std::string::npos)
    return {Code::invalid_argument, "weights file " + weights_file + ": expected a name alone"};
  if (name == model.filename())
    return {Code::invalid_argument, "weights file " + weights_file + ": is the model's own name"};
  FIRN_ASSIGN(const NativeFiles files, serialize_native_split(graph, weights_file));
  // The weights first: an old model that meets new ones says so by their checksum.
  FIRN_TRY(write_file((model.parent_path() / name).string(), files.data));
  return write_file(path, files.model);
}

}  // namespace

Status Model::save(const std::string& path, const std::string& weights_file) const {
  FIRN_ASSIGN(const Graph graph, impl_->imported());
  return save_graph(join_tail(graph, *impl_->cut), path, weights_file);
}

Status Session::save(const std::string& path, const std::string& weights_file) const {
  FIRN_ASSIGN(const Graph graph, impl_->current_graph());
  return save_graph(graph, path, weights_file);
}

}  // namespace firn
