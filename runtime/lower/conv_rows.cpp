// SPDX-License-Identifier: Apache-2.0
// fp32 convolutions of images of few channels as matrix products, a row of the output at a time.
// XNNPACK keeps a pointer for each tap of each output pixel: for a first layer of 3x3x3 filters
// these take more memory than its input, and they lead to three floats each.
#include <algorithm>
#include <cstring>

#include "kernels/gemm_f32.h"
#include "runtime/lower/lower.h"
#include "runtime/packed.h"

namespace firn {
namespace {

using kernels::ConvShape;
using kernels::GemmF32;
using kernels::GemmF32Kernel;

constexpr int32_t kMostChannels = 4;
constexpr size_t kMostRowBytes = size_t{128} << 10;

size_t size(int32_t n) {
  return static_cast<size_t>(n);
}

// What the windows of one output row see: [column][kernel_h][in_c], so that the floats of a window
// follow one another, and those of the next one begin stride_w columns later.
struct WindowRow {
  ConvShape s;
  size_t column = size(s.kernel_h) * size(s.in_c);
  size_t columns = size(s.out_w - 1) * size(s.stride_w) + size(s.kernel_w);

  size_t floats() const { return columns * column; }

  template <size_t kChannels>
  void gather(const float* image, int32_t oy, float* to) const {
    const int32_t first = std::clamp(s.pad_left, 0, static_cast<int32_t>(columns));
    const int32_t last = std::clamp(s.in_w + s.pad_left, first, static_cast<int32_t>(columns));
    std::memset(to, 0, size(first) * column * sizeof(float));
    std::memset(to + size(last) * column, 0, (columns - size(last)) * column * sizeof(float));
    for (int32_t ky = 0; ky < s.kernel_h; ++ky) {
      const int32_t iy = oy * s.stride_h + ky * s.dilation_h - s.pad_top;
      const bool inside = iy >= 0 && iy < s.in_h;
      const float* from = image + size(inside ? iy : 0) * size(s.in_w) * kChannels;
      float* into = to + size(first) * column + size(ky) * kChannels;
      for (int32_t x = first; x < last; ++x, from += kChannels, into += column)
        for (size_t c = 0; c < kChannels; ++c) into[c] = inside ? from[c] : 0.0f;
    }
  }
};

using GatherRow = void (WindowRow::*)(const float*, int32_t, float*) const;

GatherRow gather_of(int32_t channels) {
  switch (channels) {
    case 1:
      return &WindowRow::gather<1>;
    case 2:
      return &WindowRow::gather<2>;
    case 3:
      return &WindowRow::gather<3>;
    default:
      return &WindowRow::gather<4>;
  }
}

// Weights [kernel_w][kernel_h][in_c][out_c], then the bias.
Result<std::shared_ptr<const Buffer>> pack(const ConvShape& s, std::span<const float> weights,
                                           std::span<const float> bias) {
  FIRN_ASSIGN(auto made, Buffer::allocate((weights.size() + size(s.out_c)) * sizeof(float)));
  auto* to = reinterpret_cast<float*>(made.second.data());
  for (int32_t kx = 0; kx < s.kernel_w; ++kx)
    for (int32_t ky = 0; ky < s.kernel_h; ++ky)
      for (int32_t c = 0; c < s.in_c; ++c)
        for (int32_t o = 0; o < s.out_c; ++o)
          *to++ = weights[((size(o) * size(s.kernel_h) + size(ky)) * size(s.kernel_w) + size(kx)) *
                              size(s.in_c) +
                          size(c)];
  std::ranges::copy(bias, to);
  return made.first;
}

}  // namespace

Lowered lower_conv_by_rows(const LowerContext& context, const Node& node, const Conv2d& op,
                           std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], w = node.in[1], y = node.out[0];
  const ValueId bias = node.in.size() > 2 ? node.in[2] : ValueId::none;
  const ConvShape s = window_shape(context, op.window, op.groups, x, y);
  const WindowRow row{s};
  const GemmF32Kernel& kernel = kernels::pick(kernels::gemm_f32_table(), context.isa);
  if (kernel.isa == kernels::Isa::scalar || s.groups > 1 || s.in_c > kMostChannels ||
      s.dilation_w > 1 || s.kernel_h * s.kernel_w == 1 || context.value(w).type != DType::f32 ||
      row.floats() * sizeof(float) > kMostRowBytes)
    return false;
  const auto floats = [&](ValueId id) {
    return id == ValueId::none ? std::span<const float>() : context.value(id).as<float>();
  };
  const uint64_t bias_id = bias == ValueId::none ? 0 : context.value(bias).constant->id();
  FIRN_ASSIGN(const auto packed,
              context.packed.get({context.value(w).constant->id(), bias_id, kernel.name, s, 0},
                                 [&]() -> Result<std::shared_ptr<const Buffer>> {
                                   if (context.value(w).constant->is_released())
                                     return released_error(context.value(w));
                                   return pack(s, floats(w), floats(bias));
                                 }));
  context.release(w);

  GemmF32 g;
  g.m = size(s.out_w);
  g.n = size(s.out_c);
  g.k = size(s.kernel_w) * row.column;
  g.a_row = static_cast<ptrdiff_t>(size(s.stride_w) * row.column);
  g.b_k = g.c_row = static_cast<ptrdiff_t>(g.n);
  g.lo = op.clamp.lo;
  g.hi = op.clamp.hi;
  const size_t panels = (g.n + kernel.columns - 1) / kernel.columns;
  const double ns = static_cast<double>(macs(context.graph, node)) / 20;
  const GatherRow gather = gather_of(s.in_c);
  auto step = make_step([=, run = kernel.run, has_bias = bias != ValueId::none,
                         weights = reinterpret_cast<const float*>(packed->bytes().data())](
                            const Frame& frame) -> Status {
    GemmF32 now = g;
    if (has_bias) now.bias = weights + g.k * g.n;
    frame.pool.parallel_work(
        size(s.batch) * size(s.out_h), ns, [&](size_t begin, size_t end, size_t thread) {
          float* const seen = reinterpret_cast<float*>(frame.scratch) + thread * row.floats();
          for (size_t r = begin; r < end; ++r) {
            const float* image = frame.at<const float>(x) +
                                 r / size(s.out_h) * size(s.in_h) * size(s.in_w) * size(s.in_c);
            (row.*gather)(image, static_cast<int32_t>(r % size(s.out_h)), seen);
            for (size_t p = 0; p < panels; ++p)
              run(now, seen, weights, frame.at<float>(y) + r * g.m * g.n, p, 0, g.m);
          }
        });
    return {};
  });
  LoweredStep lowered = describe_step(context, node, std::move(step), kernel.name);
  lowered.reads = {x};
  lowered.exact_reads = true;
  lowered.weight_bytes = packed->bytes().size();
  lowered.packed = std::make_shared<const PackedLayer>(
      PackedLayer{packed, context.value(w).constant->id(), nullptr});
  lowered.scratch_bytes =
      row.floats() * sizeof(float) * static_cast<size_t>(context.pool.threads());
  lowered.shared_ns = ns;
  steps.push_back(std::move(lowered));
  return true;
}

}  // namespace firn
