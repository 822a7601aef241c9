// SPDX-License-Identifier: Apache-2.0
// Packs weights and walks the blocks of a convolution, handing each to the inner kernel.
#include "kernels/gemm_s8_driver.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "kernels/gemm_s8_rows.h"

namespace firn::kernels {
namespace {

// Whether the size of all is below one, so that no product overflows int32. Bits of floats that are
// not negative are ordered as they are, and integers are vectorized.
bool below_one(std::span<const float> scale) {
  constexpr int32_t kLargest = 0x3f7f'ffff;  // below one
  int32_t left = 0;
  for (const float s : scale) left |= kLargest - (std::bit_cast<int32_t>(s) & 0x7fff'ffff);
  return left >= 0;
}

// Behind what the sums of all columns start from packed weights tell, in int32: the least and the
// largest sum of each column, which are int32's where they are beyond that; whether no weight is
// -128; and of each panel how many times its taps are read.
int64_t least_at(const GemmS8Plan& plan) {
  return plan.bias_count;
}
int64_t most_at(const GemmS8Plan& plan) {
  return 2 * plan.bias_count;
}
int64_t narrow_at(const GemmS8Plan& plan) {
  return 3 * plan.bias_count;
}
int64_t times_at(const GemmS8Plan& plan) {
  return narrow_at(plan) + kPanel;
}

int32_t saturate(int64_t x) {
  return static_cast<int32_t>(std::clamp<int64_t>(x, INT32_MIN, INT32_MAX));
}

// The columns of panels from the first on, up to `most`, whose taps are read as many times: what a
// block's fields are beside its tiles. Where the last panel is not whole, its scales are copied to
// `padded`, so that kernels can load whole vectors.
void set_columns(GemmS8Block& b, const ConvShape& s, const GemmS8Plan& plan, const ConvS8Args& args,
                 int32_t group, int32_t first, int32_t most, float* padded) {
  const int32_t column = first * kPanel;
  const int64_t panel = int64_t{group} * plan.panels + first;
  const auto* packed = static_cast<const int32_t*>(args.packed);
  const int32_t* times = packed + times_at(plan) + panel;
  b.panels = 1;
  while (b.panels < most && times[b.panels] == times[0]) ++b.panels;
  b.taps = plan.taps_once * times[0];
  b.columns = std::min(s.out_c - column, b.panels * kPanel);
  b.bias = packed + panel * kPanel;
  b.weights = static_cast<const int8_t*>(args.packed) + plan.bias_bytes + panel * plan.panel_bytes;
  if (args.float_sums != nullptr && !args.to_float) {
    const auto* const floats = static_cast<const float*>(args.float_sums) + panel * kPanel;
    b.bias = static_cast<const int32_t*>(args.float_sums) + panel * kPanel;
    b.scale = floats + plan.bias_count;
    b.offset = floats + 2 * plan.bias_count;
    return;
  }
  b.scale = args.scale + group * s.out_c + column;
  if (const int32_t missing = b.panels * kPanel - b.columns; missing > 0) {
    std::fill_n(std::copy_n(b.scale, b.columns, padded), missing, 0.0f);
    b.scale = padded;
  }
}

size_t units_of(const ConvShape& s, const GemmS8Plan& plan) {
  return static_cast<size_t>(s.groups * plan.blocks * plan.parts);
}

// Of what the caller wants near, what falls to each unit.
class Shares {
 public:
  Shares(const ConvS8Args& args, size_t units)
      // Half of a second cache that is not large, the other half being this layer's.
      : all_(std::min(args.ahead.size(), size_t{512} << 10)),
        each_(all_ / units),
        last_(units - 1),
        // Where there is nothing, something that is near: an address of no page is looked up each
        // time.
        first_(static_cast<const char*>(all_ > 0 ? args.ahead.data() : args.packed)) {}

  GemmS8Ahead of(size_t unit) const {
    return {first_ + each_ * unit, first_ + (unit == last_ ? all_ : each_ * (unit + 1))};
  }

 private:
  size_t all_, each_, last_;
  const char* first_;
};

// A part's weights.
GemmS8Ahead weights_of(const ConvS8Args& args, const GemmS8Plan& plan,
                       const GemmS8Plan::Unit& unit) {
  const auto* panels = static_cast<const char*>(args.packed) + plan.bias_bytes +
                       int64_t{unit.group} * plan.panels * plan.panel_bytes;
  return {panels + plan.part_begin(unit.part) * plan.panel_bytes,
          panels + plan.part_begin(unit.part + 1) * plan.panel_bytes};
}

void* output_at(const ConvS8Args& args, int64_t element) {
  return args.to_float ? static_cast<void*>(static_cast<float*>(args.output) + element)
                       : static_cast<int8_t*>(args.output) + element;
}

int32_t added_to_input(const GemmS8Kernel& kernel) {
  return kernel.input == GemmS8Input::as_unsigned ? 128 : 0;
}

// Filters of more than kMaxTaps taps, which no tile has room for: pixel by pixel, tap by tap, from
// the same packed weights.
void run_huge(const GemmS8Kernel& kernel, const ConvShape& s, const GemmS8Block& b,
              const int8_t* input, const int8_t* zero_row, int64_t row, int32_t rows) {
  const int32_t added = added_to_input(kernel);
  const int32_t step_bytes = kPanel * kernel.k_step;
  OutputPixel pixel(s, row);
  for (int32_t r = 0; r < rows; ++r, pixel.advance(s, 1)) {
    for (int32_t column = 0; column < b.columns; ++column) {
      auto sum = static_cast<uint32_t>(b.bias[column]);
      const int8_t* w =
          b.weights + column / kPanel * b.panel_bytes + column % kPanel * kernel.k_step;
      for (int32_t tap = 0; tap < b.taps; ++tap, w += b.steps * step_bytes) {
        const int64_t y = pixel.top(s) + int64_t{tap / s.kernel_w % s.kernel_h} * s.dilation_h;
        const int64_t x = pixel.left(s) + int64_t{tap % s.kernel_w} * s.dilation_w;
        const bool inside = y >= 0 && y < s.in_h && x >= 0 && x < s.in_w;
        const int8_t* a =
            inside ? input + input_pixel(s, pixel.image, y, x) * s.in_pixel_stride : zero_row;
        for (int32_t k = 0; k < s.in_c; ++k)
          sum += static_cast<uint32_t>((a[k] + added) *
                                       w[k / kernel.k_step * step_bytes + k % kernel.k_step]);
      }
      gemm_s8_store(b, r, column, static_cast<int32_t>(sum));
    }
  }
}

// A tap's weights of one column, k_step at a time, to their places in the panel. kStep: k_step,
// where it is known to the compiler, or 0.
template <int32_t kStep>
void spread(const int8_t* w, int32_t tap_k, int32_t k_step, int8_t* out) {
  const int32_t step = kStep > 0 ? kStep : k_step;
  for (; tap_k >= step; tap_k -= step, w += step, out += kPanel * step)
    std::memcpy(out, w, static_cast<size_t>(step));
  if (tap_k > 0) std::memcpy(out, w, static_cast<size_t>(tap_k));
}

// Where a column of the product is packed.
struct PackedColumn {
  int64_t channel;  // of all groups
  int64_t bias;     // its place among the biases
  ptrdiff_t first;  // its first weight, in bytes from the first panel
};

template <typename F>
void for_each_column(const GemmS8Kernel& kernel, const ConvShape& s, const GemmS8Plan& plan, F fn) {
  for (int32_t group = 0; group < s.groups; ++group)
    for (int32_t column = 0, part = 0; column < s.out_c; ++column) {
      if (column / kPanel == plan.part_begin(part + 1)) ++part;
      int64_t panel = int64_t{group} * plan.panels + column / kPanel;
      int32_t place = column % kPanel;
      if (plan.is_woven(part)) {
        const int32_t first = plan.part_begin(part), i = column - first * kPanel;
        panel = int64_t{group} * plan.panels + first + i / 4 % 4;
        place = i / 16 * 4 + i % 4;
      }
      fn(PackedColumn{int64_t{group} * s.out_c + column, panel * kPanel + place,
                      panel * plan.panel_bytes + ptrdiff_t{place} * kernel.k_step});
    }
}

size_t state_bytes(const GemmS8Kernel& kernel, const GemmS8Plan& plan) {
  if (kernel.state_bytes == nullptr || plan.huge()) return 0;
  return kernel.state_bytes(std::min(plan.rows, plan.block_rows), int64_t{plan.taps} * plan.steps);
}

// From a tap's weights to the next one's.
ptrdiff_t tap_bytes(const GemmS8Kernel& kernel, const GemmS8Plan& plan) {
  return ptrdiff_t{plan.steps} * kPanel * kernel.k_step;
}

// A column's weights: of all taps.
int64_t column_values(const GemmS8Plan& plan) {
  return int64_t{plan.whole_taps()} * plan.tap_k + plan.rests();
}

// Parts of a column's weights, where there are rests, that lie side by side both as they are given
// and in the order of taps, which has the rests last: calls part(given, of taps, count) for each.
template <typename F>
void for_each_part(const GemmS8Plan& plan, F part) {
  const int64_t whole = int64_t{plan.row_taps} * plan.tap_k, rest = plan.rest_k;
  const int64_t rows = plan.whole_taps() / plan.row_taps;
  for (int64_t row = 0; row < rows; ++row) {
    part(row * (whole + rest), row * whole, whole);
    part(row * (whole + rest) + whole, rows * whole + row * rest, rest);
  }
}

}  // namespace

size_t gemm_s8_packed_bytes(const GemmS8Kernel& kernel, const ConvShape& s) {
  const GemmS8Plan plan(s, kernel);
  return static_cast<size_t>(plan.bias_bytes + int64_t{s.groups} * plan.panels * plan.panel_bytes);
}

void gemm_s8_pack(const GemmS8Kernel& kernel, const ConvShape& s, const int8_t* weights,
                  const int32_t* bias, int32_t input_zero, void* packed) {
  const GemmS8Plan plan(s, kernel);
  std::memset(packed, 0, gemm_s8_packed_bytes(kernel, s));
  auto* packed_bias = static_cast<int32_t*>(packed);
  int8_t* panels = static_cast<int8_t*>(packed) + plan.bias_bytes;
  const int64_t row = column_values(plan), once = row / s.repeat;
  std::vector<int8_t> ordered(plan.rest_taps > 0 ? static_cast<size_t>(row) : 0);
  int8_t least = 0;
  for_each_column(kernel, s, plan, [&](const PackedColumn& column) {
    const int8_t* w = weights + column.channel * row;
    if (plan.rest_taps > 0) {
      for_each_part(plan, [&](int64_t given, int64_t of_taps, int64_t n) {
        std::copy_n(w + given, n, ordered.data() + of_taps);
      });
      w = ordered.data();
    }
    int8_t* out = panels + column.first;
    int64_t sum = 0, size = 0;
    for (int64_t i = 0; i < row; ++i) {
      sum += w[i];
      size += std::abs(w[i]);
      least = std::min(least, w[i]);
    }
    int32_t& times = packed_bias[times_at(plan) + column.bias / kPanel];
    times = std::max(times, 1);
    while (times < s.repeat &&
           std::any_of(w + times * once, w + row, [](int8_t x) { return x != 0; }))
      ++times;
    for (int32_t tap = 0; tap < plan.taps; ++tap) {
      const int32_t values = plan.values_of(tap);
      if (kernel.k_step == 4)
        spread<4>(w, values, 4, out);
      else
        spread<0>(w, values, kernel.k_step, out);
      w += values;
      out += tap_bytes(kernel, plan);
    }
    const int64_t all = (bias != nullptr ? bias[column.channel] : 0) - sum * input_zero;
    // Inputs are from -128 to 127.
    packed_bias[least_at(plan) + column.bias] = saturate(all - (255 * size + sum) / 2);
    packed_bias[most_at(plan) + column.bias] = saturate(all + (255 * size - sum) / 2);
    // Modulo 2^32, as the kernels add.
    packed_bias[column.bias] =
        static_cast<int32_t>(static_cast<uint32_t>(all - sum * added_to_input(kernel)));
  });
  packed_bias[narrow_at(plan)] = least > -128;
}

// What the sums of all columns start from, their scales, and what is added to their products.
size_t gemm_s8_float_sums_bytes(const GemmS8Kernel& kernel, const ConvShape& s) {
  if (!kernel.float_sums) return 0;
  return static_cast<size_t>(GemmS8Plan(s, kernel).bias_count) *
         (sizeof(int32_t) + 2 * sizeof(float));
}

bool gemm_s8_float_sums(const GemmS8Kernel& kernel, const ConvShape& s, const void* packed,
                        const float* scale, const Clamp8& clamp, void* found) {
  const GemmS8Plan plan(s, kernel);
  if (!kernel.float_sums || plan.huge()) return false;
  const auto* const values = static_cast<const int32_t*>(packed);
  auto* const bias = static_cast<int32_t*>(found);
  auto* const scales = static_cast<float*>(found) + plan.bias_count;
  auto* const offsets = scales + plan.bias_count;
  std::memset(found, 0, gemm_s8_float_sums_bytes(kernel, s));
  bool all = true;
  for_each_column(kernel, s, plan, [&](const PackedColumn& column) {
    FloatSum sum{};
    all = all && find_float_sum(scale[column.channel], values[least_at(plan) + column.bias],
                                values[most_at(plan) + column.bias], clamp, sum);
    // Modulo 2^32, as the kernels add.
    bias[column.bias] = static_cast<int32_t>(static_cast<uint32_t>(values[column.bias]) +
                                             static_cast<uint32_t>(sum.start));
    scales[column.bias] = scale[column.channel];
    offsets[column.bias] = sum.offset;
  });
  return all;
}

void gemm_s8_unpack(const GemmS8Kernel& kernel, const ConvShape& s, const void* packed,
                    int8_t* weights) {
  const GemmS8Plan plan(s, kernel);
  const int8_t* panels = static_cast<const int8_t*>(packed) + plan.bias_bytes;
  const int64_t row = column_values(plan);
  std::vector<int8_t> ordered(plan.rest_taps > 0 ? static_cast<size_t>(row) : 0);
  for_each_column(kernel, s, plan, [&](const PackedColumn& column) {
    int8_t* const out = weights + column.channel * row;
    int8_t* w = plan.rest_taps > 0 ? ordered.data() : out;
    const int8_t* from = panels + column.first;
    for (int32_t tap = 0; tap < plan.taps; ++tap, from += tap_bytes(kernel, plan)) {
      const int8_t* step = from;
      const int32_t values = plan.values_of(tap);
      for (int32_t k = 0; k < values; k += kernel.k_step, step += kPanel * kernel.k_step)
        w = std::copy_n(step, std::min(kernel.k_step, values - k), w);
    }
    if (plan.rest_taps > 0)
      for_each_part(plan, [&](int64_t given, int64_t of_taps, int64_t n) {
        std::copy_n(ordered.data() + of_taps, n, out + given);
      });
  });
}

size_t gemm_s8_units(const GemmS8Kernel& kernel, const ConvShape& s) {
  return units_of(s, GemmS8Plan(s, kernel));
}

size_t gemm_s8_workspace_bytes(const GemmS8Kernel& kernel, const ConvShape& s) {
  const GemmS8Plan plan(s, kernel);
  return state_bytes(kernel, plan) + GemmS8Rows(kernel, s, plan, false, nullptr).workspace_bytes();
}

// Products, whose rows need no copy then.
bool gemm_s8_reads_unsigned(const GemmS8Kernel& kernel, const ConvShape& s) {
  return kernel.input == GemmS8Input::as_unsigned && GemmS8Plan(s, kernel).dense;
}

void gemm_s8_run(const GemmS8Kernel& kernel, const ConvShape& s, const ConvS8Args& args,
                 void* workspace, Units& units) {
  const GemmS8Plan plan(s, kernel);
  std::array<float, kMaxPanels * kPanel> scale;
  GemmS8Block block{};
  block.steps = plan.steps;
  block.panel_bytes = plan.panel_bytes;
  block.all_panels = plan.panels;
  block.clamp = args.clamp;
  block.to_float = args.to_float;
  block.unsigned_output = args.unsigned_output;
  block.float_lo = args.float_lo;
  block.float_hi = args.float_hi;
  block.out_stride = s.out_pixel_stride;
  block.narrow_weights = static_cast<const int32_t*>(args.packed)[narrow_at(plan)] != 0;
  block.scale_below_one = below_one({args.scale, static_cast<size_t>(s.groups) * s.out_c});

  GemmS8Rows input_rows(kernel, s, plan, args.unsigned_input,
                        static_cast<int8_t*>(workspace) + state_bytes(kernel, plan));
  block.state = workspace;
  GemmS8Ahead ahead;
  block.ahead = &ahead;
  if (kernel.begin != nullptr) kernel.begin(plan.steps, plan.taps, workspace);
  // Parts are the inner units: a block's rows stay in cache, and its pointers are made once for all
  // parts with tiles of the same height.
  int64_t loaded_block = -1;
  int32_t built_rows = 0;
  int64_t set_panel = -1;
  int64_t first_block = -1;
  const Shares shares(args, units_of(s, plan));
  const auto run_unit = [&](const GemmS8Plan::Unit& unit) {
    const auto [group, number, part] = unit;
    const int8_t* input = args.input + int64_t{group} * s.in_c;
    const int64_t index = group * plan.blocks + number;
    if (index != loaded_block && !plan.huge()) {
      input_rows.load(input, args.zero_row, number);
      loaded_block = index;
      built_rows = 0;
    }
    const int32_t part_end = plan.part_begin(part + 1);
    block.woven = plan.is_woven(part);
    for (int32_t first = plan.part_begin(part); first < part_end; first += block.panels) {
      block.same_tiles = true;
      if (const int64_t panel = int64_t{group} * plan.panels + first; panel != set_panel) {
        const int32_t taps = block.taps;
        set_columns(block, s, plan, args, group, first, part_end - first, scale.data());
        block.same_tiles = block.taps == taps;
        set_panel = panel;
      }
      block.output = output_at(args, plan.output_row(s, number) * s.out_pixel_stride +
                                         int64_t{group} * s.out_c + first * kPanel);
      if (plan.huge()) {
        const int64_t row = number * plan.block_rows;
        run_huge(kernel, s, block, input, args.zero_row, row,
                 static_cast<int32_t>(std::min(plan.block_rows, plan.rows - row)));
        continue;
      }
      const int32_t rows = kernel.rows[block.panels - 1];
      if (const int32_t tile_rows = plan.deep ? std::max(rows, kernel.deep_rows) : rows;
          tile_rows != built_rows) {
        const auto tiles = input_rows.tiles(tile_rows);
        block.tiles = tiles.data();
        block.tile_count = static_cast<int32_t>(tiles.size());
        built_rows = tile_rows;
        block.same_tiles = false;
      }
      kernel.tiles(block);
    }
  };
  do {
    if (units.begin == units.end) continue;
    auto unit = plan.unit(static_cast<int64_t>(units.begin));
    if (first_block < 0) first_block = unit.block;
    for (size_t n = units.begin; n < units.end; ++n) {
      // Brought near meanwhile: the weights of the next unit, unless a block before had them.
      const bool last = n + 1 == units.end;
      const auto next = plan.next(unit);
      const bool same_rows = next.block == unit.block && next.group == unit.group;
      const bool cold = plan.far || (same_rows && unit.block == first_block);
      ahead = cold && !last ? weights_of(args, plan, next) : shares.of(n);
      run_unit(unit);
      unit = next;
    }
  } while (units.next());
  if (kernel.end != nullptr) kernel.end(workspace);
}

}  // namespace firn::kernels
