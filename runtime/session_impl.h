// SPDX-License-Identifier: Apache-2.0
// What a Session holds, for the runtime and for the quantizer that rides on its runs.
#ifndef FIRN_RUNTIME_SESSION_IMPL_H_
#define FIRN_RUNTIME_SESSION_IMPL_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "firn/session.h"
#include "runtime/frozen_graph.h"
#include "runtime/model_impl.h"
#include "runtime/program.h"

namespace firn {

// What a calibration or a watch hangs onto the runs of a session. Called with the run mutex held.
struct Tap {
  // Before the first step. The program may be another one than at the last run.
  std::function<void(const Program&)> begin;
  Program::Hook step;
  // After a run that succeeded.
  std::function<void(const Program&, std::span<const Tensor> inputs)> end;
};

struct SessionImpl {
  SessionImpl() = default;
  // Waits for the threads of the quantizer.
  ~SessionImpl();

  SessionOptions options;
  std::vector<TensorInfo> inputs, outputs;  // the model's
  std::vector<TensorInfo> states;           // the model's
  std::shared_ptr<const Cut> cut;           // the model's
  std::shared_ptr<PackedWeights> packed;    // the model's
  kernels::Isa isa = kernels::Isa::scalar;
  std::atomic<State> state{State::fp32};

  // Held by calibrate(), freeze(), thaw() and the like, one at a time. Taken before run_mutex.
  std::mutex control_mutex;

  // Held during a run, and for moments by who changes what a run sees. Guards all below.
  mutable std::mutex run_mutex;
  std::unique_ptr<kernels::Pool> pool;
  std::shared_ptr<const ModelImpl> model;  // null once a freeze gave the float weights up
  std::shared_ptr<Program> program;
  // What the last run's outputs lie in, where a program that is gone has made them.
  std::vector<std::shared_ptr<const Buffer>> retired;
  // What freeze() made; null while the model's own graph runs.
  std::shared_ptr<const FrozenGraph> frozen;
  std::shared_ptr<Tap> tap;
  std::vector<std::vector<std::byte>> staging;  // inputs converted to the model's type
  std::unique_ptr<TailRun> tail;                // null where the model has none
  std::vector<std::vector<std::byte>> carried;  // one per state

  // The quantizer's own state.
  std::shared_ptr<void> calibration, watch;

  // How this session compiles a graph.
  CompileOptions compile_options(const Graph& graph) const;
  // Compiles so and warms up.
  Result<std::shared_ptr<Program>> compile(std::shared_ptr<const Graph> graph,
                                           kernels::Pool& on) const;
  // The same of a graph that is nobody else's, whose memory goes as its weights are packed.
  Result<std::shared_ptr<Program>> compile(Graph graph, kernels::Pool& on) const;
  // The same of the model's, for its start shapes.
  Result<std::shared_ptr<Program>> compile_model() const;
  // What runs, with all of its bytes. Takes the run mutex, for a moment.
  Result<std::shared_ptr<const Graph>> running_graph() const;
  // The running program's input shapes. Takes the run mutex.
  std::vector<Shape> shapes() const;
  // Switches between two runs; `next_tap` observes the new program. Takes the run mutex, for a
  // moment.
  void adopt(std::shared_ptr<Program> next, std::shared_ptr<const FrozenGraph> frozen_graph,
             State now, std::shared_ptr<Tap> next_tap = nullptr);
  // Back to the model's own graph. The control mutex is held.
  Status thaw();
  // What save() writes: the frozen graph, or the model's, with its tail. Takes the run mutex, for a
  // moment.
  Result<Graph> current_graph() const;

  Status run(std::span<const NamedTensor> inputs, Outputs& outputs);
  // States become zero. The run mutex is held.
  void reset_states();

 private:
  static Result<std::shared_ptr<Program>> warmed_up(Result<std::unique_ptr<Program>> compiled,
                                                    kernels::Pool& on);
  // As it is now; the model is null where there is none any more.
  struct Running {
    std::shared_ptr<const Graph> graph;
    std::shared_ptr<const FrozenGraph> frozen;
    std::shared_ptr<const ModelImpl> model;
  };
  Running running() const;
  // The program for other input shapes. The run mutex is held.
  Result<std::shared_ptr<Program>> compile_for(std::span<const Shape> shapes);
  Status bind_inputs(std::span<const NamedTensor> inputs, std::vector<Tensor>& bound);
  Status run_tail(std::span<const Tensor> bound);
  // An output of the model after a run, and how it is quantized.
  struct Output {
    Tensor tensor;
    const std::optional<Quant>& quant;
  };
  Output output(size_t i) const;
  void carry_states();
  Status hand_out(Outputs& outputs) const;
};

// The shapes of a graph's inputs, in order.
std::vector<Shape> input_shapes(const Graph& graph);

// Zeros for every input; they must stay until the run has ended.
Result<std::vector<std::shared_ptr<const Buffer>>> bind_zeros(Program& program);

}  // namespace firn

#endif  // FIRN_RUNTIME_SESSION_IMPL_H_
