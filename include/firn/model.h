// SPDX-License-Identifier: Apache-2.0
// A loaded network: immutable, cheap to copy, shared by any number of sessions on any threads.
#ifndef FIRN_MODEL_H_
#define FIRN_MODEL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "firn/export.h"
#include "firn/status.h"
#include "firn/tensor.h"

namespace firn {

struct ModelImpl;

// An input or output as the source model declares it: its name, layout and type. A dimension that
// the model leaves open is -1.
struct TensorInfo {
  std::string name;
  DType type = DType::f32;
  Shape shape;
  std::optional<Quant> quant;  // of an 8-bit input or output

  bool operator==(const TensorInfo&) const = default;
};

// What `firn info` prints. Counts are of the optimised graph, open dimensions taken as 1.
struct ModelInfo {
  std::string format;  // "onnx", "ncnn", "firn"
  std::vector<TensorInfo> inputs, outputs;
  std::vector<std::pair<std::string, int>> ops;  // operator and how often, most frequent first
  size_t parameters = 0;                         // elements of all constants
  size_t weight_bytes = 0;                       // bytes of all constants
  size_t macs = 0;                               // multiply-accumulates of one run
  // Layers that multiply by weights, by precision; i16: int8 weights and 16-bit activations.
  int layers_int8 = 0, layers_i16 = 0, layers_float = 0;
};

struct LoadOptions {
  // ncnn: makes weights up, the same ones every time, in place of the .bin. For timing.
  bool random_weights = false;
  // ncnn: shapes of inputs whose layers state none, as in {"data", {3, 227, 227}}; "" is any input.
  // Those left out have three open dimensions.
  std::vector<std::pair<std::string, Shape>> input_shapes{};
};

class FIRN_API Model {
 public:
  // Reads ONNX, ncnn (a .param, text or binary, whose weights are in the .bin of the same name) or
  // .firn, told apart by content. The file is mapped and stays so: a .firn file's weights are never
  // copied, and what importing another format makes of them is given back once a session has packed
  // it, and made again where it is needed: to freeze, to save, for other shapes or another
  // instruction set. Replace a file that is in use by renaming; do not write into it.
  // not_found, io_error, malformed (the file breaks its format), unsupported (names node and op).
  static Result<Model> load(const std::string& path, const LoadOptions& options = {});
  // The same from memory, which must outlive the model and all its sessions. ncnn's two parts are
  // parse_ncnn()'s.
  static Result<Model> parse(std::span<const std::byte> bytes, const LoadOptions& options = {});
  // An ncnn model whose parts have names of their own, or are in memory. Its inputs and outputs are
  // ncnn's blobs: f32, without a batch, channels first (c,h,w).
  static Result<Model> load_ncnn(const std::string& param, const std::string& bin,
                                 const LoadOptions& options = {});
  static Result<Model> parse_ncnn(std::span<const std::byte> param, std::span<const std::byte> bin,
                                  const LoadOptions& options = {});
  // The same for .firn alone: in static linking, no other format's parser comes along.
  static Result<Model> load_firn(const std::string& path);
  static Result<Model> parse_firn(std::span<const std::byte> bytes);

  ModelInfo info() const;
  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;

  // Writes the native .firn format: aside, synced, then renamed, so that a reader sees either the
  // old file or the whole new one. With a `weights_file`, a name without folders, the weights are
  // written to that file in the same folder, which load() then finds there.
  Status save(const std::string& path, const std::string& weights_file = {}) const;

  explicit Model(std::shared_ptr<const ModelImpl> impl) : impl_(std::move(impl)) {}
  const ModelImpl& impl() const { return *impl_; }
  const std::shared_ptr<const ModelImpl>& shared_impl() const { return impl_; }

 private:
  std::shared_ptr<const ModelImpl> impl_;
};

}  // namespace firn

#endif  // FIRN_MODEL_H_
