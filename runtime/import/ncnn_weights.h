// SPDX-License-Identifier: Apache-2.0
// The weights of an ncnn model: read from its .bin one after another, or made up.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_WEIGHTS_H_
#define FIRN_RUNTIME_IMPORT_NCNN_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/graph.h"

namespace firn::ncnn {

// What made-up weights are drawn from, evenly: such that activations neither grow nor vanish.
struct Spread {
  float lo = 0, hi = 0;
  // Of weights that sum over `inputs` values (He et al., 2015).
  static Spread of_weights(size_t inputs);
  static Spread of_biases() { return {-0.05f, 0.05f}; }
  static Spread of_factors() { return {0.9f, 1.1f}; }
};

class WeightReader {
 public:
  // Constants view `bytes` where their alignment allows; `owner` keeps those alive.
  WeightReader(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}
  // Makes weights up, the same ones every time.
  static WeightReader made_up();

  // The next constant, nameless: plain f32, ...
  Result<Value> read(const Shape& shape, Spread spread);
  // ... or as a tag in front says: f32, f16, or indices into a table, all of which become f32; or
  // i8, which stays so.
  Result<Value> read_tagged(const Shape& shape, Spread spread);
  // malformed where bytes are left over.
  Status finish() const;

 private:
  Result<std::span<const std::byte>> take(size_t bytes);
  Result<Value> make_up(const Shape& shape, Spread spread);
  Result<Value> view_or_copy(std::span<const std::byte> bytes, DType type, const Shape& shape);

  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  size_t position_ = 0;
  bool made_up_ = false;
  uint64_t state_ = 0;  // of the generator
  size_t made_up_bytes_ = 0;
};

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_WEIGHTS_H_
