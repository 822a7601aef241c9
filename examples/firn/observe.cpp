// SPDX-License-Identifier: Apache-2.0
// Feeds samples to a session that calibrates.
#include "observe.h"

#include <vector>

#include "progress.h"
#include "text.h"

namespace firn::tool {

Status observe(Session& session, Feed& feed) {
  Progress progress("calibrating", feed.size());
  Outputs outputs;
  for (size_t i = 0; i < feed.size(); ++i) {
    FIRN_ASSIGN(const std::vector<NamedTensor> inputs, feed.read(i));
    FIRN_TRY(session.run(inputs, outputs));
    progress.step([&] {
      const CalibrationStatus status = session.calibration();
      return status.frames > 0 ? "ranges move by " + percent_text(status.movement) : "";
    });
  }
  const CalibrationStatus status = session.calibration();
  if (status.rejected == feed.size()) {
    return {Code::failed_precondition,
            format("all %zu samples have NaN or infinite values, the last in '%s'", feed.size(),
                   status.last_rejected.c_str())};
  }
  return {};
}

std::string calibration_text(const CalibrationStatus& status) {
  std::string text = format("%zu frames observed, %zu held back, %zu rejected", status.frames,
                            status.held_back, status.rejected);
  if (status.rejected > 0) text += " (NaN or infinite, last in '" + status.last_rejected + "')";
  text += format("; ranges move by %s", percent_text(status.movement).c_str());
  if (!status.moves_most.empty()) text += ", most: " + status.moves_most;
  return one_line(text);
}

}  // namespace firn::tool
