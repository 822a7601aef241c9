// SPDX-License-Identifier: Apache-2.0
// What a freeze tells of each int8 activation: its range beside the values that were seen.
#ifndef FIRN_QUANT_TENSOR_REPORT_H_
#define FIRN_QUANT_TENSOR_REPORT_H_

#include <map>
#include <string>
#include <vector>

#include "firn/quantize.h"
#include "firn/tensor.h"
#include "quant/histogram.h"
#include "quant/quantize_graph.h"
#include "quant/session_calibration.h"

namespace firn {

// Bins of a report: enough for a drawing, little enough for a page of a hundred.
inline constexpr int kReportBins = 64;

// `histogram` is null, or has no frames, where the range came from a table.
TensorReport tensor_report(const std::string& name, const Quant& quant, Method method,
                           const Histogram* histogram);

// Of every tensor. `scaled` has those that are not what was observed. `methods` picked the ranges,
// by tensor.
std::vector<TensorReport> tensor_reports(const std::vector<QuantizedTensor>& tensors,
                                         const CalibrationData& data,
                                         const std::map<std::string, Histogram>& scaled,
                                         const std::map<std::string, Method>& methods);

// The share of the histogram's values in [lo, hi), the values of a bin taken as evenly spread.
double share_between(const Histogram& histogram, double lo, double hi);

}  // namespace firn

#endif  // FIRN_QUANT_TENSOR_REPORT_H_
