// SPDX-License-Identifier: Apache-2.0
// fp32 operators on XNNPACK, one operator each, its shapes fixed at creation. XNNPACK's subgraph
// interface is used because its calls are the same in every release from 2022 on.
#ifndef FIRN_KERNELS_XNN_H_
#define FIRN_KERNELS_XNN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/gemm_s8.h"
#include "kernels/parallel.h"

struct xnn_runtime;

namespace firn::kernels {

// What XNNPACK reads behind the end of its inputs is within kReadSlack.
class XnnOp {
 public:
  // Every maker returns null where XNNPACK does not take the operator in that form; the caller then
  // computes it otherwise. Where memory is what it lacks, the operator says so: no_memory(). lo <
  // hi clamp the output; infinite where there is no clamp.
  struct Range {
    float lo, hi;
  };

  // Weights [groups * out_c][kernel_h][kernel_w][in_c]; pixel strides must be dense; bias may be
  // null. Both are packed at creation and not needed afterwards. pad_bottom, pad_right complete the
  // shape's padding.
  static std::unique_ptr<XnnOp> conv2d(const ConvShape& shape, int32_t pad_bottom,
                                       int32_t pad_right, const float* weights, const float* bias,
                                       Range clamp, const Pool& pool);
  // The shape is that of the transposed convolution: in_* is its (small) input. pad_* crops;
  // adjust_* adds rows and columns at the bottom and right.
  static std::unique_ptr<XnnOp> conv_transpose2d(const ConvShape& shape, int32_t pad_bottom,
                                                 int32_t pad_right, int32_t adjust_h,
                                                 int32_t adjust_w, const float* weights,
                                                 const float* bias, Range clamp, const Pool& pool);
  // x [rows, k], weights [n, k].
  static std::unique_ptr<XnnOp> dense(size_t rows, size_t k, size_t n, const float* weights,
                                      const float* bias, Range clamp, const Pool& pool);
  static std::unique_ptr<XnnOp> max_pool(const ConvShape& shape, int32_t pad_bottom,
                                         int32_t pad_right, const Pool& pool);
  // Padding does not count in the divisor.
  static std::unique_ptr<XnnOp> average_pool(const ConvShape& shape, int32_t pad_bottom,
                                             int32_t pad_right, const Pool& pool);
  // [batch, pixels, c] to [batch, c].
  static std::unique_ptr<XnnOp> global_average_pool(size_t batch, size_t pixels, size_t c,
                                                    const Pool& pool);
  enum class Binary : uint8_t { add, sub, mul, div, max, min };
  // Shapes broadcast as in NumPy.
  static std::unique_ptr<XnnOp> binary(Binary kind, std::span<const size_t> a,
                                       std::span<const size_t> b, std::span<const size_t> out,
                                       Range clamp, const Pool& pool);
  enum class Unary : uint8_t {
    clamp,
    sigmoid,
    hard_swish,
    elu,
    leaky_relu,
    abs,
    neg,
    floor,
    ceil,
    round,
    square,
    sqrt
  };
  // alpha: of elu and leaky_relu; clamp: of clamp.
  static std::unique_ptr<XnnOp> unary(Unary kind, size_t n, float alpha, Range clamp,
                                      const Pool& pool);
  // align_corners, else half-pixel centres.
  static std::unique_ptr<XnnOp> resize_bilinear(const ConvShape& shape, bool align_corners,
                                                const Pool& pool);

  ~XnnOp();
  XnnOp(const XnnOp&) = delete;
  XnnOp& operator=(const XnnOp&) = delete;

  // There was none to make it: it does not run.
  bool no_memory() const { return runtime_ == nullptr; }

  // Whether its work is worth more than the calling thread: see Pool::rest().
  bool uses_threads() const { return threads_; }

  // False where there is no memory to set it up for these places. Not reentrant; one pool, one
  // operator at a time.
  bool run(std::span<const float* const> in, float* out);

 private:
  class Builder;
  XnnOp() = default;

  xnn_runtime* runtime_ = nullptr;
  bool threads_ = false;
  std::unique_ptr<float[]> scratch_;  // weights in the order XNNPACK wants, where that is not ours
  std::array<const void*, 3> bound_{};  // inputs and output of the last set-up
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_XNN_H_
