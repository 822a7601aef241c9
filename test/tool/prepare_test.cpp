// SPDX-License-Identifier: Apache-2.0
// Pictures and arrays become a model's input: sizes, layouts, channels, means, and clear refusals.
#include "examples/firn/prepare.h"

#include <doctest/doctest.h>
#include <cstring>
#include <string>
#include <vector>

#include "examples/firn/feed.h"
#include "test/tool/tool.h"

namespace firn::tool {
namespace {

using Floats = std::vector<float>;

TensorInfo input(const Shape& shape, DType type = DType::f32) {
  return {"x", type, shape, {}};
}

template <typename T>
Array array(const Shape& shape, std::vector<T> values) {
  Array made(DTypeOf<T>::value, shape);
  REQUIRE(made.data.size() == values.size() * sizeof(T));
  std::memcpy(made.data.data(), values.data(), made.data.size());
  return made;
}

Result<Array> prepared(const PrepareOptions& options, const TensorInfo& to, Array sample) {
  FIRN_ASSIGN(const Preparation preparation, Preparation::make(options, to));
  return preparation.apply(std::move(sample), "sample");
}

Floats floats(const Result<Array>& result) {
  if (!result.ok()) MESSAGE(result.status().message());
  REQUIRE(result.ok());
  REQUIRE(result->type == DType::f32);
  return {result->as<float>(), result->as<float>() + result->shape.elements()};
}

std::string problem(const Result<Array>& result) {
  return result.ok() ? "none" : result.status().message();
}

// Two pixels side by side.
Array two_pixels() {
  return array<uint8_t>({1, 2, 3}, {10, 20, 30, 40, 50, 60});
}

TEST_CASE("pictures take the model's layout") {
  const Result<Array> planar = prepared({}, input({-1, 3, 1, 2}), two_pixels());
  CHECK(floats(planar) == Floats{10, 40, 20, 50, 30, 60});
  CHECK(planar->shape == Shape{1, 3, 1, 2});
  const Array column = array<uint8_t>({2, 1, 3}, {10, 20, 30, 40, 50, 60});
  CHECK(floats(prepared({}, input({1, 2, 1, 3}), column)) == Floats{10, 20, 30, 40, 50, 60});
}

TEST_CASE("an array that is the input as it stands is no picture") {
  const Array four = array<uint8_t>({3, 1, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const Result<Array> same = prepared({}, input({3, 1, 4}, DType::u8), four);
  REQUIRE(same.ok());
  CHECK(same->shape == four.shape);
  CHECK(same->data == four.data);
}

TEST_CASE("mean, std and norm apply in the order of the model's channels") {
  CHECK(floats(prepared({.mean = "10,20,30", .std_dev = "2,4,5"}, input({1, 3, 1, 2}),
                        two_pixels())) == Floats{0, 15, 0, 7.5, 0, 6});
  CHECK(floats(prepared({.mean = "10", .norm = "0.5"}, input({1, 3, 1, 2}), two_pixels())) ==
        Floats{0, 15, 5, 20, 10, 25});
  CHECK(floats(prepared({.mean = "30,20,10", .pixel = "BGR"}, input({1, 3, 1, 2}), two_pixels())) ==
        Floats{0, 30, 0, 30, 0, 30});
}

TEST_CASE("the middle is cut out, or all is stretched") {
  // Four columns of 0, 50, 100, 150, two rows.
  const Array wide = array<uint8_t>({2, 4}, {0, 50, 100, 150, 0, 50, 100, 150});
  CHECK(floats(prepared({}, input({1, 1, 2, 2}), wide)) == Floats{50, 100, 50, 100});
  CHECK(floats(prepared({.resize = "crop", .short_side = 2}, input({1, 1, 1, 2}), wide)) ==
        Floats{50, 100});
  const Floats stretched = floats(prepared({.resize = "stretch"}, input({1, 1, 2, 2}), wide));
  CHECK(stretched[0] < 50);
  CHECK(stretched[1] > 100);
  CHECK(problem(prepared({.short_side = 2}, input({1, 1, 3, 3}), wide)).starts_with("sample: "));
}

TEST_CASE("an array of pictures is a batch, and open sizes are the picture's own") {
  const Array batch = array<uint8_t>({2, 1, 1, 3}, {1, 2, 3, 4, 5, 6});
  const Result<Array> result = prepared({}, input({-1, 3, -1, -1}), batch);
  CHECK(floats(result) == Floats{1, 2, 3, 4, 5, 6});
  CHECK(result->shape == Shape{2, 3, 1, 1});
  CHECK(problem(prepared({}, input({1, 3, 1, 1}), batch)).find("2 pictures") != std::string::npos);
}

TEST_CASE("8-bit inputs take pixels as they are, or quantized") {
  const Array gray = array<uint8_t>({1, 2}, {0, 255});
  const Result<Array> raw = prepared({}, input({1, 1, 1, 2}, DType::u8), gray);
  REQUIRE(raw.ok());
  CHECK(raw->data == gray.data);
  const Result<Array> less = prepared({}, input({1, 1, 1, 2}, DType::i8), gray);
  REQUIRE(less.ok());
  CHECK(less->as<int8_t>()[0] == -128);
  CHECK(less->as<int8_t>()[1] == 127);
  TensorInfo quantized = input({1, 1, 1, 2}, DType::i8);
  quantized.quant = Quant{.axis = -1, .bits = 8, .block = 0, .scale = {0.1f}, .zero = {3}};
  const Result<Array> scaled = prepared({.std_dev = "255"}, quantized, gray);
  REQUIRE(scaled.ok());
  CHECK(scaled->as<int8_t>()[0] == 3);
  CHECK(scaled->as<int8_t>()[1] == 13);
}

TEST_CASE("arrays of the input's shape are fed as they are") {
  const Floats values = {1, 2, 3, 4, 5, 6};
  for (const Shape& shape : {Shape{3, 1, 2}, Shape{1, 3, 1, 2}, Shape{3, 2}}) {
    const Result<Array> result = prepared({}, input({-1, 3, 1, 2}), array<float>(shape, values));
    CHECK(floats(result) == values);
    CHECK(result->shape == Shape{1, 3, 1, 2});
  }
  const Result<Array> batch = prepared({}, input({-1, 3}), array<float>({2, 3}, values));
  REQUIRE(batch.ok());
  CHECK(batch->shape == Shape{2, 3});
  const Result<Array> bytes = prepared({}, input({1, 2}), array<int8_t>({2}, {-1, 1}));
  REQUIRE(bytes.ok());
  CHECK(bytes->type == DType::i8);  // the session takes them as numbers
  CHECK(floats(prepared({}, input({1, 2}), array<int32_t>({2}, {-1, 1}))) == Floats{-1, 1});
}

TEST_CASE("integers of the input's shape are normalized where that is asked for") {
  CHECK(floats(prepared({.mean = "83", .norm = "0.5"}, input({1, 2, 1, 1}),
                        array<int8_t>({2, 1, 1}, {83, 85}))) == Floats{0, 1});
  CHECK(floats(prepared({.mean = "1,2,3"}, input({1, 3, 1, 2}),
                        array<int16_t>({3, 1, 2}, {1, 2, 3, 4, 5, 6}))) ==
        Floats{0, 1, 1, 2, 2, 3});
}

TEST_CASE("what does not fit is refused with names and shapes") {
  const Array row = array<float>({5}, {1, 2, 3, 4, 5});
  CHECK(problem(prepared({}, input({1, 4}), row)) == "sample: shape 5, input 'x' is 1x4");
  CHECK(problem(prepared({}, input({1, 5}, DType::i64), row)).find("takes i64") !=
        std::string::npos);
  const Array planes = array<float>({3, 1, 1}, {1, 2, 3});
  CHECK(problem(prepared({.mean = "1"}, input({1, 3, 1, 1}), planes)).find("fed as it is") !=
        std::string::npos);
  CHECK(problem(prepared({.mean = "1,2,3"}, input({1, 1, 1, 1}), planes)).find("one number") !=
        std::string::npos);
  CHECK(problem(prepared({.pixel = "GRAY"}, input({1, 3, 1, 1}), planes)).find("3 channels") !=
        std::string::npos);
  for (const char* bad : {"1,2", "1,2,3,4", "x", "1,,2", "nan", "1,2,inf"}) {
    CAPTURE(bad);
    CHECK(problem(prepared({.mean = bad}, input({1, 3, 1, 1}), planes)).starts_with("--mean "));
  }
  CHECK(problem(prepared({.std_dev = "1,0,1"}, input({1, 3, 1, 1}), planes)).starts_with("--std "));
  CHECK(problem(prepared({.norm = "0"}, input({1, 3, 1, 1}), planes)).starts_with("--norm "));
  CHECK(!prepared({.resize = "stretch", .short_side = 8}, input({1, 3, 1, 1}), planes).ok());
}

TEST_CASE("files go to inputs by name or in order") {
  std::vector<TensorInfo> inputs(2);
  inputs[0].name = "a";
  inputs[1].name = "b";
  using Files = std::vector<std::string>;
  CHECK(*assign_to_inputs({"1", "2"}, inputs) == Files{"1", "2"});
  CHECK(*assign_to_inputs({"b=2", "1"}, inputs) == Files{"1", "2"});
  CHECK(*assign_to_inputs({"a=x=1", "c=2"}, inputs) == Files{"x=1", "c=2"});
  CHECK(!assign_to_inputs({"a=1", "a=2"}, inputs).ok());
  CHECK(!assign_to_inputs({"1"}, inputs).ok());
  CHECK(!assign_to_inputs({"1", "2", "3"}, inputs).ok());
}

TEST_CASE("a feed skips, limits and keeps several inputs in step") {
  const TempFolder folder;
  Floats values = {0, 1, 2, 3, 4, 5};
  REQUIRE(write_npy(folder.path("x.npy"), view({6, 1}, values.data())).ok());
  REQUIRE(write_npy(folder.path("y.npy"), view({3, 2}, values.data())).ok());
  const std::vector<TensorInfo> one = {input({-1, 1})};
  DataOptions options;
  options.data = {folder.path("x.npy")};
  options.skip = 2;
  options.limit = 3;
  Result<Feed> feed = Feed::open(options, one);
  REQUIRE(feed.ok());
  CHECK(feed->size() == 3);
  CHECK(feed->first() == 2);
  const Result<std::vector<NamedTensor>> last = feed->read(2);
  REQUIRE(last.ok());
  CHECK((*last)[0].name == "x");
  CHECK((*last)[0].tensor.as<float>()[0] == 4);
  options.limit = 100;
  CHECK(Feed::open(options, one)->size() == 4);
  options.skip = 6;
  CHECK(!Feed::open(options, one).ok());

  options.skip = 0;
  options.data.push_back(folder.path("y.npy"));
  std::vector<TensorInfo> two = {input({-1, 1}), input({-1, 2})};
  two[1].name = "y";
  CHECK(Feed::open(options, two).status().message().find("6 samples") != std::string::npos);
  CHECK(!Feed::open(options, {}).ok());
}

}  // namespace
}  // namespace firn::tool
