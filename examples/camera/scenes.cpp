// SPDX-License-Identifier: Apache-2.0
// Drawing the scenes: shapes as predicates, light, noise, and the way to NV12.
#include "scenes.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace scenes {
namespace {

constexpr double kPi = std::numbers::pi;

// Whether a point of the unit disc's surroundings belongs to the shape.
bool inside(int label, double x, double y) {
  const double r = std::hypot(x, y), ax = std::fabs(x), ay = std::fabs(y);
  switch (label) {
    case 0:
      return r < 0.9;
    case 1:
      return r < 0.95 && r > 0.55;
    case 2:
      return std::max(ax, ay) < 0.8;
    case 3:
      return std::max(ax, ay) < 0.85 && std::max(ax, ay) > 0.5;
    case 4:
      return y < 0.7 && y > -0.9 + 1.75 * ax;
    case 5: {
      const double turn = std::atan2(x, -y) / (2 * kPi) * 5;
      const double part = std::fabs(turn - std::round(turn)) * 2;  // 0 at a tip, 1 between two
      return r < 1 - 0.58 * part;
    }
    case 6:
      return (ax < 0.3 && ay < 0.95) || (ay < 0.3 && ax < 0.95);
    case 7:
      return r < 0.95 && std::hypot(x - 0.45, y) > 0.75;
    case 8:
      return ay < 0.9 && ax < 0.9 && std::fmod(x + 0.9, 0.72) < 0.36;
    default: {
      const double hx = 1.25 * x, hy = -1.25 * y + 0.2;
      const double q = hx * hx + hy * hy - 0.8;
      return q * q * q - hx * hx * hy * hy * hy < 0;
    }
  }
}

uint8_t to_byte(double v) {
  return static_cast<uint8_t>(std::clamp(v, 0.0, 255.0) + 0.5);
}

}  // namespace

uint64_t Random::next() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double Random::uniform(double lo, double hi) {
  return lo + (hi - lo) * static_cast<double>(next() >> 11) * 0x1p-53;
}

int Random::below(int n) {
  return static_cast<int>(next() % static_cast<uint64_t>(n));
}

double Random::normal() {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += uniform(0, 1);
  return sum;
}

firn::Image Frame::image() const {
  firn::Image image;
  image.format = firn::PixelFormat::nv12;
  image.width = width;
  image.height = height;
  image.planes[0].data = luma.data();
  image.planes[1].data = chroma.data();
  return image;
}

void Camera::new_scene() {
  Random& r = random_;
  const auto color = [&] {
    return Color{r.uniform(20, 235), r.uniform(20, 235), r.uniform(20, 235)};
  };
  const double aspect = static_cast<double>(width_) / height_;
  label_ = r.below(kClasses);
  size_ = r.uniform(0.16, 0.38);
  x_ = r.uniform(0.3, aspect - 0.3);
  y_ = r.uniform(0.3, 0.7);
  dx_ = r.uniform(-0.012, 0.012);
  dy_ = r.uniform(-0.012, 0.012);
  angle_ = r.uniform(-0.6, 0.6);
  spin_ = r.uniform(-0.05, 0.05);
  squeeze_ = r.uniform(0.75, 1.3);
  light_ = r.uniform(0.5, 1.15);
  light_angle_ = r.uniform(0, 2 * kPi);
  light_slope_ = r.uniform(0, 0.5);
  noise_ = r.uniform(2, 14);
  ripple_ = r.uniform(0, 18);
  ripple_angle_ = r.uniform(0, kPi);
  near_ = color();
  far_ = color();
  // The shape must be told from what is behind it.
  do {
    ink_ = color();
  } while (std::fabs(ink_.r - near_.r) + std::fabs(ink_.g - near_.g) + std::fabs(ink_.b - near_.b) <
               110 ||
           std::fabs(ink_.r - far_.r) + std::fabs(ink_.g - far_.g) + std::fabs(ink_.b - far_.b) <
               110);
  for (Blob& blob : blobs_)
    blob = {r.uniform(0, aspect), r.uniform(0, 1), r.uniform(0.02, 0.07), color()};
}

Camera::Color Camera::background(double x, double y) const {
  for (const Blob& blob : blobs_)
    if (std::hypot(x - blob.x, y - blob.y) < blob.radius) return blob.color;
  const double along = std::cos(ripple_angle_) * x + std::sin(ripple_angle_) * y;
  const double wave = ripple_ * std::sin(40 * along);
  const double t = std::clamp(y, 0.0, 1.0);
  return {near_.r * t + far_.r * (1 - t) + wave, near_.g * t + far_.g * (1 - t) + wave,
          near_.b * t + far_.b * (1 - t) + wave};
}

Frame Camera::next() {
  if (frame_++ % kFramesPerScene == 0) new_scene();
  x_ += dx_;
  y_ += dy_;
  angle_ += spin_;

  Frame frame;
  frame.width = width_;
  frame.height = height_;
  frame.label = label_;
  const auto w = static_cast<size_t>(width_), h = static_cast<size_t>(height_);
  const size_t cw = (w + 1) / 2, ch = (h + 1) / 2;
  frame.luma.resize(w * h);
  frame.chroma.resize(cw * ch * 2);
  std::vector<double> cb(cw * ch), cr(cw * ch), count(cw * ch);
  const double c = std::cos(angle_), s = std::sin(angle_);
  for (size_t row = 0; row < h; ++row) {
    for (size_t column = 0; column < w; ++column) {
      const double x = (static_cast<double>(column) + 0.5) / static_cast<double>(h);
      const double y = (static_cast<double>(row) + 0.5) / static_cast<double>(h);
      const double u = (c * (x - x_) + s * (y - y_)) / (size_ * squeeze_);
      const double v = (-s * (x - x_) + c * (y - y_)) / size_;
      const Color color = inside(label_, u, v) ? ink_ : background(x, y);
      const double slope = 1 + light_slope_ * (std::cos(light_angle_) * (x - 0.5) +
                                               std::sin(light_angle_) * (y - 0.5));
      const double light = light_ * slope * exposure;
      const double grain = noise_ * random_.normal();
      const double red = color.r * light, green = color.g * light, blue = color.b * light;
      const double luma = 0.299 * red + 0.587 * green + 0.114 * blue;
      frame.luma[row * w + column] = to_byte(luma + grain);
      const size_t at = row / 2 * cw + column / 2;
      cb[at] += 0.564 * (blue - luma);
      cr[at] += 0.713 * (red - luma);
      count[at] += 1;
    }
  }
  for (size_t i = 0; i < cb.size(); ++i) {
    frame.chroma[2 * i] = to_byte(128 + cb[i] / count[i]);
    frame.chroma[2 * i + 1] = to_byte(128 + cr[i] / count[i]);
  }
  return frame;
}

}  // namespace scenes
