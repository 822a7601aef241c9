// SPDX-License-Identifier: Apache-2.0
// Resize, its predecessor Upsample, and GridSample. Images resized in height and width by what is
// known become a Resize2d, all else a Resize.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

template <typename Kind>
struct Named {
  const char* name;
  Kind kind;
};

// The kind that attribute `attribute` names; malformed for another word.
template <typename Kind, size_t n>
Result<Kind> named(Context& c, const char* attribute, const char* missing,
                   const Named<Kind> (&kinds)[n]) {
  FIRN_ASSIGN(const std::string name, c.attr(attribute, missing));
  for (const Named<Kind>& kind : kinds)
    if (kind.name == name) return kind.kind;
  return c.unsupported(std::string(attribute) + " '" + name + "' is not supported");
}

constexpr Named<Resize::Kind> kKinds[] = {{"nearest", Resize::Kind::nearest},
                                          {"linear", Resize::Kind::linear},
                                          {"bilinear", Resize::Kind::linear},
                                          {"cubic", Resize::Kind::cubic}};
constexpr Named<Resize::Coordinates> kCoordinates[] = {
    {"half_pixel", Resize::Coordinates::half_pixel},
    {"pytorch_half_pixel", Resize::Coordinates::pytorch_half_pixel},
    {"asymmetric", Resize::Coordinates::asymmetric},
    {"align_corners", Resize::Coordinates::align_corners},
    {"half_pixel_symmetric", Resize::Coordinates::half_pixel_symmetric},
    {"tf_crop_and_resize", Resize::Coordinates::crop}};
constexpr Named<Resize2d::Nearest> kNearest[] = {
    {"round_prefer_floor", Resize2d::Nearest::round_prefer_floor},
    {"round_prefer_ceil", Resize2d::Nearest::round_prefer_ceil},
    {"floor", Resize2d::Nearest::floor},
    {"ceil", Resize2d::Nearest::ceil}};
constexpr Named<Resize::Aspect> kAspects[] = {{"stretch", Resize::Aspect::stretch},
                                              {"not_larger", Resize::Aspect::not_larger},
                                              {"not_smaller", Resize::Aspect::not_smaller}};

// What a resize is to do, and the inputs that say the rest at run time.
struct Request {
  ValueId x = ValueId::none;
  Resize op;
  ValueId target = ValueId::none, region = ValueId::none;
};

// The axes that scales and sizes speak of: all, or since opset 18 those of an attribute.
Status read_axes(Context& c, Request& request) {
  const int rank = c.rank(request.x);
  FIRN_ASSIGN(const std::vector<int64_t> stated, c.attr_ints("axes"));
  for (int32_t d = 0; stated.empty() && d < rank; ++d) request.op.axes.push_back(d);
  for (const int64_t entry : stated) {
    FIRN_ASSIGN(const int32_t axis, c.axis(entry, rank));
    request.op.axes.push_back(axis);
  }
  return {};
}

Status expect_each(const Context& c, const char* what, size_t entries, const Request& request) {
  if (entries == request.op.axes.size()) return {};
  return c.malformed(std::string(what) + " has " + std::to_string(entries) + " entries, expected " +
                     std::to_string(request.op.axes.size()));
}

Status set_scales(const Context& c, const std::vector<float>& scales, Request& request) {
  FIRN_TRY(expect_each(c, "scales", scales.size(), request));
  for (const float scale : scales)
    if (!(scale > 0) || std::isinf(scale))
      return c.malformed("a scale is " + std::to_string(scale));
  request.op.scale = scales;
  return {};
}

// Sizes that are as open as the batch's or the channels' leave those as they are.
Status set_sizes(Context& c, size_t input, Request& request) {
  Resize& op = request.op;
  FIRN_ASSIGN(const ValueId id, c.input(input));
  const auto known = c.builder.known_ints(id);
  const auto is_outer = [&](size_t i) {
    return op.axes[i] < 2 && c.shape(request.x)[op.axes[i]] < 0;
  };
  bool usable = known.has_value();
  if (known) FIRN_TRY(expect_each(c, "sizes", known->size(), request));
  for (size_t i = 0; usable && i < known->size(); ++i) usable = (*known)[i] || is_outer(i);
  if (!usable) {
    op.from = Resize::From::sizes;
    request.target = id;
    return {};
  }
  for (const std::optional<int64_t>& size : *known) {
    if (size && *size < 1) return c.malformed("a size is " + std::to_string(*size));
    FIRN_ASSIGN(const int32_t whole, to_int32(c, "a size", size.value_or(0)));
    op.size.push_back(whole);
    op.scale.push_back(1);  // counts where the size is 0
  }
  return {};
}

