// SPDX-License-Identifier: Apache-2.0
// Session::quantize_weights: the session's model with weights of few bits, by what it has seen.
#include <memory>

#include "quant/quantize_weights.h"
#include "quant/session_calibration.h"

namespace firn {

Result<WeightModel> Session::quantize_weights(const WeightOptions& options) const {
  const std::lock_guard control(impl_->control_mutex);
  std::shared_ptr<const ModelImpl> model;
  ChannelMeans means;
  {
    const std::lock_guard lock(impl_->run_mutex);
    model = impl_->model;
    if (const Calibration* calibration = calibration_of(*impl_))
      means = channel_means_of(calibration->data());
  }
  if (model == nullptr)
    return Status(Code::failed_precondition, "quantize_weights: the float weights were not kept");
  return firn::quantize_weights(*model, options, means);
}

}  // namespace firn
