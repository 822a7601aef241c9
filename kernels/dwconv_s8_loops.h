// SPDX-License-Identifier: Apache-2.0
// Vectorized depthwise convolution, whatever the instruction set: the loops over pixels and
// channels. See dwconv_s8_plan.h for what a tile is and what V has.
#ifndef FIRN_KERNELS_DWCONV_S8_LOOPS_H_
#define FIRN_KERNELS_DWCONV_S8_LOOPS_H_

#include "kernels/dwconv_s8_plan.h"

namespace firn::kernels {
namespace {

// How a unit's output rows are made: so many at once, input rows addressed by their distance or
// not.
template <int kRows, bool kAffine>
struct DwRows {
  static constexpr int count = kRows;
  static constexpr bool affine = kAffine;
};

// How many accumulators are worked on together.
template <int N>
struct DwVecs {
  static constexpr int count = N;
};

template <class V>
struct DwConv : DwPacking<V> {
  using P = DwPacking<V>;
  using Tap = typename V::Tap;
  using P::kChannels;
  using P::kVecTaps;
  // Pointers prepared at once by the flat loop.
  static constexpr int32_t kFlatTaps = 64;

  static const int8_t* input_row(const ConvShape& s, const ConvS8Args& args, int32_t image,
                                 int32_t y) {
    return args.input + (static_cast<ptrdiff_t>(image) * s.in_h + y) * s.in_w * s.in_pixel_stride;
  }
  static int8_t* output_row(const ConvShape& s, const ConvS8Args& args, int32_t image, int32_t y) {
    return static_cast<int8_t*>(args.output) +
           (static_cast<ptrdiff_t>(image) * s.out_h + y) * s.out_w * s.out_pixel_stride;
  }

  // Moves the columns that the next window, `by` columns on, has too. By recursion, because clang
  // makes a memmove of a loop, and what that touches stays in memory.
  template <class T, int K = 0, typename Window>
  __attribute__((always_inline)) static void slide(Window& window, int by) {
    if constexpr (K + T::kStride < T::kWidth) {
      FIRN_UNROLL for (int q = 0; q < T::kVertical; ++q) window[K][q] = window[K + by][q];
      slide<T, K + 1>(window, by);
    }
  }

