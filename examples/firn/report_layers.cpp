// SPDX-License-Identifier: Apache-2.0
// The rows of the page: steps joined with layers, classes in order.
#include <algorithm>
#include <cstdint>
#include <map>
#include <set>

#include "report_page.h"

namespace firn::tool {

std::vector<ReportLayer> report_layers(const ReportData& data) {
  std::map<std::string, double> ms_before;
  for (const StepProfile& step : data.before.steps) ms_before[step.name] += step.ms;
  const auto before = [&](const std::string& name) -> std::optional<double> {
    const auto found = ms_before.find(name);
    if (found == ms_before.end()) return std::nullopt;
    return found->second;
  };
  const std::vector<LayerReport> none;
  const std::vector<LayerReport>& layers = data.freeze ? data.freeze->layers : none;
  std::map<std::string, size_t> index_of;
  for (size_t i = 0; i < layers.size(); ++i) index_of[layers[i].name] = i;
  const bool verified = data.freeze && data.freeze->verified_frames > 0;

  std::vector<ReportLayer> rows;
  const auto describe = [&](const LayerReport& layer, ReportLayer& row) {
    row.op = layer.op;
    row.precision = layer.precision;
    row.why = layer.why;
    if (verified) row.sqnr_db = layer.sqnr_db;
    row.bytes_before = layer.bytes_before;
    row.bytes_after = layer.bytes_after;
  };
  std::set<std::string> with_step;
  for (const StepProfile& step : data.after.steps) with_step.insert(step.name);
  size_t next = 0;
  const auto stepless_until = [&](size_t end) {
    for (; next < end; ++next) {
      if (with_step.contains(layers[next].name)) continue;
      ReportLayer row;
      row.name = layers[next].name;
      describe(layers[next], row);
      row.ms_before = before(row.name);
      rows.push_back(std::move(row));
    }
  };
  for (const StepProfile& step : data.after.steps) {
    ReportLayer row;
    row.name = step.name;
    row.op = step.op;
    row.shape = step.shape;
    row.kernel = step.kernel;
    row.precision = step.precision;
    row.ms_before = before(step.name);
    row.ms_after = step.ms;
    if (const auto found = index_of.find(step.name); found != index_of.end()) {
      stepless_until(std::max(next, found->second));
      describe(layers[found->second], row);
      next = std::max(next, found->second + 1);
    }
    rows.push_back(std::move(row));
  }
  stepless_until(layers.size());
  return rows;
}

std::vector<std::pair<int64_t, ClassCount>> worst_classes(const TopOne& top) {
  std::vector<std::pair<int64_t, ClassCount>> classes(top.classes().begin(), top.classes().end());
  const auto agreement = [](const ClassCount& count) {
    return static_cast<double>(count.same) / static_cast<double>(count.samples);
  };
  const auto lost = [](const ClassCount& count) {
    return static_cast<double>(count.right_a) - static_cast<double>(count.right_b);
  };
  std::ranges::stable_sort(classes, [&](const auto& x, const auto& y) {
    const ClassCount &a = x.second, &b = y.second;
    if (agreement(a) != agreement(b)) return agreement(a) < agreement(b);
    if (lost(a) != lost(b)) return lost(a) > lost(b);
    return a.samples > b.samples;
  });
  return classes;
}

}  // namespace firn::tool
