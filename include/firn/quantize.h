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
#include "firn/model.h"
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

// What makes up for the shift of a layer's mean output that quantizing brings, in its bias.
enum class BiasCorrection : uint8_t {
  none,
  // The weights' errors times the means of the inputs, over all frames that were observed (Nagel et
  // al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019).
  analytic,
  // On top of that, what is measured on frames that the calibration kept, layer after layer, with
  // all before it quantized; left out where the outputs err less without. Runs the frames again for
  // every layer: for a device that is charging.
  frames,
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
  // Layers that stay in float: names, with * and ?, or "type:Conv2d", or "first:2" and "last:1" of
  // those with weights. A pattern that matches nothing is an error.
  std::vector<std::string> keep_float{};
  // Layers whose activations have 16 bits, in the same way; of those with weights (Conv2d, Dense)
  // that do not stay in float. Their error is that of their int8 weights alone, and they take two
  // to three times as long as in int8. What is around them runs in float or int8 as it can.
  std::vector<std::string> keep_i16{};
  // The least SQNR in dB, over the held-back frames, that each output must keep against fp32;
  // below it freeze is refused and the session goes on in fp32.
  std::optional<double> min_sqnr_db{};
  // Where min_sqnr_db does not hold, layers get 16-bit activations instead, as few as it takes,
  // those first that cost the outputs most; where all of them are not enough, as few as it takes go
  // back to float. The report has which, and what that costs in time.
  bool back_off = false;
  // Whether each output channel's weights have a scale of their own; otherwise a layer's share one,
  // for accelerators that know no other. Where equalizing then scales channels that a ReLU6 clamps,
  // it becomes a ReLU and a layer of its own, "<layer>.bound": the minimum with a bound for each.
  bool per_channel = true;
  // Whether channels that leave most of their tensor's range unused are made larger by one layer
  // and smaller by the next. What the network computes stays.
  bool equalize = true;
  Rounding rounding = Rounding::fast;
  BiasCorrection bias_correction = BiasCorrection::analytic;
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

// Of what a layer multiplies: i16 are 16-bit activations with int8 weights.
enum class Precision : uint8_t { f32, i8, i16 };

// One layer of the frozen graph.
struct LayerReport {
  std::string name;
  std::string op;
  Precision precision = Precision::f32;
  // Of a layer that is not int8: "kept by pattern conv1*", "Softmax runs in float".
  std::string why;
  double sqnr_db = 0;  // its output against fp32 on held-back frames; +inf where equal
  size_t bytes_before = 0, bytes_after = 0;  // of its constants
  // How long it takes in each, in 16 bits where it has those; 0 where that was not timed, or where
  // it takes no step of its own.
  double ms_float = 0, ms_int8 = 0;
};

struct OutputReport {
  std::string name;
  double sqnr_db = 0;
  double max_abs_error = 0;
};

// One int8 activation: its range, and the values that it was picked for.
struct TensorReport {
  std::string name;                   // in the float graph
  Method method = Method::automatic;  // that the range was picked with
  float lo = 0, hi = 0;               // what the 256 steps reach
  float scale = 1;                    // of a step
  int32_t zero = 0;                   // the step that stands for 0, from -128 to 127
  // Of the calibration: all below is 0 or empty where the range came from a table.
  size_t frames = 0;
  float min = 0, max = 0;  // the extremes of all values
  double clipped = 0;      // share of the values more than half a step outside
  double zeros = 0;        // share of the values that are exactly 0; they are in no bin
  // Shares of the values, in bins of equal width from bins_lo to bins_hi: range and extremes both.
  float bins_lo = 0, bins_hi = 0;
  std::vector<float> bins;
};

struct FreezeReport {
  std::vector<LayerReport> layers;
  std::vector<TensorReport> tensors;
  std::vector<OutputReport> outputs;
  size_t verified_frames = 0;
  size_t bytes_before = 0, bytes_after = 0;               // of all constants
  int layers_int8 = 0, layers_i16 = 0, layers_float = 0;  // every layer of the report
  double ms_float = 0, ms_int8 = 0;  // a run before and after; 0 where not timed
  double seconds = 0;
  std::vector<std::string> warnings;  // calibrated on few frames, ranges still moving, ...
};

// What a watch found of one int8 activation.
struct TensorDrift {
  enum class Kind : uint8_t {
    saturated,  // more values than expected lie at the ends of int8: brighter, louder
    unused,     // fewer of the 8 bits are in use than expected: darker, softer
  };
  std::string name;  // in the int8 graph
  Kind kind = Kind::saturated;
  double expected = 0, seen = 0;  // share of values at the ends, or bits in use
  double p = 1;  // how likely what did not change beyond the margin gives values this far off
};

struct DriftReport {
  std::vector<TensorDrift> tensors;  // the surest first; never empty
  size_t frames = 0;                 // that were looked at together
};

// How a frozen session watches whether what it is fed still is what its ranges were picked for.
struct WatchOptions {
  int every = 32;   // one frame in so many is looked at; costs a part of a thousand or so
  int window = 16;  // so many of those are judged together
  // That what has not changed raises no event, for a window, all tensors together.
  double confidence = 0.99;
  double saturated = 0.002;  // how much larger the share of values at the ends may become
  double unused_bits = 0.5;  // how many more bits may go unused
  // Whether drift sends the session back to fp32, to calibrate on the frames that come then and to
  // freeze by itself. It needs the float weights (FreezeOptions::keep_float_weights).
  bool recalibrate = false;
  CalibrateOptions calibrate{};  // for that; automatic_freeze is implied
  // Called on a thread of its own, before the session calibrates. It may call neither watch() nor
  // stop_watching().
  std::function<void(const DriftReport&)> on_drift{};
};

// Where a watch stands.
struct WatchStatus {
  bool active = false;     // int8 is running, and is watched
  bool expecting = false;  // it knows what to expect: from a freeze's held-back frames, or, where
                           // there were none, from the first window
  size_t frames = 0;       // looked at since the watch began
  size_t windows = 0;      // judged
  size_t events = 0;       // windows with drift
  DriftReport last;        // of the last such window
  std::string problem;     // why the session did not calibrate itself when it should have
};

// How a block's scale and zero point are found.
enum class WeightRounding : uint8_t {
  max_abs,  // the levels reach the largest weight
  mse,      // least squared error
  hqq,      // half-quadratic quantization: least |error|^0.7 (Badri & Shaji, 2023)
};

// "max-abs", "mse", "hqq".
FIRN_API const char* rounding_name(WeightRounding rounding);
// invalid_argument lists the names there are.
FIRN_API Result<WeightRounding> rounding_from_name(const std::string& name);

// Weights alone, stored in few bits; activations stay floats, so that no data is needed. At run
// time SessionOptions::weights says whether they are made floats of once, or multiplied as they
// are.
struct WeightOptions {
  int bits = 4;    // 2 to 8, or 16: half precision
  int block = 32;  // weights that share a scale: a multiple of 32; 0: those of an output channel
  bool symmetric = false;  // all zero points 0; otherwise one a scale
  WeightRounding rounding = WeightRounding::hqq;
  // The least SQNR in dB that each output is to keep on the frames that a calibration held back.
  // In place of `bits`, `block` and the two below, each layer then has 2 to 8 bits and blocks of
  // its own, such that the file is small: of Session::quantize_weights() alone, as it takes frames.
  std::optional<double> min_sqnr_db{};
  // Convolutions' filters of up to so many weights, and any rows of fewer than 32, have these bits
  // instead, 2 to 8, where that is more, and a scale each: they are few weights, whose errors have
  // few others to cancel with. Most of a network's loss is there, and little of its size.
  int short_filter = 192;
  int short_row_bits = 8;
  // Layers that stay in float, as FreezeOptions::keep_float.
  std::vector<std::string> keep_float{};
  bool convolutions = true;  // false: convolutions stay in float
  // Recorded in the model: its sessions multiply in integers, activations quantized row by row as
  // they come, unless SessionOptions::weights says otherwise.
  bool dynamic = false;
};

// Dynamic quantization: int8 weights with a scale per output channel for fully connected, recurrent
// and embedding layers, which then multiply in integers. Convolutions stay in float.
FIRN_API WeightOptions dynamic_quantization();

// One layer that has weights.
struct WeightLayer {
  std::string name, op;
  int bits = 32;       // of a weight; 32: they stay floats ...
  std::string why;     // ... because "kept by pattern conv1*", "its weights are no constants"
  size_t block = 0;    // weights that share a scale; 0: none do
  double sqnr_db = 0;  // of the weights; +inf where equal
  bool bias_corrected = false;               // by means that a calibration measured
  size_t bytes_before = 0, bytes_after = 0;  // of the weights, with scales and zero points
};

struct WeightReport {
  std::vector<WeightLayer> layers;
  std::vector<OutputReport> outputs;         // on frames that a calibration held back; none without
  size_t bytes_before = 0, bytes_after = 0;  // of all constants
  double seconds = 0;
};

struct WeightModel {
  Model model;  // save() writes it
  WeightReport report;
};

// A copy of a float model with weights in few bits. invalid_argument: an option out of range, a
// pattern that matches no layer; failed_precondition: no layer has float weights; malformed: a
// weight is NaN or infinite.
FIRN_API Result<WeightModel> quantize_weights(const Model& model,
                                              const WeightOptions& options = {});

}  // namespace firn

#endif  // FIRN_QUANTIZE_H_
