// SPDX-License-Identifier: Apache-2.0
// The table of int8 convolution variants, and the scalar one: the meaning of all others.
#include "kernels/gemm_s8.h"

#include <algorithm>
#include <array>

#include "kernels/gemm_s8_driver.h"

namespace firn::kernels {

#define FIRN_GEMM_S8(isa, ...) void gemm_s8_tiles_##isa(const GemmS8Block&);
#include "kernels/gemm_s8.inc"
#undef FIRN_GEMM_S8
#if defined(__x86_64__)
size_t gemm_s8_state_bytes_avx2(int64_t rows, int64_t steps);
size_t gemm_s8_state_bytes_amxint8(int64_t rows, int64_t steps);
void gemm_s8_copy_avxvnni(const GemmS8Pixels&, int8_t*);
void gemm_s8_copy_avx512vnni(const GemmS8Pixels&, int8_t*);
void gemm_s8_copy_amxint8(const GemmS8Pixels&, int8_t*);
void gemm_s8_gather_avxvnni(const GemmS8Rests&, int8_t*);
void gemm_s8_gather_avx512vnni(const GemmS8Rests&, int8_t*);
void gemm_s8_begin_amxint8(int32_t steps, int32_t taps, void* state);
void gemm_s8_end_amxint8(void* state);
#endif

void gemm_s8_tiles_scalar(const GemmS8Block& b) {
  for (const GemmS8Tile& t : std::span(b.tiles, static_cast<size_t>(b.tile_count))) {
    for (int r = 0; r < t.count; ++r) {
      for (int p = 0; p < b.panels; ++p) {
        std::array<uint32_t, kPanel> acc;  // wraps around as vector instructions do
        std::copy_n(b.bias + p * kPanel, kPanel, acc.begin());
        const int8_t* w = b.weights + p * b.panel_bytes;
        for (int tap = 0; tap < b.taps; ++tap) {
          const int8_t* x = gemm_s8_input(t, tap, r);
          for (int k = 0; k < b.steps; ++k, w += kPanel)
            for (size_t c = 0; c < kPanel; ++c) acc[c] += static_cast<uint32_t>(x[k] * w[c]);
        }
        const int columns = std::min(kPanel, b.columns - p * kPanel);
        for (int c = 0; c < columns; ++c)
          gemm_s8_store(b, t.first_row + r, p * kPanel + c,
                        static_cast<int32_t>(acc[static_cast<size_t>(c)]));
      }
    }
  }
}

namespace {

// Adapts a line of gemm_s8.inc to the public contract, whose functions take no kernel.
template <const GemmS8Kernel& kKernel>
constexpr GemmS8 entry(const char* name, Isa isa) {
  return {name,
          isa,
          [](const ConvShape& s) { return gemm_s8_packed_bytes(kKernel, s); },
          [](const ConvShape& s, const int8_t* weights, const int32_t* bias, int32_t input_zero,
             void* packed) { gemm_s8_pack(kKernel, s, weights, bias, input_zero, packed); },
          [](const ConvShape& s, const void* packed, int8_t* weights) {
            gemm_s8_unpack(kKernel, s, packed, weights);
          },
          [](const ConvShape& s) { return gemm_s8_units(kKernel, s); },
          [](const ConvShape& s) { return gemm_s8_workspace_bytes(kKernel, s); },
          [](const ConvShape& s, const ConvS8Args& args, void* workspace, Units& units) {
            gemm_s8_run(kKernel, s, args, workspace, units);
          },
          [](const ConvShape& s) { return gemm_s8_reads_unsigned(kKernel, s); },
          kKernel.float_sums,
          [](const ConvShape& s) { return gemm_s8_float_sums_bytes(kKernel, s); },
          [](const ConvShape& s, const void* packed, const float* scale, const Clamp8& clamp,
             void* found) { return gemm_s8_float_sums(kKernel, s, packed, scale, clamp, found); }};
}

#define FIRN_GEMM_S8(isa, ...) \
  constexpr GemmS8Kernel kernel_##isa = {.tiles = gemm_s8_tiles_##isa, __VA_ARGS__};
#include "kernels/gemm_s8.inc"
#undef FIRN_GEMM_S8

constexpr GemmS8 kTable[] = {
#define FIRN_GEMM_S8(isa, ...) entry<kernel_##isa>("gemm_s8_" #isa, Isa::isa),
#include "kernels/gemm_s8.inc"
#undef FIRN_GEMM_S8
};

}  // namespace

std::span<const GemmS8> gemm_s8_table() {
  return kTable;
}

const GemmS8& pick_gemm_s8(const ConvShape& s, IsaMask allowed) {
  // AMX takes as long for one row as for 16.
  const int64_t rows = int64_t{s.batch} * s.out_h * s.out_w;
  const int64_t products = int64_t{s.kernel_h} * s.kernel_w * s.in_c;
  if (rows <= 6 || products < (s.in_c < 16 ? 100 : 24)) allowed &= ~bit(Isa::amxint8);
  return pick(gemm_s8_table(), allowed);
}

}  // namespace firn::kernels
