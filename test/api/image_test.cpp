// SPDX-License-Identifier: Apache-2.0
// Preprocessing: values by hand, and identities that must hold for every format, size and turn.
#include "firn/image.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace firn;

namespace {

// An image that owns its pixels, with padded rows.
struct Picture {
  Image image;
  std::vector<uint8_t> bytes;
};

int groups(int width, int subsampling) {
  return (width + subsampling - 1) / subsampling;
}

Picture random_picture(PixelFormat format, int width, int height, unsigned seed) {
  struct PlaneSize {
    int samples, subsampling;
  };
  std::vector<PlaneSize> planes;
  switch (format) {
    case PixelFormat::rgb:
    case PixelFormat::bgr:
      planes = {{3, 1}};
      break;
    case PixelFormat::rgba:
    case PixelFormat::bgra:
      planes = {{4, 1}};
      break;
    case PixelFormat::gray:
      planes = {{1, 1}};
      break;
    case PixelFormat::nv12:
    case PixelFormat::nv21:
      planes = {{1, 1}, {2, 2}};
      break;
    case PixelFormat::i420:
    case PixelFormat::yuv420:
      planes = {{1, 1}, {1, 2}, {1, 2}};
      break;
  }
  constexpr int kPadding = 5;
  Picture picture;
  picture.image.format = format;
  picture.image.width = width;
  picture.image.height = height;
  std::vector<size_t> offsets;
  for (size_t p = 0; p < planes.size(); ++p) {
    const auto [samples, subsampling] = planes[p];
    const int stride = groups(width, subsampling) * samples + kPadding;
    picture.image.planes[p].row_stride = stride;
    offsets.push_back(picture.bytes.size());
    picture.bytes.resize(picture.bytes.size() +
                         static_cast<size_t>(stride * groups(height, subsampling)));
  }
  std::mt19937 random(seed);
  for (uint8_t& b : picture.bytes) b = static_cast<uint8_t>(random());
  for (size_t p = 0; p < planes.size(); ++p) {
    picture.image.planes[p].data = picture.bytes.data() + offsets[p];
  }
  return picture;
}

Picture gray(int width, int height, std::vector<uint8_t> pixels) {
  Picture picture{{PixelFormat::gray, width, height, {}}, std::move(pixels)};
  picture.image.planes[0].data = picture.bytes.data();
  return picture;
}

constexpr PixelFormat kFormats[] = {PixelFormat::rgb,  PixelFormat::bgr,  PixelFormat::rgba,
                                    PixelFormat::bgra, PixelFormat::gray, PixelFormat::nv12,
                                    PixelFormat::nv21, PixelFormat::i420, PixelFormat::yuv420};

template <typename T = float>
std::vector<T> run(const Image& image, const Preprocess& how, int width, int height,
                   const std::optional<Quant>& quant = {}) {
  const int channels = how.channels == Channels::gray ? 1 : 3;
  const Shape shape = how.layout == Layout::nchw ? Shape{1, channels, height, width}
                                                 : Shape{1, height, width, channels};
  std::vector<T> out(shape.elements(), T{99});
  const Status status = preprocess(image, how, view(shape, out.data()), quant);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return out;
}

std::vector<float> run_gray(const Image& image, Preprocess how, int width, int height) {
  how.channels = Channels::gray;
  return run(image, how, width, height);
}

void check_near(const std::vector<float>& got, const std::vector<float>& want, float tolerance) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(got[i] - want[i]) <= tolerance);
  }
}

}  // namespace