  // A unit's rows, N accumulators from channel c0 on. kRepeats: taps are read `times` times, or
  // else once.
  template <class T, int N, bool kRepeats>
  static void tile_blocks(const ConvShape& s, const ConvS8Args& args, const typename P::Unit& unit,
                          const uint8_t* strip, int32_t c0, int32_t times) {
    constexpr int KW = T::kWidth, S = T::kStride;
    using Quad = typename V::template Quad<N>;
    const DwSums sums = P::sums_of(s, T::kPlan, args, strip, c0);
    const auto* taps = reinterpret_cast<const Tap*>(strip + P::taps_at(N));
    const auto bias = [&](int v) __attribute__((always_inline)) {
      return V::bias(sums.start + v * V::kLanes);
    };
    const auto weight = [&](int quad, int v) __attribute__((always_inline)) {
      return V::weight(taps + (quad * N + v) * kVecTaps);
    };
    // Weights stay in registers where there are enough of them.
    constexpr bool kHeld = V::kManyRegisters && T::kPlan.quads * N <= 12 && !kRepeats;
    using Output = typename V::template Output<N>;
    typename V::Weight held[T::kPlan.quads][N];
    if constexpr (kHeld) {
      FIRN_UNROLL for (int quad = 0; quad < T::kPlan.quads; ++quad) {
        FIRN_UNROLL for (int v = 0; v < N; ++v) {
          held[quad][v] = weight(quad, v);
        }
      }
    }
    const typename V::Interleave interleave(args.unsigned_input);
    const Output output(args, c0, min_of(N * V::kLanes, s.groups - c0), sums);
    const int8_t* zero = args.zero_row + c0;

    for (int32_t y = unit.y; y < unit.y_end; y += T::kRows) {
      // Volatile, because registers are few and GCC would keep these in vectors' ones.
      volatile ptrdiff_t in_steps[T::kInputs], out_steps[T::kRows];
      const int8_t* in[T::kInputs];
      FIRN_UNROLL for (int r = 0; r < T::kInputs; ++r) {
        const int32_t iy = y * S - s.pad_top + r;
        const bool inside = iy >= 0 && iy < s.in_h;
        in[r] = inside ? input_row(s, args, unit.image, iy) + c0 : zero;
        in_steps[r] = inside ? s.in_pixel_stride : 0;
      }
      int8_t unwanted[N * V::kLanes];  // rows past the last
      int8_t* out[T::kRows];
      FIRN_UNROLL for (int j = 0; j < T::kRows; ++j) {
        const bool inside = y + j < unit.y_end;
        out[j] = inside ? output_row(s, args, unit.image, y + j) + c0 : unwanted;
        out_steps[j] = inside ? s.out_pixel_stride : 0;
      }

      const auto columns = [&](auto rows) __attribute__((always_inline)) {
        constexpr int R = rows.count;
        // Copies, which no store of bytes can change.
        const ptrdiff_t step = s.in_pixel_stride, row_step = s.in_w * step;
        const auto width = static_cast<uint32_t>(s.in_w);
        const int32_t end = KW + (s.out_w - 1) * S - s.pad_left;  // of columns
        const int8_t* top = in[0];
        int32_t column = -s.pad_left;
        const auto load = [&](Quad(&quads)[T::kVertical]) __attribute__((always_inline)) {
          if (static_cast<uint32_t>(column) < width) [[likely]] {
            FIRN_UNROLL for (int q = 0; q < T::kVertical; ++q) {
              if (!T::needs(R, q)) continue;
              const int8_t* p[4];
              FIRN_UNROLL for (int i = 0; i < 4; ++i) {
                const int r = q * 4 + min_of(i, T::kUsed - 1);
                p[i] = rows.affine ? top + r * row_step : in[r];
              }
              quads[q] = interleave.template quad<N, T::kUsed>(p[0], p[1], p[2], p[3]);
            }
            if constexpr (rows.affine) {
              top += step;
            } else {
              FIRN_UNROLL for (int r = 0; r < T::kInputs; ++r) {
                in[r] += in_steps[r];
              }
            }
          } else {
            FIRN_UNROLL for (int q = 0; q < T::kVertical; ++q) {
              quads[q] = interleave.template quad<N, T::kUsed>(zero, zero, zero, zero);
            }
          }
          ++column;
        };

        // Vectors of 8 lanes are AVX2's, which has 16 of them: neither a large window fits in nor
        // many sums. It lies in memory and moves on with the columns made there; of the sums some
        // are made after others.
        constexpr bool kFew = V::kLanes == 8, kInMemory = kFew && KW >= 5 && S == 1;
        constexpr int kVecs = kFew && R * N > 8 ? 2 : N, kMade = kInMemory ? 32 : KW;
        Quad made[kMade][T::kVertical];
        int first = 0;  // column of the window
        const auto window = [&](int k) __attribute__((always_inline))->Quad(&)[T::kVertical] {
          return made[kInMemory ? first + k : k];
        };

        FIRN_UNROLL for (int k = 0; k < KW - S; ++k) {
          load(window(k));
        }
        while (column < end) {
          FIRN_UNROLL for (int k = KW - S; k < KW; ++k) {
            load(window(k));
          }
          typename Output::template Pixels<R> pixels;
          FIRN_UNROLL for (int v = 0; v < N; v += kVecs) {
            typename V::Acc acc[kVecs][R];
            // Few and long sums are made in parts, or each product would wait for the one before.
            constexpr int kParts = KW == 7 && R * kVecs <= 2 ? 4 : 1;
            typename V::Acc part[kParts][kVecs][R];
            FIRN_UNROLL for (int i = 0; i < kVecs; ++i) {
              acc[i][0] = bias(v + i);
              FIRN_UNROLL for (int j = 1; j < R; ++j) {
                acc[i][j] = acc[i][0];
              }
            }
            FIRN_UNROLL for (int p = 1; p < kParts; ++p) FIRN_UNROLL for (int i = 0; i < kVecs; ++i)
                FIRN_UNROLL for (int j = 0; j < R; ++j) part[p][i][j] = V::none();
            int time = 0;
            do {
              FIRN_UNROLL for (int k = 0; k < KW; ++k)
                  FIRN_UNROLL for (int q = 0; q < T::kVertical; ++q)
                      FIRN_UNROLL for (int j = 0; j < R; ++j)
                          FIRN_UNROLL for (int i = 0; i < kVecs; ++i) {
                if (!T::uses(j, q)) continue;
                const int quad = T::packed_quad(j, q, k);
                const int p = (k % 2 * T::kVertical + q) % kParts;
                auto& sum = p > 0 ? part[p][i][j] : acc[i][j];
                sum = V::template dot<N>(
                    sum, window(k)[q], v + i,
                    kHeld ? held[quad][v + i] : weight(time * T::kPlan.quads + quad, v + i));
              }
            } while (kRepeats && ++time < times);
            if constexpr (kParts > 1) {
              FIRN_UNROLL for (int i = 0; i < kVecs; ++i) FIRN_UNROLL for (int j = 0; j < R; ++j) {
                const auto some = V::add(part[2][i][j], part[3][i][j]);
                acc[i][j] = V::add(V::add(acc[i][j], part[1][i][j]), some);
              }
            }
            output.template take<R>(pixels, acc, v);
          }
          output.template store<R>(pixels, out);
          FIRN_UNROLL for (int j = 0; j < R; ++j) {
            out[j] += out_steps[j];
          }
          if constexpr (!kInMemory) {
            slide<T>(made, S);
          } else if ((first += S) + KW > kMade) {
            slide<T>(made, first);
            first = 0;
          }
        }
      };
      // The last rows are made by half as many at once where these are enough. Where no row is
      // padding, their distance addresses them: there are more of them than registers.
      constexpr int kHalf = T::kRows > 1 ? T::kRows / 2 : 1;
      if (kHalf < T::kRows && unit.y_end - y <= kHalf) {
        columns(DwRows<kHalf, false>());
      } else if (y * S >= s.pad_top && y * S - s.pad_top + T::kInputs <= s.in_h) {
        columns(DwRows<T::kRows, true>());
      } else {
        columns(DwRows<T::kRows, false>());
      }
    }
  }

