// SPDX-License-Identifier: Apache-2.0
// Every variant of the Winograd convolution against the plain reference of the direct one: sums
// modulo 2^32 must give its very answers.
#include "kernels/winograd_s8.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "kernels/parallel.h"
#include "test/kernels/conv_problem.h"

namespace {

using namespace firn;
using namespace firn::test;

void check(const Case& c) {
  const Problem problem(c);
  REQUIRE(winograd_s8_takes(c.shape, problem.weights.data()));
  for (const WinogradS8* variant : winograd_s8_table()) {
    if ((supported_isas() & bit(variant->isa)) == 0) continue;
    Guarded<uint8_t> workspace(variant->workspace_bytes(c.shape));
    CHECK(workspace.size() % 64 == 0);
    problem.check(*variant, [&](const ConvS8Args& args, Units& units) {
      variant->run(c.shape, args, workspace.data(), units);
    });
    CHECK(workspace.intact());
  }
}

ConvShape window(int height, int width, int in_c, int out_c, int pad = 1) {
  ConvShape s = convolution(height, in_c, out_c, 3, 1, pad);
  s.in_w = width;
  s.out_w = width + 2 * pad - 2;
  return s;
}

}  // namespace

TEST_CASE("winograd_s8: threads share a layer") {
  const auto pool = Pool::create(3);
  REQUIRE(pool != nullptr);
  const ConvShape s = convolution(29, 64, 80, 3, 1, 1);
  const Problem problem({.shape = s, .input_zero = 3});
  for (const WinogradS8* variant : winograd_s8_table()) {
    if ((supported_isas() & bit(variant->isa)) == 0) continue;
    const size_t bytes = variant->workspace_bytes(s);
    Guarded<uint8_t> workspace(3 * bytes);
    problem.check(*variant, [&](const ConvS8Args& args, Units&) {
      pool->parallel_for(variant->units(s), 1, [&](Units& share, size_t thread) {
        variant->run(s, args, workspace.data() + thread * bytes, share);
      });
    });
    CHECK(workspace.intact());
  }
}

TEST_CASE("winograd_s8: tiles that end before, at and behind the image's edge") {
  uint64_t seed = 1;
  for (const int height : {1, 2, 3, 4, 5, 7})
    for (const int width : {1, 4, 6, 8, 9, 13})
      check({.shape = window(height, width, 5, 18), .seed = seed++, .input_zero = 7});
  for (const int pad : {0, 2, 3})
    check({.shape = window(9, 11, 5, 18, pad), .seed = seed++, .input_zero = -128});
}

TEST_CASE("winograd_s8: channels around the vectors' and panels' ends") {
  uint64_t seed = 50;
  for (const int in_c : {1, 2, 3, 15, 16, 17, 31, 32, 33, 64, 100})
    check({.shape = window(6, 9, in_c, 20), .seed = seed++, .input_zero = -3, .clamp = {5}});
  for (const int out_c : {1, 3, 4, 7, 8, 9, 15, 16, 17, 32, 47, 48, 64, 65, 80, 130})
    check({.shape = window(9, 6, 7, out_c), .seed = seed++, .input_zero = 11, .clamp = {-7}});
}

TEST_CASE("winograd_s8: several blocks, several images, slices of wider pixels") {
  check({.shape = window(41, 37, 70, 40), .input_zero = 3});
  ConvShape s = window(22, 10, 128, 66);
  s.batch = 3;
  s.in_pixel_stride += 5;
  s.out_pixel_stride += 3;
  check({.shape = s, .input_zero = 3, .clamp = {-1, -100, 90}});
}

TEST_CASE("winograd_s8: contents at the edges of int8, up to the largest sums") {
  for (const Fill how : kFills)
    for (const int zero : {-128, 0, 127})
      check({.shape = window(9, 9, 200, 35), .fill = how, .input_zero = zero, .clamp = {zero}});
  check({.shape = window(5, 5, 229, 17), .fill = Fill::lowest, .bias = false});
}

TEST_CASE("winograd_s8: clamps, bias and scales") {
  for (const Clamp8 clamp : {Clamp8{0, 0, 127}, Clamp8{-128, -128, 127}, Clamp8{127, -128, 127},
                             Clamp8{-128, -128, 20}, Clamp8{3, 3, 3}, Clamp8{-10, -128, -128}})
    for (const bool huge : {false, true})
      check({.shape = window(7, 6, 20, 37), .seed = 3, .clamp = clamp, .huge_scale = huge});
}

TEST_CASE("winograd_s8: refuses what it cannot compute") {
  const std::vector<int8_t> weights(size_t{9} * 400 * 2, 127);
  CHECK(winograd_s8_takes(convolution(9, 229, 2, 3, 1, 1), weights.data()));
  CHECK(!winograd_s8_takes(convolution(9, 230, 2, 3, 1, 1), weights.data()));  // sums reach 2^25
  CHECK(!winograd_s8_takes(convolution(9, 4, 2, 3, 2, 1), weights.data()));
  CHECK(!winograd_s8_takes(convolution(9, 4, 2, 3, 1, 2, 1, 2), weights.data()));
  CHECK(!winograd_s8_takes(convolution(9, 4, 2, 5, 1, 2), weights.data()));
  CHECK(!winograd_s8_takes(convolution(9, 4, 2, 3, 1, 1, 2), weights.data()));
  ConvShape s = convolution(9, 4, 2, 3, 1, 1);
  s.repeat = 2;
  CHECK(!winograd_s8_takes(s, weights.data()));
}

TEST_CASE("winograd_s8: picked for the rung that is allowed, where there are enough tiles") {
  const std::vector<int8_t> weights(size_t{9} * 64 * 64, 3);
  for (const WinogradS8* variant : winograd_s8_table()) {
    if ((supported_isas() & bit(variant->isa)) == 0) continue;
    const IsaMask allowed = allowed_isas(variant->isa);
    CHECK(pick_winograd_s8(convolution(56, 64, 64, 3, 1, 1), allowed) == variant);
    CHECK(pick_winograd_s8(convolution(4, 64, 64, 3, 1, 1), allowed) == nullptr);
    CHECK(pick_winograd_s8(convolution(56, 3, 64, 3, 1, 1), allowed) == nullptr);
  }
  CHECK(pick_winograd_s8(convolution(56, 64, 64, 3, 1, 1), bit(Isa::scalar)) ==
        nullptr);
}
