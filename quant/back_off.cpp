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
  double db = 0;  // of the outputs with this layer in float
};

std::string reason(double db, double limit_db) {
  char text[96];
  std::snprintf(text, sizeof text, "for the limit of %.1f dB; alone in float it would give %.1f dB",
                limit_db, db);
  return text;
}

}  // namespace

Result<std::map<std::string, std::string>> layers_to_back_off(std::span<const LayerReport> layers,
                                                              double limit_db,
                                                              const MeasureDb& measure) {
  std::map<std::string, std::string> chosen;
  FIRN_ASSIGN(const double all_int8, measure(chosen));
  if (all_int8 >= limit_db) return chosen;
  std::map<std::string, int> bearers;
  for (const LayerReport& layer : layers) ++bearers[layer.name];
  std::vector<Candidate> candidates;
  for (const LayerReport& layer : layers) {
    // Layers without weights follow those with them.
    if (layer.precision != Precision::i8 || layer.bytes_before == 0 || bearers[layer.name] > 1)
      continue;
    FIRN_ASSIGN(const double db, measure({{layer.name, ""}}));
    candidates.push_back({layer.name, db});
  }
  std::ranges::stable_sort(candidates, std::ranges::greater(), &Candidate::db);
  const auto first = [&](size_t count) {
    std::map<std::string, std::string> worst;
    for (const Candidate& candidate : std::span(candidates).first(count))
      worst[candidate.name] = reason(candidate.db, limit_db);
    return worst;
  };
  size_t too_few = 0, enough = candidates.size();
  while (enough - too_few > 1) {
    const size_t middle = (too_few + enough) / 2;
    FIRN_ASSIGN(const double db, measure(first(middle)));
    (db >= limit_db ? enough : too_few) = middle;
  }
  return first(enough);
}

}  // namespace firn