  // Calls fn(DwVecs) for as many of the blocks that are left as can be worked on together, and
  // returns how many.
  template <int kMost, typename F>
  static int32_t with_strip(int32_t left, F& fn) {
    constexpr int32_t kBlocks = kMost / V::kVecs;
    if constexpr (kBlocks > 1) {
      if (left < kBlocks) return with_strip<kMost / 2>(left, fn);
    }
    fn(DwVecs<kMost>());
    return kBlocks;
  }

  template <class T>
  static void run_tile(const ConvShape& s, const ConvS8Args& args, const Units& range) {
    const DwPlan plan = P::plan(s);
    for (size_t index = range.begin; index < range.end; ++index) {
      const typename P::Unit unit(s, T::kPlan, index);
      for (int32_t i = unit.first; i < unit.last;) {
        const auto blocks = [&](auto vecs) {
          constexpr int32_t kVecs = vecs.count;
          const uint8_t* strip = static_cast<const uint8_t*>(args.packed) + P::strip_at(s, plan, i);
          const int32_t times = P::times(args.packed, i), c0 = i * kChannels;
          if constexpr (T::kRepeats) {
            if (times > 1) return tile_blocks<T, kVecs, true>(s, args, unit, strip, c0, times);
          }
          tile_blocks<T, kVecs, false>(s, args, unit, strip, c0, times);
        };
        i += with_strip<T::kMaxVecs>(unit.last - i, blocks);
      }
    }
  }

  // Pointers to taps [first, first + n) of the window at (y, x), at channel 0, and three more that
  // complete a quad.
  static void flat_taps(const ConvShape& s, const ConvS8Args& args, int32_t image, int32_t y,
                        int32_t x, int32_t first, int32_t n, const int8_t** taps) {
    int32_t ky = first / s.kernel_w % s.kernel_h, kx = first % s.kernel_w;
    for (int32_t t = 0; t < n; ++t) {
      const int32_t iy = y + ky * s.dilation_h, ix = x + kx * s.dilation_w;
      const bool inside = iy >= 0 && iy < s.in_h && ix >= 0 && ix < s.in_w;
      taps[t] = inside
                    ? input_row(s, args, image, iy) + static_cast<ptrdiff_t>(ix) * s.in_pixel_stride
                    : args.zero_row;
      if (++kx < s.kernel_w) continue;
      kx = 0;
      if (++ky == s.kernel_h) ky = 0;
    }
    taps[n] = taps[n + 1] = taps[n + 2] = args.zero_row;
  }

