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
//         kFloatSums      Output<N> takes float sums (float_sums.h) and makes unsigned bytes
//         Tap             type of a packed weight
//         channel(n, v, l)  which of the channels of n accumulators that are worked on together
//                         lane l of accumulator v is
//         tap(l, i)       place of tap i of lane l among the packed taps of an accumulator
//         Output<N>       requantizes: take() is given the sums of some pixels, those of all N
//                         accumulators or of two after two, and store() writes these pixels
//         Acc, Weight, Quad<N>, bias(), none(), add(), weight(), Interleave, dot(): see the ISA's
//         file
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

// channel() of vectors whose bytes unpacks interleave, which work within 128 bits.
constexpr int unpacked_channel(int n, int vec, int lane) {
  return (lane / 4 * n + vec) * 4 + lane % 4;
}

inline int32_t taps_of(const ConvShape& s) {
  return s.repeat * s.kernel_h * s.kernel_w;
}

struct DwPlan {
  bool flat = true;
  int32_t rows = 1;      // output rows made at once
  int32_t vertical = 1;  // packed quads of a column
  int32_t quads = 0;     // packed quads of a block; of a tile for each time that taps are read
  int32_t together = 1;  // blocks that are worked on together where there are as many
};

// What the sums of a strip start from, and where they are floats, what is to be done with them
// then.
struct DwSums {
  const int32_t* start;
  const float *scale, *offset;  // can be read where they are not
  bool floats;
};

// A tile for kernels of KH x KW moved by S: as many output rows as the quads of a column serve.
// With 3x3 moved by 2 that is one.
template <class V, int KH, int KW, int S>
struct DwTile {
  static constexpr int kHeight = KH, kWidth = KW, kStride = S;
  static constexpr int kVertical = ceil_div(KH, 4);
  // Input rows of a quad that have weights.
  static constexpr int kUsed = KH == 3 && S == 2 ? KH : 4;
  static constexpr int kInputs = 4 * (kVertical - 1) + kUsed;
  static constexpr int kRows = (kInputs - KH) / S + 1;
  // Accumulators of an output row: large windows and many rows need the registers, unless these are
  // too few for them anyway.
  static constexpr int kFit = KH <= 3 || !V::kManyRegisters ? 4 : KH <= 5 ? 2 : 1;
  static constexpr int kMaxVecs = min_of(kFit, V::kMaxVecs);
  static constexpr int kQuads = kRows * kVertical * KW;
  static constexpr DwPlan kPlan = {false, kRows, kVertical, kQuads, kMaxVecs / V::kVecs};
  static constexpr int packed_quad(int j, int q, int k) { return (j * kVertical + q) * KW + k; }

  // Whether there is code for taps that are read several times.
  static constexpr bool kRepeats = KH == 3;

  // Whether output row j has weights in quad q.
  static constexpr bool uses(int j, int q) { return j * S < 4 * q + 4 && j * S + KH > 4 * q; }
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
  const auto try_tile = [&](auto tile) {
    if constexpr (decltype(tile)::kHeight <= V::kMaxTile) {
      if (decltype(tile)::fits(s)) return fn(tile), true;
    }
    return false;
  };
  return try_tile(DwTile<V, 3, 3, 1>()) || try_tile(DwTile<V, 3, 3, 2>()) ||
         try_tile(DwTile<V, 5, 5, 1>()) || try_tile(DwTile<V, 5, 5, 2>()) ||
         try_tile(DwTile<V, 7, 7, 1>());
}

template <class V>
struct DwPacking {
  using Tap = typename V::Tap;
  static constexpr int32_t kChannels = V::kVecs * V::kLanes;
  // Taps of an accumulator in a packed quad.
  static constexpr int kVecTaps = V::kLanes * 4;
  // Channels are divided where rows alone make fewer units.
  static constexpr int32_t kMinUnits = 16;
  // So few groups of output rows are divided in two at most.
  static constexpr int32_t kSmallRows = 8;

  static DwPlan plan(const ConvShape& s) {
    DwPlan p;
    if (with_tile<V>(s, [&](auto tile) { p = decltype(tile)::kPlan; }))
      p.quads *= s.repeat;
    else
      p.quads = ceil_div(taps_of(s), 4), p.together = V::kMaxVecs / V::kVecs;
    return p;
  }

  // Packed blocks: the last ones are as many as are worked on together if they are most of these.
  static int32_t blocks_of(const ConvShape& s, const DwPlan& p) {
    const int32_t n = ceil_div(s.groups, kChannels), rest = n % p.together;
    return 2 * rest > p.together ? n + p.together - rest : n;
  }

