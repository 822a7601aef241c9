// SPDX-License-Identifier: Apache-2.0
// PriorBox: boxes of stated sizes around each position of a blob. They follow from shapes alone,
// and are made here.
#include <algorithm>
#include <cmath>

#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

// Left out.
constexpr int32_t kNone = -233;

struct PriorParams {
  std::vector<float> min_sizes, max_sizes, ratios, variances;
  bool flip = true, clip = false, mm_step = false, mm_centre = false;
  int32_t width = 0, height = 0;            // of the blob
  float image_width = 0, image_height = 0;  // of the picture
  float step_width = 0, step_height = 0, offset = 0;
};

// The picture's size: stated, or the second blob's.
Result<float> image_size(Context& c, int id, int axis) {
  FIRN_ASSIGN(int32_t size, c.param(id, 0));
  if (size == kNone) {
    FIRN_ASSIGN(const ValueId picture, c.input(1));
    FIRN_TRY(c.expect_dims(picture, 3, 3));
    FIRN_ASSIGN(size, c.known_dim(picture, axis));
  }
  if (size < 1) return c.malformed("the picture's size is " + std::to_string(size));
  return static_cast<float>(size);
}

Result<float> step_size(const Context& c, int id, float whole, int32_t parts, bool mm) {
  FIRN_ASSIGN(const float stated, c.param(id, static_cast<float>(kNone)));
  if (stated != static_cast<float>(kNone)) return stated;
  const float step = whole / static_cast<float>(parts);
  return mm ? std::ceil(step) : step;
}

Result<PriorParams> read_prior(Context& c) {
  PriorParams p;
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(p.height, c.known_dim(x, 2));
  FIRN_ASSIGN(p.width, c.known_dim(x, 3));
  if (p.height < 1 || p.width < 1) return c.malformed("its input is " + to_string(c.shape(x)));
  FIRN_ASSIGN(p.min_sizes, c.floats(0));
  FIRN_ASSIGN(p.max_sizes, c.floats(1));
  FIRN_ASSIGN(p.ratios, c.floats(2));
  for (int id = 3; id <= 6; ++id) {
    FIRN_ASSIGN(const float variance, c.param(id, id < 5 ? 0.1f : 0.2f));
    p.variances.push_back(variance);
  }
  FIRN_ASSIGN(p.flip, c.flag(7, true));
  FIRN_ASSIGN(p.clip, c.flag(8, false));
  FIRN_ASSIGN(p.offset, c.param(13, 0.0f));
  FIRN_ASSIGN(p.mm_step, c.flag(14, false));
  FIRN_ASSIGN(p.mm_centre, c.flag(15, false));
  if (c.input_count() == 1 && p.max_sizes.empty()) {
    FIRN_ASSIGN(const int32_t stated, c.param(9, 0));
    if (stated == kNone) return c.unsupported("the priors of MXNet's detectors");
  }
  FIRN_ASSIGN(p.image_width, image_size(c, 9, 3));
  FIRN_ASSIGN(p.image_height, image_size(c, 10, 2));
  FIRN_ASSIGN(p.step_width, step_size(c, 11, p.image_width, p.width, p.mm_step));
  FIRN_ASSIGN(p.step_height, step_size(c, 12, p.image_height, p.height, p.mm_step));
  if (!p.max_sizes.empty() && p.max_sizes.size() < p.min_sizes.size()) {
    return c.malformed(std::to_string(p.min_sizes.size()) + " least and " +
                       std::to_string(p.max_sizes.size()) + " largest sizes");
  }
  if (p.min_sizes.empty()) return c.malformed("no size is given");
  return p;
}

// Width and height of each box at a position.
std::vector<std::pair<float, float>> box_sizes(const PriorParams& p) {
  std::vector<std::pair<float, float>> sizes;
  for (size_t k = 0; k < p.min_sizes.size(); ++k) {
    const float least = p.min_sizes[k];
    sizes.emplace_back(least, least);
    if (!p.max_sizes.empty()) {
      const float between = std::sqrt(least * p.max_sizes[k]);
      sizes.emplace_back(between, between);
    }
    for (const float ratio : p.ratios) {
      const float root = std::sqrt(ratio);
      sizes.emplace_back(least * root, least / root);
      if (p.flip) sizes.emplace_back(least / root, least * root);
    }
  }
  return sizes;
}

Status prior_box(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 2));
  FIRN_ASSIGN(const PriorParams p, read_prior(c));
  const std::vector<std::pair<float, float>> sizes = box_sizes(p);
  const size_t count =
      4 * static_cast<size_t>(p.width) * static_cast<size_t>(p.height) * sizes.size();
  FIRN_TRY(c.allow(2 * count * sizeof(float)));
  std::vector<float> data;
  data.reserve(2 * count);
  const float back = p.mm_centre ? 1.0f : 0.0f;
  for (int32_t y = 0; y < p.height; ++y) {
    const float centre_y =
        p.offset * (p.step_height - back) + static_cast<float>(y) * p.step_height;
    for (int32_t x = 0; x < p.width; ++x) {
      const float centre_x =
          p.offset * (p.step_width - back) + static_cast<float>(x) * p.step_width;
      for (const auto& [width, height] : sizes) {
        data.insert(data.end(), {(centre_x - width * 0.5f) / p.image_width,
                                 (centre_y - height * 0.5f) / p.image_height,
                                 (centre_x + width * 0.5f) / p.image_width,
                                 (centre_y + height * 0.5f) / p.image_height});
      }
    }
  }
  if (p.clip) {
    for (float& edge : data) edge = std::clamp(edge, 0.0f, 1.0f);
  }
  while (data.size() < 2 * count) {
    data.insert(data.end(), p.variances.begin(), p.variances.end());
  }
  return c.bind(c.constant<float>("", {1, 2, static_cast<int32_t>(count)}, data));
}

constexpr Operator kOperators[] = {
    {"PriorBox", prior_box},
};

}  // namespace

std::span<const Operator> prior_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
