// SPDX-License-Identifier: Apache-2.0
// What a freeze tells of each int8 activation: its range beside the values that were seen.
#ifndef FIRN_QUANT_TENSOR_REPORT_H_
#define FIRN_QUANT_TENSOR_REPORT_H_

#include <map>
#include <memory>
#include <set>
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

// Of every tensor. `scaled` names those that are not in `graph`, the float one behind the int8
// graph, what was observed: their values are those of the calibration's kept frames. `methods`
// picked the ranges, by tensor.
Result<std::vector<TensorReport>> tensor_reports(const SessionImpl& impl,
                                                 const std::shared_ptr<const Graph>& graph,
                                                 const std::vector<QuantizedTensor>& tensors,
                                                 const CalibrationData& data,
                                                 const std::set<std::string>& scaled,
                                                 const std::map<std::string, Method>& methods);

// The share of the histogram's values in [lo, hi), the values of a bin taken as evenly spread.
double share_between(const Histogram& histogram, double lo, double hi);

}  // namespace firn

#endif  // FIRN_QUANT_TENSOR_REPORT_H_
