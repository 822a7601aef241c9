// SPDX-License-Identifier: Apache-2.0
// The quantizing members of Session: calibrate, freeze, tables. Only what links these links the
// quantizer.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "quant/back_off.h"
#include "quant/calibration_file.h"
#include "quant/choose_ranges.h"
#include "quant/measure_bias.h"
#include "quant/ncnn_table.h"
#include "quant/quantize_graph.h"
#include "quant/refine.h"
#include "quant/return_freed.h"
#include "quant/session_calibration.h"
#include "quant/table.h"
#include "quant/tensor_report.h"
#include "quant/timing.h"
#include "quant/verify.h"
#include "quant/watch.h"

namespace firn {
namespace {

constexpr size_t kFewFrames = 16;

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", x);
  return text;
}

void warn(const CalibrationData& data, const CalibrateOptions& calibrated, FreezeReport& report) {
  const CalibrationStatus& status = data.status;
  if (data.observer != nullptr && status.frames < kFewFrames)
    report.warnings.push_back("calibrated on " + std::to_string(status.frames) +
                              " frames only; ranges of unseen ones may be clipped");
  if (data.observer != nullptr && status.movement > calibrated.tolerance)
    report.warnings.push_back("the ranges still moved by " + number(100 * status.movement) +
                              " % since half as many frames, " + status.moves_most + " most");
  if (status.rejected > 0)
    report.warnings.push_back(std::to_string(status.rejected) +
                              " frames with NaN or infinite values were left out, the last for " +
                              status.last_rejected);
  report.warnings.insert(report.warnings.end(), data.given.warnings.begin(),
                         data.given.warnings.end());
  if (report.verified_frames == 0)
    report.warnings.push_back("no frames were held back: the error is not known");
}

Status check_limit(const FreezeOptions& options, const FreezeReport& report) {
  if (!options.min_sqnr_db.has_value()) return {};
  if (report.verified_frames == 0)
    return {Code::refused, "freeze refused: no frames were held back to measure the error on"};
  for (const OutputReport& output : report.outputs)
    if (!(output.sqnr_db >= *options.min_sqnr_db))
      return {Code::refused, "freeze refused: output " + output.name + " has an SQNR of " +
                                 number(output.sqnr_db) + " dB, the limit is " +
                                 number(*options.min_sqnr_db) + " dB"};
  return {};
}

// What is quantized: a float graph and what was observed of it.
struct Basis {
  std::shared_ptr<const Graph> graph;
  std::map<std::string, Interval> ranges;
  std::map<std::string, std::vector<double>> channel_means;
  // Of values that are not what was observed, what they are on the kept frames.
  std::map<std::string, Histogram> scaled;
};

// How much further the tensors went on all frames than on the kept ones.
std::map<std::string, float> reach_of(const Observer* observer,
                                      const std::map<std::string, float>& peaks) {
  std::map<std::string, float> reach;
  for (size_t i = 0; observer != nullptr && i < observer->tensors().size(); ++i) {
    const auto peak = peaks.find(observer->tensors()[i].name);
    const Histogram& seen = observer->histogram(i);
    if (peak == peaks.end() || !(peak->second > 0) || seen.frames() == 0) continue;
    reach[peak->first] = std::max(1.0f, std::max(-seen.min(), seen.max()) / peak->second);
  }
  return reach;
}

// The basis with channels made alike. Of the values that change and are quantized it takes all that
// they take: what goes furthest in one of channels made alike is no outlier, and clipping it would
// cost most where a channel was made large. That is known of the kept frames; on others they go as
// much further as they did before they changed.
Basis equalized(Basis basis, const Equalized& made, const Observer* observer, bool exact_ranges) {
  basis.graph = made.graph;
  basis.scaled = made.histograms;
  const std::map<std::string, float> reach = reach_of(observer, made.peaks);
  for (const ObservedTensor& tensor : tensors_to_observe(*made.graph)) {
    const auto found = made.histograms.find(tensor.name);
    if (!tensor.range || found == made.histograms.end()) continue;
    Interval range = minmax_range(found->second);
    if (const auto further = reach.find(tensor.name); further != reach.end())
      range = {range.lo * further->second, range.hi * further->second};
    basis.ranges[tensor.name] = exact_ranges ? symmetric_range(range, 8) : range;
  }
  for (const auto& [name, factors] : made.factors)
    if (const auto found = basis.channel_means.find(name); found != basis.channel_means.end())
      for (size_t c = 0; c < factors.size(); ++c)
        found->second[c] *= static_cast<double>(factors[c]);
  return basis;
}

// Whether channels made alike serve int8 better depends on the network, and on the frames: it is
// measured on the held ones and on the kept ones, and has to be so on both. The answers are those
// of the graph that it found, on the held frames; none where there was nothing to scale.
Result<Answers> equalize_if_better(const SessionImpl& impl, const CalibrationData& data,
                                   QuantizeOptions quantize, Basis& basis) {
  if (data.kept.empty()) return Answers();
  const Alike alike = quantize.per_channel ? Alike::activations : Alike::weights;
  FIRN_ASSIGN(Equalized equal, equalize(impl, basis.graph, data.held, data.kept, alike));
  if (equal.graph == basis.graph) return Answers();
  Basis made = equalized(basis, equal, data.observer, quantize.exact_ranges);
  const auto quantized = [&](const Basis& of) -> Result<std::shared_ptr<const Graph>> {
    quantize.channel_means = of.channel_means;
    FIRN_ASSIGN(QuantizedGraph graph, quantize_graph(*of.graph, of.ranges, quantize));
    return std::make_shared<const Graph>(std::move(graph.graph));
  };
  FIRN_ASSIGN(const auto as_is, quantized(basis));
  FIRN_ASSIGN(const auto as_made, quantized(made));
  const auto gains = [&](const Answers& answers, Frames frames) -> Result<bool> {
    FIRN_ASSIGN(const double before, least_sqnr_db(impl, answers, as_is, frames));
    FIRN_ASSIGN(const double after, least_sqnr_db(impl, answers, as_made, frames));
    return after > before;
  };
  FIRN_ASSIGN(bool better, gains(equal.on_kept, data.kept));
  if (better && !data.held.empty()) {
    FIRN_ASSIGN(better, gains(equal.on_held, data.held));
  }
  if (better) basis = std::move(made);
  return std::move(equal.on_held);
}

// Of what was observed all that it took; values that equalizing scaled are not what was observed.
std::map<std::string, Interval> widest_ranges(const Observer& observer,
                                              const std::map<std::string, Histogram>& scaled) {
  std::map<std::string, Interval> ranges;
  for (size_t i = 0; i < observer.tensors().size(); ++i) {
    const std::string& name = observer.tensors()[i].name;
    if (observer.histogram(i).frames() > 0 && !scaled.contains(name))
      ranges[name] = minmax_range(observer.histogram(i));
  }
  return ranges;
}

struct Frozen {
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<Program> program;
  FreezeReport report;
};

// Gives layers of `quantized` 16-bit activations, or puts them back in float, until the limit holds
// on these frames.
Result<BackedOff> back_off(const SessionImpl& impl, const std::shared_ptr<const Graph>& original,
                           Frames frames, double limit_db, const Requantize& requantize,
                           QuantizedGraph& quantized, FreezeReport& report) {
  FIRN_ASSIGN(const Answers wanted, answers_of(impl, original, frames));
  const MeasureDb measure = [&](const BackedOff& layers) -> Result<double> {
    FIRN_ASSIGN(QuantizedGraph made, requantize(layers));
    return least_sqnr_db(impl, wanted, std::make_shared<const Graph>(std::move(made.graph)),
                         frames);
  };
  FIRN_ASSIGN(BackedOff layers, back_off_layers(quantized.layers, limit_db, measure));
  if (layers.empty()) return layers;
  const auto run_ms = [&](const Graph& graph) {
    return shortest_run_ms(impl, std::make_shared<const Graph>(graph), frames);
  };
  FIRN_ASSIGN(const double before, run_ms(quantized.graph));
  FIRN_ASSIGN(quantized, requantize(layers));
  FIRN_ASSIGN(const double after, run_ms(quantized.graph));
  const size_t wide = layers.i16_layers.size(), floats = layers.float_layers.size();
  std::string which;
  if (wide > 0) which = "gives " + std::to_string(wide) + " layers 16-bit activations";
  if (wide > 0 && floats > 0) which += " and ";
  if (floats > 0) which += "keeps " + std::to_string(floats) + " layers in float";
  report.warnings.push_back("the limit of " + number(limit_db) + " dB " + which + ": a run takes " +
                            ms_text(after) + " on one thread here, " + ms_text(before) +
                            " without the limit");
  return layers;
}

Result<Frozen> build(const SessionImpl& impl, std::shared_ptr<const Graph> original,
                     const CalibrationData& data, const CalibrateOptions& calibrated,
                     const FreezeOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  QuantizeOptions quantize;
  quantize.keep_float = options.keep_float;
  quantize.keep_i16 = options.keep_i16;
  quantize.weight_scale = options.weight_scale;
  quantize.per_channel = options.per_channel;
  const Method method = options.method.value_or(calibrated.method);
  const bool symmetric = options.symmetric.value_or(calibrated.symmetric);
  quantize.float_layers = data.given.float_layers;
  quantize.weight_scales = data.given.weight_scales;
  quantize.unranged_in_float = data.observer == nullptr;
  quantize.exact_ranges = data.observer == nullptr || symmetric;
  ChosenRanges chosen{data.given.ranges, {}};
  if (data.observer != nullptr) {
    FIRN_ASSIGN(chosen, choose_ranges(impl, original, *data.observer, data.to_measure_on(), method,
                                      symmetric));
  }
  Basis basis{original, chosen.ranges, {}, {}};
  if (options.bias_correction != BiasCorrection::none) basis.channel_means = channel_means_of(data);
  Answers answers;
  if (options.equalize) {
    FIRN_ASSIGN(answers, equalize_if_better(impl, data, quantize, basis));
  }
  const bool limited = options.back_off && options.min_sqnr_db.has_value();
  if (!limited) original = nullptr;  // its weights go where others have been made of them
  const std::shared_ptr<const Graph>& graph = basis.graph;
  const auto& ranges = basis.ranges;
  quantize.channel_means = basis.channel_means;
  if (data.observer != nullptr) quantize.wide_ranges = widest_ranges(*data.observer, basis.scaled);
  FIRN_ASSIGN(quantize.rounded,
              round_weights(impl, graph, data.kept, ranges, options.rounding, quantize));
  FIRN_ASSIGN(QuantizedGraph quantized, quantize_graph(*graph, ranges, quantize));

  Frozen frozen;
  const Requantize requantize = [&](const BackedOff& layers) {
    QuantizeOptions more = quantize;
    more.float_layers.insert(layers.float_layers.begin(), layers.float_layers.end());
    more.i16_layers.insert(layers.i16_layers.begin(), layers.i16_layers.end());
    return quantize_graph(*graph, ranges, more);
  };
  if (limited) {
    FIRN_ASSIGN(const BackedOff backed_off,
                back_off(impl, original, data.held, *options.min_sqnr_db, requantize, quantized,
                         frozen.report));
    quantize.float_layers.insert(backed_off.float_layers.begin(), backed_off.float_layers.end());
    quantize.i16_layers = backed_off.i16_layers;
  }
  if (options.timed)
    FIRN_TRY(keep_faster(impl, graph, data.held, requantize, quantized, frozen.report));
  frozen.graph = std::make_shared<const Graph>(std::move(quantized.graph));
  if (options.bias_correction == BiasCorrection::frames) {
    FIRN_ASSIGN(frozen.graph, correct_biases(impl, graph, frozen.graph, data.kept, data.held));
  }
  frozen.report.layers = std::move(quantized.layers);
  frozen.report.tensors = tensor_reports(quantized.tensors, data, basis.scaled, chosen.methods);
  original = nullptr;
  FIRN_TRY(verify(impl, std::move(basis.graph), answers, frozen.graph, data.held, frozen.report));
  FIRN_TRY(check_limit(options, frozen.report));
  FIRN_ASSIGN(frozen.program, impl.compile(Graph(*frozen.graph), *impl.pool));

  FreezeReport& report = frozen.report;
  for (const LayerReport& layer : report.layers) {
    report.bytes_before += layer.bytes_before;
    report.bytes_after += layer.bytes_after;
    ++(layer.precision == Precision::i8    ? report.layers_int8
       : layer.precision == Precision::i16 ? report.layers_i16
                                           : report.layers_float);
  }
  warn(data, calibrated, report);
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return frozen;
}

// A session's calibration, paused between two runs until this goes. The control mutex is held all
// the while, so that the calibration stays.
class Paused {
 public:
  // nullptr inside where the session has no calibration, or not the expected one.
  Paused(const SessionImpl& impl, const Calibration* expected) : impl_(impl) {
    const std::lock_guard lock(impl.run_mutex);
    Calibration* calibration = calibration_of(impl);
    if (expected != nullptr && calibration != expected) return;
    calibration_ = calibration;
    if (calibration_ != nullptr) calibration_->pause(true);
  }
  ~Paused() {
    const std::lock_guard lock(impl_.run_mutex);
    if (calibration_ != nullptr) calibration_->pause(false);
  }
  Paused(const Paused&) = delete;
  Paused& operator=(const Paused&) = delete;

