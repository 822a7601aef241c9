// SPDX-License-Identifier: Apache-2.0
// XXH64: four independent lanes of multiply and rotate, so that their latencies overlap.
#include "runtime/checksum.h"

#include <array>
#include <bit>
#include <cstring>

namespace firn {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                   kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                   kPrime5 = 0x27D4EB2F165667C5u;

template <typename T>
T load(const std::byte* from) {
  static_assert(std::endian::native == std::endian::little, ".firn files are little-endian");
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

uint64_t mix(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

// Takes all whole 32-byte stripes from the front of `bytes`.
uint64_t fold_stripes(std::span<const std::byte>& bytes, uint64_t seed) {
  std::array<uint64_t, 4> lane{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1};
  const std::byte* p = bytes.data();
  const std::byte* const end = p + bytes.size() / 32 * 32;
  for (; p != end; p += 32) {
    for (size_t i = 0; i < 4; ++i) lane[i] = mix(lane[i], load<uint64_t>(p + 8 * i));
  }
  bytes = bytes.subspan(bytes.size() / 32 * 32);
  uint64_t hash = std::rotl(lane[0], 1) + std::rotl(lane[1], 7) + std::rotl(lane[2], 12) +
                  std::rotl(lane[3], 18);
  for (uint64_t l : lane) hash = (hash ^ mix(0, l)) * kPrime1 + kPrime4;
  return hash;
}

}  // namespace

uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed) {
  const size_t size = bytes.size();
  uint64_t hash = (size >= 32 ? fold_stripes(bytes, seed) : seed + kPrime5) + size;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    hash = std::rotl(hash ^ mix(0, load<uint64_t>(bytes.data())), 27) * kPrime1 + kPrime4;
  }
  if (bytes.size() >= 4) {
    hash = std::rotl(hash ^ load<uint32_t>(bytes.data()) * kPrime1, 23) * kPrime2 + kPrime3;
    bytes = bytes.subspan(4);
  }
  for (std::byte b : bytes) {
    hash = std::rotl(hash ^ std::to_integer<uint64_t>(b) * kPrime5, 11) * kPrime1;
  }
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return hash ^ hash >> 32;
}

}  // namespace firn
