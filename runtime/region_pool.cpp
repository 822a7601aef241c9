// SPDX-License-Identifier: Apache-2.0
// Shape rule and reference of RegionPool. Edges of bins are computed in float, as the frameworks
// that these operators come from do: which pixels belong to a bin hangs on how they round.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/infer_context.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

using Kind = RegionPool::Kind;

// Samples that a file may ask for along a side of a bin; nobody takes more than a few.
constexpr int32_t kMaxSamples = 128;
// Coordinates beyond are no place in any image, and floats have no halves of pixels there.
constexpr float kFarthest = 1 << 20;

// What a bin reads along one axis: whole pixels [begin, end), or samples between two pixels each.
struct Bin {
  struct Sample {
    int64_t low, high;
    double low_weight, high_weight;
  };
  int64_t begin = 0, end = 0;
  std::vector<Sample> samples{};  // those inside the image
  double count = 0;               // with those outside, which are 0
};

Bin::Sample between(float at, int64_t size) {
  const int64_t low = std::min(static_cast<int64_t>(at), size - 1);
  if (low + 1 >= size) return {low, low, 1, 0};
  const double share = static_cast<double>(at) - static_cast<double>(low);
  return {low, low + 1, 1 - share, share};
}

// One axis of a region: from `first` to `last` in the regions' units, over `size` pixels.
class Axis {
 public:
  Axis(const RegionPool& op, float first, float last, int32_t bins, int64_t size)
      : op_(op), size_(size) {
    const float divisor = static_cast<float>(bins);
    if (op.kind == Kind::max) {
      start_ = std::round(first * op.scale);
      step_ = std::max(std::round(last * op.scale) - start_ + 1, 1.0f) / divisor;
    } else if (op.kind == Kind::position) {
      start_ = std::round(first) * op.scale;
      step_ = std::max(std::round(last + 1) * op.scale - start_, 0.1f) / divisor;
    } else {
      const float shift = op.half_pixel ? 0.5f : 0.0f;
      start_ = first * op.scale - shift;
      const float length = last * op.scale - shift - start_;
      step_ = (op.half_pixel ? length : std::max(length, 1.0f)) / divisor;
    }
  }

  Bin bin(int32_t i) const {
    const float n = static_cast<float>(i);
    switch (op_.kind) {
      case Kind::max:
        return pixels(start_ + std::floor(n * step_), start_ + std::ceil((n + 1) * step_));
      case Kind::position:
        return pixels(std::floor(start_ + n * step_), std::ceil(start_ + (n + 1) * step_));
      case Kind::align_inside:
        return inside(start_ + n * step_, start_ + (n + 1) * step_);
      default:
        return sampled(start_ + n * step_);
    }
  }

 private:
  int64_t sample_count(float length) const {
    return op_.samples > 0 ? op_.samples : static_cast<int64_t>(std::ceil(length));
  }

  Bin pixels(float begin, float end) const {
    const auto edge = [&](float at) {
      return static_cast<int64_t>(std::clamp(at, 0.0f, static_cast<float>(size_)));
    };
    return {edge(begin), edge(end)};
  }

  Bin sampled(float begin) const {
    Bin bin;
    const int64_t count = sample_count(step_);
    bin.count = static_cast<double>(std::max<int64_t>(count, 0));
    for (int64_t i = 0; i < count; ++i) {
      const float at = begin + (static_cast<float>(i) + 0.5f) * step_ / static_cast<float>(count);
      if (at < -1 || at > static_cast<float>(size_)) continue;
      bin.samples.push_back(between(std::max(at, 0.0f), size_));
    }
    return bin;
  }

  // Samples lie a share of the whole bin apart, however much of it is inside.
  Bin inside(float begin, float end) const {
    Bin bin;
    const float edge = static_cast<float>(size_);
    begin = std::clamp(begin, 0.0f, edge);
    end = std::clamp(end, 0.0f, edge);
    if (!(end > begin)) return bin;
    const int64_t count = sample_count(end - begin);
    bin.count = static_cast<double>(count);
    for (int64_t i = 0; i < count; ++i)
      bin.samples.push_back(between(
          begin + (static_cast<float>(i) + 0.5f) * step_ / static_cast<float>(count), size_));
    return bin;
  }