Status set_region(Context& c, Request& request) {
  FIRN_ASSIGN(const ValueId region, c.input(1));
  if (!c.builder.is_constant(region)) {
    request.region = region;
    return {};
  }
  FIRN_ASSIGN(const std::vector<float> ends, c.constant_floats(1));
  const size_t n = request.op.axes.size();
  FIRN_TRY(expect_each(c, "half of roi", ends.size() / 2, request));
  request.op.begin.assign(ends.begin(), ends.begin() + static_cast<std::ptrdiff_t>(n));
  request.op.end.assign(ends.begin() + static_cast<std::ptrdiff_t>(n), ends.end());
  return {};
}

// As a Resize2d over height and width, where it is one.
std::optional<Resize2d> as_resize_2d(const Context& c, const Request& request) {
  const Resize& op = request.op;
  const int rank = c.rank(request.x);
  const bool plain = op.kind != Resize::Kind::cubic && !op.antialias &&
                     op.coordinates <= Resize::Coordinates::align_corners &&
                     op.aspect == Resize::Aspect::stretch && request.target == ValueId::none &&
                     (rank == 3 || rank == 4);
  if (!plain) return std::nullopt;
  Resize2d image;
  image.kind =
      op.kind == Resize::Kind::nearest ? Resize2d::Kind::nearest : Resize2d::Kind::bilinear;
  image.coordinates = static_cast<Resize2d::Coordinates>(op.coordinates);
  image.nearest = op.nearest;
  for (size_t i = 0; i < op.axes.size(); ++i) {
    const int32_t dim = c.shape(request.x)[op.axes[i]];
    const int32_t size = op.size.empty() ? 0 : op.size[i];
    if (op.axes[i] < 2) {
      if (size != 0 ? dim >= 0 && size != dim : op.scale[i] != 1.0f) return std::nullopt;
      continue;
    }
    const size_t a = static_cast<size_t>(op.axes[i] + 2 - rank);
    image.size[a] = size;
    image.scale[a] = op.scale[i];
    // The standard then takes the corners of the fractional size, a Resize2d of the whole one.
    const float length = dim >= 0 ? static_cast<float>(dim) * op.scale[i] : op.scale[i];
    if (size == 0 && op.coordinates == Resize::Coordinates::align_corners &&
        std::floor(length) != length)
      return std::nullopt;
  }
  return image;
}

Status emit_resize(Context& c, const Request& request) {
  if (const std::optional<Resize2d> image = as_resize_2d(c, request)) {
    FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, request.x));
    FIRN_ASSIGN(const ValueId y, c.emit("", *image, {nhwc}));
    return c.bind(from_nhwc(c, y, c.rank(request.x)));
  }
  return c.bind(c.emit("", request.op, {request.x, request.target, request.region}));
}

// Inputs x, roi, scales, sizes.
Status resize_11(Context& c, Request request) {
  Resize& op = request.op;
  FIRN_ASSIGN(op.kind, named(c, "mode", "nearest", kKinds));
  FIRN_ASSIGN(op.coordinates,
              named(c, "coordinate_transformation_mode", "half_pixel", kCoordinates));
  FIRN_ASSIGN(op.nearest, named(c, "nearest_mode", "round_prefer_floor", kNearest));
  FIRN_ASSIGN(op.aspect, named(c, "keep_aspect_ratio_policy", "stretch", kAspects));
  FIRN_ASSIGN(op.cubic, c.attr("cubic_coeff_a", -0.75f));
  FIRN_ASSIGN(op.extrapolation, c.attr("extrapolation_value", 0.0f));
  FIRN_ASSIGN(const int64_t antialias, c.attr("antialias", int64_t{0}));
  FIRN_ASSIGN(const int64_t exclude, c.attr("exclude_outside", int64_t{0}));
  op.antialias = antialias != 0;
  op.exclude_outside = exclude != 0;
  FIRN_TRY(read_axes(c, request));
  if (op.coordinates == Resize::Coordinates::crop) FIRN_TRY(set_region(c, request));
  const ValueId scales = c.optional_input(2);
  // An empty tensor is another way to leave scales out.
  const bool by_scales = scales != ValueId::none &&
                         !(c.has(3) && c.shape(scales).known() && c.shape(scales).elements() == 0);
  if (!by_scales) {
    FIRN_TRY(set_sizes(c, 3, request));
  } else if (c.builder.is_constant(scales) && request.region == ValueId::none) {
    FIRN_ASSIGN(const std::vector<float> factors, c.constant_floats(2));
    FIRN_TRY(set_scales(c, factors, request));
    op.aspect = Resize::Aspect::stretch;
  } else {
    op.from = Resize::From::scales;
    request.target = scales;
  }
  if (request.region != ValueId::none && request.target == ValueId::none) {
    op.from = Resize::From::sizes;  // with a region that is computed, all is read at run time
    op.size.clear();
    op.scale.clear();
    FIRN_ASSIGN(request.target, c.input(3));
  }
  return emit_resize(c, request);
}

