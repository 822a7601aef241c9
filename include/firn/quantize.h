// SPDX-License-Identifier: Apache-2.0
// Post-training quantization: what a calibration observes, how ranges are picked, what a freeze
// promises and reports. The calls themselves are members of firn::Session.
#ifndef FIRN_QUANTIZE_H_
#define FIRN_QUANTIZE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "firn/export.h"
#include "firn/status.h"

namespace firn {

// How a tensor's range is picked from its histogram.
enum class Method : uint8_t {
  // Per tensor, the one of the others with which the layers that read it err least, measured on
  // kept frames; without such frames, the one with the least expected error.
  automatic,
  minmax,  // the smallest range that holds every value seen
  // The mean of the frames' extremes: where a moving average of them (EMA) settles, but the same
  // for every order of the frames and for calibrations that are merged.
  ema,
  percentile,   // all but 0.01 % of the values
  mse,          // least mean squared rounding and clipping error
  kl,           // least Kullback-Leibler divergence (Migacz, 8-bit Inference with TensorRT, 2017)
  kl_tensorrt,  // the same with that talk's 128 whole groups of bins, for either sign
  kl_ncnn,      // with ncnn2table's 128 fractional groups of bins
  aciq,         // the optimum for a Gaussian or Laplace distribution (Banner et al., 2019)
  eq,           // ncnn's search for the greatest cosine similarity, from kl_ncnn's range
};

// "automatic", "minmax", "kl-ncnn", ...
FIRN_API const char* method_name(Method method);
// invalid_argument lists the names there are.
FIRN_API Result<Method> method_from_name(const std::string& name);

// How weights become integers.
enum class Rounding : uint8_t {
  nearest,   // each by itself
  fast,      // for the least error of the layer's output, on frames that the calibration kept
  thorough,  // the same for longer rows, over more of the frames: for a device that is charging
};

// How the scales of weights are found. Symmetric, in [-127, 127].
enum class WeightScale : uint8_t {
  max_abs,  // the largest weight becomes 127
  mse,      // least squared error of a search, the largest weights clipped
  // Scale and rounding, each the best for the other, in turn (Leng et al., "Extremely Low Bit
  // Neural Network: Squeeze the Last Bit Out with ADMM", AAAI 2018, section 3).
  admm,
};

// "max-abs", "mse", "admm".
FIRN_API const char* weight_scale_name(WeightScale scale);
// invalid_argument lists the names there are.
FIRN_API Result<WeightScale> weight_scale_from_name(const std::string& name);

// Of calibration tables, which are text.
enum class TableFormat : uint8_t {
  firn,  // everything: ranges, methods, counts, layers, the graph's fingerprint
  ncnn,  // what ncnn2table writes and ncnn2int8 reads: scales of weights and of what layers read
};

struct FreezeReport;

struct FreezeOptions {
  std::optional<Method> method{};   // default: the calibration's
  std::optional<bool> symmetric{};  // default: the calibration's
  WeightScale weight_scale = WeightScale::max_abs;
  // Layers that stay in float: names, with * and ?, or "type:Conv2d". A pattern that matches
  // nothing is an error.
  std::vector<std::string> keep_float{};
  // The least SQNR in dB, over the held-back frames, that each output must keep against fp32;
  // below it freeze is refused and the session goes on in fp32.
  std::optional<double> min_sqnr_db{};
  // Whether each output channel's weights have a scale of their own; otherwise a layer's share one,
  // for accelerators that know no other.
  bool per_channel = true;
  // Whether channels that leave most of their tensor's range unused are made larger by one layer
  // and smaller by the next. What the network computes stays.
  bool equalize = true;
  Rounding rounding = Rounding::fast;
  // Whether int8 is timed against fp32 on this device, with the session's threads and instruction
  // set. Layers that it does not make faster, conversions counted, then stay in float, and where
  // the whole is slower freeze is refused. Which layers are int8 then depends on the machine.
  bool timed = true;
  // Whether the session keeps what thaw() and a later freeze() need.
  bool keep_float_weights = true;
};

struct CalibrateOptions {
  Method method = Method::automatic;
  // Ranges around 0 with zero point 0, as ncnn has them. Costs one bit where values have one sign.
  bool symmetric = false;
  // Every nth good frame is held back: not observed, but kept to verify the freeze with ...
  int hold_back_every = 8;
  // ... as long as no more than this many are kept (the newest replace the oldest).
  int hold_back_max = 8;
  // Of so many of the observed frames, spread over all, copies are kept: for equalizing and
  // rounding.
  int keep_max = 16;
  // Freeze and switch, in the background, once the ranges have converged.
  bool automatic_freeze = false;
  FreezeOptions freeze{};   // of the automatic freeze
  int min_frames = 32;      // never converged before
  double tolerance = 0.02;  // converged: the ranges' mean relative movement as frames double
  // Called by the automatic freeze, on its own thread, with the report or the reason for none.
  std::function<void(const Result<FreezeReport>&)> on_freeze{};
};

// Where a calibration stands.
struct CalibrationStatus {
  size_t frames = 0;          // observed
  size_t held_back = 0;       // kept for verification
  size_t rejected = 0;        // left out: NaN or infinite values
  std::string last_rejected;  // the tensor that had them: "input", "conv_3"
  double movement = 1.0;      // mean relative movement of the ranges since half as many frames
  std::string moves_most;     // the tensor whose range moves most
  bool converged = false;
};

// Writes to `output` what one calibration over the frames of all these files (of
// Session::save_calibration) would have saved: ranges, means and counts are exactly the same, in
// whatever order. failed_precondition: files of different models; malformed: a damaged one.
FIRN_API Status merge_calibrations(std::span<const std::string> paths, const std::string& output);

enum class Precision : uint8_t { f32, i8 };

// One layer of the frozen graph.
struct LayerReport {
  std::string name;
  std::string op;
  Precision precision = Precision::f32;
  std::string why;     // of a float layer: "kept by pattern conv1*", "Softmax runs in float"
  double sqnr_db = 0;  // its output against fp32 on held-back frames; +inf where equal
  size_t bytes_before = 0, bytes_after = 0;  // of its constants
  // How long it takes in each; 0 where that was not timed, or where it takes no step of its own.
  double ms_float = 0, ms_int8 = 0;
};

struct OutputReport {
  std::string name;
  double sqnr_db = 0;
  double max_abs_error = 0;
};

struct FreezeReport {
  std::vector<LayerReport> layers;
  std::vector<OutputReport> outputs;
  size_t verified_frames = 0;
  size_t bytes_before = 0, bytes_after = 0;  // of all constants
  int layers_int8 = 0, layers_float = 0;     // every layer of the report, by precision
  double ms_float = 0, ms_int8 = 0;          // a run before and after; 0 where not timed
  double seconds = 0;
  std::vector<std::string> warnings;  // calibrated on few frames, ranges still moving, ...
};

}  // namespace firn

#endif  // FIRN_QUANTIZE_H_
