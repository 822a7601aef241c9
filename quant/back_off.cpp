// SPDX-License-Identifier: Apache-2.0
// Sensitivities one by one, then the shortest prefix of the worst layers that is enough.
#include "quant/back_off.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace firn {
namespace {

struct Candidate {
  std::string name;
  double db = 0;  // of the outputs: what it is ranked by
};

class BackOff {
 public:
  BackOff(std::span<const LayerReport> layers, double limit_db, const MeasureDb& measure)
      : limit_db_(limit_db), measure_(measure) {
    std::map<std::string, int> bearers;
    for (const LayerReport& layer : layers) ++bearers[layer.name];
    // Layers without weights follow those with them.
    for (const LayerReport& layer : layers)
      if (layer.precision != Precision::f32 && layer.bytes_before > 0 && bearers[layer.name] == 1)
        (layer.precision == Precision::i8 ? int8_ : wide_).push_back(layer.name);
  }

  Result<BackedOff> run() const;

 private:
  using Layers = std::map<std::string, std::string> BackedOff::*;

  // The worst first: by what each of them gives alone in 16 bits, or, for float, with all others
  // there. What a layer takes off the error says little of it once others' errors are as large.
  Result<std::vector<Candidate>> ranked_for_16_bits() const;
  Result<std::vector<Candidate>> ranked_for_float() const;
  // `so_far` and the first `count`.
  BackedOff with(const BackedOff& so_far, std::span<const Candidate> candidates, size_t count,
                 Layers layers) const;
  // With as few of the candidates as the limit takes; all where that is not enough either.
  Result<BackedOff> with_fewest(const BackedOff& so_far, std::span<const Candidate> candidates,
                                Layers layers) const;
  std::string reason(double db, Layers layers) const;

  const double limit_db_;
  const MeasureDb& measure_;
  std::vector<std::string> int8_, wide_;  // layers, by what they are
};

std::string BackOff::reason(double db, Layers layers) const {
  char text[112];
  std::snprintf(text, sizeof text,
                layers == &BackedOff::i16_layers
                    ? "for the limit of %.1f dB; alone in 16 bits it would give %.1f dB"
                    : "for the limit of %.1f dB; its int8 weights alone give %.1f dB",
                limit_db_, db);
  return text;
}

Result<std::vector<Candidate>> BackOff::ranked_for_16_bits() const {
  std::vector<Candidate> candidates;
  for (const std::string& name : int8_) {
    const Candidate alone{name, 0};
    FIRN_ASSIGN(const double db, measure_(with({}, {&alone, 1}, 1, &BackedOff::i16_layers)));
    candidates.push_back({name, db});
  }
  std::ranges::stable_sort(candidates, std::ranges::greater(), &Candidate::db);
  return candidates;
}

Result<std::vector<Candidate>> BackOff::ranked_for_float() const {
  std::vector<Candidate> candidates;
  for (const auto* names : {&wide_, &int8_})
    for (const std::string& name : *names) candidates.push_back({name, 0});
  const BackedOff all = with({}, candidates, candidates.size(), &BackedOff::float_layers);
  for (Candidate& candidate : candidates) {
    BackedOff others = all;
    others.float_layers.erase(candidate.name);
    others.i16_layers[candidate.name] = "to be measured";
    FIRN_ASSIGN(candidate.db, measure_(others));
  }
  std::ranges::stable_sort(candidates, std::ranges::less(), &Candidate::db);
  return candidates;
}

BackedOff BackOff::with(const BackedOff& so_far, std::span<const Candidate> candidates,
                        size_t count, Layers layers) const {
  BackedOff more = so_far;
  for (const Candidate& candidate : candidates.first(count)) {
    more.i16_layers.erase(candidate.name);
    (more.*layers)[candidate.name] = reason(candidate.db, layers);
  }
  return more;
}

Result<BackedOff> BackOff::with_fewest(const BackedOff& so_far,
                                       std::span<const Candidate> candidates, Layers layers) const {
  size_t too_few = 0, enough = candidates.size();
  // One, two, four, ...: often few are enough, and not always do more of them mean less error.
  for (size_t count = 1; count < enough; count *= 2) {
    FIRN_ASSIGN(const double db, measure_(with(so_far, candidates, count, layers)));
    (db >= limit_db_ ? enough : too_few) = count;
  }
  while (enough - too_few > 1) {
    const size_t middle = (too_few + enough) / 2;
    FIRN_ASSIGN(const double db, measure_(with(so_far, candidates, middle, layers)));
    (db >= limit_db_ ? enough : too_few) = middle;
  }
  return with(so_far, candidates, enough, layers);
}

Result<BackedOff> BackOff::run() const {
  const auto holds = [&](const BackedOff& layers) -> Result<bool> {
    FIRN_ASSIGN(const double db, measure_(layers));
    return db >= limit_db_;
  };
  FIRN_ASSIGN(const bool in_int8, holds({}));
  if (in_int8) return BackedOff();
  constexpr Layers kWide = &BackedOff::i16_layers, kFloat = &BackedOff::float_layers;
  FIRN_ASSIGN(const std::vector<Candidate> wide, ranked_for_16_bits());
  const BackedOff all_wide = with({}, wide, wide.size(), kWide);
  FIRN_ASSIGN(const bool in_16_bits, holds(all_wide));
  if (in_16_bits) return with_fewest({}, wide, kWide);

  FIRN_ASSIGN(const std::vector<Candidate> ranks, ranked_for_float());
  FIRN_ASSIGN(const BackedOff mixed, with_fewest(all_wide, ranks, kFloat));
  std::vector<Candidate> rest;
  for (const Candidate& candidate : wide)
    if (!mixed.float_layers.contains(candidate.name)) rest.push_back(candidate);
  return with_fewest({{}, mixed.float_layers}, rest, kWide);
}

}  // namespace

Result<BackedOff> back_off_layers(std::span<const LayerReport> layers, double limit_db,
                                  const MeasureDb& measure) {
  return BackOff(layers, limit_db, measure).run();
}

}  // namespace firn
