// SPDX-License-Identifier: Apache-2.0
// Saves models and what sessions run as .firn files.
#include "firn/model.h"
#include "firn/session.h"
#include "runtime/file.h"
#include "runtime/import/native.h"
#include "runtime/model_impl.h"
#include "runtime/session_impl.h"

namespace firn {
namespace {

Status save_graph(const Graph& graph, const std::string& path) {
  FIRN_ASSIGN(const std::vector<std::byte> bytes, serialize_native(graph));
  return write_file(path, bytes);
}

}  // namespace

Status Model::save(const std::string& path) const {
  return save_graph(join_tail(impl_->graph, *impl_->cut), path);
}

Status Session::save(const std::string& path) const {
  return save_graph(impl_->current_graph(), path);
}

}  // namespace firn
