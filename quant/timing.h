// SPDX-License-Identifier: Apache-2.0
// Timing the int8 graph against its float original on this device, and leaving in float what is
// faster so.
#ifndef FIRN_QUANT_TIMING_H_
#define FIRN_QUANT_TIMING_H_

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "quant/back_off.h"
#include "quant/faster.h"
#include "quant/quantize_graph.h"
#include "quant/session_calibration.h"

namespace firn {

// The int8 graph of the same float one again, with these layers in other precisions, and why.
using Requantize = std::function<Result<QuantizedGraph>(const BackedOff& layers)>;

// Replaces `quantized` where another choice of layers turns out faster, and fills in the times of
// its layers and of the report. refused, with the numbers, where fp32 is clearly faster than all of
// them. Where a run takes long, or zeros make no sense to the graph and no frame was held back,
// nothing is timed and the report warns of it. On threads of its own, beside the session.
Status keep_faster(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                   std::span<const std::shared_ptr<const HeldFrame>> frames,
                   const Requantize& requantize, QuantizedGraph& quantized, FreezeReport& report);

}  // namespace firn

#endif  // FIRN_QUANT_TIMING_H_
