// SPDX-License-Identifier: Apache-2.0
// Options of every layer, what they cost, and the walk from the best to the smallest.
#include "quant/mixed_weights.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "quant/weights_block.h"
#include "runtime/packed.h"

namespace firn {
namespace {

constexpr int kFewestBits = 2, kMostBits = 8;
constexpr int kBlocks[] = {32, 64, 128, 0};
// Rows of a layer that its errors are taken from.
constexpr size_t kSampledRows = 64;
// What is measured of each layer: bits in blocks as small as there are.
constexpr int kCoarseBits = 2, kFineBits = 4;

// Of some rows of weights, spread over all, times what that leaves out.
double rounding_error(std::span<const float> weights, size_t row, size_t block,
                      const BlockFormat& format) {
  const size_t rows = weights.size() / row, sampled = std::min(rows, kSampledRows);
  const Levels levels = levels_of(format);
  double sum = 0;
  for (size_t i = 0; i < sampled; ++i) {
    const std::span<const float> of_row = weights.subspan(i * rows / sampled * row, row);
    for (size_t begin = 0; begin < row; begin += block) {
      const std::span<const float> part = of_row.subspan(begin, std::min(block, row - begin));
      const Block fitted = fit_block(part, format);
      for (const float w : part) {
        const int32_t q = round_to(fitted, levels, w);
        const double error =
            static_cast<double>(static_cast<float>(q - fitted.zero) * fitted.scale) -
            static_cast<double>(w);
        sum += error * error;
      }
    }
  }
  return sum * static_cast<double>(rows) / static_cast<double>(sampled);
}

// Of packed weights, f16 scales and packed zero points.
size_t stored_bytes(size_t elements, size_t row, size_t block, const BlockFormat& format) {
  const size_t scales = elements / row * ((row + block - 1) / block);
  return packed_bytes(elements, format.bits) + scales * sizeof(uint16_t) +
         (format.symmetric ? 0 : packed_bytes(scales, format.bits));
}

const WeightOption& with_choice(const WeightCandidate& candidate, int bits) {
  // The smallest blocks come first.
  const auto found = std::ranges::find_if(
      candidate.options, [&](const WeightOption& option) { return option.choice.bits == bits; });
  return *found;
}

double noise_of(double db) {
  return std::pow(10.0, -db / 10);
}

}  // namespace

Result<std::vector<WeightCandidate>> weight_candidates(const Graph& graph,
                                                       const WeightOptions& options) {
  FIRN_ASSIGN(const std::vector<StoredLayer> layers, layers_to_store(graph, options));
  std::vector<WeightCandidate> candidates;
  for (const StoredLayer& layer : layers) {
    WeightCandidate candidate{layer.name, {}};
    size_t longest = 0;
    for (const StoredLayer::Weights& part : layer.weights) longest = std::max(longest, part.row);
    for (int bits = kFewestBits; bits <= kMostBits; ++bits) {
      for (const int block : kBlocks) {
        if (block > 0 && static_cast<size_t>(block) >= longest) continue;
        WeightOption option{{bits, block}, 0, 0, 0};
        BlockFormat format;
        format.bits = static_cast<unsigned>(bits);
        format.symmetric = options.symmetric;
        format.rounding = WeightRounding::max_abs;
        for (const StoredLayer::Weights& part : layer.weights) {
          const size_t size =
              block == 0 ? part.row : std::min(static_cast<size_t>(block), part.row);
          option.bytes += stored_bytes(part.values.size(), part.row, size, format);
          option.error += rounding_error(part.values, part.row, size, format);
        }
        candidate.options.push_back(option);
      }
    }
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

void predict_noise(WeightCandidate& candidate, const WeightOption& coarse,
                   const WeightOption& fine) {
  // Between doubling with the square root of the error's power and with its square.
  constexpr double kLeastSlope = 0.5, kMostSlope = 2;
  double slope = 1;
  if (coarse.noise > 0 && fine.noise > 0 && coarse.error > fine.error && fine.error > 0)
    slope = std::clamp(std::log(coarse.noise / fine.noise) / std::log(coarse.error / fine.error),
                       kLeastSlope, kMostSlope);
  for (WeightOption& option : candidate.options)
    option.noise = fine.error > 0 ? fine.noise * std::pow(option.error / fine.error, slope) : 0;
}

WeightPath::WeightPath(std::span<const WeightCandidate> candidates) : candidates_(candidates) {
  for (size_t layer = 0; layer < candidates.size(); ++layer) {
    std::vector<WeightOption> options = candidates[layer].options;
    // From the largest; of equally large ones the least noise.
    std::ranges::stable_sort(options, [](const WeightOption& a, const WeightOption& b) {
      return a.bytes != b.bytes ? a.bytes > b.bytes : a.noise < b.noise;
    });
    size_t at = 0;
    for (size_t i = 1; i < options.size(); ++i)
      if (options[i].noise <= options[at].noise) at = i;  // smaller, and no worse
    best_.push_back(options[at].choice);
    while (at + 1 < options.size()) {
      size_t next = 0;
      double least = INFINITY;
      for (size_t i = at + 1; i < options.size(); ++i) {
        if (options[i].bytes == options[at].bytes) continue;
        const double slope = (options[i].noise - options[at].noise) /
                             static_cast<double>(options[at].bytes - options[i].bytes);
        if (slope <= least) {
          least = slope;
          next = i;
        }
      }
      if (next == 0) break;
      // Not before the one that it starts from, whatever the rounding.
      if (!steps_.empty() && steps_.back().layer == layer)
        least = std::max(least, steps_.back().noise_per_byte);
      steps_.push_back({layer, options[next].choice, least});
      at = next;
    }
  }
  std::ranges::stable_sort(steps_, {}, &Step::noise_per_byte);
}

WeightChoices WeightPath::choices(size_t steps) const {
  WeightChoices choices;
  for (size_t layer = 0; layer < best_.size(); ++layer)
    choices[candidates_[layer].name] = best_[layer];
  for (size_t i = 0; i < steps; ++i) choices[candidates_[steps_[i].layer].name] = steps_[i].to;
  return choices;
}

Result<WeightChoices> choose_weights(std::vector<WeightCandidate> candidates, double limit_db,
                                     const MeasureWeightsDb& measure_one,
                                     const MeasureWeightsDb& measure_all) {
  for (WeightCandidate& candidate : candidates) {
    WeightOption probes[2] = {with_choice(candidate, kCoarseBits),
                              with_choice(candidate, kFineBits)};
    for (WeightOption& probe : probes) {
      FIRN_ASSIGN(const double db, measure_one({{candidate.name, probe.choice}}));
      probe.noise = noise_of(db);
    }
    predict_noise(candidate, probes[0], probes[1]);
  }
  const WeightPath path(candidates);
  FIRN_ASSIGN(const double best, measure_all(path.choices(0)));
  if (!(best >= limit_db)) {
    char text[128];
    std::snprintf(text, sizeof text,
                  "quantize_weights: the best weights of 8 bits keep %.1f dB, the limit is %.1f dB",
                  best, limit_db);
    return Status(Code::refused, text);
  }
  size_t holds = 0, fails = path.steps() + 1;
  while (fails - holds > 1) {
    const size_t middle = (holds + fails) / 2;
    FIRN_ASSIGN(const double db, measure_all(path.choices(middle)));
    (db >= limit_db ? holds : fails) = middle;
  }
  return path.choices(holds);
}

}  // namespace firn
