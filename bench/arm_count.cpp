// SPDX-License-Identifier: Apache-2.0
// Computes a layer some times, for bench/arm_count.py to count the instructions:
// arm_count KERNEL SIZE IN_CHANNELS OUT_CHANNELS FILTER STRIDE TIMES. KERNEL is a name of the
// tables of kernels/, or xnnpack; OUT_CHANNELS 0 is a depthwise layer.
#include <charconv>
#include <cstdio>
#include <cstring>

#include "bench/xnn_conv.h"

namespace {

using firn::bench::Layer;
using firn::kernels::GemmS8;

template <typename Run>
int repeat(int32_t times, Run&& run) {
  for (int32_t i = 0; i < times; ++i) run();
  return 0;
}

int count(const char* name, const Layer& layer, int32_t times) {
  if (std::strcmp(name, "xnnpack") == 0) {
    firn::bench::XnnConv run(layer);
    bool ok = true;
    repeat(times, [&] { ok = run() && ok; });
    if (!ok) std::fprintf(stderr, "arm_count: not in this XNNPACK\n");
    return ok ? 0 : 1;
  }
  for (const GemmS8& kernel :
       layer.depthwise() ? firn::kernels::dwconv_s8_table() : firn::kernels::gemm_s8_table())
    if (std::strcmp(kernel.name, name) == 0)
      return repeat(times, firn::bench::ConvRun(kernel, layer));
  std::fprintf(stderr, "arm_count: no kernel %s\n", name);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  int32_t n[6] = {};
  bool ok = argc == 8;
  for (int i = 0; ok && i < 6; ++i) {
    const char* text = argv[i + 2];
    ok = std::from_chars(text, text + std::strlen(text), n[i]).ec == std::errc() && n[i] >= 0;
  }
  if (!ok) {
    std::fprintf(stderr, "usage: arm_count KERNEL SIZE IN OUT FILTER STRIDE TIMES\n");
    return 2;
  }
  return count(argv[1], Layer{n[0], n[1], n[2], n[3], n[4]}, n[5]);
}