  // One pixel, N accumulators from channel c0 on.
  template <int N, typename Prepare>
  static void flat_blocks(const ConvShape& s, const DwPlan& p, const ConvS8Args& args,
                          const uint8_t* strip, int32_t c0, int32_t taps, int8_t* out,
                          const int8_t* const* tap, const Prepare& prepare) {
    typename V::Acc acc[N][1];
    const DwSums sums = P::sums_of(s, p, args, strip, c0);
    FIRN_UNROLL for (int v = 0; v < N; ++v) {
      acc[v][0] = V::bias(sums.start + v * V::kLanes);
    }
    const typename V::Interleave interleave(args.unsigned_input);
    const auto* weights = reinterpret_cast<const Tap*>(strip + P::taps_at(N));
    for (int32_t first = 0; first < taps; first += kFlatTaps) {
      const int32_t n = min_of(kFlatTaps, taps - first);
      prepare(first, n);
      for (int32_t t = 0; t < n; t += 4, weights += N * kVecTaps) {
        const auto quad = interleave.template quad<N, 4>(tap[t] + c0, tap[t + 1] + c0,
                                                         tap[t + 2] + c0, tap[t + 3] + c0);
        FIRN_UNROLL for (int v = 0; v < N; ++v) {
          acc[v][0] = V::template dot<N>(acc[v][0], quad, v, V::weight(weights + v * kVecTaps));
        }
      }
    }
    int8_t* to[1] = {out + c0};
    using Output = typename V::template Output<N>;
    const Output output(args, c0, min_of(N * V::kLanes, s.groups - c0), sums);
    typename Output::template Pixels<1> pixels;
    output.template take<1>(pixels, acc, 0);
    output.template store<1>(pixels, to);
  }

  static void run_flat(const ConvShape& s, const ConvS8Args& args, const Units& range) {
    const DwPlan p = P::plan(s);
    const int32_t taps = taps_of(s), once = taps / s.repeat;
    const int8_t* tap[kFlatTaps + 3];
    for (size_t index = range.begin; index < range.end; ++index) {
      const typename P::Unit unit(s, p, index);
      int8_t* out = output_row(s, args, unit.image, unit.y);
      // Rows of the output follow each other.
      for (int32_t pixel = 0; pixel < (unit.y_end - unit.y) * s.out_w; ++pixel) {
        const int32_t y = (unit.y + pixel / s.out_w) * s.stride_h - s.pad_top;
        const int32_t x = pixel % s.out_w * s.stride_w - s.pad_left;
        for (int32_t i = unit.first; i < unit.last;) {
          // Once for all channels, unless there are too many to keep.
          const auto prepare = [&](int32_t first, int32_t n) {
            if (taps > kFlatTaps)
              flat_taps(s, args, unit.image, y, x, first, n, tap);
            else if (i == unit.first)
              flat_taps(s, args, unit.image, y, x, 0, taps, tap);
          };
          const auto blocks = [&](auto vecs) {
            flat_blocks<vecs.count>(
                s, p, args, static_cast<const uint8_t*>(args.packed) + P::strip_at(s, p, i),
                i * kChannels, once * P::times(args.packed, i), out, tap, prepare);
          };
          i += with_strip<V::kMaxVecs>(unit.last - i, blocks);
        }
        out += s.out_pixel_stride;
      }
    }
  }

  static void run(const ConvShape& s, const ConvS8Args& args, void*, Units& units) {
    do {
      const bool tiled =
          with_tile<V>(s, [&](auto tile) { run_tile<decltype(tile)>(s, args, units); });
      if (!tiled) run_flat(s, args, units);
    } while (units.next());
  }

  static constexpr DwConvS8 entry(const char* name, Isa isa) {
    return {name,
            isa,
            DwConv::packed_bytes,
            DwConv::pack,
            DwConv::unpack,
            DwConv::units,
            [](const ConvShape&) { return size_t{0}; },
            run,
            [](const ConvShape&) { return V::kOffset != 0; },
            V::kFloatSums,
            DwConv::float_sums_bytes,
            DwConv::float_sums};
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_DWCONV_S8_LOOPS_H_