  Calibration* get() const { return calibration_; }

 private:
  const SessionImpl& impl_;
  Calibration* calibration_ = nullptr;
};

// The tap that feeds a calibration, and starts the automatic freeze when it has converged.
std::shared_ptr<Tap> make_tap(SessionImpl& impl, Calibration& calibration) {
  auto tap = std::make_shared<Tap>();
  tap->begin = [&calibration](const Program& program) { calibration.begin(program); };
  tap->step = [&calibration](const Program& program, size_t step) {
    calibration.step(program, step);
  };
  tap->end = [&impl, &calibration](const Program& program, std::span<const Tensor> inputs) {
    const bool converged = calibration.end(program, inputs);
    if (!converged || !calibration.options().automatic_freeze || calibration.worker().started())
      return;
    calibration.worker().start([&impl, &calibration] {
      const auto report = freeze_session(impl, calibration.options().freeze, &calibration);
      if (calibration.options().on_freeze) calibration.options().on_freeze(report);
    });
  };
  return tap;
}

// Puts a calibration in the place of the old one, whose thread may still wait for the control mutex
// and must not be waited for under it: the caller drops what is returned without locks.
std::shared_ptr<void> replace(SessionImpl& impl, std::shared_ptr<Calibration> next,
                              std::shared_ptr<Tap> tap, State state) {
  const std::lock_guard lock(impl.run_mutex);
  impl.tap = std::move(tap);
  impl.state = state;
  return std::exchange(impl.calibration, std::move(next));
}

// The session goes on with that calibration.
std::shared_ptr<void> start(SessionImpl& impl, std::shared_ptr<Calibration> calibration) {
  auto tap = make_tap(impl, *calibration);
  return replace(impl, std::move(calibration), std::move(tap), State::calibrating);
}

Status check_float(const SessionImpl& impl, const std::string& what) {
  if (impl.state == State::frozen)
    return {Code::failed_precondition, what + ": the session is frozen; thaw it first"};
  if (impl.model == nullptr || impl.model->int8_weights)
    return {Code::failed_precondition, what + ": the session has no float weights"};
  return {};
}

// Has the session's watch expect what the graph gives on held-back frames; `watch` keeps it alive.
// The tap for it, or null where nobody watches.
Result<std::shared_ptr<Tap>> arm_watch(SessionImpl& impl, const std::shared_ptr<const Graph>& graph,
                                       std::span<const std::shared_ptr<const HeldFrame>> held,
                                       std::shared_ptr<Watch>& watch) {
  {
    const std::lock_guard lock(impl.run_mutex);
    watch = watch_of(impl);
  }
  if (watch == nullptr) return std::shared_ptr<Tap>();
  FIRN_ASSIGN(WatchBaseline baseline, watch_baseline(impl, graph, held));
  const std::lock_guard lock(impl.run_mutex);
  watch->arm(std::move(baseline));
  return make_watch_tap(impl, *watch);
}

}  // namespace

