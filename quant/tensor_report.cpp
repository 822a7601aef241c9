// SPDX-License-Identifier: Apache-2.0
// A histogram's thousands of bins as the few of a report, and what of it a range leaves out.
#include "quant/tensor_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "quant/range.h"

namespace firn {
namespace {

// Adds to[k] += the bin's count for every report bin, by the part of the bin that lies in it.
void spread(double from, double to, double count, double lo, double width,
            std::vector<double>& bins) {
  const auto last = static_cast<double>(bins.size()) - 1;
  const auto place = [&](double x) { return std::clamp(std::floor((x - lo) / width), 0.0, last); };
  const double first = place(from), end = place(to);
  for (double k = first; k <= end; ++k) {
    const double left = k == first ? from : lo + k * width;
    const double right = k == end ? to : lo + (k + 1) * width;
    bins[static_cast<size_t>(k)] += count * std::max(right - left, 0.0) / (to - from);
  }
}

}  // namespace

std::vector<TensorReport> tensor_reports(const std::vector<QuantizedTensor>& tensors,
                                         const CalibrationData& data,
                                         const std::map<std::string, Histogram>& scaled,
                                         const std::map<std::string, Method>& methods) {
  std::map<std::string, const Histogram*> seen;
  if (data.observer != nullptr)
    for (size_t i = 0; i < data.observer->tensors().size(); ++i)
      seen[data.observer->tensors()[i].name] = &data.observer->histogram(i);
  for (const auto& [name, histogram] : scaled) seen[name] = &histogram;
  std::vector<TensorReport> reports;
  for (const QuantizedTensor& tensor : tensors) {
    const auto found = seen.find(tensor.name);
    const auto method = methods.find(tensor.name);
    reports.push_back(tensor_report(tensor.name, tensor.quant,
                                    method == methods.end() ? Method::minmax : method->second,
                                    found == seen.end() ? nullptr : found->second));
  }
  return reports;
}

double share_between(const Histogram& histogram, double lo, double hi) {
  if (histogram.samples() == 0) return 0;
  const double width = histogram.width();
  double inside = lo <= 0 && 0 < hi ? static_cast<double>(histogram.zeros()) : 0;
  for (int i = histogram.first(); i < histogram.last(); ++i) {
    const double from = std::max(i * width, lo), to = std::min((i + 1) * width, hi);
    if (to > from) inside += static_cast<double>(histogram[i]) * ((to - from) / width);
  }
  return inside / static_cast<double>(histogram.samples());
}

TensorReport tensor_report(const std::string& name, const Quant& quant, Method method,
                           const Histogram* histogram) {
  TensorReport report;
  const Interval range = to_interval(quant);
  report.name = name;
  report.method = method;
  report.lo = range.lo;
  report.hi = range.hi;
  report.scale = quant.scale[0];
  report.zero = quant.zero[0];
  if (histogram == nullptr || histogram->samples() == 0) return report;

  report.frames = histogram->frames();
  report.min = histogram->min();
  report.max = histogram->max();
  const double half = 0.5 * static_cast<double>(report.scale);
  const double inside = share_between(*histogram, report.lo - half, report.hi + half);
  report.clipped = std::clamp(1 - inside, 0.0, 1.0);
  // The outermost values lie in bins that reach a little further than they do.
  if (report.min >= report.lo - half && report.max <= report.hi + half) report.clipped = 0;
  const auto samples = static_cast<double>(histogram->samples());
  report.zeros = static_cast<double>(histogram->zeros()) / samples;
  report.bins_lo = std::min(report.min, report.lo);
  report.bins_hi = std::max(report.max, report.hi);
  std::vector<double> bins(kReportBins);
  const double width = (static_cast<double>(report.bins_hi) - report.bins_lo) / kReportBins;
  for (int i = histogram->first(); i < histogram->last(); ++i)
    if ((*histogram)[i] > 0)
      spread(i * histogram->width(), (i + 1) * histogram->width(),
             static_cast<double>((*histogram)[i]) / samples, report.bins_lo, width, bins);
  report.bins.assign(bins.begin(), bins.end());
  return report;
}

}  // namespace firn
