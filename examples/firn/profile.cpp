// SPDX-License-Identifier: Apache-2.0
// Where the time of a run goes, step by step and kernel by kernel.
#include "profile.h"

#include <algorithm>

#include "json.h"
#include "network.h"

namespace firn::tool {

Result<Profile> profile_session(Session& session, int runs) {
  Profile profile{.isa = session.isa(), .threads = session.threads(), .steps = {}};
  FIRN_ASSIGN(profile.steps, session.profile(runs));
  for (const StepProfile& step : profile.steps) profile.total_ms += step.ms;
  return profile;
}

std::vector<KernelTotal> totals_by_kernel(const std::vector<StepProfile>& steps) {
  std::vector<KernelTotal> totals;
  for (const StepProfile& step : steps) {
    auto total = std::find_if(totals.begin(), totals.end(),
                              [&](const KernelTotal& each) { return each.kernel == step.kernel; });
    if (total == totals.end()) total = totals.insert(total, {step.kernel, 0, 0});
    ++total->steps;
    total->ms += step.ms;
  }
  std::stable_sort(totals.begin(), totals.end(),
                   [](const KernelTotal& a, const KernelTotal& b) { return a.ms > b.ms; });
  return totals;
}

std::string as_json(const Profile& profile, const std::string& model) {
  Json json;
  json.open('{').member("model", model).member("isa", profile.isa);
  json.member("threads", profile.threads).member("total_ms", profile.total_ms);
  json.open("layers", '[');
  for (const StepProfile& step : profile.steps) {
    json.open('{').member("name", step.name).member("op", step.op).member("shape", step.shape);
    json.member("precision", precision_name(step.precision)).member("kernel", step.kernel);
    json.member("ms", step.ms).member("share", profile.share(step.ms)).close();
  }
  json.close().open("kernels", '[');
  for (const KernelTotal& total : totals_by_kernel(profile.steps)) {
    json.open('{').member("kernel", total.kernel).member("layers", total.steps);
    json.member("ms", total.ms).member("share", profile.share(total.ms)).close();
  }
  return json.close().close().text();
}

}  // namespace firn::tool
