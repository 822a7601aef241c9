// SPDX-License-Identifier: Apache-2.0
// What a freeze learns from the frames a calibration kept: channels are made alike, weights rounded
// for the inputs that they meet.
#ifndef FIRN_QUANT_REFINE_H_
#define FIRN_QUANT_REFINE_H_

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quant/quantize_graph.h"
#include "quant/session_calibration.h"

namespace firn {

using Frames = std::span<const std::shared_ptr<const HeldFrame>>;

// Runs a float graph on the frames whose shapes are the graph's, with the session's threads, and
// shows every float value that its steps write, its inputs and its outputs: see(frame, graph,
// value, elements).
using See = std::function<void(size_t, const Graph&, ValueId, std::span<const float>)>;
Status run_frames(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames frames,
                  const See& see);

// A graph's outputs by name and frame.
using Answers = std::map<std::string, std::map<size_t, std::vector<float>>>;
Result<Answers> answers_of(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                           Frames frames);
// How far those of another graph are from them on the same frames, in its order; +inf dB without
// frames of the graphs' shapes.
Result<std::vector<OutputReport>> output_errors(const SessionImpl& impl, const Answers& wanted,
                                                const std::shared_ptr<const Graph>& other,
                                                Frames frames);
// The least SQNR of them.
Result<double> least_sqnr_db(const SessionImpl& impl, const Answers& wanted,
                             const std::shared_ptr<const Graph>& other, Frames frames);
// Of the second graph's outputs against the first one's, named alike.
Result<double> least_sqnr_db(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                             const std::shared_ptr<const Graph>& other, Frames frames);
// The shortest run on the frames, on one thread; 0 without frames of the graph's shapes.
Result<double> shortest_run_ms(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                               Frames frames);

// A float graph that computes the same with channels made alike, and what that changes.
struct Equalized {
  std::shared_ptr<const Graph> graph;
  std::map<std::string, std::vector<float>> factors;  // by value that changes
  std::map<std::string, Histogram> histograms;        // of the same, on the kept frames
  std::map<std::string, float> peaks;  // of all values the largest magnitudes there, unchanged
  Answers on_held, on_kept;            // of the graph that it was made of
};

// What channels are made alike for: activations, the only ones with one scale for all of them where
// weights have one a channel; or weights with one scale a layer.
enum class Alike : uint8_t { activations, weights };

// The graph itself, and no more, where there is nothing to scale. Factors are those of the kept
// frames.
Result<Equalized> equalize(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                           Frames held, Frames kept, Alike alike);

// The integers of the weights of every layer, by layer, for QuantizeOptions::rounded. `ranges` are
// those of activations, by value.
Result<std::map<std::string, RoundedWeights>> round_weights(
    const SessionImpl& impl, const std::shared_ptr<const Graph>& graph, Frames kept,
    const std::map<std::string, Interval>& ranges, Rounding rounding,
    const QuantizeOptions& options);

}  // namespace firn

#endif  // FIRN_QUANT_REFINE_H_
