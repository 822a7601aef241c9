// SPDX-License-Identifier: Apache-2.0
// Speed of the float kernels, every variant of this machine: MAC/s or elements/s, one thread.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "kernels/gemm_f32.h"
#include "kernels/vec_f32.h"

namespace firn {
namespace {

using kernels::GemmF32;
using kernels::GemmF32Kernel;
using kernels::VecF32;

bool runs_here(kernels::Isa isa) {
  return (kernels::supported_isas() & bit(isa)) != 0;
}

std::vector<float> filled(size_t n) {
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(i * 37 % 251) / 100 - 1;
  return out;
}

void count(benchmark::State& state, const char* unit, size_t n) {
  state.counters[unit] =
      benchmark::Counter(static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

void gemm(benchmark::State& state, const GemmF32Kernel& kernel, size_t m, size_t k, size_t n,
          bool turned) {
  const std::vector<float> a = filled(m * k), b = filled(k * n);
  std::vector<float> c(m * n);
  GemmF32 g;
  g.m = m;
  g.k = k;
  g.n = n;
  g.a_row = static_cast<ptrdiff_t>(k);
  g.b_k = turned ? 1 : static_cast<ptrdiff_t>(n);
  g.b_column = turned ? static_cast<ptrdiff_t>(k) : 1;
  g.c_row = static_cast<ptrdiff_t>(n);
  for (auto _ : state) {
    for (size_t panel = 0; panel * kernel.columns < n; ++panel)
      kernel.run(g, a.data(), b.data(), c.data(), panel, 0, m);
    benchmark::ClobberMemory();
  }
  count(state, "MAC/s", m * k * n);
}

void register_gemm() {
  struct Case {
    size_t m, k, n;
  };
  static constexpr Case kCases[] = {
      {197, 64, 197}, {197, 197, 64}, {128, 768, 3072}, {1, 768, 768}};
  for (const GemmF32Kernel& kernel : kernels::gemm_f32_table()) {
    if (!runs_here(kernel.isa)) continue;
    for (const Case& s : kCases)
      for (const bool turned : {false, true})
        benchmark::RegisterBenchmark(
            (std::string(kernel.name) + "/" + std::to_string(s.m) + "x" + std::to_string(s.k) +
             "x" + std::to_string(s.n) + (turned ? "/turned" : ""))
                .c_str(),
            gemm, kernel, s.m, s.k, s.n, turned);
  }
}

void map(benchmark::State& state, VecF32::Map run) {
  constexpr size_t kCount = 1 << 14;
  const std::vector<float> x = filled(kCount);
  std::vector<float> y(kCount);
  for (auto _ : state) {
    run(kCount, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  count(state, "elements/s", kCount);
}

void layer_norm(benchmark::State& state, const VecF32& vec) {
  constexpr size_t kRows = 64, kCount = 384;
  const std::vector<float> x = filled(kRows * kCount), scale = filled(kCount);
  std::vector<float> y(kRows * kCount);
  for (auto _ : state) {
    vec.layer_norm({kRows, kCount, scale.data(), scale.data(), 1e-5f, true}, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  count(state, "elements/s", kRows * kCount);
}

void softmax(benchmark::State& state, const VecF32& vec) {
  constexpr size_t kRows = 64, kCount = 197;
  const std::vector<float> x = filled(kRows * kCount);
  std::vector<float> y(kRows * kCount);
  for (auto _ : state) {
    vec.softmax(kRows, kCount, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  count(state, "elements/s", kRows * kCount);
}

void register_vec() {
  for (const VecF32& vec : kernels::vec_f32_table()) {
    if (!runs_here(vec.isa)) continue;
    const auto add = [&](const char* name, VecF32::Map run) {
      benchmark::RegisterBenchmark((std::string(vec.name) + "/" + name).c_str(), map, run);
    };
    add("exp", vec.exp);
    add("tanh", vec.tanh);
    add("erf", vec.erf);
    add("sigmoid", vec.sigmoid);
    add("silu", vec.silu);
    add("softplus", vec.softplus);
    add("mish", vec.mish);
    add("gelu", vec.gelu);
    add("gelu_tanh", vec.gelu_tanh);
    benchmark::RegisterBenchmark((std::string(vec.name) + "/layer_norm").c_str(), layer_norm, vec);
    benchmark::RegisterBenchmark((std::string(vec.name) + "/softmax").c_str(), softmax, vec);
  }
}

const bool kRegistered = (register_gemm(), register_vec(), true);

}  // namespace
}  // namespace firn
