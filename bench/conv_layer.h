// SPDX-License-Identifier: Apache-2.0
// A convolution layer on made-up data, for whatever times it or counts its instructions.
#ifndef FIRN_BENCH_CONV_LAYER_H_
#define FIRN_BENCH_CONV_LAYER_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "kernels/dwconv_s8.h"
#include "kernels/winograd_s8.h"

namespace firn::bench {

struct FreeDelete {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
using Aligned = std::unique_ptr<T[], FreeDelete>;

// n elements and what kernels may read behind them, of many values.
template <typename T>
Aligned<T> filled(size_t n) {
  const size_t bytes = (n * sizeof(T) + 2 * kernels::kReadSlack) / 64 * 64;
  Aligned<T> out(static_cast<T*>(std::aligned_alloc(64, bytes)));
  for (size_t i = 0; i < bytes / sizeof(T); ++i) out[i] = static_cast<T>(i * 37 % 251);
  return out;
}

// What is around a layer in its network: ReLU behind it; another layer before it; only layers
// behind it. Bytes between layers may be unsigned.
enum Around : uint32_t { kRelu = 1, kFed = 2, kFeeds = 4 };

// A square picture of `size` (0: 16 x 8 rows of a matrix) and a square kernel, padded so that
// ceil(size / stride) remains. Depthwise where out_c is 0.
struct Layer {
  int32_t size, in_c, out_c, kernel, stride;
  uint32_t around = 0;  // Around

  bool depthwise() const { return out_c == 0; }
  std::string name() const;  // "3x3s2/224x3x32", "3x3/112x96"
  kernels::ConvShape shape() const;
  double macs() const;
};
inline std::string Layer::name() const {
  const auto text = [](int32_t n) { return std::to_string(n); };
  return text(kernel) + "x" + text(kernel) + (stride > 1 ? "s" + text(stride) : "") + "/" +
         (size == 0 ? "16x8" : text(size)) + "x" + text(in_c) +
         (depthwise() ? "" : "x" + text(out_c));
}

inline kernels::ConvShape Layer::shape() const {
  kernels::ConvShape s;
  s.in_h = size != 0 ? size : 16;
  s.in_w = size != 0 ? size : 8;
  s.in_pixel_stride = in_c;
  if (depthwise()) {
    s.groups = s.out_pixel_stride = in_c;
  } else {
    s.in_c = in_c;
    s.out_c = s.out_pixel_stride = out_c;
  }
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = (kernel - 1) / 2;
  s.out_h = (s.in_h + stride - 1) / stride;
  s.out_w = (s.in_w + stride - 1) / stride;
  return s;
}

inline double Layer::macs() const {
  const kernels::ConvShape s = shape();
  return double{1} * s.out_h * s.out_w * s.groups * s.out_c * s.in_c * kernel * kernel;
}

// The layer by one of our kernels, all of it at each call.
template <class Variant>
class ConvRun {
 public:
  ConvRun(const Variant& variant, const Layer& layer) : variant_(variant), s_(layer.shape()) {
    const auto in_c = static_cast<size_t>(s_.groups * s_.in_c);
    const auto out_c = static_cast<size_t>(s_.groups * s_.out_c);
    input_ = filled<int8_t>(static_cast<size_t>(s_.in_h * s_.in_w) * in_c);
    output_ = filled<int8_t>(static_cast<size_t>(s_.out_h * s_.out_w) * out_c);
    zero_row_ = filled<int8_t>(in_c);
    packed_ = filled<uint8_t>(variant.packed_bytes(s_));
    workspace_ = filled<uint8_t>(variant.workspace_bytes(s_));
    scale_ = filled<float>(out_c);
    std::fill_n(scale_.get(), out_c, 1e-3f);
    const size_t weight_count = out_c * static_cast<size_t>(s_.kernel_h * s_.kernel_w * s_.in_c);
    const auto weights = filled<int8_t>(weight_count);
    // They are symmetric, from -127 to 127.
    std::replace(weights.get(), weights.get() + weight_count, int8_t{-128}, int8_t{127});
    variant.pack(s_, weights.get(), nullptr, 3, packed_.get());
    args_ = {.input = input_.get(),
             .zero_row = zero_row_.get(),
             .packed = packed_.get(),
             .scale = scale_.get(),
             .clamp = {.zero = (layer.around & kRelu) != 0 ? -128 : 1},
             .output = output_.get()};
    if constexpr (requires { variant.writes_unsigned; }) {
      args_.unsigned_input = (layer.around & kFed) != 0 && variant.reads_unsigned(s_);
      args_.unsigned_output = (layer.around & kFeeds) != 0 && variant.writes_unsigned;
      float_sums_ = filled<uint8_t>(variant.float_sums_bytes(s_));
      if (variant.float_sums(s_, packed_.get(), scale_.get(), args_.clamp, float_sums_.get()))
        args_.float_sums = float_sums_.get();
    }
  }
  void operator()() {
    kernels::Units all(0, variant_.units(s_));
    variant_.run(s_, args_, workspace_.get(), all);
  }

 private:
  const Variant& variant_;
  kernels::ConvShape s_;
  kernels::ConvS8Args args_;
  Aligned<int8_t> input_, output_, zero_row_;
  Aligned<uint8_t> packed_, workspace_, float_sums_;
  Aligned<float> scale_;
};

}  // namespace firn::bench

#endif  // FIRN_BENCH_CONV_LAYER_H_
