// SPDX-License-Identifier: Apache-2.0
// Vectorized depthwise convolution, whatever the instruction set: how a shape is computed, how its
// weights are packed and how its work is divided. An ISA's file describes its vectors in a struct
// V; everything here is internal to it.
//
// Dot instructions sum four (or two pairs of) neighbouring products, but neighbouring bytes are
// different channels. So four bytes of each channel, a "quad", are interleaved first:
//   tile: four input rows at one column. One quad serves several output rows (3x3, stride 1: taps
//         w0 w1 w2 0 make one row and 0 w0 w1 w2 the next), and as the window slides to the right
//         every column is interleaved once and used for all taps of a row.
//   flat: any four taps of a window, for all shapes that have no tile.
//
// V has:  kVecs, kLanes   accumulators of a block of channels, and int32 lanes of one; weights are
//                         packed by blocks
//         kMaxVecs        accumulators that may be worked on together, of neighbouring blocks
//         kManyRegisters  32 of them, not 16
//         kMaxTile        height of the largest kernel that a tile is good for
//         kOffset         what is added to activations before they are multiplied: by Interleave,
//                         unless its argument says that it was
//         kFloatSums      Output<N> takes float sums (requant.h) and makes unsigned bytes
//         Tap             type of a packed weight
//         channel(v, l)   place within the block of lane l of accumulator v
//         tap(l, i)       place of tap i of lane l among the packed taps of an accumulator
//         Acc, Weight, Quad<N>, bias(), weight(), Interleave, dot(), Output<N>: see the ISA's file
#ifndef FIRN_KERNELS_DWCONV_S8_PLAN_H_
#define FIRN_KERNELS_DWCONV_S8_PLAN_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/dwconv_s8.h"

// Windows and sums are arrays of registers: every loop over them must be unrolled.
#if defined(__clang__)
#define FIRN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FIRN_UNROLL _Pragma("GCC unroll 8")
#endif

namespace firn::kernels {
namespace {

constexpr int32_t min_of(int32_t a, int32_t b) {
  return a < b ? a : b;
}
constexpr int32_t ceil_div(int32_t a, int32_t b) {
  return (a + b - 1) / b;
}

inline int32_t taps_of(const ConvShape& s) {
  return s.repeat * s.kernel_h * s.kernel_w;
}

struct DwPlan {
  bool flat = true;
  int32_t rows = 1;      // output rows made at once
  int32_t vertical = 1;  // packed quads of a column
  int32_t quads = 0;     // packed quads of a block; of a tile for each time that taps are read
};

// A tile for kernels of KH x KW moved by S: as many output rows as the quads of a column serve.
// With 3x3 moved by 2 that is one; given many registers, two rows with a quad each.
template <int KH, int KW, int S, bool kManyRegisters>
struct DwTile {
  static constexpr int kHeight = KH, kWidth = KW, kStride = S;
  static constexpr bool kOwnQuads = kManyRegisters && KH == 3 && S == 2;
  static constexpr int kVertical = kOwnQuads ? 2 : ceil_div(KH, 4);
  static constexpr int kRowStep = kOwnQuads ? S : 4;
  // Input rows of a quad that have weights.
  static constexpr int kUsed = KH == 3 && S == 2 ? KH : 4;
  static constexpr int kInputs = kRowStep * (kVertical - 1) + kUsed;
  static constexpr int kRows = (kInputs - KH) / S + 1;
  // Rows with a quad each share their weights.
  static constexpr DwPlan kPlan = {false, kRows, kOwnQuads ? 1 : kVertical,
                                   (kOwnQuads ? 1 : kRows * kVertical) * KW};
  static constexpr int packed_quad(int j, int q, int k) {
    return kOwnQuads ? k : (j * kVertical + q) * KW + k;
  }
  // Accumulators of an output row: large windows and many rows need the registers.
  static constexpr int kMaxVecs = KH <= 5 ? 2 : 1;

  // Whether there is code for taps that are read several times.
  static constexpr bool kRepeats = KH == 3;

