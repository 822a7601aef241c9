// SPDX-License-Identifier: Apache-2.0
// .npy files: what is written reads back, and what is broken gives an error.
#include "examples/firn/npy.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "test/tool/tool.h"

namespace firn::tool {
namespace {

// An .npy with this header and data.
std::string npy(const std::string& header, const std::string& data, char version = 1) {
  std::string text = std::string("\x93NUMPY") + version + '\0';
  text += static_cast<char>(header.size() & 0xff);
  text += static_cast<char>(header.size() >> 8);
  if (version > 1) text += std::string(2, '\0');
  return text + header + data;
}

std::string header(const std::string& descr, const std::string& shape,
                   const std::string& fortran_order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran_order + ", 'shape': " + shape +
         ", }\n";
}

template <typename T>
std::string bytes_of(std::vector<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <typename T>
void check_round_trip(const Shape& shape, std::vector<T> values) {
  const TempFolder folder;
  const std::string path = folder.path("x.npy");
  CAPTURE(dtype_name(DTypeOf<T>::value));
  REQUIRE(write_npy(path, view(shape, values.data())).ok());
  CHECK(std::filesystem::file_size(path) % 64 == values.size() * sizeof(T) % 64);
  Result<NpyFile> file = NpyFile::open(path);
  REQUIRE(file.ok());
  CHECK(file->type() == DTypeOf<T>::value);
  CHECK(file->shape() == shape);
  const Result<Array> array = file->read();
  REQUIRE(array.ok());
  REQUIRE(array->data.size() == values.size() * sizeof(T));
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  CHECK(std::equal(array->data.begin(), array->data.end(), bytes));
}

Status open_status(const std::string& content) {
  const TempFolder folder;
  return NpyFile::open(folder.write("x.npy", content)).status();
}

TEST_CASE("every element type and rank reads back as it was written") {
  check_round_trip<float>({2, 3}, {0.0f, -1.5f, 3e38f, 1e-40f, INFINITY, -0.0f});
  check_round_trip<int8_t>({4}, {-128, -1, 0, 127});
  check_round_trip<uint8_t>({1, 2, 1, 2}, {0, 1, 128, 255});
  check_round_trip<int16_t>({2}, {-32768, 32767});
  check_round_trip<int32_t>({1, 1, 1, 1, 1, 1}, {INT32_MIN});
  check_round_trip<int64_t>({2}, {INT64_MIN, INT64_MAX});
  check_round_trip<float>({}, {7.0f});
  check_round_trip<float>({0, 5}, {});
  bool flags[] = {true, false, true};
  const TempFolder folder;
  REQUIRE(write_npy(folder.path("b.npy"), view({3}, flags)).ok());
  Result<NpyFile> file = NpyFile::open(folder.path("b.npy"));
  REQUIRE(file.ok());
  CHECK(file->type() == DType::boolean);
  CHECK(bytes_of<uint8_t>({1, 0, 1}) ==
        std::string(reinterpret_cast<const char*>(file->read()->data.data()), 3));
}

TEST_CASE("f8 is read as f32") {
  const TempFolder folder;
  const std::string path =
      folder.write("d.npy", npy(header("<f8", "(2,)"), bytes_of<double>({0.1, -2.0})));
  Result<NpyFile> file = NpyFile::open(path);
  REQUIRE(file.ok());
  const Result<Array> array = file->read();
  REQUIRE(array.ok());
  CHECK(array->type == DType::f32);
  CHECK(array->as<float>()[0] == 0.1f);
  CHECK(array->as<float>()[1] == -2.0f);
}

TEST_CASE("all versions of the format and all ways to write the header are taken") {
  const std::string data = bytes_of<int32_t>({1, 2, 3, 4, 5, 6});
  for (const char version : {1, 2, 3}) {
    CHECK(open_status(npy(header("<i4", "(2, 3)"), data, version)).ok());
  }
  CHECK(open_status(npy("{\"shape\":(6,),\"descr\":\"<i4\",\"fortran_order\":False}", data)).ok());
  CHECK(open_status(npy("{'fortran_order': False, 'shape': (2, 3,), 'descr': '<i4'}   \n", data))
            .ok());
  CHECK(open_status(npy(header(">u1", "(24,)"), data)).ok());  // one byte has no order
}

TEST_CASE("samples are read one at a time") {
  const TempFolder folder;
  const std::string path =
      folder.write("x.npy", npy(header("<i2", "(3, 2)"), bytes_of<int16_t>({1, 2, 3, 4, 5, 6})));
  Result<NpyFile> file = NpyFile::open(path);
  REQUIRE(file.ok());
  CHECK(file->samples() == 3);
  for (const int index : {2, 0, 1}) {
    const Result<Array> sample = file->read_sample(static_cast<size_t>(index));
    REQUIRE(sample.ok());
    CHECK(sample->shape == Shape{2});
    CHECK(sample->as<int16_t>()[0] == 2 * index + 1);
    CHECK(sample->as<int16_t>()[1] == 2 * index + 2);
  }
}

TEST_CASE("broken files are malformed, foreign elements unsupported") {
  const std::string good = npy(header("<f4", "(2, 3)"), std::string(24, '\0'));
  REQUIRE(open_status(good).ok());
  for (size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK(open_status(good.substr(0, length)).code() == Code::malformed);
  }
  CHECK(open_status(good + "x").code() == Code::malformed);
  std::string too_long = good;
  too_long[8] = too_long[9] = '\xff';
  CHECK(open_status(too_long).code() == Code::malformed);
  std::string version = good;
  version[6] = 4;
  CHECK(open_status(version).code() == Code::unsupported);

  const std::string data(24, '\0');
  for (const char* shape :
       {"(2, 4)", "(-6,)", "(2, 3", "6", "()", "(2 3)", "(99999999999,)", "(,)",
        "(4294967296, 4294967296, 6)", "(99999999999999999999999,)", "(1, 1, 1, 1, 1, 2, 3)"}) {
    CAPTURE(shape);
    CHECK(open_status(npy(header("<f4", shape), data)).code() == Code::malformed);
  }
  for (const char* text :
       {"", "{", "{}", "[]", "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}"}) {
    CAPTURE(text);
    CHECK(open_status(npy(text, data)).code() == Code::malformed);
  }
  for (const char* descr : {">f4", "<f2", "<c8", "<U6", "|O", "", "f", "<", "<f44"}) {
    CAPTURE(descr);
    CHECK(open_status(npy(header(descr, "(6,)"), data)).code() == Code::unsupported);
  }
  CHECK(open_status(npy(header("<f4", "(2, 3)", "True"), data)).code() == Code::unsupported);
  CHECK(NpyFile::open("/").status().code() == Code::io_error);
  CHECK(NpyFile::open("no such file.npy").status().code() == Code::not_found);
}

TEST_CASE("a file that cannot be written is an error and leaves nothing behind") {
  const TempFolder folder;
  float value = 0;
  CHECK(write_npy(folder.path("none/x.npy"), view({}, &value)).code() == Code::io_error);
  std::filesystem::create_directories(folder.path("taken/full"));
  CHECK(write_npy(folder.path("taken"), view({}, &value)).code() == Code::io_error);
  CHECK(!std::filesystem::exists(folder.path("taken.part")));
}

}  // namespace
}  // namespace firn::tool
