// SPDX-License-Identifier: Apache-2.0
// Which range each tensor gets at a freeze: picked by a method from what was observed, or, for
// Method::automatic, measured on frames.
#ifndef FIRN_QUANT_CHOOSE_RANGES_H_
#define FIRN_QUANT_CHOOSE_RANGES_H_

#include <map>
#include <memory>
#include <string>

#include "quant/session_calibration.h"

namespace firn {

// By tensor.
struct ChosenRanges {
  std::map<std::string, Interval> ranges;
  std::map<std::string, Method> methods;  // that picked them
  void set(const std::string& name, const Candidate& picked) {
    ranges[name] = picked.range;
    methods[name] = picked.method;
  }
};

// The range of each tensor that was observed. Automatic, with frames for the graph's
// shapes: of candidate_ranges() the one with which the layers with weights that read the tensor err
// least. Each such layer runs alone, in float, on what it reads in the frame, as it is and rounded
// to the candidate's grid: how much of the rounding error comes out, relative to the output, summed
// over layers, is what the candidate's own error is multiplied with: that of all values in these
// frames, and of samples, by expected_error(), in the others that were observed. Of few frames the
// samples miss what is rare and large. A tensor that no such layer reads counts itself. Frames
// beyond a limit of multiplications are not looked at. Runs beside the session, with as many
// threads.
Result<ChosenRanges> choose_ranges(const SessionImpl& impl,
                                   const std::shared_ptr<const Graph>& graph,
                                   const Observer& observer,
                                   std::span<const std::shared_ptr<const HeldFrame>> frames,
                                   Method method, bool symmetric);

}  // namespace firn

#endif  // FIRN_QUANT_CHOOSE_RANGES_H_