TEST_CASE("colours of every order reach their channels") {
  const std::vector<uint8_t> bytes{1, 2, 3, 4, 5, 6, 7, 8};  // two pixels, of four or of three
  const auto pixels = [&](PixelFormat format, Channels channels) {
    Image image{format, 2, 1, {}};
    image.planes[0].data = bytes.data();
    return run(image, {.channels = channels, .layout = Layout::nhwc}, 2, 1);
  };
  using F = std::vector<float>;
  CHECK(pixels(PixelFormat::rgb, Channels::rgb) == F{1, 2, 3, 4, 5, 6});
  CHECK(pixels(PixelFormat::bgr, Channels::rgb) == F{3, 2, 1, 6, 5, 4});
  CHECK(pixels(PixelFormat::rgb, Channels::bgr) == F{3, 2, 1, 6, 5, 4});
  CHECK(pixels(PixelFormat::bgr, Channels::bgr) == F{1, 2, 3, 4, 5, 6});
  CHECK(pixels(PixelFormat::rgba, Channels::rgb) == F{1, 2, 3, 5, 6, 7});
  CHECK(pixels(PixelFormat::bgra, Channels::rgb) == F{3, 2, 1, 7, 6, 5});
  CHECK(pixels(PixelFormat::gray, Channels::rgb) == F{1, 1, 1, 2, 2, 2});
  CHECK(pixels(PixelFormat::gray, Channels::gray) == F{1, 2});
  check_near(pixels(PixelFormat::rgb, Channels::gray),
             {0.299f * 1 + 0.587f * 2 + 0.114f * 3, 0.299f * 4 + 0.587f * 5 + 0.114f * 6}, 1e-5f);
}

TEST_CASE("both layouts, normalized by channel") {
  const std::vector<uint8_t> bytes{10, 20, 30, 40, 50, 60};
  Image image{PixelFormat::rgb, 2, 1, {}};
  image.planes[0].data = bytes.data();
  Preprocess how;
  how.mean = {10, 0, 30};
  how.std = {2, 4, 0.5f};
  CHECK(run(image, how, 2, 1) == std::vector<float>{0, 15, 5, 12.5f, 0, 60});
  how.layout = Layout::nhwc;
  CHECK(run(image, how, 2, 1) == std::vector<float>{0, 5, 0, 15, 12.5f, 60});
}

TEST_CASE("YUV: black, white, grey and the primaries, in both ranges") {
  const auto pixel = [](uint8_t y, uint8_t u, uint8_t v, YuvRange range) {
    Image image{PixelFormat::i420, 1, 1, {}};
    image.planes[0].data = &y;
    image.planes[1].data = &u;
    image.planes[2].data = &v;
    return run(image, {.yuv_range = range}, 1, 1);
  };
  check_near(pixel(16, 128, 128, YuvRange::limited), {0, 0, 0}, 0.01f);
  check_near(pixel(235, 128, 128, YuvRange::limited), {255, 255, 255}, 0.01f);
  check_near(pixel(81, 90, 240, YuvRange::limited), {255, 0, 0}, 1.5f);
  check_near(pixel(145, 54, 34, YuvRange::limited), {0, 255, 0}, 1.5f);
  check_near(pixel(41, 240, 110, YuvRange::limited), {0, 0, 255}, 1.5f);
  check_near(pixel(0, 128, 128, YuvRange::limited), {0, 0, 0}, 0);  // below black: clamped
  check_near(pixel(77, 128, 128, YuvRange::full), {77, 77, 77}, 0);
  check_near(pixel(76, 85, 255, YuvRange::full), {255, 0, 0}, 1.5f);
  check_near(pixel(150, 44, 21, YuvRange::full), {0, 255, 0}, 1.5f);
  check_near(pixel(29, 255, 107, YuvRange::full), {0, 0, 255}, 1.5f);
}

TEST_CASE("YUV in pairs, in planes and with pixel strides is the same picture") {
  for (const auto& [width, height] : {std::pair{6, 4}, {5, 3}, {1, 1}, {17, 9}}) {
    const Picture planar = random_picture(PixelFormat::i420, width, height, 3);
    const auto& p = planar.image.planes;
    const int cw = groups(width, 2), ch = groups(height, 2);
    std::vector<uint8_t> pairs, swapped, luma;
    for (int y = 0; y < ch; ++y) {
      for (int x = 0; x < cw; ++x) {
        const uint8_t u = p[1].data[y * p[1].row_stride + x],
                      v = p[2].data[y * p[2].row_stride + x];
        pairs.insert(pairs.end(), {u, v});
        swapped.insert(swapped.end(), {v, u});
      }
    }
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        luma.insert(luma.end(), {p[0].data[y * p[0].row_stride + x], 0, 0});
      }
    }
    const Image nv12{PixelFormat::nv12, width, height, {{p[0], {pairs.data(), 0, 0}}}};
    const Image nv21{PixelFormat::nv21, width, height, {{p[0], {swapped.data(), 2 * cw, 2}}}};
    const Image android{
        PixelFormat::yuv420,
        width,
        height,
        {{{luma.data(), 0, 3}, {pairs.data(), 2 * cw, 2}, {pairs.data() + 1, 2 * cw, 2}}}};
    for (Channels channels : {Channels::rgb, Channels::gray}) {
      const Preprocess how{.channels = channels};
      const auto want = run(planar.image, how, 7, 5);
      CHECK(run(nv12, how, 7, 5) == want);
      CHECK(run(nv21, how, 7, 5) == want);
      CHECK(run(android, how, 7, 5) == want);
    }
  }
}

