// SPDX-License-Identifier: Apache-2.0
// Convolutions and fully connected layers whose input has 16 bits: as two exact int8 products with
// the same weights, of the upper and the lower halves, or, depthwise, by int16 kernels.
//
// x = 256 * high + low + 128, both int8. What the products give is made floats of and added up with
// the bias, whose share of the weights' sum makes up for the 128. Work is done in bands of rows, so
// that halves and sums stay in a thread's cache.
#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/lower/lower.h"

namespace firn {
namespace {

using kernels::ConvShape;

// Of a band's halves and sums: about what the nearest cache holds.
constexpr size_t kBandBytes = size_t{40} << 10;
// Rows of a band of a matrix product are a multiple of these: tiles of kernels have up to 12.
constexpr size_t kBandRows = 24;

// What both ways need besides the weights: y = float(acc) * scale[c] + bias[c], in units of y.
struct Wide {
  ValueId x, y;
  std::vector<float> scale, bias;  // bias: kWideSlack more, from the start again
  kernels::WideOutput output;
};

double scale_of(const Value& value) {
  return value.type == DType::f32 ? 1.0 : double{value.quant->scale[0]};
}

kernels::WideOutput output_of(const Value& y, const Clamp& clamp) {
  kernels::WideOutput output;
  output.lo = clamp.lo;
  output.hi = clamp.hi;
  if (y.type == DType::i8) {
    output.type = kernels::WideOutput::Type::i8;
    output.clamp = clamp8(clamp, *y.quant);
  } else if (y.type == DType::i16) {
    const auto bound = [&](float x) {
      const double q = std::nearbyint(double{x} / y.quant->scale[0]);
      return static_cast<float>(std::clamp<double>(q, INT16_MIN, INT16_MAX));
    };
    output.type = kernels::WideOutput::Type::i16;
    output.lo = bound(clamp.lo);
    output.hi = std::max(output.lo, bound(clamp.hi));
  }
  return output;
}

// `shift`: what is to be added to each input.
Wide describe(const LowerContext& context, const Node& node, const Clamp& clamp, int32_t shift) {
  const Value& w = context.value(node.in[1]);
  const Value& y = context.value(node.out[0]);
  Wide wide{node.in[0], node.out[0], {}, {}, output_of(y, clamp)};
  const bool biased = node.in.size() > 2 && node.in[2] != ValueId::none;
  const auto channels = static_cast<size_t>(w.shape[0]);
  const size_t row = w.shape.elements() / channels;
  const double x_scale = scale_of(context.value(node.in[0])), y_scale = scale_of(y);
  for (size_t c = 0; c < channels; ++c) {
    const double unit = x_scale * double{w.quant->scale[w.quant->per_tensor() ? 0 : c]};
    int64_t sum = 0;
    for (const int8_t q : w.as<int8_t>().subspan(c * row, row)) sum += q;
    const double bias = biased ? double{context.value(node.in[2]).as<float>()[c]} : 0;
    wide.scale.push_back(kernels::rescale(unit / y_scale));
    wide.bias.push_back(
        static_cast<float>((bias + static_cast<double>(shift * sum) * unit) / y_scale));
  }
  for (size_t i = 0; i < kernels::kWideSlack; ++i) wide.bias.push_back(wide.bias[i]);
  return wide;
}

// A part of the output that one thread makes: rows of a matrix product, or of an image.
struct Band {
  ConvShape shape;           // of its halves, one after the other where they are one product
  size_t in_first, in_size;  // elements of the layer's input
  size_t out_first, out_size;
};

// How a layer is cut into bands.
class Bands {
 public:
  Bands(const ConvShape& s, size_t threads) : s_(s) {
    const size_t in = in_row(), out = out_row();
    if (is_product()) {
      const auto all = static_cast<size_t>(s.in_w);
      const size_t fit = std::max<size_t>(kBandBytes / (2 * in + 8 * out), 1);
      const size_t share = (all + threads - 1) / threads;
      rows_ = std::max<size_t>(std::min(fit, share) / kBandRows, 1) * kBandRows;
      count_ = (all + rows_ - 1) / rows_;
      rows_ = std::min(rows_, all);
    } else {
      const auto all = static_cast<size_t>(s.out_h);
      const size_t fit = kBandBytes / (2 * in * static_cast<size_t>(s.stride_h) + 8 * out);
      rows_ = std::clamp<size_t>(std::min(fit, (all + threads - 1) / threads), 1, all);
      per_image_ = (all + rows_ - 1) / rows_;
      count_ = per_image_ * static_cast<size_t>(s.batch);
    }
  }