Result<FreezeReport> freeze_session(SessionImpl& impl, const FreezeOptions& options,
                                    const Calibration* expected) {
  const ReturnFreed after_all;
  std::shared_ptr<Watch> watch;  // dropped after the locks
  const std::lock_guard control(impl.control_mutex);
  const Paused calibration(impl, expected);
  if (calibration.get() == nullptr)
    return Status(Code::failed_precondition, "freeze: the session has not been calibrated");
  FIRN_TRY(check_float(impl, "freeze"));
  const CalibrationData data = calibration.get()->data();
  const CalibrateOptions& calibrated = calibration.get()->options();
  FIRN_ASSIGN(std::shared_ptr<const Graph> graph, impl.running_graph());
  if (data.observer != nullptr && data.observer->frames() == 0)
    return Status(
        Code::failed_precondition,
        "freeze: no frames were observed since calibrate()" +
            (data.status.rejected == 0 ? std::string()
                                       : ", " + std::to_string(data.status.rejected) +
                                             " were rejected for " + data.status.last_rejected));
  const State before = impl.state.exchange(State::freezing);
  Result<Frozen> frozen = build(impl, std::move(graph), data, calibrated, options);
  Result<std::shared_ptr<Tap>> tap = frozen.ok() ? arm_watch(impl, frozen->graph, data.held, watch)
                                                 : Result<std::shared_ptr<Tap>>(frozen.status());
  if (!tap.ok()) {
    impl.state = before;
    return tap.status();
  }
  auto kept = std::make_shared<const FrozenGraph>(*frozen->graph, *frozen->program);
  impl.adopt(std::move(frozen->program), std::move(kept), State::frozen, *std::move(tap));
  if (!options.keep_float_weights) {
    const std::lock_guard lock(impl.run_mutex);
    impl.model = nullptr;
    calibration.get()->forget();
  }
  return std::move(frozen->report);
}

