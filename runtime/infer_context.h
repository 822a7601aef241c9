// SPDX-License-Identifier: Apache-2.0
// What the shape rules of the operators are written in: a node's inputs, and errors that name it.
#ifndef FIRN_RUNTIME_INFER_CONTEXT_H_
#define FIRN_RUNTIME_INFER_CONTEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/graph.h"

namespace firn {

struct InferContext {
  const Graph& graph;
  const Node& node;

  // Null where an optional input is left out.
  const Value* in(size_t i) const;
  const Shape& shape(size_t i) const { return in(i)->shape; }
  const std::string& name(size_t i) const { return in(i)->name; }

  // "conv_12: weight channels 32, input has 24".
  Status malformed(const std::string& what) const;
  // "conv_12 (Conv2d): input x is i64, ...".
  Status unsupported(const std::string& what) const;

  // Between `least` and `most` inputs, the first `least` present, the shapes of all known.
  Status expect_inputs(size_t least, size_t most) const;
  Status expect_rank(size_t i, int rank) const;
  // f32, or quantized: what computations on real numbers take. Absent inputs pass.
  Status expect_real(size_t i) const;
  // Real, or a constant of f16. Absent inputs pass.
  Status expect_weights(size_t i) const;
  // [channels], real or, where x is quantized, int32 accumulators. Absent inputs pass.
  Status expect_bias(size_t i, int64_t channels) const;
  // The axis of a tensor of `rank` dimensions, counted from the front.
  Result<int> axis(int32_t axis, int rank) const;
  // A dimension of the output: malformed outside [0, 2^31).
  Result<int32_t> dimension(const char* what, int64_t size) const;
  // malformed where there are too many dimensions, or one is negative or too large.
  Result<Shape> shape_from(const std::vector<int64_t>& dims) const;
  // i64 or i32.
  Status expect_indices(size_t i) const;
  // The values of a constant vector or scalar of i32 or i64; unsupported where it is not constant.
  Result<std::vector<int64_t>> constant_ints(size_t i) const;
  Result<std::vector<float>> constant_floats(size_t i) const;
  // A constant's memory, which is as large as its shape says; to be read only.
  Result<Tensor> constant_tensor(size_t i) const;
  // The one number of a constant of any plain type.
  Result<float> constant_number(size_t i) const;
};

// The type that the operator gives (f32 for whatever computes real numbers) and the shape.
struct Inferred {
  DType type = DType::f32;
  Shape shape;
};

// One rule an operator, for its one output or for all of them; a missing one does not link.
#define FIRN_DECLARE(name) Result<Inferred> infer_op(const InferContext& c, const name& op);
FIRN_SINGLE_OUTPUT_OPS(FIRN_DECLARE)
#undef FIRN_DECLARE
Result<std::vector<Inferred>> infer_op(const InferContext& c, const TopK& op);
Result<std::vector<Inferred>> infer_op(const InferContext& c, const Recurrent& op);
Result<std::vector<Inferred>> infer_op(const InferContext& c, const DetectionPostProcess& op);

}  // namespace firn

#endif  // FIRN_RUNTIME_INFER_CONTEXT_H_
