// SPDX-License-Identifier: Apache-2.0
// Speed of products with weights of few bits, every variant of this machine, one thread: MAC/s and
// the share of the rung's dot instruction, over rows, sizes, bits and blocks; the quantization of
// rows by itself as bytes/s.
#include <vector>

#include "bench/kernels_bench.h"
#include "kernels/gemm_wn.h"

namespace firn::bench {
namespace {

using kernels::GemmWN;
using kernels::WeightShape;

struct Product {
  size_t rows;
  WeightShape shape;
};

// A step of a recurrent layer or a classifier's head (1 row), a 1x1 convolution, a 3x3 one as rows
// of patches, a transformer's product.
constexpr Product kProducts[] = {
    {1, {1024, 512, 8, 256}},   {1, {1024, 512, 4, 32}},         {1, {4096, 1024, 4, 32}},
    {784, {192, 32, 4, 32}},    {196, {576, 96, 4, 32}},         {196, {96, 576, 4, 32}},
    {196, {256, 1024, 2, 32}},  {196, {256, 1024, 3, 32}},       {196, {256, 1024, 4, 32}},
    {196, {256, 1024, 4, 128}}, {196, {256, 1024, 4, 32, true}}, {196, {256, 1024, 8, 256}},
    {784, {128, 1152, 4, 32}},  {128, {1536, 384, 4, 64, true}},
};

struct Data {
  Aligned<float> x, y;
  Aligned<int8_t> q;
  Aligned<int32_t> sums;
  Aligned<float> scale;
  Aligned<uint8_t> packed;

  explicit Data(const Product& p)
      : x(filled<float>(p.rows * p.shape.k)),
        y(filled<float>(p.rows * p.shape.n)),
        q(filled<int8_t>(p.rows * kernels::wn_row_bytes(p.shape))),
        sums(filled<int32_t>(p.rows * kernels::wn_blocks(p.shape))),
        scale(filled<float>(p.rows)),
        packed(filled<uint8_t>(kernels::wn_panels(p.shape) * kernels::wn_panel_bytes(p.shape))) {}

  void quantize(const GemmWN& kernel, const Product& p) const {
    for (size_t r = 0; r < p.rows; ++r)
      kernel.quantize_row(p.shape, x.get() + r * p.shape.k,
                          {q.get() + r * kernels::wn_row_bytes(p.shape),
                           sums.get() + r * kernels::wn_blocks(p.shape), scale.get() + r});
  }
};

void multiply(benchmark::State& state, const GemmWN& kernel, const Product& p) {
  const Data data(p);
  // Packed numbers of any value, with scales that are floats.
  const std::vector<int8_t> weights(p.shape.n * p.shape.k, 1);
  const std::vector<float> scale(p.shape.n * kernels::wn_blocks(p.shape), 0.01f);
  const std::vector<int32_t> zero(scale.size(), 1);
  pack_wn(p.shape, weights.data(), scale.data(), zero.data(), data.packed.get());
  kernels::GemmWNArgs args;
  args.packed = data.packed.get();
  args.q = data.q.get();
  args.sums = data.sums.get();
  args.scale = data.scale.get();
  args.rows = p.rows;
  args.y = data.y.get();
  args.y_stride = static_cast<ptrdiff_t>(p.shape.n);
  const auto run = [&] {
    data.quantize(kernel, p);
    kernel.run(p.shape, args, 0, kernels::wn_panels(p.shape));
  };
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  count_macs(state, static_cast<double>(p.rows * p.shape.n * p.shape.k), kernel.isa, run);
}

void quantize(benchmark::State& state, const GemmWN& kernel) {
  const Product p{64, {16, 576, 4, 32}};
  const Data data(p);
  for (auto _ : state) {
    data.quantize(kernel, p);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * int64_t{64} * 576 * 5);
}

[[maybe_unused]] const bool registered = [] {
  for (const GemmWN& kernel : kernels::gemm_wn_table()) {
    if (!runs_here(kernel.isa)) continue;
    for (const Product& p : kProducts) {
      const WeightShape& s = p.shape;
      const std::string name = std::string(kernel.name) + "/" + std::to_string(p.rows) + "x" +
                               std::to_string(s.k) + "x" + std::to_string(s.n) + "/" +
                               std::to_string(s.bits) + "bit/" + std::to_string(s.block) +
                               (s.zeros ? "/zeros" : "");
      benchmark::RegisterBenchmark(
          name.c_str(), [&kernel, &p](benchmark::State& state) { multiply(state, kernel, p); });
    }
    benchmark::RegisterBenchmark((std::string(kernel.name) + "/quantize_row").c_str(),
                                 [&kernel](benchmark::State& state) { quantize(state, kernel); });
  }
  return true;
}();

}  // namespace
}  // namespace firn::bench
