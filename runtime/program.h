// SPDX-License-Identifier: Apache-2.0
// A graph made ready to run for one set of shapes: steps with their kernels picked and weights
// packed, and the memory they share.
#ifndef FIRN_RUNTIME_PROGRAM_H_
#define FIRN_RUNTIME_PROGRAM_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "firn/session.h"
#include "kernels/isa.h"
#include "kernels/parallel.h"
#include "runtime/graph.h"
#include "runtime/packed_weights.h"

namespace firn {

// What a step sees while it runs: where each value lies.
struct Frame {
  void* const* slot;
  kernels::Pool& pool;
  std::byte* scratch = nullptr;  // LoweredStep::scratch_bytes, aligned as the arena is
  // Packed weights of a step to come: to be brought into a cache meanwhile, if there is time.
  std::span<const std::byte> ahead;

  template <typename T>
  T* at(ValueId id) const {
    return static_cast<T*>(slot[index(id)]);
  }
};

// The one virtual interface: computes its outputs from its inputs, without allocating.
struct Step {
  virtual ~Step() = default;
  virtual Status run(const Frame& frame) = 0;
};

// A step and what the planner and the profiler need to know of it.
struct LoweredStep {
  std::unique_ptr<Step> step;
  std::string name;    // of the node or nodes
  std::string op;      // as op_name()
  std::string kernel;  // "gemm_s8_avx2", "xnnpack", ...
  Precision precision = Precision::f32;
  std::vector<ValueId> reads, writes;
  // It reads no byte behind its inputs' ends, so that they may be the caller's own memory.
  bool exact_reads = false;
  size_t weight_bytes = 0;
  std::shared_ptr<const PackedLayer> packed;  // the part of them that other programs may read, too
  // Computes each element from those at the same place, so that it may write where it reads.
  bool in_place = false;
  size_t scratch_bytes = 0;  // what it needs while it runs, beside its inputs and outputs
  // What it takes one thread, roughly, of the work that the pool's threads share.
  double shared_ns = 0;
  // XNNPACK shares its work between the pool's threads.
  bool xnn_threads = false;
};

// Where a value lies inside another one: a reshaped view, or a channel range of a concatenation.
struct Placement {
  ValueId parent = ValueId::none;
  size_t offset_bytes = 0;
  int32_t pixel_stride = 0;  // elements between pixels; 0: dense
};

struct CompileOptions {
  kernels::IsaMask isa = kernels::bit(kernels::Isa::scalar);
  std::shared_ptr<PackedWeights> packed;  // null: shared with nobody
  // Whether weights of few bits are multiplied as they are; otherwise floats are made of them.
  bool integer_weights = false;
};

class Program {
 public:
  // Shapes of the graph are known and inferred. `pool` is the one that run() will be given.
  // failed_precondition: bytes of the graph's constants were given back, and are not packed
  // anywhere for what is to be compiled.
  static Result<std::unique_ptr<Program>> compile(std::shared_ptr<const Graph> graph,
                                                  const CompileOptions& options,
                                                  kernels::Pool& pool);
  // The same of a graph that is the program's alone: as layers pack their weights, it gives the
  // memory of the constants back.
  static Result<std::unique_ptr<Program>> compile(Graph graph, const CompileOptions& options,
                                                  kernels::Pool& pool);

  // Called after each step with its index; intermediate values are still there.
  using Hook = std::function<void(const Program&, size_t step)>;

  // Where the caller's input is read: its own memory if every reader keeps to its bytes, otherwise
  // it is copied. `data` must stay until run() returns.
  void bind_input(size_t i, const void* data);
  Status run(kernels::Pool& pool, const Hook* hook = nullptr);

  const Graph& graph() const { return *graph_; }
  std::shared_ptr<const Graph> shared_graph() const { return graph_; }
  std::span<const LoweredStep> steps() const { return steps_; }
  // A value while it is alive, its bytes as is_unsigned() says; outputs until the next run.
  const void* data(ValueId id) const { return slots_[index(id)]; }
  // Whether bytes of an int8 value that is no output are values + 128.
  bool is_unsigned(ValueId id) const { return is_unsigned_[index(id)]; }
  // Elements from one pixel (all of the last dimension) to the next: its size where the value is
  // dense, more where it lies inside another one.
  size_t pixel_stride(ValueId id) const;
  // The same as plain floats, dequantized and dense. The span has the value's element count.
  void read_float(ValueId id, std::span<float> out) const;
  MemoryUse memory() const;
  // What outputs lie in, but for the caller's own memory: they can be read while it is held.
  std::vector<std::shared_ptr<const Buffer>> output_memory() const;

 private:
  Program() = default;
  static Result<std::unique_ptr<Program>> compile(std::shared_ptr<const Graph> graph, Graph* own,
                                                  const CompileOptions& options,
                                                  kernels::Pool& pool);
  void work_in_place();
  Status plan();
  // Steps that run with the same threads: those of XNNPACK or the pool's, with steps between that
  // need none.
  struct Stretch {
    size_t begin, end;
    bool xnn_threads;
    bool shared;  // there is enough work to wake the pool's workers up for
  };
  void find_stretches();
  void find_weights_ahead();
  Status run(const Stretch& stretch, kernels::Pool& pool, const Hook* hook);
  // What a value lies in, in the end.
  ValueId root(ValueId id) const;
  void place(ValueId id, void* data);

  std::shared_ptr<const Graph> graph_;
  std::vector<LoweredStep> steps_;
  std::vector<Stretch> stretches_;
  std::unique_ptr<kernels::Pool> alone_;      // of one thread
  std::vector<Placement> placement_;          // per value
  std::vector<bool> is_unsigned_;             // per value
  std::vector<std::vector<ValueId>> inside_;  // per value: what is placed in it
  std::vector<bool> staged_input_;            // per graph input: copied
  std::vector<std::shared_ptr<const Buffer>> owned_;
  std::span<std::byte> arena_;
  std::vector<void*> slots_;
  std::vector<std::byte*> scratch_;                // per step
  std::vector<std::span<const std::byte>> ahead_;  // per step, as in Frame
};

}  // namespace firn

#endif  // FIRN_RUNTIME_PROGRAM_H_
