// SPDX-License-Identifier: Apache-2.0
// A camera that is not there: draws shapes that move through changing light, as NV12 frames with
// the class of what they show. The example trains, calibrates and evaluates on these.
#ifndef FIRN_EXAMPLES_CAMERA_SCENES_H_
#define FIRN_EXAMPLES_CAMERA_SCENES_H_

#include <array>
#include <cstdint>
#include <vector>

#include "firn/image.h"

namespace scenes {

inline constexpr int kClasses = 10;
inline constexpr std::array<const char*, kClasses> kClassNames = {
    "disc", "ring", "square", "frame", "triangle", "star", "cross", "crescent", "bars", "heart"};

// The same numbers on every machine (splitmix64, Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  double uniform(double lo, double hi);
  int below(int n);
  double normal();  // near enough: the sum of twelve uniforms

 private:
  uint64_t state_;
};

struct Frame {
  int width = 0, height = 0;
  std::vector<uint8_t> luma, chroma;  // NV12, full range
  int label = 0;
  firn::Image image() const;
};

// Every kFramesPerScene frames a new shape with new colours and light enters and drifts along.
class Camera {
 public:
  static constexpr int kFramesPerScene = 6;

  Camera(uint64_t seed, int width, int height) : random_(seed), width_(width), height_(height) {}
  Frame next();

  // Multiplies the light of what comes: 1 is as trained.
  double exposure = 1;

 private:
  struct Color {
    double r, g, b;
  };
  void new_scene();
  Color background(double x, double y) const;

  Random random_;
  int width_, height_;
  int frame_ = 0;
  // The scene; lengths relative to the frame's height, angles in radians.
  int label_ = 0;
  double x_ = 0, y_ = 0, dx_ = 0, dy_ = 0, size_ = 0, angle_ = 0, spin_ = 0, squeeze_ = 1;
  double light_ = 1, light_angle_ = 0, light_slope_ = 0, noise_ = 0, ripple_ = 0, ripple_angle_ = 0;
  Color ink_{}, near_{}, far_{};
  struct Blob {
    double x, y, radius;
    Color color;
  };
  std::array<Blob, 3> blobs_{};
};

}  // namespace scenes

#endif  // FIRN_EXAMPLES_CAMERA_SCENES_H_
