// SPDX-License-Identifier: Apache-2.0
// What a Model holds: how its graph is read, what was made of it, and what its users see.
#ifndef FIRN_RUNTIME_MODEL_IMPL_H_
#define FIRN_RUNTIME_MODEL_IMPL_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/graph.h"
#include "runtime/packed_weights.h"
#include "runtime/tail.h"

namespace firn {

// Reads the graph that a model is made of, the same one every time. Thread-safe.
using ReadGraph = std::function<Result<Graph>()>;

// What stands for open dimensions of inputs: the outermost (the batch), and all others.
struct OpenSizes {
  int32_t outermost, other;
};

// Constants that lie in a mapped file, or with the caller, take no memory. Those that importing
// made or passes computed do, beside what the kernels pack of them: once a session runs, the
// model's graph has no bytes of what was packed (see Releases), and who needs them imports the
// model again.
struct ModelImpl {
  // Checks the graph, optimises it for its start shapes (so that what cannot run is said at load).
  static Result<std::shared_ptr<const ModelImpl>> make(std::string format, ReadGraph read,
                                                       const MappedFile& file);

  ModelInfo info;
  bool int8_weights = false;                // the optimised graph multiplies by such
  std::vector<TensorInfo> inputs, outputs;  // the user's
  std::vector<TensorInfo> states;           // inputs of the graph behind those
  // One per input: its declared shape, with sizes that the model runs on for what it leaves open.
  // 1, unless the model needs more (a convolution without padding, a feature pyramid).
  std::vector<Shape> start_shapes;
  // How the network was cut; without its body.
  std::shared_ptr<const Cut> cut;
  // Of its constants, and of those of graphs made from it.
  std::shared_ptr<PackedWeights> packed;

  // The graph as imported, without what is in the cut's tail. What importing it says: io_error and
  // the like, where the files are no longer what they were.
  Result<Graph> imported() const;
  // Optimised for the start shapes, with all bytes. The same.
  Result<Graph> optimised() const;
  // Optimised for these shapes of its inputs, all known. The same.
  Result<Graph> optimised_for(std::span<const Shape> shapes) const;

  // For sessions whose inputs change their shapes: the imported graph stays in memory from now on.
  Status keep_imported() const;

  // The optimised graph with all bytes, for a session to pack them: it is nobody else's any more.
  // None where there is no memory to give back, or where that has been done. Called with `taking`
  // held until give(), so that a second session waits for what the first one packs.
  std::optional<Graph> take() const;
  mutable std::mutex taking;
  // A session was made for other shapes: the bytes go, until somebody needs them.
  void drop() const;
  // What sessions have left of it; null before that, and where it went wrong.
  std::shared_ptr<const Graph> graph() const;
  void give(std::shared_ptr<const Graph> graph) const;

 private:
  // Makes everything of the graph as read, open dimensions taken as `sizes`. `open`: there are
  // such.
  Status start(const OpenSizes& sizes, bool& open);
  void describe(std::string format, const Graph& graph);
  // Reads and checks.
  Result<Graph> read() const;
  // Constants have the ids of those that were read first.
  Result<Graph> read_again() const;
  // The optimised graph, where all of its bytes are there.
  std::optional<Graph> whole() const;

  ReadGraph read_;
  std::vector<uint64_t> ids_;  // per value that was read: of its constant; 0: it is none
  OpenSizes sizes_{1, 1};
  std::vector<Shape> declared_shapes_;  // of the inputs
  bool as_imported_ = false;            // the passes found nothing to do, shapes aside

  mutable std::mutex mutex_;
  mutable std::optional<Graph> fresh_;           // optimised, until a session takes it
  mutable std::shared_ptr<const Graph> graph_;   // optimised, what is left of it
  mutable std::shared_ptr<const Graph> source_;  // imported, once it was needed for other shapes
};

// `file` is the mapped one that the graph is read from. malformed; unsupported names node and
// operator.
Result<Model> make_model(std::string format, ReadGraph read, const MappedFile& file = {});
// Of a graph in memory.
Result<Model> make_model(std::string format, Graph graph);

}  // namespace firn

#endif  // FIRN_RUNTIME_MODEL_IMPL_H_