TEST_CASE("rotation is clockwise, mirroring comes after it") {
  // 1 2 3
  // 4 5 6
  const Picture picture = gray(3, 2, {1, 2, 3, 4, 5, 6});
  using F = std::vector<float>;
  const auto turned = [&](int rotation, bool mirror) {
    const bool sideways = rotation % 180 != 0;
    return run_gray(picture.image, {.rotation = rotation, .mirror = mirror}, sideways ? 2 : 3,
                    sideways ? 3 : 2);
  };
  CHECK(turned(0, false) == F{1, 2, 3, 4, 5, 6});
  CHECK(turned(90, false) == F{4, 1, 5, 2, 6, 3});
  CHECK(turned(180, false) == F{6, 5, 4, 3, 2, 1});
  CHECK(turned(270, false) == F{3, 6, 2, 5, 1, 4});
  CHECK(turned(0, true) == F{3, 2, 1, 6, 5, 4});
  CHECK(turned(90, true) == F{1, 4, 2, 5, 3, 6});
  CHECK(turned(180, true) == F{4, 5, 6, 1, 2, 3});
  CHECK(turned(270, true) == F{6, 3, 5, 2, 4, 1});
}

TEST_CASE("turning while resizing equals turning first") {
  for (PixelFormat format : kFormats) {
    const Picture picture = random_picture(format, 13, 9, 5);
    for (Fit fit : {Fit::stretch, Fit::crop, Fit::letterbox}) {
      for (int rotation : {0, 90, 180, 270}) {
        for (bool mirror : {false, true}) {
          CAPTURE(static_cast<int>(format));
          CAPTURE(rotation);
          CAPTURE(mirror);
          const bool sideways = rotation % 180 != 0;
          const int width = sideways ? 9 : 13, height = sideways ? 13 : 9;
          Preprocess turn{.rotation = rotation, .mirror = mirror, .layout = Layout::nhwc};
          const auto upright = run(picture.image, turn, width, height);
          // Rounded to bytes, the upright picture is off by a half at most.
          std::vector<uint8_t> bytes;
          for (float v : upright) bytes.push_back(static_cast<uint8_t>(std::lround(v)));
          Image second{PixelFormat::rgb, width, height, {}};
          second.planes[0].data = bytes.data();
          Preprocess both = turn;
          both.fit = fit;
          both.pad = {1, 2, 3};
          Preprocess resize{.fit = fit, .pad = {1, 2, 3}, .layout = Layout::nhwc};
          check_near(run(picture.image, both, 6, 10), run(second, resize, 6, 10), 0.501f);
        }
      }
    }
  }
}

TEST_CASE("resizing: weights by hand") {
  const Picture four = gray(4, 1, {0, 70, 140, 210});
  using F = std::vector<float>;
  // Halved, the triangle reaches two pixels to each side: weights 3 3 1 of the first three.
  check_near(run_gray(four.image, {}, 2, 1), F{50, 160}, 1e-4f);
  check_near(run_gray(four.image, {.antialias = false}, 2, 1), F{35, 175}, 1e-4f);
  const Picture two = gray(2, 1, {0, 100});
  for (bool antialias : {false, true}) {
    check_near(run_gray(two.image, {.antialias = antialias}, 4, 1), F{0, 25, 75, 100}, 1e-4f);
  }
  const Picture column = gray(1, 4, {0, 70, 140, 210});
  check_near(run_gray(column.image, {}, 1, 2), F{50, 160}, 1e-4f);
}

