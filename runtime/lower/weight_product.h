// SPDX-License-Identifier: Apache-2.0
// Rows of floats times weights that stay in few bits: each row is quantized as it comes, the
// product runs in integers (kernels/gemm_wn.h).
#ifndef FIRN_RUNTIME_LOWER_WEIGHT_PRODUCT_H_
#define FIRN_RUNTIME_LOWER_WEIGHT_PRODUCT_H_

#include <memory>
#include <span>
#include <vector>

#include "kernels/gemm_wn.h"
#include "kernels/parallel.h"
#include "runtime/graph.h"

namespace firn {

// Columns of a product: rows [first, first + n) of a constant's, as its scales cut it, of k
// weights.
struct WeightColumns {
  size_t first = 0, n = 0, k = 0;
};

// Whether a product can run in integers: i8 of any bits, rows of at least a group of weights, with
// one scale each or blocks in multiples of 32.
bool takes_integer_product(const Value& weights, const WeightColumns& columns);

class WeightProduct {
 public:
  // `bias`: columns.n, or none. At most `rows` at once. The weights take_integer_product().
  static Result<std::unique_ptr<WeightProduct>> create(const Value& weights,
                                                       const WeightColumns& columns,
                                                       std::span<const float> bias, float lo,
                                                       float hi, size_t rows,
                                                       const kernels::GemmWN& kernel, int threads);

  // y[r] = row r times the weights, rows of y `y_stride` apart. gather(r, buffer) returns row r, in
  // its own place or put into the buffer of k floats; from any thread.
  template <typename Gather>
  void run(size_t rows, const Gather& gather, float* y, ptrdiff_t y_stride, kernels::Pool& pool) {
    const auto call = [](const void* g, size_t row, float* buffer) {
      return (*static_cast<const Gather*>(g))(row, buffer);
    };
    run(rows, call, &gather, y, y_stride, pool);
  }

  const char* kernel_name() const { return kernel_.name; }
  size_t weight_bytes() const { return packed_->bytes().size() + bias_.size() * sizeof(float); }
  size_t scratch_bytes() const;
  // Roughly, of one thread.
  double nanoseconds(size_t rows) const;

 private:
  using GatherRow = const float* (*)(const void* context, size_t row, float* buffer);

  WeightProduct(const kernels::WeightShape& shape, const kernels::GemmWN& kernel)
      : shape_(shape), kernel_(kernel) {}
  void run(size_t rows, GatherRow gather, const void* context, float* y, ptrdiff_t y_stride,
           kernels::Pool& pool);
  // A thread's own: rows that are quantized, and one that is gathered.
  struct Scratch {
    std::span<int8_t> q;
    std::span<int32_t> sums;
    std::span<float> scale, row;
  };
  void quantize(GatherRow gather, const void* context, size_t first, size_t count, size_t at,
                const Scratch& scratch) const;
  void multiply(const Scratch& scratch, size_t count, float* y, ptrdiff_t y_stride, size_t begin,
                size_t end) const;

  const kernels::WeightShape shape_;
  const kernels::GemmWN& kernel_;
  std::shared_ptr<const Buffer> packed_;
  std::vector<float> bias_;
  float lo_ = 0, hi_ = 0;
  std::vector<std::shared_ptr<const Buffer>> memory_;
  std::vector<Scratch> scratch_;  // one a thread
};

}  // namespace firn

#endif  // FIRN_RUNTIME_LOWER_WEIGHT_PRODUCT_H_