Result<std::shared_ptr<void>> start_calibration(SessionImpl& impl,
                                                const CalibrateOptions& options) {
  FIRN_TRY(check_float(impl, "calibrate"));
  FIRN_ASSIGN(const std::shared_ptr<const Graph> graph, impl.running_graph());
  return start(impl, std::make_shared<Calibration>(options, Observer(tensors_to_observe(*graph))));
}

Status Session::calibrate(const CalibrateOptions& options) {
  std::shared_ptr<void> old;  // dropped after the locks
  const std::lock_guard control(impl_->control_mutex);
  FIRN_ASSIGN(old, start_calibration(*impl_, options));
  return {};
}

Status Session::save_calibration(const std::string& path) const {
  const std::lock_guard control(impl_->control_mutex);
  const Paused calibration(*impl_, nullptr);
  const Observer* observer =
      calibration.get() == nullptr ? nullptr : calibration.get()->data().observer;
  if (observer == nullptr)
    return {Code::failed_precondition, "save_calibration: the session observes no frames"};
  FIRN_TRY(check_float(*impl_, "save_calibration"));
  FIRN_ASSIGN(const std::shared_ptr<const Graph> graph, impl_->running_graph());
  return write_calibration(path, {fingerprint(*graph), *observer});
}

Status Session::load_calibration(const std::string& path, const CalibrateOptions& options) {
  std::shared_ptr<void> old;  // dropped after the locks
  const std::lock_guard control(impl_->control_mutex);
  FIRN_TRY(check_float(*impl_, "load_calibration"));
  FIRN_ASSIGN(SavedCalibration saved, read_calibration(path));
  FIRN_ASSIGN(const std::shared_ptr<const Graph> graph, impl_->running_graph());
  if (saved.fingerprint != fingerprint(*graph))
    return {Code::failed_precondition,
            path + ": the calibration is of another model or of other input shapes"};
  FIRN_TRY(saved.observer.adopt_ids(tensors_to_observe(*graph)));
  old = start(*impl_, std::make_shared<Calibration>(options, std::move(saved.observer)));
  return {};
}

