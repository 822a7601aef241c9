// SPDX-License-Identifier: Apache-2.0
// Turns pictures and arrays into what a model's input takes.
#include "prepare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "floats.h"
#include "text.h"

namespace firn::tool {
namespace {

using Triple = std::array<float, 3>;

// "a,b,c" or "a"; `fallback` for an empty text.
Result<Triple> parse_triple(const char* option, const std::string& text, float fallback) {
  Triple values{fallback, fallback, fallback};
  if (text.empty()) return values;
  const std::vector<std::string> parts = split(text, ',');
  if (parts.size() != 1 && parts.size() != 3) {
    return Status(Code::invalid_argument, format("%s %s: expected one number or three, got %zu",
                                                 option, text.c_str(), parts.size()));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const Result<float> value = parse_number<float>(parts[parts.size() == 1 ? 0 : i]);
    if (!value || !std::isfinite(*value)) {
      return Status(Code::invalid_argument, format("%s %s: '%s' is not a finite number", option,
                                                   text.c_str(), parts[i % parts.size()].c_str()));
    }
    values[i] = *value;
  }
  return values;
}

// What the pixels are divided by.
Result<Triple> parse_divisor(const PrepareOptions& options) {
  const bool is_factor = !options.norm.empty();
  const char* name = is_factor ? "--norm" : "--std";
  const std::string& text = is_factor ? options.norm : options.std_dev;
  FIRN_ASSIGN(Triple values, parse_triple(name, text, 1));
  for (float& value : values) {
    const float divisor = is_factor ? 1 / value : value;
    if (divisor == 0 || !std::isfinite(divisor)) {
      return Status(Code::invalid_argument, format("%s %s: must not be 0", name, text.c_str()));
    }
    value = divisor;
  }
  return values;
}

struct PictureAxes {
  Layout layout;
  int channel, height, width;  // axes
};

// Where an input of this shape has its channels, 1 or 3 of them; none where it takes no pictures.
// Of three dimensions, the batch is left out.
std::optional<PictureAxes> picture_axes(const Shape& shape) {
  if (shape.rank != 4 && shape.rank != 3) return std::nullopt;
  const int first = shape.rank - 3, last = shape.rank - 1;
  const auto are_channels = [](int32_t dim) { return dim == 1 || dim == 3; };
  if (are_channels(shape[first])) return PictureAxes{Layout::nchw, first, first + 1, last};
  if (are_channels(shape[last])) return PictureAxes{Layout::nhwc, last, first, first + 1};
  return std::nullopt;
}

bool fits(const Shape& shape, const Shape& declared) {
  if (shape.rank != declared.rank) return false;
  for (int i = 0; i < shape.rank; ++i) {
    if (declared[i] >= 0 && declared[i] != shape[i]) return false;
  }
  return true;
}

std::vector<int32_t> without_ones(const Shape& shape) {
  std::vector<int32_t> dims(shape.dims().begin(), shape.dims().end());
  std::erase(dims, 1);
  return dims;
}

// The shape in which an array of shape `given` is fed to an input declared so; none where it does
// not fit.
std::optional<Shape> fitted_shape(const Shape& given, const Shape& declared) {
  if (fits(given, declared)) return given;
  if (given.rank + 1 == declared.rank) {
    Shape one = given;
    ++one.rank;
    std::copy_backward(given.dim.begin(), given.dim.begin() + given.rank,
                       one.dim.begin() + one.rank);
    one[0] = 1;
    if (fits(one, declared)) return one;
  }
  Shape single = declared;
  if (single.rank > 0 && single[0] < 0) single[0] = 1;
  if (single.known() && without_ones(single) == without_ones(given)) return single;
  return std::nullopt;
}

bool is_8_bit(DType type) {
  return type == DType::u8 || type == DType::i8;
}

// None where the array holds no pictures.
std::optional<Pictures> pictures_in(const Array& array) {
  const Shape& shape = array.shape;
  if (array.type != DType::u8 || shape.rank < 2 || shape.rank > 4) return std::nullopt;
  Pictures pictures;
  const int first = shape.rank == 4 ? 1 : 0;
  if (shape.rank == 4) pictures.count = shape[0];
  pictures.height = shape[first];
  pictures.width = shape[first + 1];
  if (shape.rank > 2) pictures.channels = shape[first + 2];
  const bool known = pictures.channels == 1 || pictures.channels == 3 || pictures.channels == 4;
  return known ? std::optional(pictures) : std::nullopt;
}

PixelFormat format_of(int channels) {
  return channels == 1 ? PixelFormat::gray : channels == 3 ? PixelFormat::rgb : PixelFormat::rgba;
}

}  // namespace

Result<Preparation> Preparation::make(const PrepareOptions& options, const TensorInfo& input) {
  Preparation made;
  made.input_ = input;
  made.normalizes_ = !options.mean.empty() || !options.std_dev.empty() || !options.norm.empty();
  made.reorders_ = options.pixel == "BGR";
  Preprocess& how = made.preprocess_;
  FIRN_ASSIGN(how.mean, parse_triple("--mean", options.mean, 0));
  FIRN_ASSIGN(how.std, parse_divisor(options));
  how.fit = options.resize == "stretch" ? Fit::stretch : Fit::crop;
  how.short_side = options.short_side;
  if (how.fit == Fit::stretch && how.short_side > 0) {
    return Status(Code::invalid_argument, "--short-side has no meaning with --resize stretch");
  }
  const std::optional<PictureAxes> axes = picture_axes(input.shape);
  if (!axes) return made;
  made.is_picture_ = true;
  const bool one_channel = input.shape[axes->channel] == 1;
  if (one_channel) FIRN_TRY(made.check_uniform());
  if (!options.pixel.empty() && (options.pixel == "GRAY") != one_channel) {
    return Status(Code::invalid_argument,
                  "--pixel " + options.pixel + ": input '" + input.name + "' has " +
                      std::to_string(input.shape[axes->channel]) + " channels");
  }
  how.channels = one_channel ? Channels::gray : made.reorders_ ? Channels::bgr : Channels::rgb;
  how.layout = axes->layout;
  // An i8 input that is given pixels as they are holds them less 128.
  if (input.type == DType::i8 && !made.normalizes_) how.mean = {128, 128, 128};
  return made;
}

Status Preparation::check_uniform() const {
  const auto is_uniform = [](const Triple& v) { return v[0] == v[1] && v[1] == v[2]; };
  if (is_uniform(preprocess_.mean) && is_uniform(preprocess_.std)) return {};
  return {Code::invalid_argument, "--mean, --std and --norm: input '" + input_.name + "' is " +
                                      to_string(input_.shape) + ", expected one number"};
}

Result<Array> Preparation::apply(Array sample, const std::string& name) const {
  // What is the input as it stands is no picture to make one of.
  const bool is_input = sample.type == input_.type && !normalizes_ && !reorders_ &&
                        fitted_shape(sample.shape, input_.shape).has_value();
  const std::optional<Pictures> pictures = pictures_in(sample);
  if (!is_input && is_picture_ && pictures &&
      (input_.type == DType::f32 || is_8_bit(input_.type))) {
    return from_pictures(sample, *pictures, name);
  }
  return from_array(std::move(sample), name);
}

Result<Array> Preparation::from_pictures(const Array& sample, const Pictures& pictures,
                                         const std::string& name) const {
  const PictureAxes axes = *picture_axes(input_.shape);
  Shape shape = input_.shape;
  // A model with open sizes takes the picture in its own.
  if (shape[axes.height] < 0) shape[axes.height] = pictures.height;
  if (shape[axes.width] < 0) shape[axes.width] = pictures.width;
  const bool batched = shape.rank == 4;
  const int32_t takes = batched ? shape[0] : 1;
  if (takes >= 0 && takes != pictures.count) {
    return Status(Code::invalid_argument,
                  format("%s: %d pictures, input '%s' takes %d", name.c_str(), pictures.count,
                         input_.name.c_str(), takes));
  }
  if (batched) shape[0] = 1;
  Array one(input_.type, shape);
  if (batched) shape[0] = pictures.count;
  Array all(input_.type, shape);

  Image image{format_of(pictures.channels), pictures.width, pictures.height, {}};
  const size_t picture_bytes = sample.data.size() / std::max<size_t>(1, pictures.count);
  const std::optional<Quant>& quant = normalizes_ ? input_.quant : std::nullopt;
  for (size_t i = 0; i < static_cast<size_t>(pictures.count); ++i) {
    image.planes[0].data = sample.as<uint8_t>() + i * picture_bytes;
    if (const Status status = preprocess(image, preprocess_, one.view(), quant); !status.ok()) {
      return Status(status.code(), name + ": " + status.message());
    }
    std::copy(one.data.begin(), one.data.end(), all.data.begin() + i * one.data.size());
  }
  return all;
}

Result<Array> Preparation::from_array(Array sample, const std::string& name) const {
  const std::optional<Shape> shape = fitted_shape(sample.shape, input_.shape);
  if (!shape) {
    return Status(Code::invalid_argument, name + ": shape " + to_string(sample.shape) +
                                              ", input '" + input_.name + "' is " +
                                              to_string(input_.shape));
  }
  sample.shape = *shape;
  const bool is_float = sample.type == DType::f32;
  const bool takes_floats = input_.type == DType::f32 || is_8_bit(input_.type);
  if (is_picture_ && (reorders_ || (normalizes_ && is_float))) {
    return Status(Code::invalid_argument,
                  name + ": an array of " + dtype_name(sample.type) + " " +
                      to_string(sample.shape) + " is fed as it is: " +
                      (reorders_ ? "--pixel does" : "--mean, --std and --norm do") + " not apply");
  }
  if (normalizes_ && takes_floats && !is_float) return normalized(std::move(sample));
  if (sample.type == input_.type) return sample;
  // The session takes 8-bit numbers for floats, and quantizes floats.
  if (is_float && is_8_bit(input_.type)) return sample;
  if (input_.type != DType::f32) {
    return Status(Code::invalid_argument, name + ": elements of " + dtype_name(sample.type) +
                                              ", input '" + input_.name + "' takes " +
                                              dtype_name(input_.type));
  }
  return is_8_bit(sample.type) ? std::move(sample) : normalized(std::move(sample));
}

Result<Array> Preparation::normalized(Array sample) const {
  FIRN_ASSIGN(const std::vector<float> values, floats_of(sample.view()));
  // The elements between two channels, and how many channels there are.
  const std::optional<PictureAxes> axes = picture_axes(input_.shape);
  if (!axes) FIRN_TRY(check_uniform());
  size_t step = 1, channels = 1;
  if (axes) {
    channels = static_cast<size_t>(sample.shape[axes->channel]);
    for (int i = axes->channel + 1; i < sample.shape.rank; ++i) {
      step *= static_cast<size_t>(sample.shape[i]);
    }
  }
  Array floats(DType::f32, sample.shape);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = i / step % channels;
    floats.as<float>()[i] = (values[i] - preprocess_.mean[channel]) / preprocess_.std[channel];
  }
  return floats;
}

}  // namespace firn::tool
