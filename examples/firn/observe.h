// SPDX-License-Identifier: Apache-2.0
// Feeds samples to a session that calibrates.
#ifndef FIRN_EXAMPLES_FIRN_OBSERVE_H_
#define FIRN_EXAMPLES_FIRN_OBSERVE_H_

#include <string>

#include "feed.h"
#include "firn/quantize.h"
#include "firn/session.h"
#include "firn/status.h"

namespace firn::tool {

// Runs every sample, with a progress bar. failed_precondition where none was good.
Status observe(Session& session, Feed& feed);

// "100 frames, 12 held back, 0 rejected; ranges move by 0.8 % (most: conv_3)".
std::string calibration_text(const CalibrationStatus& status);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_OBSERVE_H_
