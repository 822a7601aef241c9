// SPDX-License-Identifier: Apache-2.0
// Joins the layer groups into the one table that the importer looks in.
#include "runtime/import/ncnn_ops.h"

#include <algorithm>
#include <array>

#include "runtime/import/ncnn.h"

namespace firn {
namespace ncnn {
namespace {

std::array<std::span<const Operator>, 16> groups() {
  return {
      activation_operators(), arithmetic_operators(), attention_operators(), conv_operators(),
      detect_operators(),     layout_operators(),     matrix_operators(),    norm_operators(),
      patch_operators(),      pool_operators(),       prior_operators(),     recurrent_operators(),
      reduce_operators(),     region_operators(),     resize_operators(),    select_operators()};
}

}  // namespace

const Operator* find_operator(std::string_view type) {
  for (const std::span<const Operator> group : groups()) {
    for (const Operator& op : group) {
      if (op.type == type) return &op;
    }
  }
  return nullptr;
}

}  // namespace ncnn

std::vector<std::string> ncnn_layers() {
  std::vector<std::string> names{"Input"};
  for (const std::span<const ncnn::Operator> group : ncnn::groups()) {
    for (const ncnn::Operator& op : group) names.emplace_back(op.type);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace firn