  // Whether output row j has weights in quad q.
  static constexpr bool uses(int j, int q) {
    return kOwnQuads ? j == q : j * S < kRowStep * q + 4 && j * S + KH > kRowStep * q;
  }
  // Whether any of the first `rows` output rows has.
  static constexpr bool needs(int rows, int q) {
    for (int j = 0; j < rows; ++j)
      if (uses(j, q)) return true;
    return false;
  }
  static bool fits(const ConvShape& s) {
    return s.kernel_h == KH && s.kernel_w == KW && s.stride_h == S && s.stride_w == S &&
           s.dilation_h == 1 && s.dilation_w == 1 && (s.repeat == 1 || kRepeats);
  }
};

// Calls fn(DwTile) with the tile of the shape; false where it has none.
template <class V, typename F>
bool with_tile(const ConvShape& s, F&& fn) {
  constexpr bool kMany = V::kManyRegisters;
  const auto try_tile = [&](auto tile) {
    if constexpr (decltype(tile)::kHeight <= V::kMaxTile) {
      if (decltype(tile)::fits(s)) return fn(tile), true;
    }
    return false;
  };
  return try_tile(DwTile<3, 3, 1, kMany>()) || try_tile(DwTile<3, 3, 2, kMany>()) ||
         try_tile(DwTile<5, 5, 1, kMany>()) || try_tile(DwTile<5, 5, 2, kMany>()) ||
         try_tile(DwTile<7, 7, 1, kMany>());
}

template <class V>
struct DwPacking {
  using Tap = typename V::Tap;
  static constexpr int32_t kChannels = V::kVecs * V::kLanes;
  // Taps from a packed quad to the next, and from an accumulator to the next.
  static constexpr int kVecTaps = V::kLanes * 4;
  static constexpr int kQuadTaps = V::kVecs * kVecTaps;
  // Blocks that may be worked on together.
  static constexpr int32_t kGroup = V::kMaxVecs / V::kVecs;
  // Channels are divided where rows alone make fewer units.
  static constexpr int32_t kMinUnits = 16;
  // So few groups of output rows are divided in two at most.
  static constexpr int32_t kSmallRows = 8;

  static DwPlan plan(const ConvShape& s) {
    DwPlan p;
    if (with_tile<V>(s, [&](auto tile) { p = decltype(tile)::kPlan; }))
      p.quads *= s.repeat;
    else
      p.quads = ceil_div(taps_of(s), 4);
    return p;
  }

  // The tap (ky * kernel_w + kx, repeated ones behind) at place i of a packed quad, -1 where its
  // weight is zero.
  static int32_t tap_of(const ConvShape& s, const DwPlan& p, int32_t quad, int32_t i) {
    if (p.flat) {
      const int32_t t = quad * 4 + i;
      return t < taps_of(s) ? t : -1;
    }
    const int32_t once = p.quads / s.repeat, time = quad / once;
    quad %= once;
    const int32_t kx = quad % s.kernel_w, q = quad / s.kernel_w % p.vertical;
    const int32_t j = quad / s.kernel_w / p.vertical;
    const int32_t ky = 4 * q + i - j * s.stride_h;
    if (ky < 0 || ky >= s.kernel_h) return -1;
    return (time * s.kernel_h + ky) * s.kernel_w + kx;
  }

  // The place that a channel of a block has among its accumulators.
  static int32_t place_of(int32_t channel) {
    int32_t place = 0;
    while (V::channel(place / V::kLanes, place % V::kLanes) != channel) ++place;
    return place;
  }