TEST_CASE("one colour stays that colour, whatever the sizes") {
  std::mt19937 random(7);
  for (int i = 0; i < 60; ++i) {
    const int width = 1 + static_cast<int>(random() % 40),
              height = 1 + static_cast<int>(random() % 40);
    const Picture picture =
        gray(width, height, std::vector<uint8_t>(static_cast<size_t>(width * height), 200));
    Preprocess how{.rotation = static_cast<int>(random() % 4) * 90};
    how.fit = random() % 2 ? Fit::stretch : Fit::crop;
    how.antialias = random() % 2;
    const int out_width = 1 + static_cast<int>(random() % 40),
              out_height = 1 + static_cast<int>(random() % 40);
    const auto out = run_gray(picture.image, how, out_width, out_height);
    check_near(out, std::vector<float>(out.size(), 200), 1e-3f);
  }
}

TEST_CASE("a huge picture shrunk to one pixel is its mean") {
  // A filter taller than the cache of rows.
  std::vector<uint8_t> pixels(300 * 2);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = i < 300 ? 100 : 200;
  const Picture picture = gray(2, 300, std::move(pixels));
  check_near(run_gray(picture.image, {}, 1, 1), {150}, 1e-2f);
}

TEST_CASE("letterbox: all of the picture in the middle, padding normalized as pixels are") {
  const Picture picture = gray(4, 2, std::vector<uint8_t>(8, 50));
  Preprocess how{.fit = Fit::letterbox, .channels = Channels::gray, .pad = {110, 0, 0}};
  how.mean = {10, 0, 0};
  how.std = {2, 1, 1};
  const auto wide = run(picture.image, how, 4, 5);  // two rows of five, one above, two below
  for (size_t i = 0; i < wide.size(); ++i) CHECK(wide[i] == (i / 4 == 1 || i / 4 == 2 ? 20 : 50));
  how.rotation = 90;
  const auto tall = run(picture.image, how, 5, 4);
  for (size_t i = 0; i < tall.size(); ++i) CHECK(tall[i] == (i % 5 == 1 || i % 5 == 2 ? 20 : 50));
}

TEST_CASE("crop: the middle, as much as possible or after resizing the shorter side") {
  const Picture row = gray(8, 1, {0, 10, 20, 30, 40, 50, 60, 70});
  using F = std::vector<float>;
  CHECK(run_gray(row.image, {.fit = Fit::crop}, 1, 1) == F{40});
  CHECK(run_gray(row.image, {.fit = Fit::crop}, 4, 1) == F{20, 30, 40, 50});
  CHECK(run_gray(row.image, {.fit = Fit::crop, .short_side = 1}, 2, 1) == F{30, 40});
  // Doubled to 16 x 2, the middle 4 columns: a quarter off the pixels' centres.
  check_near(run_gray(row.image, {.fit = Fit::crop, .short_side = 2}, 4, 1),
             F{27.5f, 32.5f, 37.5f, 42.5f}, 1e-3f);
  CHECK(run_gray(row.image, {.crop = {2, 0, 3, 1}}, 3, 1) == F{20, 30, 40});
}

TEST_CASE("cropping equals handing over that part") {
  for (PixelFormat format : kFormats) {
    const Picture picture = random_picture(format, 20, 16, 11);
    const bool chroma = format >= PixelFormat::nv12;
    const int samples = format <= PixelFormat::bgr ? 3 : format <= PixelFormat::bgra ? 4 : 1;
    Image part = picture.image;
    part.width = 7;
    part.height = 9;
    part.planes[0].data += 4 * part.planes[0].row_stride + 6 * samples;
    if (chroma) {
      const int pair = format <= PixelFormat::nv21 ? 2 : 1;
      for (size_t p = 1; p < 3; ++p) {
        if (part.planes[p].data != nullptr) {
          part.planes[p].data += 2 * part.planes[p].row_stride + 3 * pair;
        }
      }
    }
    for (int rotation : {0, 90}) {
      CAPTURE(static_cast<int>(format));
      const Preprocess whole{.crop = {6, 4, 7, 9}, .rotation = rotation};
      CHECK(run(picture.image, whole, 5, 6) == run(part, {.rotation = rotation}, 5, 6));
    }
  }
}