// Upsample and the first Resize: pixel x comes from x / scale; the nearest below when enlarging,
// the nearest above when shrinking.
Status resize_by_scales(Context& c, Request request, ValueId given, std::vector<float> scales) {
  Resize& op = request.op;
  FIRN_ASSIGN(op.kind, named(c, "mode", "nearest", kKinds));
  op.coordinates = Resize::Coordinates::asymmetric;
  op.nearest = Resize2d::Nearest::floor;
  FIRN_TRY(read_axes(c, request));
  if (given != ValueId::none && !c.builder.is_constant(given)) {
    op.from = Resize::From::scales;
    request.target = given;
    return emit_resize(c, request);
  }
  FIRN_TRY(set_scales(c, scales, request));
  const auto below_one = [](float scale) { return scale < 1; };
  const auto above_one = [](float scale) { return scale > 1; };
  const bool shrinks = std::ranges::any_of(scales, below_one);
  if (shrinks && std::ranges::any_of(scales, above_one))
    return c.unsupported("shrinking one dimension and enlarging the other");
  if (shrinks) op.nearest = Resize2d::Nearest::ceil;
  return emit_resize(c, request);
}

Status resize_by_input(Context& c, const Request& request) {
  FIRN_ASSIGN(const ValueId given, c.input(1));
  std::vector<float> scales;
  if (c.builder.is_constant(given)) {
    FIRN_ASSIGN(scales, c.constant_floats(1));
  }
  return resize_by_scales(c, request, given, std::move(scales));
}

Status resize(Context& c) {
  Request request;
  FIRN_ASSIGN(request.x, c.input(0));
  if (c.opset >= 11) return resize_11(c, std::move(request));
  return resize_by_input(c, request);
}

Status upsample(Context& c) {
  Request request;
  FIRN_ASSIGN(request.x, c.input(0));
  if (c.opset >= 9) return resize_by_input(c, request);
  FIRN_ASSIGN(std::vector<float> scales, c.attr_floats("scales"));
  return resize_by_scales(c, std::move(request), ValueId::none, std::move(scales));
}

constexpr Named<GridSample::Kind> kSampleKinds[] = {{"linear", GridSample::Kind::linear},
                                                    {"bilinear", GridSample::Kind::linear},
                                                    {"nearest", GridSample::Kind::nearest},
                                                    {"cubic", GridSample::Kind::cubic},
                                                    {"bicubic", GridSample::Kind::cubic}};
constexpr Named<GridSample::Padding> kPaddings[] = {
    {"zeros", GridSample::Padding::zeros},
    {"border", GridSample::Padding::border},
    {"reflection", GridSample::Padding::reflection}};

// Channels go last and come back.
Status grid_sample(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId grid, c.input(1));
  GridSample op;
  FIRN_ASSIGN(op.kind, named(c, "mode", c.opset < 20 ? "bilinear" : "linear", kSampleKinds));
  FIRN_ASSIGN(op.padding, named(c, "padding_mode", "zeros", kPaddings));
  FIRN_ASSIGN(const int64_t align, c.attr("align_corners", int64_t{0}));
  op.align_corners = align != 0;
  const int32_t rank = c.rank(x);
  if (rank != 4 && rank != 5) return c.unsupported("an input of rank " + std::to_string(rank));
  std::vector<int32_t> inwards{0}, outwards{0, rank - 1};
  for (int32_t d = 2; d < rank; ++d) {
    inwards.push_back(d);
    outwards.push_back(d - 1);
  }
  inwards.push_back(1);
  FIRN_ASSIGN(const ValueId inner, c.transpose("channels_last", x, inwards));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {inner, grid}));
  return c.bind(c.transpose("channels_first", y, outwards));
}

constexpr Operator kOperators[] = {
    {"GridSample", grid_sample},
    {"Resize", resize},
    {"Upsample", upsample},
};

}  // namespace

std::span<const Operator> resize_operators() {
  return kOperators;
}

}  // namespace firn::onnx
