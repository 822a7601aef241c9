// SPDX-License-Identifier: Apache-2.0
// Speed of the 8-bit elementwise, pool and convert kernels, every variant of this machine, one
// thread: bytes/s (read and written), and the share of what copying as many bytes in the rung's
// vectors does.
#include <vector>

#include "bench/kernels_bench.h"
#include "kernels/vec_s8.h"

namespace firn::bench {
namespace {

using kernels::AddS8;
using kernels::ConvShape;
using kernels::MulS8;
using kernels::VecS8;

ConvShape window(int32_t size, int32_t channels, int32_t kernel, int32_t stride) {
  ConvShape s;
  s.in_h = s.in_w = size;
  s.groups = s.in_pixel_stride = s.out_pixel_stride = channels;
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = kernel / 2;
  s.out_h = s.out_w = (size - 1) / stride + 1;
  return s;
}

// One operation of the vec_s8 family on its buffers; returns the bytes it reads and writes.
struct Buffers {
  Aligned<int8_t> a = filled<int8_t>(kSize), b = filled<int8_t>(kSize), y = filled<int8_t>(kSize);
  Aligned<float> x = filled<float>(kSize);
  std::vector<float> scale = std::vector<float>(256, 0.01f);
  static constexpr size_t kSize = size_t{1} << 20;
};
using VecRun = size_t (*)(const VecS8&, Buffers&);

size_t pool_bytes(const ConvShape& s) {
  return static_cast<size_t>(s.groups) * static_cast<size_t>(s.in_h * s.in_w + s.out_h * s.out_w);
}

size_t run_pool(const VecS8& k, Buffers& d, bool max, const ConvShape& s) {
  const kernels::PoolS8 pool = {s, 3, d.scale.data(), false, {.zero = 1}};
  (max ? k.max_pool : k.average_pool)(pool, d.a.get(), d.y.get(), 0, static_cast<size_t>(s.out_h));
  return pool_bytes(s);
}

constexpr AddS8 kAdd = {3, -4, 0.7f, 0.4f, {.zero = 5}};
constexpr MulS8 kMul = {3, -4, 0.01f, {.zero = 5}};
constexpr struct {
  const char* name;
  VecRun run;
} kVecCases[] = {
    {"add/8k",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.add(8192, d.a.get(), d.b.get(), d.y.get(), kAdd);
       return size_t{3} * 8192;
     }},
    {"add/200k",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.add(200704, d.a.get(), d.b.get(), d.y.get(), kAdd);
       return size_t{3} * 200704;
     }},
    {"add_row/784x24",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.add_row(784, 24, d.a.get(), d.b.get(), d.y.get(), kAdd);
       return size_t{2} * 784 * 24;
     }},
    {"mul/8k",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.mul(8192, d.a.get(), d.b.get(), d.y.get(), kMul);
       return size_t{3} * 8192;
     }},
    {"mul_row/196x480",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.mul_row(196, 480, d.a.get(), d.b.get(), d.y.get(), kMul);
       return size_t{2} * 196 * 480;
     }},
    {"min_row/3136x144",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.min_row(3136, 144, d.a.get(), d.b.get(), d.y.get());
       return size_t{2} * 3136 * 144;
     }},
    {"lut/8k",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.lut(8192, d.a.get(), d.y.get(), d.b.get());
       return size_t{2} * 8192;
     }},
    {"max_pool/3x3s2/112x64",
     [](const VecS8& k, Buffers& d) { return run_pool(k, d, true, window(112, 64, 3, 2)); }},
    {"max_pool/5x5s1/20x128",
     [](const VecS8& k, Buffers& d) { return run_pool(k, d, true, window(20, 128, 5, 1)); }},
    {"average_pool/3x3s1/35x192",
     [](const VecS8& k, Buffers& d) { return run_pool(k, d, false, window(35, 192, 3, 1)); }},
    {"mean/49x1280",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.mean(49, 1280, 1280, d.a.get(), d.y.get(), 3, 0.01f, {.zero = 2});
       return size_t{50} * 1280;
     }},
    {"quantize/8k",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.quantize(8192, d.x.get(), d.y.get(), 0.3f, {.zero = 2});
       return size_t{5} * 8192;
     }},
    {"quantize_planar/3x224x224",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.quantize_planar(3, 50176, 50176, d.x.get(), d.y.get(), 0.3f, {.zero = 2});
       return size_t{15} * 50176;
     }},
    {"quantize_planar/16x56x56",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.quantize_planar(16, 3136, 3136, d.x.get(), d.y.get(), 0.3f, {.zero = 2});
       return size_t{80} * 3136;
     }},
    {"dequantize/8k",
     [](const VecS8& k, Buffers& d) -> size_t {
       k.dequantize(8192, d.a.get(), d.x.get(), 0.3f, 2);
       return size_t{5} * 8192;
     }},
};

void count_bytes(benchmark::State& state, double bytes, kernels::Isa isa) {
  const auto per_iteration = [](double x) {
    return benchmark::Counter(x, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["B/s"] = per_iteration(bytes);
  if (const double most = copy_peak(isa, static_cast<size_t>(bytes / 2)); most > 0)
    state.counters["of_copy"] = per_iteration(bytes / most);
}

void register_vec() {
  for (const auto& c : kVecCases)
    for (const VecS8& kernel : kernels::vec_s8_table())
      if (runs_here(kernel.isa))
        benchmark::RegisterBenchmark((std::string(c.name) + "/" + kernel.name).c_str(),
                                     [&kernel, run = c.run](benchmark::State& state) {
                                       Buffers buffers;
                                       size_t bytes = 0;
                                       for (auto _ : state) {
                                         bytes = run(kernel, buffers);
                                         benchmark::ClobberMemory();
                                       }
                                       count_bytes(state, static_cast<double>(bytes), kernel.isa);
                                     });
}

[[maybe_unused]] const bool registered = (register_vec(), true);

}  // namespace
}  // namespace firn::bench
