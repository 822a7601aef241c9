// SPDX-License-Identifier: Apache-2.0
// The part of the int8 convolution that all instruction sets share: how weights are packed, how the
// work is split into blocks of rows and panels, and where each tile reads.
#ifndef FIRN_KERNELS_GEMM_S8_DRIVER_H_
#define FIRN_KERNELS_GEMM_S8_DRIVER_H_

#include "kernels/gemm_s8.h"
#include "kernels/gemm_s8_tile.h"

namespace firn::kernels {

// Where a variant reads its input.
enum class GemmS8Input : uint8_t {
  in_place,
  // In a copy of the pixels that a block needs, to which 128 is added so that they are unsigned:
  // packing makes up for that in the bias.
  as_unsigned,
  // At even distances: in place where rows of the product are, otherwise in copies, of lines of
  // pixels with their padding or of what the window of each output pixel covers, side by side.
  evenly_spaced
};

// A variant's inner kernel and how it wants its data: a line of gemm_s8.inc.
struct GemmS8Kernel {
  void (*tiles)(const GemmS8Block&) = nullptr;
  int32_t k_step = 1;  // consecutive input values a column takes at once
  // Steps are taken in groups of one size, of at most so many.
  int32_t most_steps = 1;
  GemmS8Input input = GemmS8Input::in_place;
  // Makes the copies, one after the other, reading and writing up to kReadSlack past the end of
  // each piece.
  void (*copy)(const GemmS8Pixels&, int8_t* to) = nullptr;
  // Copies from these copies, reading up to stride bytes before and kReadSlack behind what it
  // takes, and writing up to kReadSlack past the end. Null where that is no gain.
  void (*gather)(const GemmS8Rests&, int8_t* to) = nullptr;
  // Around all calls of tiles() for a layer, which may leave output to be written by later ones or
  // by end(). Evenly spaced input has whole tiles of rows, whatever their count.
  void (*begin)(int32_t steps, int32_t taps, void* state) = nullptr;
  void (*end)(void* state) = nullptr;
  // What they keep, a multiple of 64 bytes: by a block's rows and the steps of a row.
  size_t (*state_bytes)(int64_t rows, int64_t steps) = nullptr;
  // Makes int8 output of float sums, and unsigned one, where GemmS8Block says so.
  bool float_sums = false;
  int32_t max_panels = 1;  // of a block
  // The same of many long rows that are evenly spaced, where there are more than max_panels in all;
  // 0 where that makes no difference.
  int32_t even_panels = 0;
  // Of blocks of 4 panels, quarter v of a row's 64 columns are quarters of panel v, 4 columns of
  // each: as packs of vectors, which work within 128 bits, leave them in order.
  bool woven = false;
  // Tiles of up to so many rows take no longer for each than whole ones.
  int32_t low_rows = 0;
  // Rows of a block, where rows are short and many: what a block takes to begin is more then.
  int32_t short_rows = 96;
  // Rows of a tile, if more than those of all others, where they have many steps.
  int32_t deep_rows = 0;
  int32_t rows[kMaxPanels] = {1, 1, 1, 1};  // of a tile of 1, 2, ... panels
};

size_t gemm_s8_packed_bytes(const GemmS8Kernel&, const ConvShape&);
void gemm_s8_pack(const GemmS8Kernel&, const ConvShape&, const int8_t* weights, const int32_t* bias,
                  int32_t input_zero, void* packed);
size_t gemm_s8_float_sums_bytes(const GemmS8Kernel&, const ConvShape&);
bool gemm_s8_float_sums(const GemmS8Kernel&, const ConvShape&, const void* packed,
                        const float* scale, const Clamp8&, void* found);
void gemm_s8_unpack(const GemmS8Kernel&, const ConvShape&, const void* packed, int8_t* weights);
size_t gemm_s8_units(const GemmS8Kernel&, const ConvShape&);
size_t gemm_s8_workspace_bytes(const GemmS8Kernel&, const ConvShape&);
bool gemm_s8_reads_unsigned(const GemmS8Kernel&, const ConvShape&);
void gemm_s8_run(const GemmS8Kernel&, const ConvShape&, const ConvS8Args&, void* workspace, Units&);

// Writes one accumulator of a block as output, in scalar code: the meaning of every kernel's
// stores.
inline void gemm_s8_store(const GemmS8Block& b, int64_t row, int32_t column, int32_t acc) {
  const int64_t at = row * b.out_stride + column;
  if (!b.to_float) {
    const int8_t y = requantize(acc, b.scale[column], b.clamp);
    static_cast<int8_t*>(b.output)[at] = static_cast<int8_t>(y + (b.unsigned_output ? 128 : 0));
    return;
  }
  float y = static_cast<float>(acc) * b.scale[column];
  y = y > b.float_lo ? y : b.float_lo;  // as maxps(y, lo) and minps(y, hi)
  static_cast<float*>(b.output)[at] = y < b.float_hi ? y : b.float_hi;
}

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_GEMM_S8_DRIVER_H_