  const RegionPool& op_;
  int64_t size_;
  float start_ = 0, step_ = 0;
};

// An image and the row of outputs of one bin.
struct Place {
  std::span<const float> image;
  int64_t width, channels;
  std::span<float> out;

  const float* pixel(int64_t y, int64_t x) const {
    return image.data() + (y * width + x) * channels;
  }
};

void largest_pixels(const Place& p, const Bin& rows, const Bin& columns) {
  if (rows.begin >= rows.end || columns.begin >= columns.end) return;
  std::copy_n(p.pixel(rows.begin, columns.begin), p.channels, p.out.begin());
  for (int64_t y = rows.begin; y < rows.end; ++y)
    for (int64_t x = columns.begin; x < columns.end; ++x) {
      const float* pixel = p.pixel(y, x);
      for (size_t c = 0; c < p.out.size(); ++c) p.out[c] = std::max(p.out[c], pixel[c]);
    }
}

// Output channel c reads input channel c * stride + first.
void mean_pixels(const Place& p, const Bin& rows, const Bin& columns, size_t stride, size_t first) {
  const int64_t area = std::max<int64_t>(rows.end - rows.begin, 0) *
                       std::max<int64_t>(columns.end - columns.begin, 0);
  if (area == 0) return;
  for (size_t c = 0; c < p.out.size(); ++c) {
    double sum = 0;
    for (int64_t y = rows.begin; y < rows.end; ++y)
      for (int64_t x = columns.begin; x < columns.end; ++x)
        sum += static_cast<double>(p.pixel(y, x)[c * stride + first]);
    p.out[c] = static_cast<float>(sum / static_cast<double>(area));
  }
}

// f(weight, pixel) of the four pixels of every sample.
template <typename F>
void each_share(const Place& p, const Bin& rows, const Bin& columns, F&& f) {
  for (const Bin::Sample& y : rows.samples)
    for (const Bin::Sample& x : columns.samples) {
      f(y.low_weight * x.low_weight, p.pixel(y.low, x.low));
      f(y.low_weight * x.high_weight, p.pixel(y.low, x.high));
      f(y.high_weight * x.low_weight, p.pixel(y.high, x.low));
      f(y.high_weight * x.high_weight, p.pixel(y.high, x.high));
    }
}

void mean_samples(const Place& p, const Bin& rows, const Bin& columns, std::vector<double>& sum) {
  std::ranges::fill(sum, 0.0);
  each_share(p, rows, columns, [&](double weight, const float* pixel) {
    for (size_t c = 0; c < sum.size(); ++c) sum[c] += weight * static_cast<double>(pixel[c]);
  });
  const double count = std::max(rows.count * columns.count, 1.0);
  for (size_t c = 0; c < sum.size(); ++c) p.out[c] = static_cast<float>(sum[c] / count);
}

// Samples outside the image count as 0.
void largest_shares(const Place& p, const Bin& rows, const Bin& columns) {
  const auto outside = [](const Bin& bin) {
    return bin.count > static_cast<double>(bin.samples.size());
  };
  bool first = !outside(rows) && !outside(columns);
  each_share(p, rows, columns, [&](double weight, const float* pixel) {
    for (size_t c = 0; c < p.out.size(); ++c) {
      const float share = static_cast<float>(weight * static_cast<double>(pixel[c]));
      p.out[c] = first ? share : std::max(p.out[c], share);
    }
    first = false;
  });
}

}  // namespace