  // A block is what sums start from, the same as floats (requant.h), and taps. Before all blocks
  // there is whether sums can be floats, and a byte for each block: how many times its taps are
  // read, as its weights for more are zero.
  static constexpr size_t kTimes = sizeof(int32_t), kFloatBias = sizeof(int32_t) * kChannels;
  static size_t head_bytes(const ConvShape& s) {
    return (kTimes + static_cast<size_t>(ceil_div(s.groups, kChannels)) + 63) / 64 * 64;
  }
  // Of blocks [first, first + n).
  static int32_t times(const void* packed, int32_t first, int32_t n) {
    const uint8_t* of = static_cast<const uint8_t*>(packed) + kTimes + first;
    uint8_t most = 1;
    for (int32_t i = 0; i < n; ++i) most = of[i] > most ? of[i] : most;
    return most;
  }
  static constexpr size_t kTaps = (V::kFloatSums ? 2 : 1) * kFloatBias;
  static size_t block_bytes(const DwPlan& p) {
    return kTaps + sizeof(Tap) * kQuadTaps * static_cast<size_t>(p.quads);
  }
  static size_t packed_bytes(const ConvShape& s) {
    return head_bytes(s) +
           static_cast<size_t>(ceil_div(s.groups, kChannels)) * block_bytes(plan(s));
  }
  static const uint8_t* block(const ConvShape& s, const void* packed, const DwPlan& p,
                              int32_t index) {
    return static_cast<const uint8_t*>(packed) + head_bytes(s) +
           static_cast<size_t>(index) * block_bytes(p);
  }
  static bool float_sums(const ConvShape& s, const ConvS8Args& args) {
    if (!V::kFloatSums || args.clamp.lo != args.clamp.zero) return false;
    // Bits of floats from 0 to below 1, as integers, are ordered as they are.
    uint32_t beyond = 0;
    for (int32_t c = 0; c < s.groups; ++c) {
      uint32_t bits;
      memcpy(&bits, args.scale + c, sizeof(bits));
      beyond |= bits | (0x3f7f'ffff - bits);
    }
    return beyond >> 31 == 0 && *static_cast<const int32_t*>(args.packed) != 0;
  }

  static void pack(const ConvShape& s, const int8_t* weights, const int32_t* bias,
                   int32_t input_zero, void* packed) {
    const DwPlan p = plan(s);
    const int32_t taps = taps_of(s);
    const int32_t once = taps / s.repeat;
    auto* block = static_cast<uint8_t*>(packed) + head_bytes(s);
    auto* times = static_cast<uint8_t*>(packed) + kTimes;
    memset(packed, 0, packed_bytes(s));
    bool fits = true;
    for (int32_t c0 = 0; c0 < s.groups; c0 += kChannels, block += block_bytes(p)) {
      auto* out_bias = reinterpret_cast<int32_t*>(block);
      auto* out_taps = reinterpret_cast<Tap*>(block + kTaps);
      for (int32_t place = 0; place < kChannels; ++place) {
        const int32_t vec = place / V::kLanes, lane = place % V::kLanes;
        const int32_t c = c0 + V::channel(vec, lane);
        if (c >= s.groups) continue;
        const int8_t* w = weights + static_cast<ptrdiff_t>(c) * taps;
        int64_t sum = 0;
        for (int32_t t = 0; t < taps; ++t) {
          sum += w[t];
          if (w[t] != 0 && t >= once * times[c0 / kChannels])
            times[c0 / kChannels] = static_cast<uint8_t>(t / once + 1);
        }
        const int64_t all = (bias != nullptr ? bias[c] : 0) - sum * (input_zero + V::kOffset);
        // Wraps as the dot products do.
        out_bias[place] = static_cast<int32_t>(static_cast<uint32_t>(all));
        if constexpr (V::kFloatSums) {
          const int64_t most = int64_t{taps} * 128 * 255;  // of products
          fits &= all + most <= kLargestFloatSum;
          out_bias[kChannels + place] =
              static_cast<int32_t>(static_cast<uint32_t>(all) + kFloatBits);
        }
        for (int32_t quad = 0; quad < p.quads; ++quad)
          for (int32_t i = 0; i < 4; ++i) {
            const int32_t t = tap_of(s, p, quad, i);
            if (t >= 0) out_taps[quad * kQuadTaps + vec * kVecTaps + V::tap(lane, i)] = w[t];
          }
      }
    }
    *static_cast<int32_t*>(packed) = fits;
  }

  static void unpack(const ConvShape& s, const void* packed, int8_t* weights) {
    const DwPlan p = plan(s);
    const int32_t taps = taps_of(s);
    for (int32_t c = 0; c < s.groups; ++c) {
      // Neighbours are apart in a block.
      const int32_t place = place_of(c % kChannels);
      const auto* from = reinterpret_cast<const Tap*>(block(s, packed, p, c / kChannels) + kTaps) +
                         place / V::kLanes * kVecTaps;
      for (int32_t quad = 0; quad < p.quads; ++quad)
        for (int32_t i = 0; i < 4; ++i) {
          const int32_t t = tap_of(s, p, quad, i);
          if (t >= 0)
            weights[static_cast<ptrdiff_t>(c) * taps + t] =
                static_cast<int8_t>(from[quad * kQuadTaps + V::tap(place % V::kLanes, i)]);
        }
    }
  }

  // Parts that the rows and the channels are divided into: small pictures rather by channels, so
  // that weights are loaded once or twice. Two threads get a half of the rows each, as of the
  // layers before and behind: to read the other's output takes as long as to make one's own.
  struct Parts {
    int32_t rows, channels;
    int32_t height;  // of a part
    explicit Parts(const ConvShape& s, const DwPlan& p) {
      const int32_t row_groups = ceil_div(s.out_h, p.rows);
      const int32_t channel_groups = ceil_div(s.groups, kChannels * kGroup);
      rows = row_groups > kSmallRows ? row_groups : row_groups > 2 ? 2 : 1;
      height = ceil_div(row_groups, rows) * p.rows;
      channels = min_of(channel_groups, ceil_div(kMinUnits, rows));
    }
  };
  static size_t units(const ConvShape& s) {
    const Parts parts(s, plan(s));
    return static_cast<size_t>(s.batch) * static_cast<size_t>(parts.rows) *
           static_cast<size_t>(parts.channels);
  }
  // What a unit computes: output rows [y, y_end) of an image, blocks [first, last).
  struct Unit {
    int32_t image, y, y_end, first, last;
    Unit(const ConvShape& s, const DwPlan& p, size_t index) {
      const Parts parts(s, p);
      const auto row = static_cast<int32_t>(index / static_cast<size_t>(parts.channels));
      const auto part = static_cast<int32_t>(index % static_cast<size_t>(parts.channels));
      const int32_t blocks = ceil_div(s.groups, kChannels), groups = ceil_div(blocks, kGroup);
      image = row / parts.rows;
      y = row % parts.rows * parts.height;
      y_end = min_of(y + parts.height, s.out_h);
      first = groups * part / parts.channels * kGroup;
      last = min_of(groups * (part + 1) / parts.channels * kGroup, blocks);
    }
  };
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_PLAN_H_