  size_t count() const { return count_; }
  // Both halves can be rows of one product: there is no padding, which differs.
  bool is_product() const {
    return s_.kernel_h == 1 && s_.kernel_w == 1 && s_.batch == 1 && s_.in_h == 1 && s_.out_h == 1 &&
           s_.in_w == s_.out_w && s_.stride_w == 1 && s_.pad_left == 0 && s_.pad_top == 0;
  }

  Band operator[](size_t i) const {
    Band band{s_, 0, 0, 0, 0};
    ConvShape& s = band.shape;
    s.in_pixel_stride = s.in_c * s.groups;
    s.out_pixel_stride = s.out_c * s.groups;
    if (is_product()) {
      const size_t first = i * rows_;
      const size_t rows = std::min(rows_, static_cast<size_t>(s_.in_w) - first);
      s.in_w = s.out_w = static_cast<int32_t>(2 * rows);
      return {s, first * in_row(), rows * in_row(), first * out_row(), rows * out_row()};
    }
    const auto image = i / per_image_, first = i % per_image_ * rows_;
    const size_t rows = std::min(rows_, static_cast<size_t>(s_.out_h) - first);
    // Input rows from `top` to `bottom`: those of all taps that lie in the image.
    const int64_t begin = static_cast<int64_t>(first) * s_.stride_h - s_.pad_top;
    const int64_t end = begin + static_cast<int64_t>(rows - 1) * s_.stride_h +
                        int64_t{s_.kernel_h - 1} * s_.dilation_h + 1;
    const int64_t top = std::clamp<int64_t>(begin, 0, s_.in_h - 1);
    const int64_t bottom = std::clamp<int64_t>(end, top + 1, s_.in_h);
    s.batch = 1;
    s.in_h = static_cast<int32_t>(bottom - top);
    s.pad_top = static_cast<int32_t>(top - begin);
    s.out_h = static_cast<int32_t>(rows);
    const auto in_first = image * static_cast<size_t>(s_.in_h) + static_cast<size_t>(top);
    return {s, in_first * in_row(), static_cast<size_t>(bottom - top) * in_row(),
            (image * static_cast<size_t>(s_.out_h) + first) * out_row(), rows * out_row()};
  }

 private:
  // Elements of a row: of a product's matrices, or of an image.
  size_t in_row() const {
    const auto channels = static_cast<size_t>(s_.in_c) * static_cast<size_t>(s_.groups);
    return is_product() ? channels : channels * static_cast<size_t>(s_.in_w);
  }
  size_t out_row() const {
    const auto channels = static_cast<size_t>(s_.out_c) * static_cast<size_t>(s_.groups);
    return is_product() ? channels : channels * static_cast<size_t>(s_.out_w);
  }

  const ConvShape s_;
  size_t rows_ = 1, per_image_ = 1, count_ = 1;
};

// A band's memory: halves, each with what kernels may read behind it, sums, and the kernel's own.
struct Workspace {
  size_t half = 0;  // bytes from one half to the next, where they are apart
  size_t sums = 0;  // from the start
  size_t own = 0;   // from the start
  size_t own_bytes = 0;

