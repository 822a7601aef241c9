// SPDX-License-Identifier: Apache-2.0
// Packs weights of few bits and splits products over rows and columns.
#include "runtime/lower/weight_product.h"

#include <algorithm>

#include "runtime/packed.h"

namespace firn {
namespace {

using kernels::WeightShape;

// Rows that are quantized before their products: enough to make unpacking the weights cheap, few
// enough to stay in the second-level cache.
constexpr size_t kRowsAtOnce = 96;

// The kernels' blocks: the largest that the weights' own are a multiple of. A row of one scale is
// blocks that share it.
size_t kernel_block(const ScaleLayout& layout, size_t k) {
  if (layout.blocks == 1 && layout.block >= k) return kernels::kWnLongestBlock;
  for (size_t block = kernels::kWnLongestBlock; block > kernels::kWnGroup; block /= 2)
    if (layout.block % block == 0) return block;
  return layout.block % kernels::kWnGroup == 0 ? kernels::kWnGroup : 0;
}

}  // namespace

bool takes_integer_product(const Value& weights, const WeightColumns& columns) {
  if (weights.constant == nullptr || weights.type != DType::i8 || !weights.quant) return false;
  const ScaleLayout layout = scale_layout(*weights.quant, weights.shape);
  // A scale for the whole tensor is one for each row.
  const bool rows = layout.length == columns.k || weights.quant->per_tensor();
  return rows && columns.k >= kernels::kWnGroup && columns.k <= size_t{INT32_MAX} / 2 &&
         kernel_block(layout, columns.k) != 0;
}

Result<std::unique_ptr<WeightProduct>> WeightProduct::create(
    const Value& weights, const WeightColumns& columns, std::span<const float> bias, float lo,
    float hi, size_t rows, const kernels::GemmWN& kernel, int threads) {
  const Quant& quant = *weights.quant;
  const ScaleLayout layout = scale_layout(quant, weights.shape);
  WeightShape shape;
  shape.n = columns.n;
  shape.k = columns.k;
  shape.bits = quant.bits;
  shape.block = kernel_block(layout, columns.k);
  shape.zeros = std::ranges::any_of(quant.zero, [](int32_t z) { return z != 0; });
  std::unique_ptr<WeightProduct> product(new WeightProduct(shape, kernel));

  std::vector<int8_t> q(columns.n * columns.k);
  unpack_bits(weights.constant->bytes(), quant.bits, columns.first * columns.k, q);
  const size_t blocks = kernels::wn_blocks(shape);
  std::vector<float> scale(columns.n * blocks);
  std::vector<int32_t> zero(columns.n * blocks);
  for (size_t c = 0; c < columns.n; ++c) {
    for (size_t b = 0; b < blocks; ++b) {
      const size_t s = quant.per_tensor() ? 0 : layout.scale_of(columns.first + c, b * shape.block);
      scale[c * blocks + b] = quant.scale[s];
      zero[c * blocks + b] = quant.zero[s];
    }
  }
  FIRN_ASSIGN(auto packed,
              Buffer::allocate(kernels::wn_panels(shape) * kernels::wn_panel_bytes(shape)));
  kernels::pack_wn(shape, q.data(), scale.data(), zero.data(), packed.second.data());
  product->packed_ = std::move(packed.first);
  product->bias_.assign(bias.begin(), bias.end());
  product->lo_ = lo;
  product->hi_ = hi;

  const size_t at_once = std::min(rows, kRowsAtOnce);
  const auto allocate = [&]<typename T>(size_t count, std::span<T>& span) -> Status {
    FIRN_ASSIGN(auto memory, Buffer::allocate(count * sizeof(T)));
    span = {reinterpret_cast<T*>(memory.second.data()), count};
    product->memory_.push_back(std::move(memory.first));
    return {};
  };
  // Below as many rows all threads share those of the first.
  const size_t scratches = rows > kRowsAtOnce ? static_cast<size_t>(threads) : 1;
  for (size_t t = 0; t < scratches; ++t) {
    Scratch& scratch = product->scratch_.emplace_back();
    FIRN_TRY(allocate(at_once * kernels::wn_row_bytes(shape), scratch.q));
    FIRN_TRY(allocate(at_once * blocks, scratch.sums));
    FIRN_TRY(allocate(at_once, scratch.scale));
    FIRN_TRY(allocate(shape.k, scratch.row));
  }
  return product;
}

// Rows [first, first + count) to places `at` on.
void WeightProduct::quantize(GatherRow gather, const void* context, size_t first, size_t count,
                             size_t at, const Scratch& scratch) const {
  for (size_t r = 0; r < count; ++r) {
    const float* x = gather(context, first + r, scratch.row.data());
    const size_t to = at + r;
    kernel_.quantize_row(
        shape_, x,
        {scratch.q.data() + to * kernels::wn_row_bytes(shape_),
         scratch.sums.data() + to * kernels::wn_blocks(shape_), scratch.scale.data() + to});
  }
}

void WeightProduct::multiply(const Scratch& scratch, size_t count, float* y, ptrdiff_t y_stride,
                             size_t begin, size_t end) const {
  kernels::GemmWNArgs args;
  args.packed = packed_->bytes().data();
  args.q = scratch.q.data();
  args.sums = scratch.sums.data();
  args.scale = scratch.scale.data();
  args.rows = count;
  args.bias = bias_.empty() ? nullptr : bias_.data();
  args.lo = lo_;
  args.hi = hi_;
  args.y = y;
  args.y_stride = y_stride;
  kernel_.run(shape_, args, begin, end);
}

size_t WeightProduct::scratch_bytes() const {
  size_t bytes = 0;
  for (const auto& memory : memory_) bytes += memory->bytes().size();
  return bytes;
}

double WeightProduct::nanoseconds(size_t rows) const {
  constexpr double kMacsPerNs = 100;
  return static_cast<double>(rows * shape_.n) * static_cast<double>(shape_.k) / kMacsPerNs;
}

void WeightProduct::run(size_t rows, GatherRow gather, const void* context, float* y,
                        ptrdiff_t y_stride, kernels::Pool& pool) {
  const size_t panels = kernels::wn_panels(shape_);
  if (rows <= kRowsAtOnce) {
    const Scratch& scratch = scratch_[0];
    quantize(gather, context, 0, rows, 0, scratch);
    pool.parallel_work(panels, nanoseconds(rows), [&](size_t begin, size_t end) {
      multiply(scratch, rows, y, y_stride, begin, end);
    });
    return;
  }
  const size_t parts = (rows + kRowsAtOnce - 1) / kRowsAtOnce;
  pool.parallel_for(parts, 1, [&](size_t begin, size_t end, size_t thread) {
    const Scratch& scratch = scratch_[thread];
    for (size_t first = begin * kRowsAtOnce; first < std::min(rows, end * kRowsAtOnce);
         first += kRowsAtOnce) {
      const size_t count = std::min(kRowsAtOnce, rows - first);
      quantize(gather, context, first, count, 0, scratch);
      multiply(scratch, count, y + static_cast<ptrdiff_t>(first) * y_stride, y_stride, 0, panels);
    }
  });
}

}  // namespace firn