TEST_CASE("8-bit outputs are the float ones, rounded or quantized") {
  const Picture picture = random_picture(PixelFormat::nv12, 21, 15, 13);
  Preprocess how{.rotation = 270, .fit = Fit::crop};
  const auto pixels = run(picture.image, how, 8, 8);
  const auto bytes = run<uint8_t>(picture.image, how, 8, 8);
  const auto signed_bytes = run<int8_t>(picture.image, how, 8, 8);
  for (size_t i = 0; i < pixels.size(); ++i) {
    CHECK(bytes[i] == static_cast<int>(std::nearbyint(pixels[i])));
    CHECK(signed_bytes[i] == static_cast<int>(std::min(127.0f, std::nearbyint(pixels[i]))));
  }
  how.mean = {123, 117, 104};
  how.std = {58, 57, 57};
  const auto floats = run(picture.image, how, 8, 8);
  constexpr float kScale = 0.0625f;  // a power of two: its inverse is exact
  const auto quantized = run<int8_t>(picture.image, how, 8, 8, Quant{-1, 8, 0, {kScale}, {-3}});
  const auto shifted = run<uint8_t>(picture.image, how, 8, 8, Quant{-1, 8, 0, {kScale}, {125}});
  for (size_t i = 0; i < floats.size(); ++i) {
    const float q = std::clamp(std::nearbyint(floats[i] / kScale) - 3, -128.0f, 127.0f);
    CHECK(quantized[i] == static_cast<int>(q));
    CHECK(shifted[i] == quantized[i] + 128);  // every uint8 graph is an int8 one shifted
  }
}

TEST_CASE("points of the output lead back to the pixels they came from") {
  constexpr int kWidth = 7, kHeight = 5;
  for (int hot = 0; hot < kWidth * kHeight; ++hot) {
    std::vector<uint8_t> pixels(kWidth * kHeight);
    pixels[static_cast<size_t>(hot)] = 255;
    const Picture picture = gray(kWidth, kHeight, std::move(pixels));
    for (int rotation : {0, 90, 180, 270}) {
      for (bool mirror : {false, true}) {
        const bool sideways = rotation % 180 != 0;
        const int width = sideways ? kHeight : kWidth, height = sideways ? kWidth : kHeight;
        const Preprocess how{.rotation = rotation, .mirror = mirror};
        const auto out = run_gray(picture.image, how, width, height);
        const int at = static_cast<int>(std::ranges::max_element(out) - out.begin());
        const auto back = to_image(
            picture.image, how, width, height,
            {static_cast<float>(at % width) + 0.5f, static_cast<float>(at / width) + 0.5f});
        REQUIRE(back.ok());
        CHECK(std::abs(back->x - (static_cast<float>(hot % kWidth) + 0.5f)) < 1e-4f);
        CHECK(std::abs(back->y - (static_cast<float>(hot / kWidth) + 0.5f)) < 1e-4f);
      }
    }
  }
  // 100 x 50 at (20, 10) into the middle of 50 x 50: halved, 12 rows of padding above.
  const Picture picture = random_picture(PixelFormat::gray, 200, 100, 17);
  const Preprocess how{.crop = {20, 10, 100, 50}, .fit = Fit::letterbox};
  const auto corner = to_image(picture.image, how, 50, 50, {0, 12});
  const auto far = to_image(picture.image, how, 50, 50, {50, 37});
  REQUIRE((corner.ok() && far.ok()));
  CHECK((corner->x == 20 && corner->y == 10));
  CHECK((far->x == 120 && far->y == 60));
}