  void fit(const kernels::GemmS8& gemm, const Band& band, bool is_product) {
    const auto padded = [](size_t n) { return (n + 63) / 64 * 64; };
    half = std::max(half, is_product ? band.in_size : padded(band.in_size + kernels::kReadSlack));
    sums = std::max(sums, padded(2 * half + kernels::kReadSlack));
    own = std::max(own, sums + padded(2 * band.out_size * sizeof(float)));
    own_bytes = std::max(own_bytes, gemm.workspace_bytes(band.shape));
  }
  size_t bytes() const { return own + own_bytes; }
};

Status lower_halves(const LowerContext& context, const Node& node, const ConvShape& s,
                    const Clamp& clamp, std::vector<LoweredStep>& steps) {
  const kernels::GemmS8& gemm = kernels::pick_gemm_s8(s, context.isa);
  const kernels::VecS8& vec = context.vec();
  const Value& w = context.value(node.in[1]);
  Wide wide = describe(context, node, clamp, 128);

  FIRN_ASSIGN(auto packed, context.packed.get({w.constant->id(), 0, gemm.name, s, 0},
                                              [&]() -> Result<std::shared_ptr<const Buffer>> {
                                                FIRN_ASSIGN(auto made,
                                                            Buffer::allocate(gemm.packed_bytes(s)));
                                                gemm.pack(s, w.as<int8_t>().data(), nullptr, 0,
                                                          made.second.data());
                                                return made.first;
                                              }));
  context.release(node.in[1]);

  // What padding reads: 0 of the upper half, and of the lower one what 128 is added to.
  const size_t pixel =
      static_cast<size_t>(s.groups) * static_cast<size_t>(s.in_c) + kernels::kReadSlack;
  std::vector<int8_t> zeros(2 * pixel);
  std::fill(zeros.begin() + static_cast<std::ptrdiff_t>(pixel), zeros.end(), int8_t{-128});

  const Bands bands(s, static_cast<size_t>(context.pool.threads()));
  const bool product = bands.is_product();
  Workspace workspace;
  for (size_t i = 0; i < bands.count(); ++i) workspace.fit(gemm, bands[i], product);
  const double ns = 2 * static_cast<double>(macs(context.graph, node)) / macs_per_ns(gemm.isa, s);
  const size_t weight_bytes =
      packed->bytes().size() + (wide.scale.size() + wide.bias.size()) * sizeof(float);

  const size_t y_bytes = dtype_bytes(context.value(node.out[0]).type);
  auto step = make_step([=, &gemm, &vec, wide = std::move(wide), zeros = std::move(zeros),
                         weights = packed->bytes().data()](const Frame& frame) -> Status {
    const auto run = [&](size_t i, size_t thread, const auto& multiply) {
      const Band band = bands[i];
      std::byte* const memory = frame.scratch + thread * workspace.bytes();
      auto* const high = reinterpret_cast<int8_t*>(memory);
      int8_t* const low = high + (product ? band.in_size : workspace.half);
      auto* const sums = reinterpret_cast<float*>(memory + workspace.sums);
      vec.split16(band.in_size, frame.at<const int16_t>(wide.x) + band.in_first, high, low);
      kernels::ConvS8Args args;
      args.to_float = true;
      args.float_lo = -std::numeric_limits<float>::infinity();
      args.float_hi = std::numeric_limits<float>::infinity();
      args.packed = weights;
      args.scale = wide.scale.data();
      args.zero_row = zeros.data();
      args.input = high;
      args.output = sums;
      multiply(band.shape, args);
      if (!product) {
        args.zero_row = zeros.data() + pixel;
        args.input = low;
        args.output = sums + band.out_size;
        multiply(band.shape, args);
      }
      vec.join16(band.out_size, wide.scale.size(), sums, sums + band.out_size, wide.bias.data(),
                 wide.output, frame.at<std::byte>(wide.y) + band.out_first * y_bytes);
    };
    const auto own = [&](size_t thread) {
      return frame.scratch + thread * workspace.bytes() + workspace.own;
    };
    if (bands.count() == 1) {
      run(0, 0, [&](const ConvShape& shape, const kernels::ConvS8Args& args) {
        frame.pool.parallel_work(gemm.units(shape), product ? ns : ns / 2,
                                 [&](kernels::Units& share, size_t thread) {
                                   gemm.run(shape, args, own(thread), share);
                                 });
      });
    } else {
      frame.pool.parallel_work(bands.count(), ns, [&](size_t begin, size_t end, size_t thread) {
        for (size_t i = begin; i < end; ++i)
          run(i, thread, [&](const ConvShape& shape, const kernels::ConvS8Args& args) {
            kernels::Units all(0, gemm.units(shape));
            gemm.run(shape, args, own(thread), all);
          });
      });
    }
    return {};
  });
  LoweredStep lowered =
      describe_step(context, node, std::move(step), std::string(gemm.name) + " 16 bits");
  lowered.reads = {node.in[0]};
  lowered.weight_bytes = weight_bytes;
  const void* const weights = packed->bytes().data();
  lowered.packed = std::make_shared<const PackedLayer>(
      PackedLayer{std::move(packed), w.constant->id(),
                  [s, weights, unpack = gemm.unpack](int8_t* to) { unpack(s, weights, to); }});
  lowered.scratch_bytes = workspace.bytes() * static_cast<size_t>(context.pool.threads());
  lowered.shared_ns = ns;
  steps.push_back(std::move(lowered));
  return {};
}

void lower_depthwise(const LowerContext& context, const Node& node, const ConvShape& s,
                     const Clamp& clamp, std::vector<LoweredStep>& steps) {
  const kernels::VecS8& vec = context.vec();
  const Value& w = context.value(node.in[1]);
  Wide wide = describe(context, node, clamp, 0);
  const auto channels = static_cast<size_t>(s.groups);
  const size_t taps = static_cast<size_t>(s.kernel_h) * static_cast<size_t>(s.kernel_w);
  std::vector<int16_t> weights((taps + taps % 2) * channels);
  for (size_t c = 0; c < channels; ++c)
    for (size_t t = 0; t < taps; ++t) weights[t * channels + c] = w.as<int8_t>()[c * taps + t];
  context.release(node.in[1]);

  const double ns = static_cast<double>(macs(context.graph, node)) / macs_per_ns(vec.isa, s);
  const size_t weight_bytes =
      weights.size() * sizeof(int16_t) + (wide.scale.size() + wide.bias.size()) * sizeof(float);
  const size_t rows = static_cast<size_t>(s.batch) * static_cast<size_t>(s.out_h);
  const int64_t window = int64_t{s.kernel_w - 1} * s.dilation_w + 1;
  const size_t zeros = static_cast<size_t>(std::min<int64_t>(window, s.in_w)) * channels;
  auto step = make_step([=, &vec, wide = std::move(wide), weights = std::move(weights),
                         zeros = std::vector<int16_t>(zeros)](const Frame& frame) -> Status {
    kernels::WideDwConv conv{
        s, weights.data(), zeros.data(), wide.scale.data(), wide.bias.data(), wide.output};
    frame.pool.parallel_work(rows, ns, [&](size_t begin, size_t end) {
      vec.dwconv16(conv, frame.at<const int16_t>(wide.x), frame.at<void>(wide.y), begin, end);
    });
    return {};
  });
  LoweredStep lowered =
      describe_step(context, node, std::move(step), std::string(vec.name) + " dwconv16");
  lowered.reads = {node.in[0]};
  lowered.weight_bytes = weight_bytes;
  lowered.shared_ns = ns;
  steps.push_back(std::move(lowered));
}

}  // namespace

Status lower_wide(const LowerContext& context, const Node& node, const ConvShape& s,
                  const Clamp& clamp, std::vector<LoweredStep>& steps) {
  const int64_t taps = int64_t{s.kernel_h} * s.kernel_w;
  if (s.in_c == 1 && s.out_c == 1 && s.groups > 1 && taps <= kernels::kMostWideTaps) {
    lower_depthwise(context, node, s, clamp, steps);
    return {};
  }
  return lower_halves(context, node, s, clamp, steps);
}

}  // namespace firn
