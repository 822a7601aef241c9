// SPDX-License-Identifier: Apache-2.0
// A running network: fp32 at first, calibrating while it runs, int8 once frozen.
#ifndef FIRN_SESSION_H_
#define FIRN_SESSION_H_

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firn/export.h"
#include "firn/model.h"
#include "firn/quantize.h"
#include "firn/status.h"
#include "firn/tensor.h"

namespace firn {

struct SessionImpl;

// How layers multiply by weights that are stored in few bits (quantize_weights()).
enum class WeightUse : uint8_t {
  automatic,  // as the model says: integers after dynamic quantization, else floats
  floats,     // made floats of when the session is created: a small file, the speed of fp32
  // Multiplied as they are by activations that are quantized to int8 as they come, with a scale a
  // row: a small file, small memory, more speed. Depthwise convolutions still use floats.
  integers,
};

struct SessionOptions {
  int threads = 1;  // at most; they block when idle
  // The kernels' instruction set: "scalar"; "avx2", "avxvnni", "avx512vnni", "amxint8"; "neon",
  // "neondot", "neoni8mm"; "" is the best this machine has. invalid_argument where the machine
  // lacks it. The answers are the same bits.
  std::string isa{};
  // Shapes for inputs whose model leaves dimensions open; others start with 1 there.
  std::vector<std::pair<std::string, Shape>> input_shapes{};
  // What a model keeps from one run for the next (TFLite's variable tensors: the state of a
  // recurrent layer): kept, for streams, until reset(); otherwise every run starts from zero.
  bool keep_state = false;
  WeightUse weights = WeightUse::automatic;
};

// What a session spends; see also bench.
struct MemoryUse {
  size_t arena_bytes = 0;   // intermediate tensors
  size_t weight_bytes = 0;  // constants, as the kernels read them
  // Those of them that other sessions of the model read, too, and that exist once for all of them:
  // int8 weights. (XNNPACK packs float ones for each session.)
  size_t shared_weight_bytes = 0;
};

// One step of a profiled run.
struct StepProfile {
  std::string name;    // of the node, or nodes, it computes
  std::string op;      // "Conv2d"
  std::string shape;   // of its first output
  std::string kernel;  // "gemm_s8_avx512vnni", "xnnpack", "reference"
  Precision precision = Precision::f32;
  double ms = 0;  // median over the profiled runs
};

// Where the results of runs go. An output that is bound is written to the caller's memory; the
// others are views of the session's, good until its next run.
class FIRN_API Outputs {
 public:
  // From the next run on: the output `name` is written to `tensor`, whose type and shape must be
  // the output's (f32 is also taken for a quantized one).
  void bind(const std::string& name, const Tensor& tensor);

  // All outputs of the last run, in the model's order.
  std::span<const NamedTensor> all() const { return tensors_; }
  // The output of that name; a Tensor without data where there is none.
  Tensor operator[](std::string_view name) const;

 private:
  friend struct SessionImpl;
  std::vector<NamedTensor> tensors_, bound_;
};

enum class State : uint8_t { fp32, calibrating, freezing, frozen };

// Thread-safety: every member may be called from any thread at any time; runs of one session follow
// one another (use one session per thread to run in parallel). freeze() computes beside runs and
// switches between two of them: no run waits for it longer than for another run.
class FIRN_API Session {
 public:
  // Plans, packs and warms up: the first run is as fast as the later ones.
  static Result<Session> create(const Model& model, const SessionOptions& options = {});

  // Computes the outputs. Inputs are given by name, all of them, in the model's type (f32, u8, i8,
  // ...); int8 and uint8 tensors are also taken where the model wants floats (their values then
  // count as plain numbers), and floats where it wants quantized values. A shape that differs from
  // the last run's re-plans the session.
  // invalid_argument names the input, the expected and the given shape or type.
  Status run(std::span<const NamedTensor> inputs, Outputs& outputs);
  Status run(std::initializer_list<NamedTensor> inputs, Outputs& outputs);

  // The state that runs keep (SessionOptions::keep_state) becomes zero again.
  void reset();

  // From here on run() also observes; its answers stay fp32. Starts afresh where a calibration is
  // under way. failed_precondition for a frozen session or one without float weights.
  Status calibrate(const CalibrateOptions& options = {});
  CalibrationStatus calibration() const;
  // What was observed so far, as a file: counts, not frames, some hundred kilobytes. Held-back
  // frames are not in it. See also merge_calibrations().
  Status save_calibration(const std::string& path) const;
  // Goes on from such a file, in place of calibrate(). failed_precondition: it is another model's,
  // or of other input shapes; malformed: damaged.
  Status load_calibration(const std::string& path, const CalibrateOptions& options = {});
  // Ranges as text, a line a tensor, to be read and edited. In ncnn's format ranges become
  // symmetric; unsupported: a layer's name has a space.
  Status save_table(const std::string& path, TableFormat format = TableFormat::firn) const;
  // Calibrates from such a file, of either format, instead of frames; the last of the frames that
  // follow are held back to verify the freeze. A # in front of a line keeps its layer, or what
  // needs its range, in float. malformed names the line. failed_precondition: it is another
  // model's.
  Status load_table(const std::string& path);
  // Calibrates from a quantized model of the same network, QDQ ONNX or int8 TFLite: its scales,
  // wherever names match, apart from what converters hang on. What has none stays in float.
  // failed_precondition: nothing matches.
  Status load_scales(const Model& quantized);

  // Quantizes what was observed, leaves in float what is faster so, verifies on the held-back
  // frames and switches to int8. failed_precondition before calibrate() or without frames; refused,
  // with the numbers, where FreezeOptions::min_sqnr_db does not hold or int8 is slower than fp32
  // (FreezeOptions::timed). The session then goes on as before.
  Result<FreezeReport> freeze(const FreezeOptions& options = {});
  // Back to fp32. failed_precondition where the float weights are gone or nothing was frozen.
  Status thaw();

  // Watches int8 runs from here on, those of a later freeze, too: every so many frames it measures
  // how far values fill their ranges, and compares that with the frames that the freeze held back.
  // Watching anew starts afresh. invalid_argument names an option that makes no sense.
  Status watch(const WatchOptions& options = {});
  void stop_watching();
  WatchStatus watching() const;

  // firn::quantize_weights() of the session's model. Where the session calibrates, the biases of
  // convolutions and fully connected layers make up for what weights of few bits do to their mean
  // outputs, by the means that the frames had: with 4 bits or fewer that is most of the loss. The
  // session goes on as before. failed_precondition where the float weights are gone.
  Result<WeightModel> quantize_weights(const WeightOptions& options = {}) const;

  // Writes the graph as it runs now, int8 or fp32, as .firn; see Model::save().
  Status save(const std::string& path, const std::string& weights_file = {}) const;

  State state() const;
  // The inputs and outputs with the shapes of the current plan.
  std::vector<TensorInfo> inputs() const;
  std::vector<TensorInfo> outputs() const;
  MemoryUse memory() const;
  std::string isa() const;  // the rung in use
  int threads() const;
  // Runs `runs` times on zeros and times every step.
  Result<std::vector<StepProfile>> profile(int runs = 10);

  explicit Session(std::shared_ptr<SessionImpl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<SessionImpl> impl_;
};

}  // namespace firn

#endif  // FIRN_SESSION_H_