TEST_CASE("what does not fit is refused by name") {
  Picture picture = random_picture(PixelFormat::nv12, 8, 6, 19);
  const Image good = picture.image;
  std::vector<float> memory(3 * 4 * 4);
  const Tensor out = view(Shape{1, 3, 4, 4}, memory.data());
  const auto message = [&](const Image& image, const Preprocess& how, const Tensor& to,
                           const std::optional<Quant>& quant = {}) {
    const Status status = preprocess(image, how, to, quant);
    CHECK(status.code() == Code::invalid_argument);
    return status.message();
  };
  const auto image_message = [&](auto change) {
    Image image = good;
    change(image);
    return message(image, {}, out);
  };
  REQUIRE(preprocess(good, {}, out).ok());
  CHECK(image_message([](Image& i) { i.planes[1].data = nullptr; }) == "image: plane 1: no data");
  CHECK(image_message([](Image& i) { i.planes[0].row_stride = 7; }) ==
        "image: plane 0: row stride 7, at least 8");
  CHECK(image_message([](Image& i) { i.planes[0].row_stride = -8; }) ==
        "image: plane 0: row stride -8, at least 8");
  CHECK(image_message([](Image& i) { i.planes[1].pixel_stride = 1; }) ==
        "image: plane 1: pixel stride 1, at least 2");
  CHECK(image_message([](Image& i) { i.width = 0; }) == "image: size 0x6");
  CHECK(image_message([](Image& i) { i.height = 1 << 20; }) == "image: size 8x1048576");
  CHECK(image_message([](Image& i) { i.format = PixelFormat{77}; }) ==
        "image: format 77 is unknown");

  CHECK(message(good, {.crop = {1, 0, 8, 6}}, out) ==
        "preprocess: crop 8x6 at (1, 0) of an image of 8x6");
  CHECK(message(good, {.crop = {0, 0, -1, 6}}, out) ==
        "preprocess: crop -1x6 at (0, 0) of an image of 8x6");
  CHECK(message(good, {.rotation = 45}, out) ==
        "preprocess: rotation 45 is none of 0, 90, 180, 270");
  CHECK(message(good, {.rotation = 360}, out) ==
        "preprocess: rotation 360 is none of 0, 90, 180, 270");
  CHECK(message(good, {.fit = Fit::crop, .short_side = 3}, out) ==
        "preprocess: an output of 4x4 does not fit the resized 4x3");
  CHECK(message(good, {.fit = Fit::crop, .short_side = std::numeric_limits<int>::max()}, out) ==
        "preprocess: short side 2147483647 makes the longer too long");
  CHECK(message(good, {.std = {1, 0, 1}}, out) ==
        "preprocess: mean, std or pad of channel 1 is not usable");

  CHECK(message(good, {.layout = Layout::nhwc}, out) ==
        "preprocess: output shape 1x3x4x4, expected 1xHxWx3");
  CHECK(message(good, {}, view(Shape{2, 3, 4, 2}, memory.data())) ==
        "preprocess: output shape 2x3x4x2, expected 1x3xHxW");
  CHECK(message(good, {}, view(Shape{4, 3, 4}, memory.data())) ==
        "preprocess: output shape 4x3x4, expected 1x3xHxW");
  CHECK(preprocess(good, {}, view(Shape{3, 4, 4}, memory.data())).ok());  // without a batch
  CHECK(message(good, {}, view(Shape{1, 3, 0, 4}, memory.data())) == "preprocess: output size 4x0");
  CHECK(message(good, {}, view<float>(Shape{1, 3, 4, 4}, nullptr)) ==
        "preprocess: the output has no data");
  std::vector<int32_t> ints(48);
  CHECK(message(good, {}, view(Shape{1, 3, 4, 4}, ints.data())) ==
        "preprocess: output type i32 is none of f32, u8, i8");
  std::vector<int8_t> bytes(48);
  const Tensor small = view(Shape{1, 3, 4, 4}, bytes.data());
  CHECK(message(good, {}, small, Quant{1, 8, 0, {1, 1, 1}, {0, 0, 0}}) ==
        "preprocess: the output's quantization is not per tensor");
  CHECK(message(good, {}, small, Quant{-1, 8, 0, {0}, {0}}) ==
        "preprocess: output: quantization: scale 0 is 0.000000");
  CHECK(message(good, {}, small, Quant{-1, 8, 0, {}, {}}) ==
        "preprocess: output: quantization: 0 scales, shape 1x3x4x4 needs 1");
}
