// SPDX-License-Identifier: Apache-2.0
// Products of two float tensors that are both made at run time. Transposes of the operands are not
// computed: their elements are read where they lie.
#include <algorithm>

#include "kernels/gemm_f32.h"
#include "runtime/geometry.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

using kernels::GemmF32;

bool takes_product(const LowerContext& context, const Node& node) {
  const auto is_f32 = [&](ValueId id) { return is_plain(context.value(id), DType::f32); };
  return std::holds_alternative<MatMul>(node.op) && std::ranges::all_of(node.in, is_f32) &&
         is_f32(node.out[0]) && kernels_take(context.graph, node);
}

// An operand: where its elements are, and how far apart in each of its dimensions.
struct Operand {
  ValueId from;
  Strides strides;
};

Operand operand(const LowerContext& context, ValueId id) {
  const int producer = context.uses.producer_of(id);
  if (producer >= 0) {
    const Node& node = context.graph.nodes[static_cast<size_t>(producer)];
    if (folds_into_products(context, node)) {
      const auto& perm = std::get<Transpose>(node.op).perm;
      const Strides from = dense_strides(context.value(node.in[0]).shape);
      Operand turned{node.in[0], {}};
      for (size_t i = 0; i < perm.size(); ++i)
        turned.strides[i] = from[static_cast<size_t>(perm[i])];
      return turned;
    }
  }
  return {id, dense_strides(context.value(id).shape)};
}

// The strides of an operand's batch, as the product's dimensions have it.
Strides batch_strides(const Operand& o, const Shape& shape, const Shape& y) {
  Strides strides{};
  for (int i = 0; i + 2 < shape.rank; ++i)
    if (shape[i] != 1)
      strides[static_cast<size_t>(y.rank - shape.rank + i)] = o.strides[static_cast<size_t>(i)];
  return strides;
}

// Where the matrices of a product begin; those of y follow one another.
struct Batch {
  std::vector<int64_t> a, b;
};

void push_product(const LowerContext& context, const Node& node, const GemmF32& g,
                  std::vector<ValueId> reads, Batch batch, std::vector<LoweredStep>& steps) {
  const kernels::GemmF32Kernel& kernel = kernels::pick(kernels::gemm_f32_table(), context.isa);
  const size_t panels = (g.n + kernel.columns - 1) / kernel.columns;
  // Rows are shared only where there are too few panels for the threads: each piece packs its own.
  constexpr size_t kLeastRows = 48;
  const auto threads = static_cast<size_t>(context.pool.threads());
  const size_t units = batch.a.size() * panels;
  const size_t wanted = threads > 1 ? (4 * threads + units - 1) / units : 1;
  const size_t pieces = std::clamp<size_t>(wanted, 1, std::max<size_t>(1, g.m / kLeastRows));
  const size_t rows = (g.m + pieces - 1) / pieces;
  constexpr size_t kLeastMacs = size_t{1} << 17;  // worth a wake-up
  const size_t grain = 1 + kLeastMacs / (rows * std::max<size_t>(1, g.k) * kernel.columns);
  const std::vector<ValueId> in = reads;
  auto step = make_step([=, run = kernel.run, y = node.out[0],
                         batch = std::move(batch)](const Frame& frame) -> Status {
    GemmF32 now = g;
    if (in.size() > 2) now.bias = frame.at<const float>(in[2]);
    frame.pool.parallel_for(units * pieces, grain, [&](size_t begin, size_t end) {
      for (size_t u = begin; u < end; ++u) {
        const size_t matrix = u / pieces / panels, first = u % pieces * rows;
        run(now, frame.at<const float>(in[0]) + batch.a[matrix],
            frame.at<const float>(in[1]) + batch.b[matrix], frame.at<float>(y) + matrix * g.m * g.n,
            u / pieces % panels, std::min(first, g.m), std::min(first + rows, g.m));
      }
    });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), kernel.name);
  lowered.shared_ns = static_cast<double>(macs(context.graph, node)) / 20;
  lowered.reads = std::move(reads);
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
}

}  // namespace

bool folds_into_products(const LowerContext& context, const Node& node) {
  if (!std::holds_alternative<Transpose>(node.op) || context.graph.is_output(node.out[0]))
    return false;
  const auto readers = context.uses.consumers_of(node.out[0]);
  return !readers.empty() && !context.graph.is_constant(node.out[0]) &&
         is_plain(context.value(node.in[0]), DType::f32) &&
         std::ranges::all_of(readers, [&](int reader) {
           return takes_product(context, context.graph.nodes[static_cast<size_t>(reader)]);
         });
}

Lowered lower_matmul(const LowerContext& context, const Node& node, const MatMul&,
                     std::vector<LoweredStep>& steps) {
  if (!takes_product(context, node)) return false;
  const Shape& as = context.value(node.in[0]).shape;
  const Shape& bs = context.value(node.in[1]).shape;
  const Shape& ys = context.value(node.out[0]).shape;
  const Operand a = operand(context, node.in[0]), b = operand(context, node.in[1]);
  const auto at = [](const Operand& o, int i) {
    return static_cast<ptrdiff_t>(o.strides[static_cast<size_t>(i)]);
  };
  GemmF32 g;
  g.m = static_cast<size_t>(ys[ys.rank - 2]);
  g.n = static_cast<size_t>(ys[ys.rank - 1]);
  g.k = static_cast<size_t>(as[as.rank - 1]);
  g.a_row = at(a, as.rank - 2);
  g.a_k = at(a, as.rank - 1);
  g.b_k = at(b, bs.rank - 2);
  g.b_column = at(b, bs.rank - 1);
  g.c_row = static_cast<ptrdiff_t>(g.n);

  Batch batch;
  Shape matrices = ys;
  matrices[ys.rank - 2] = matrices[ys.rank - 1] = 1;
  for (Walk walk(matrices, {batch_strides(a, as, ys), batch_strides(b, bs, ys)}); !walk.done();
       walk.next()) {
    batch.a.push_back(walk[0]);
    batch.b.push_back(walk[1]);
  }
  // Matrices below one another that all meet the same one are one.
  bool one = true;
  for (size_t i = 0; i < batch.a.size(); ++i)
    one = one && batch.b[i] == 0 &&
          batch.a[i] == static_cast<int64_t>(i) * static_cast<int64_t>(g.m) * g.a_row;
  if (one) {
    g.m *= batch.a.size();
    batch = {{0}, {0}};
  }
  push_product(context, node, g, {a.from, b.from}, std::move(batch), steps);
  return true;
}

Lowered lower_dense_of_values(const LowerContext& context, const Node& node, const Dense& op,
                              std::vector<LoweredStep>& steps) {
  const auto is_f32 = [&](ValueId id) {
    return id != ValueId::none && is_plain(context.value(id), DType::f32);
  };
  if (!std::ranges::all_of(node.in, is_f32) || !is_f32(node.out[0])) return false;
  const Shape& w = context.value(node.in[1]).shape;
  GemmF32 g;
  g.n = static_cast<size_t>(w[0]);
  g.k = static_cast<size_t>(w[1]);
  g.m = context.value(node.out[0]).shape.elements() / g.n;
  g.a_row = g.b_column = static_cast<ptrdiff_t>(g.k);
  g.b_k = 1;
  g.c_row = static_cast<ptrdiff_t>(g.n);
  g.lo = op.clamp.lo;
  g.hi = op.clamp.hi;
  push_product(context, node, g, node.in, {{0}, {0}}, steps);
  return true;
}

}  // namespace firn