Result<Inferred> infer_op(const InferContext& c, const RegionPool& op) {
  FIRN_TRY(c.expect_inputs(2, 3));
  FIRN_TRY(c.expect_real(0));
  FIRN_TRY(c.expect_real(1));
  FIRN_TRY(c.expect_rank(0, 4));
  FIRN_TRY(c.expect_rank(1, 2));
  const Shape &x = c.shape(0), &regions = c.shape(1);
  if (regions[1] != 4)
    return c.malformed("regions " + c.name(1) + " are " + to_string(regions) +
                       ", expected 4 numbers each");
  if (c.in(2) != nullptr) {
    FIRN_TRY(c.expect_indices(2));
    if (c.shape(2) != Shape{regions[0]})
      return c.malformed(std::to_string(regions[0]) + " regions, their images are " +
                         to_string(c.shape(2)));
  }
  if (op.size[0] < 1 || op.size[1] < 1)
    return c.malformed("regions of " + std::to_string(op.size[0]) + " by " +
                       std::to_string(op.size[1]));
  if (!(op.scale > 0) || std::isinf(op.scale))
    return c.malformed("the scale is " + std::to_string(op.scale));
  if (op.samples < 0 || op.samples > kMaxSamples)
    return c.malformed(std::to_string(op.samples) + " samples a side, expected 0 to " +
                       std::to_string(kMaxSamples));
  Shape y{regions[0], op.size[0], op.size[1], x[3]};
  if (op.kind == Kind::position) {
    const int64_t bins = int64_t{op.size[0]} * op.size[1];
    if (x[3] % bins != 0)
      return c.malformed(std::to_string(x[3]) + " channels for " + std::to_string(bins) + " bins");
    y[3] = static_cast<int32_t>(x[3] / bins);
  }
  if (y.elements() > 0 && (x[0] < 1 || x[1] < 1 || x[2] < 1))
    return c.malformed("regions of input " + c.name(0) + ", which is empty: " + to_string(x));
  return Inferred{DType::f32, y};
}

Status compute(const Call& c, const RegionPool& op) {
  FIRN_ASSIGN(const Operand x, c.load(0, DType::f32));
  FIRN_ASSIGN(const Operand regions, c.load(1, DType::f32));
  const bool has_images = c.in.size() > 2 && c.in[2].data != nullptr;
  Operand images;
  if (has_images) {
    FIRN_ASSIGN(images, c.load(2, DType::i64));
  }
  FIRN_ASSIGN(const Operand y, c.open(DType::f32));
  const Shape &xs = c.in[0].shape, &ys = c.outs[0].shape;
  const auto bins = static_cast<size_t>(op.size[0]) * static_cast<size_t>(op.size[1]);
  const size_t image =
      static_cast<size_t>(xs[1]) * static_cast<size_t>(xs[2]) * static_cast<size_t>(xs[3]);
  const auto channels = static_cast<size_t>(ys[3]);
  std::ranges::fill(y.f32(), 0.0f);
  std::vector<double> sum(channels);
  for (size_t r = 0; r < static_cast<size_t>(ys[0]); ++r) {
    const std::span<const float> region = regions.f32().subspan(4 * r, 4);
    for (const float edge : region)
      if (!(std::abs(edge) * std::max(op.scale, 1.0f) <= kFarthest))
        return c.invalid("region " + std::to_string(r) + " reaches " + std::to_string(edge));
    const int64_t of = has_images ? images.i64()[r] : 0;
    if (of < 0 || of >= xs[0])
      return c.invalid("region " + std::to_string(r) + " is of image " + std::to_string(of) +
                       " of " + std::to_string(xs[0]));
    const Axis down(op, region[1], region[3], op.size[0], xs[1]);
    const Axis across(op, region[0], region[2], op.size[1], xs[2]);
    std::vector<Bin> columns;
    for (int32_t i = 0; i < op.size[1]; ++i) columns.push_back(across.bin(i));
    for (size_t b = 0; b < bins; ++b) {
      const size_t column = b % columns.size();
      const Bin rows = down.bin(static_cast<int32_t>(b / columns.size()));
      const Place place{x.f32().subspan(static_cast<size_t>(of) * image, image), xs[2], xs[3],
                        y.f32().subspan((r * bins + b) * channels, channels)};
      switch (op.kind) {
        case Kind::max:
          largest_pixels(place, rows, columns[column]);
          break;
        case Kind::position:
          mean_pixels(place, rows, columns[column], bins, b);
          break;
        case Kind::align_max:
          largest_shares(place, rows, columns[column]);
          break;
        default:
          mean_samples(place, rows, columns[column], sum);
      }
    }
  }
  c.store(y);
  return {};
}

}  // namespace firn
