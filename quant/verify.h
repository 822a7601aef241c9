// SPDX-License-Identifier: Apache-2.0
// Comparing a quantized graph with its float original on held-back frames, layer by layer.
#ifndef FIRN_QUANT_VERIFY_H_
#define FIRN_QUANT_VERIFY_H_

#include <memory>

#include "quant/refine.h"

namespace firn {

// Fills in the SQNR of each layer and output of the report, and the frames it was measured on:
// those whose shapes the graphs are for. Layers are compared with those of `reference`, outputs
// with `answers`, those of the graph that it was made of, or with its own where there are none.
// Runs beside the session, with as many threads. Where nobody else has the reference, its weights
// go as they are packed.
Status verify(const SessionImpl& impl, std::shared_ptr<const Graph> reference,
              const Answers& answers, const std::shared_ptr<const Graph>& quantized, Frames frames,
              FreezeReport& report);

}  // namespace firn

#endif  // FIRN_QUANT_VERIFY_H_
