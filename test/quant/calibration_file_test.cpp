// SPDX-License-Identifier: Apache-2.0
// Calibration files: read back as written, merged to exactly one run, and damage of every kind.
#include "quant/calibration_file.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "runtime/checksum.h"

namespace firn {
namespace {

constexpr uint64_t kFingerprint = 0x1122334455667788;

std::vector<ObservedTensor> tensors() {
  return {{ValueId::none, "a", true, 3},
          {ValueId::none, "b", true, 0},
          {ValueId::none, "only means", false, 5},
          {ValueId::none, "never seen", true, 2}};
}

// The f-th frame of a stream; some have a NaN.
void see(Observer& observer, uint32_t f) {
  std::mt19937 random(f);
  std::normal_distribution<float> normal(0, std::exp2(static_cast<float>(f % 7) * 5 - 15));
  const auto values = [&](size_t n) {
    std::vector<float> v(n);
    for (float& x : v) x = normal(random);
    return v;
  };
  observer.begin_frame();
  observer.see(0, values(300));
  std::vector<float> b = values(5000);
  if (f % 11 == 5) b[17] = NAN;
  observer.see(1, b);
  observer.see(2, values(500));
  observer.end_frame();
}

Observer observed(uint32_t begin, uint32_t end) {
  Observer observer(tensors());
  for (uint32_t f = begin; f < end; ++f) see(observer, f);
  return observer;
}

std::string temporary(const std::string& name) {
  return (std::filesystem::temp_directory_path() / ("firn_calibration_" + name)).string();
}

std::string error(std::vector<std::byte> bytes) {
  const auto saved = parse_calibration(bytes, "c");
  return saved.ok() ? "ok" : code_name(saved.status().code()) + (" " + saved.status().message());
}

// With a right checksum, so that what is behind it is looked at.
std::vector<std::byte> sealed(std::vector<std::byte> bytes) {
  const uint64_t checksum = xxh64(std::span(bytes).subspan(24), 0);
  std::memcpy(bytes.data() + 16, &checksum, sizeof checksum);
  return bytes;
}

TEST_CASE("calibration file: reads back what it wrote") {
  const Observer observer = observed(0, 30);
  const std::vector<std::byte> bytes = to_bytes({kFingerprint, observer});
  const auto saved = parse_calibration(bytes, "c");
  REQUIRE_MESSAGE(saved.ok(), saved.status().message());
  CHECK(saved->fingerprint == kFingerprint);
  CHECK(saved->observer == observer);
  CHECK(saved->observer.channel_means(0) == observer.channel_means(0));
  CHECK(saved->observer.status().movement == observer.status().movement);
  CHECK(saved->observer.status().rejected == 3);
  CHECK(saved->observer.status().last_rejected == "b");
  CHECK(to_bytes(*saved) == bytes);
  CHECK(bytes.size() < 60000);
  // Going on from it is going on.
  Observer more = saved->observer;
  for (uint32_t f = 30; f < 50; ++f) see(more, f);
  CHECK(more == observed(0, 50));
  CHECK(more.status().movement == observed(0, 50).status().movement);
  CHECK(parse_calibration(to_bytes({1, Observer(tensors())}), "c").ok());
}

TEST_CASE("calibration file: merged files are one run over all frames, in any order") {
  const std::string a = temporary("a"), b = temporary("b"), c = temporary("c"),
                    merged = temporary("merged");
  REQUIRE(write_calibration(a, {kFingerprint, observed(0, 20)}).ok());
  REQUIRE(write_calibration(b, {kFingerprint, observed(20, 31)}).ok());
  REQUIRE(write_calibration(c, {kFingerprint, Observer(tensors())}).ok());
  const Observer whole = observed(0, 31);
  for (const std::vector<std::string>& files :
       {std::vector{a, b, c}, std::vector{b, c, a}, std::vector{c, b, a}}) {
    REQUIRE(merge_calibrations(files, merged).ok());
    const auto saved = read_calibration(merged);
    REQUIRE(saved.ok());
    CHECK(saved->observer == whole);
    for (size_t i = 0; i < tensors().size(); ++i)
      CHECK(saved->observer.channel_means(i) == whole.channel_means(i));
    // What moved is told from the larger part on.
    CHECK(saved->observer.status().movement < 1);
    CHECK(saved->observer.status().movement > 0);
  }

  REQUIRE(write_calibration(b, {kFingerprint + 1, observed(20, 31)}).ok());
  const Status other = merge_calibrations(std::vector{a, b}, merged);
  CHECK(other.code() == Code::failed_precondition);
  CHECK(other.message() == b + ": of another model, or of other input shapes, than " + a);
  CHECK(merge_calibrations({}, merged).code() == Code::invalid_argument);
  CHECK(merge_calibrations(std::vector{a, temporary("none")}, merged).code() == Code::not_found);
  for (const std::string& file : {a, b, c, merged}) std::filesystem::remove(file);
}

TEST_CASE("calibration file: what is none, is cut or has a bit turned is an error") {
  const std::vector<std::byte> good = to_bytes({kFingerprint, observed(0, 4)});
  CHECK(error(good) == "ok");
  CHECK(error({}) == "malformed c: not a calibration file");
  std::vector<std::byte> bytes = good;
  bytes[0] = std::byte{'x'};
  CHECK(error(bytes) == "malformed c: not a calibration file");
  bytes = good;
  bytes[8] = std::byte{2};
  CHECK(error(bytes) == "unsupported c: version 2, expected 1");
  for (size_t n = 0; n < good.size(); n += 7)
    CHECK(error({good.begin(), good.begin() + static_cast<ptrdiff_t>(n)}) != "ok");
  for (size_t n = 0; n < good.size(); n += 5) {
    bytes = good;
    bytes[n] ^= std::byte{1};
    CHECK(error(bytes) != "ok");
  }
  bytes = good;
  bytes.push_back({});
  CHECK(error(sealed(bytes)) == "malformed c: bytes behind the end");
}

TEST_CASE("calibration file: crafted ones with a right checksum never crash, nor pass unseen") {
  const std::vector<std::byte> good = to_bytes({kFingerprint, observed(0, 4)});
  for (size_t n = 24; n < good.size(); n += 3)
    CHECK(error(sealed({good.begin(), good.begin() + static_cast<ptrdiff_t>(n)})) != "ok");
  std::mt19937 random(8);
  size_t passed = 0;
  for (int round = 0; round < 1500; ++round) {
    std::vector<std::byte> bytes = good;
    for (int k = 0; k < 1 + round % 3; ++k)
      bytes[24 + random() % (round % 2 ? 600 : bytes.size() - 24)] =
          static_cast<std::byte>(random() % 4 ? random() : 0xff);
    const auto saved = parse_calibration(sealed(bytes), "c");
    if (!saved.ok()) continue;
    ++passed;  // names, extremes and sums may be anything
    Observer twice = saved->observer;
    CHECK(twice.merge(saved->observer).ok());
    for (size_t i = 0; i < twice.tensors().size(); ++i)
      for (Method method : {Method::mse, Method::ema, Method::automatic})
        if (twice.tensors()[i].range && (method != Method::automatic || round % 100 == 0))
          CHECK_FALSE(std::isnan(pick_range(twice.histogram(i), method).lo));
  }
  CHECK(passed < 1100);
}

}  // namespace
}  // namespace firn
