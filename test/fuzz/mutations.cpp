// SPDX-License-Identifier: Apache-2.0
// Damage that knows nothing of the format, and what it is made of.
#include "test/fuzz/mutations.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace firn::fuzz {
namespace {

constexpr std::array<uint8_t, 5> kEdgeBytes{0, 1, 0x7F, 0x80, 0xFF};
constexpr auto kEdgeIntegers = std::to_array<uint64_t>({
    0,
    1,
    2,
    3,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x100'0000,
    0x4000'0000,
    0x7FFF'FFFE,
    0x7FFF'FFFF,
    0x8000'0000,
    0xFFFF'FFFF,
    0x1'0000'0000,
    0x100'0000'0000,
    0x4000'0000'0000'0000,
    0x7FFF'FFFF'FFFF'FFFF,
    0x8000'0000'0000'0000,
    0xFFFF'FFFF'8000'0000,
    0xFFFF'FFFF'FFFF'FFFE,
    0xFFFF'FFFF'FFFF'FFFF,
});
using Float = std::numeric_limits<float>;
constexpr std::array kEdgeFloats{0.0f,
                                 -0.0f,
                                 1.0f,
                                 -1.0f,
                                 0.5f,
                                 1e-30f,
                                 1e30f,
                                 Float::max(),
                                 Float::denorm_min(),
                                 Float::min(),
                                 2.5e9f,
                                 Float::infinity(),
                                 -Float::infinity(),
                                 Float::quiet_NaN()};

uint64_t element(size_t bytes, uint64_t old, Random& random) {
  switch (random.below(6)) {
    case 0:
      return old + 1;
    case 1:
      return old - 1;
    case 2:
      return random.next();
    case 3:
      if (bytes == 4) return std::bit_cast<uint32_t>(kEdgeFloats[random.below(kEdgeFloats.size())]);
      if (bytes == 1) return kEdgeBytes[random.below(kEdgeBytes.size())];
      [[fallthrough]];
    default:
      return edge_integer(random);
  }
}

// A block of the file, mostly a short one.
std::pair<size_t, size_t> block(const std::string& file, Random& random) {
  const size_t begin = random.below(file.size());
  const size_t longest = random.one_in(4) ? file.size() - begin : 64;
  return {begin, std::min(file.size() - begin, 1 + random.below(longest))};
}

void edit(std::string& file, const std::string& other, Random& random) {
  const size_t at = random.below(file.size());
  const auto [begin, length] = block(file, random);
  switch (random.below(9)) {
    case 0:
      file[at] = static_cast<char>(file[at] ^ (1 << random.below(8)));
      break;
    case 1:
      file[at] = static_cast<char>(kEdgeBytes[random.below(kEdgeBytes.size())]);
      break;
    case 2:
      file[at] = static_cast<char>(random.next());
      break;
    case 3:
      set_element(file, 0, file.size(), random);
      break;
    case 4:
      file.erase(begin, length);
      break;
    case 5:
      file.insert(at, file.substr(begin, length));
      break;
    case 6: {
      const auto [from, count] = block(other, random);
      file.replace(begin, length, other, from, count);
      break;
    }
    case 7:
      if (random.one_in(3)) file.resize(at);
      break;
    default: {
      const std::string piece = file.substr(begin, length);
      file.erase(begin, length);
      file.insert(random.below(file.size() + 1), piece);
    }
  }
}

}  // namespace

uint64_t edge_integer(Random& random) {
  if (random.one_in(3)) return random.below(16);
  return kEdgeIntegers[random.below(kEdgeIntegers.size())];
}

void set_element(std::string& bytes, size_t begin, size_t end, Random& random) {
  const size_t size = size_t{1} << random.below(4);
  begin = (begin + size - 1) / size * size;
  if (end < begin + size) return;
  char* const at = bytes.data() + begin + random.below((end - begin) / size) * size;
  uint64_t value = 0;  // little-endian, as all formats here are
  std::memcpy(&value, at, size);
  value = element(size, value, random);
  std::memcpy(at, &value, size);
}

std::string mutate_bytes(std::string file, const std::string& other, Random& random) {
  for (size_t edits = 1 + random.below(4); edits > 0 && !file.empty(); --edits) {
    edit(file, other, random);
  }
  file.resize(std::min(file.size(), kMaxBytes));
  return file;
}

}  // namespace firn::fuzz
