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
  // [channels], real or, where x is quantized, int32 accumulators. Absent inputs pass.
  Status expect_bias(size_t i, int64_t channels) const;
  // The axis of a tensor of `rank` dimensions, counted from the front.
  Result<int> axis(int32_t axis, int rank) const;
  // A dimension of the output: malformed outside [0, 2^31).
  Result<int32_t> dimension(const char* what, int64_t size) const;
  // The values of a constant vector or scalar of i32 or i64; unsupported where it is not constant.
  Result<std::vector<int64_t>> constant_ints(size_t i) const;
};

// The type that the operator gives (f32 for whatever computes real numbers) and the shape.
struct Inferred {
  DType type = DType::f32;
  Shape shape;
};

// One rule an operator. infer() visits them: a missing one does not compile.
Result<Inferred> infer_op(const InferContext& c, const Conv2d& op);
Result<Inferred> infer_op(const InferContext& c, const ConvTranspose2d& op);
Result<Inferred> infer_op(const InferContext& c, const Dense& op);
Result<Inferred> infer_op(const InferContext& c, const MatMul& op);
Result<Inferred> infer_op(const InferContext& c, const Binary& op);
Result<Inferred> infer_op(const InferContext& c, const Unary& op);
Result<Inferred> infer_op(const InferContext& c, const PRelu& op);
Result<Inferred> infer_op(const InferContext& c, const Pool2d& op);
Result<Inferred> infer_op(const InferContext& c, const Reduce& op);
Result<Inferred> infer_op(const InferContext& c, const Softmax& op);
Result<Inferred> infer_op(const InferContext& c, const Concat& op);
Result<Inferred> infer_op(const InferContext& c, const Slice& op);
Result<Inferred> infer_op(const InferContext& c, const Pad& op);
Result<Inferred> infer_op(const InferContext& c, const Reshape& op);
Result<Inferred> infer_op(const InferContext& c, const Transpose& op);
Result<Inferred> infer_op(const InferContext& c, const Resize2d& op);
Result<Inferred> infer_op(const InferContext& c, const LocalResponseNorm& op);
Result<Inferred> infer_op(const InferContext& c, const InstanceNorm& op);
Result<Inferred> infer_op(const InferContext& c, const DepthToSpace& op);
Result<Inferred> infer_op(const InferContext& c, const Gather& op);
Result<Inferred> infer_op(const InferContext& c, const ShapeOf& op);
Result<Inferred> infer_op(const InferContext& c, const Expand& op);
Result<Inferred> infer_op(const InferContext& c, const Fill& op);
Result<Inferred> infer_op(const InferContext& c, const Range& op);
Result<Inferred> infer_op(const InferContext& c, const Where& op);
Result<Inferred> infer_op(const InferContext& c, const ArgMax& op);
Result<Inferred> infer_op(const InferContext& c, const Convert& op);

}  // namespace firn

#endif  // FIRN_RUNTIME_INFER_CONTEXT_H_
