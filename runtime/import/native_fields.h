// SPDX-License-Identifier: Apache-2.0
// What operators share on their way to the FlatBuffer and back: enumerations, clamps, windows,
// lists.
#ifndef FIRN_RUNTIME_IMPORT_NATIVE_FIELDS_H_
#define FIRN_RUNTIME_IMPORT_NATIVE_FIELDS_H_

#include <vector>

#include "runtime/import/native_ops.h"

namespace firn {
namespace {

using flatbuffers::Offset;
template <typename T>
using WireList = flatbuffers::Vector<T>;

using BinaryKinds = Mirror<Binary::Kind::bitwise_xor, wire::BinaryKind>;
using UnaryKinds = Mirror<Unary::Kind::is_nan, wire::UnaryKind>;
using PoolKinds = Mirror<Pool2d::Kind::average, wire::PoolKind>;
using ReduceKinds = Mirror<Reduce::Kind::log_sum_exp, wire::ReduceKind>;
using PadModes = Mirror<Pad::Mode::wrap, wire::PadMode>;
using ResizeKinds = Mirror<Resize2d::Kind::bilinear, wire::ResizeKind>;
using ResizeCoordinates = Mirror<Resize2d::Coordinates::align_corners, wire::ResizeCoordinates>;
using ResizeNearests = Mirror<Resize2d::Nearest::ceil, wire::ResizeNearest>;
using AxisResizeKinds = Mirror<Resize::Kind::cubic, wire::AxisResizeKind>;
using AxisResizeCoordinates = Mirror<Resize::Coordinates::crop, wire::AxisResizeCoordinates>;
using ResizeFroms = Mirror<Resize::From::scales, wire::ResizeFrom>;
using ResizeAspects = Mirror<Resize::Aspect::not_smaller, wire::ResizeAspect>;
using GridSampleKinds = Mirror<GridSample::Kind::cubic, wire::GridSampleKind>;
using GridSamplePaddings = Mirror<GridSample::Padding::reflection, wire::GridSamplePadding>;
using RegionPoolKinds = Mirror<RegionPool::Kind::align_inside, wire::RegionPoolKind>;
using RecurrentCells = Mirror<Recurrent::Cell::rnn, wire::RecurrentCell>;
using RecurrentDirections = Mirror<Recurrent::Direction::both, wire::RecurrentDirection>;
using ScatterKinds = Mirror<Scatter::Kind::positions, wire::ScatterKind>;
using ScatterReductions = Mirror<Scatter::Reduction::min, wire::ScatterReduction>;

wire::Clamp pack(const Clamp& c) {
  return {c.lo, c.hi};
}

Clamp unpack(const wire::Clamp& c, bool& valid) {
  if (!(c.lo() <= c.hi())) valid = false;  // NaN too
  return {c.lo(), c.hi()};
}

wire::Window pack(const Window& w) {
  return {w.kernel[0],   w.kernel[1], w.stride[0], w.stride[1], w.dilation[0],
          w.dilation[1], w.pad[0],    w.pad[1],    w.pad[2],    w.pad[3]};
}

Window unpack(const wire::Window& w) {
  return {{w.kernel_h(), w.kernel_w()},
          {w.stride_h(), w.stride_w()},
          {w.dilation_h(), w.dilation_w()},
          {w.pad_top(), w.pad_left(), w.pad_bottom(), w.pad_right()}};
}

template <typename T>
Offset<WireList<T>> pack(flatbuffers::FlatBufferBuilder& b, const std::vector<T>& list) {
  return b.CreateVector(list);
}

// One entry per axis at most: files cannot make a node larger than itself by sharing one vector.
template <typename T>
std::vector<T> unpack(const WireList<T>* list, bool& valid) {
  if (list == nullptr) return {};
  if (list->size() > kMaxRank) {
    valid = false;
    return {};
  }
  return {list->begin(), list->end()};
}

}  // namespace
}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_NATIVE_FIELDS_H_
