// SPDX-License-Identifier: Apache-2.0
// The page of firn report: one self-contained HTML file.
#ifndef FIRN_EXAMPLES_FIRN_REPORT_PAGE_H_
#define FIRN_EXAMPLES_FIRN_REPORT_PAGE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comparison.h"
#include "firn/model.h"
#include "firn/quantize.h"
#include "profile.h"

namespace firn::tool {

// What the page tells of.
struct ReportData {
  std::string model, frozen;  // how the page calls them
  ModelInfo info_before, info_after;
  std::optional<FreezeReport> freeze;  // none: the frozen model was made elsewhere
  CalibrationStatus calibration;       // of the freeze
  Comparison comparison;               // of the model with the frozen one
  Profile before, after;
};

// One row of the page: a step of the frozen model, or a layer that has none of its own.
struct ReportLayer {
  std::string name, op, shape, kernel;
  Precision precision = Precision::f32;
  std::string why;                // of a float layer
  std::optional<double> sqnr_db;  // of layers that were verified
  std::optional<double> ms_before, ms_after;
  size_t bytes_before = 0, bytes_after = 0;
};

// The steps of the frozen model in order, with what the freeze tells of them; its layers that take
// no step of their own stand where they belong.
std::vector<ReportLayer> report_layers(const ReportData& data);

// The classes with the answers that differ most first: least agreement, then most right answers
// lost, then most samples.
std::vector<std::pair<int64_t, ClassCount>> worst_classes(const TopOne& top);

std::string report_page(const ReportData& data);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_REPORT_PAGE_H_
