// SPDX-License-Identifier: Apache-2.0
// Where the time of a run goes, step by step and kernel by kernel.
#ifndef FIRN_EXAMPLES_FIRN_PROFILE_H_
#define FIRN_EXAMPLES_FIRN_PROFILE_H_

#include <string>
#include <vector>

#include "firn/session.h"
#include "firn/status.h"

namespace firn::tool {

struct KernelTotal {
  std::string kernel;
  int steps = 0;
  double ms = 0;
};

struct Profile {
  std::string isa;
  int threads = 1;
  std::vector<StepProfile> steps;
  double total_ms = 0;

  double share(double ms) const { return total_ms > 0 ? ms / total_ms : 0; }
};

// Medians of `runs` runs on zeros.
Result<Profile> profile_session(Session& session, int runs);

// The greatest total first.
std::vector<KernelTotal> totals_by_kernel(const std::vector<StepProfile>& steps);

// One object: model, isa, threads, total_ms, layers, kernels.
std::string as_json(const Profile& profile, const std::string& model);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_PROFILE_H_