CalibrationStatus Session::calibration() const {
  const std::lock_guard lock(impl_->run_mutex);
  const Calibration* calibration = calibration_of(*impl_);
  return calibration == nullptr ? CalibrationStatus() : calibration->status();
}

Result<FreezeReport> Session::freeze(const FreezeOptions& options) {
  return freeze_session(*impl_, options, nullptr);
}

Status Session::save_table(const std::string& path, TableFormat format) const {
  const std::lock_guard control(impl_->control_mutex);
  const Paused calibration(*impl_, nullptr);
  if (calibration.get() == nullptr)
    return {Code::failed_precondition, "save_table: the session has not been calibrated"};
  FIRN_TRY(check_float(*impl_, "save_table"));
  const CalibrationData data = calibration.get()->data();
  const CalibrateOptions& options = calibration.get()->options();
  FIRN_ASSIGN(const std::shared_ptr<const Graph> graph, impl_->running_graph());
  ChosenRanges chosen{data.given.ranges, {}};
  if (data.observer != nullptr) {
    FIRN_ASSIGN(chosen, choose_ranges(*impl_, graph, *data.observer, data.to_measure_on(),
                                      options.method, options.symmetric));
  }
  if (format == TableFormat::ncnn) {
    FIRN_ASSIGN(const std::string text, to_ncnn_text(*graph, chosen.ranges));
    return write_table(path, text);
  }
  return write_table(path,
                     to_text(data.observer != nullptr ? make_table(*graph, chosen, *data.observer)
                                                      : make_table(*graph, data.given)));
}

Status Session::load_table(const std::string& path) {
  std::shared_ptr<void> old;  // dropped after the locks
  const std::lock_guard control(impl_->control_mutex);
  FIRN_TRY(check_float(*impl_, "load_table"));
  FIRN_ASSIGN(const std::shared_ptr<const Graph> graph, impl_->running_graph());
  FIRN_ASSIGN(GivenRanges given, read_table(path, *graph));
  old = start(*impl_, std::make_shared<Calibration>(std::move(given)));
  return {};
}

Status Session::load_scales(const Model& quantized) {
  std::shared_ptr<void> old;  // dropped after the locks
  const std::lock_guard control(impl_->control_mutex);
  FIRN_TRY(check_float(*impl_, "load_scales"));
  FIRN_ASSIGN(const std::shared_ptr<const Graph> graph, impl_->running_graph());
  FIRN_ASSIGN(const Graph of, quantized.impl().optimised());
  FIRN_ASSIGN(GivenRanges given, scales_of_quantized(of, *graph));
  old = start(*impl_, std::make_shared<Calibration>(std::move(given)));
  return {};
}

}  // namespace firn
