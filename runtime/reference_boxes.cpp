// SPDX-License-Identifier: Apache-2.0
// Non-maximum suppression.
#include <algorithm>
#include <numeric>

#include "runtime/boxes.h"
#include "runtime/kept_boxes.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

struct Box {
  float y0, x0, y1, x1;

  float area() const { return (y1 - y0) * (x1 - x0); }
};

Box corners(const float* b, bool center) {
  if (center) return {b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
  return {std::min(b[0], b[2]), std::min(b[1], b[3]), std::max(b[0], b[2]), std::max(b[1], b[3])};
}

// Whether what they share of their union is above the threshold.
bool overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  if (!(height > 0) || !(width > 0)) return false;
  const float common = height * width;
  const float both = a.area() + b.area() - common;
  return both > 0 && common / both > threshold;
}

}  // namespace

std::vector<SelectedBox> select_boxes(const NonMaxSuppression& op, std::span<const Tensor> in) {
  const auto given = [&](size_t i) { return i < in.size() && in[i].data != nullptr; };
  const int64_t most = given(2) ? in[2].as<int64_t>()[0] : 0;
  const float threshold = given(3) ? in[3].as<float>()[0] : 0;
  const Shape& scores = in[1].shape;
  const size_t classes = static_cast<size_t>(scores[1]), count = static_cast<size_t>(scores[2]);
  std::vector<SelectedBox> selected;
  if (most <= 0 || scores.elements() == 0) return selected;
  for (size_t batch = 0; batch < static_cast<size_t>(scores[0]); ++batch)
    for (size_t cls = 0; cls < classes; ++cls) {
      const auto score = in[1].as<float>().subspan((batch * classes + cls) * count, count);
      std::vector<size_t> order;
      for (size_t i = 0; i < count; ++i)
        if (!given(4) || score[i] > in[4].as<float>()[0]) order.push_back(i);
      // What compares with nothing has no place in an order.
      std::erase_if(order, [&](size_t i) { return score[i] != score[i]; });
      std::ranges::stable_sort(order, [&](size_t a, size_t b) { return score[a] > score[b]; });
      KeptBoxes<Box> kept(threshold);
      for (const size_t i : order) {
        if (static_cast<int64_t>(kept.size()) == most) break;
        const Box box = corners(in[0].as<float>().data() + (batch * count + i) * 4, op.center);
        const auto hides = [&](const Box& k) { return overlap(k, box, threshold); };
        if (kept.any(box, hides)) continue;
        kept.add(box);
        selected.push_back(
            {static_cast<int64_t>(batch), static_cast<int64_t>(cls), static_cast<int64_t>(i)});
      }
    }
  return selected;
}

Status compute(const Call& c, const NonMaxSuppression& op) {
  const std::vector<SelectedBox> selected = select_boxes(op, c.in);
  FIRN_ASSIGN(const Operand y, c.open(DType::i64));
  if (static_cast<int64_t>(selected.size()) != c.out.shape[0])
    return c.invalid(std::to_string(selected.size()) + " boxes are selected, expected " +
                     std::to_string(c.out.shape[0]));
  size_t to = 0;
  for (const SelectedBox& s : selected)
    for (const int64_t part : {s.batch, s.cls, s.box}) y.i64()[to++] = part;
  c.store(y);
  return {};
}

}  // namespace firn