  // Calls fn(first block of the strip, its accumulators, one of these, lane, channel) for all lanes
  // that have a channel.
  template <typename F>
  static void for_each_channel(const ConvShape& s, const DwPlan& p, F fn) {
    const int32_t blocks = blocks_of(s, p);
    for (int32_t first = 0; first < blocks; first += p.together) {
      const int32_t vecs = min_of(p.together, blocks - first) * V::kVecs;
      for (int32_t vec = 0; vec < vecs; ++vec)
        for (int32_t lane = 0; lane < V::kLanes; ++lane) {
          const int32_t c = first * kChannels + V::channel(vecs, vec, lane);
          if (c < s.groups) fn(first, vecs, vec, lane, c);
        }
    }
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

  // Calls fn(tap, its first place among those of an accumulator) for all taps of a lane.
  template <typename F>
  static void for_each_tap(const ConvShape& s, const DwPlan& p, int32_t vecs, int32_t lane, F fn) {
    const int32_t once = p.quads / s.repeat;  // of a tile; its other output rows have the same
    for (int32_t quad = 0; quad < p.quads; ++quad) {
      if (!p.flat && quad % once >= p.vertical * s.kernel_w) continue;
      for (int32_t i = 0; i < 4; ++i) {
        const int32_t t = tap_of(s, p, quad, i);
        if (t >= 0) fn(t, quad * vecs * kVecTaps + V::tap(lane, i));
      }
    }
  }

  // A strip, blocks that are worked on together, is what sums start from and taps. Before all
  // strips there is a byte for each block: how many times the taps of the strip that begins with it
  // are read, as its weights for more are zero.
  static constexpr size_t kVecBias = sizeof(int32_t) * V::kLanes;
  static size_t head_bytes(const ConvShape& s, const DwPlan& p) {
    return (static_cast<size_t>(blocks_of(s, p)) + 63) / 64 * 64;
  }
  static int32_t times(const void* packed, int32_t first) {
    const uint8_t n = static_cast<const uint8_t*>(packed)[first];
    return n > 1 ? n : 1;
  }
  // Where the taps of a strip of so many accumulators begin.
  static constexpr size_t taps_at(int32_t vecs) { return kVecBias * static_cast<size_t>(vecs); }
  static size_t block_bytes(const DwPlan& p) {
    return taps_at(V::kVecs) + sizeof(Tap) * kVecTaps * V::kVecs * static_cast<size_t>(p.quads);
  }
  static size_t packed_bytes(const ConvShape& s) {
    const DwPlan p = plan(s);
    return head_bytes(s, p) + static_cast<size_t>(blocks_of(s, p)) * block_bytes(p);
  }
  static size_t strip_at(const ConvShape& s, const DwPlan& p, int32_t first) {
    return head_bytes(s, p) + static_cast<size_t>(first) * block_bytes(p);
  }

  static void pack(const ConvShape& s, const int8_t* weights, const int32_t* bias,
                   int32_t input_zero, void* packed) {
    const DwPlan p = plan(s);
    const int32_t taps = taps_of(s);
    const int32_t once = taps / s.repeat;
    auto* times = static_cast<uint8_t*>(packed);
    memset(packed, 0, packed_bytes(s));
    for_each_channel(s, p, [&](int32_t first, int32_t vecs, int32_t vec, int32_t lane, int32_t c) {
      uint8_t* strip = static_cast<uint8_t*>(packed) + strip_at(s, p, first);
      auto* out_bias = reinterpret_cast<int32_t*>(strip) + vec * V::kLanes + lane;
      auto* out_taps = reinterpret_cast<Tap*>(strip + taps_at(vecs)) + vec * kVecTaps;
      const int8_t* w = weights + static_cast<ptrdiff_t>(c) * taps;
      int64_t sum = 0;
      for (int32_t t = 0; t < taps; ++t) {
        sum += w[t];
        if (w[t] != 0 && t >= once * times[first])
          times[first] = static_cast<uint8_t>(t / once + 1);
      }
      const int64_t all = (bias != nullptr ? bias[c] : 0) - sum * (input_zero + V::kOffset);
      // Wraps as the dot products do.
      *out_bias = static_cast<int32_t>(static_cast<uint32_t>(all));
      for (int32_t quad = 0; quad < p.quads; ++quad)
        for (int32_t i = 0; i < 4; ++i) {
          const int32_t t = tap_of(s, p, quad, i);
          if (t >= 0) out_taps[quad * vecs * kVecTaps + V::tap(lane, i)] = w[t];
        }
    });
  }

  // What the sums of all strips start from, in their order, then their scales, and then what is
  // added to products.
  static int32_t lanes_of(const ConvShape& s, const DwPlan& p) {
    return blocks_of(s, p) * kChannels;
  }
  static size_t float_sums_bytes(const ConvShape& s) {
    if (!V::kFloatSums) return 0;
    return static_cast<size_t>(lanes_of(s, plan(s))) * (sizeof(int32_t) + 2 * sizeof(float));
  }
  // Those of a strip, the one with channel c0.
  static DwSums sums_of(const ConvShape& s, const DwPlan& p, const ConvS8Args& args,
                        const uint8_t* strip, int32_t c0) {
    if (!V::kFloatSums || args.float_sums == nullptr) {
      const auto* any = reinterpret_cast<const float*>(strip);
      return {reinterpret_cast<const int32_t*>(strip), any, any, false};
    }
    const int32_t lanes = lanes_of(s, p);
    const auto* floats = static_cast<const float*>(args.float_sums) + c0;
    return {static_cast<const int32_t*>(args.float_sums) + c0, floats + lanes, floats + 2 * lanes,
            true};
  }
  static bool float_sums(const ConvShape& s, const void* packed, const float* scale,
                         const Clamp8& clamp, void* found) {
    if (!V::kFloatSums) return false;
    const DwPlan p = plan(s);
    memset(found, 0, float_sums_bytes(s));
    bool all = true;
    for_each_channel(s, p, [&](int32_t first, int32_t vecs, int32_t vec, int32_t lane, int32_t c) {
      const uint8_t* strip = static_cast<const uint8_t*>(packed) + strip_at(s, p, first);
      const int32_t bias = reinterpret_cast<const int32_t*>(strip)[vec * V::kLanes + lane];
      const auto* taps = reinterpret_cast<const Tap*>(strip + taps_at(vecs)) + vec * kVecTaps;
      int64_t sum = 0, size = 0;
      for_each_tap(s, p, vecs, lane, [&](int32_t, int32_t at) {
        sum += taps[at];
        size += taps[at] < 0 ? -taps[at] : taps[at];
      });
      // Products are of inputs from -128 to 127, and kOffset.
      FloatSum to{};
      all = all && find_float_sum(scale[c], bias + V::kOffset * sum - (255 * size + sum) / 2,
                                  bias + V::kOffset * sum + (255 * size - sum) / 2, clamp, to);
      const ptrdiff_t at = ptrdiff_t{first} * kChannels + vec * V::kLanes + lane;
      // Modulo 2^32, as the kernels add.
      static_cast<int32_t*>(found)[at] =
          static_cast<int32_t>(static_cast<uint32_t>(bias) + static_cast<uint32_t>(to.start));
      static_cast<float*>(found)[lanes_of(s, p) + at] = scale[c];
      static_cast<float*>(found)[2 * lanes_of(s, p) + at] = to.offset;
    });
    return all;
  }

  static void unpack(const ConvShape& s, const void* packed, int8_t* weights) {
    const DwPlan p = plan(s);
    const int32_t taps = taps_of(s);
    for_each_channel(s, p, [&](int32_t first, int32_t vecs, int32_t vec, int32_t lane, int32_t c) {
      const uint8_t* strip = static_cast<const uint8_t*>(packed) + strip_at(s, p, first);
      const auto* from = reinterpret_cast<const Tap*>(strip + taps_at(vecs)) + vec * kVecTaps;
      for_each_tap(s, p, vecs, lane, [&](int32_t t, int32_t at) {
        weights[static_cast<ptrdiff_t>(c) * taps + t] = static_cast<int8_t>(from[at]);
      });
    });
  }

  // Parts that the rows and the channels are divided into: small pictures rather by channels, so
  // that weights are loaded once or twice. Two threads get a half of the rows each, as of the
  // layers before and behind: to read the other's output takes as long as to make one's own.
  struct Parts {
    int32_t rows, channels;
    int32_t height;  // of a part
    explicit Parts(const ConvShape& s, const DwPlan& p) {
      const int32_t row_groups = ceil_div(s.out_h, p.rows);
      const int32_t channel_groups = ceil_div(blocks_of(s, p), p.together);
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
      const int32_t blocks = blocks_of(s, p), groups = ceil_div(blocks, p.together);
      image = row / parts.rows;
      y = row % parts.rows * parts.height;
      y_end = min_of(y + parts.height, s.out_h);
      first = groups * part / parts.channels * p.together;
      last = min_of(groups * (part + 1) / parts.channels * p.together, blocks);
    }
  };
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_PLAN_H_
