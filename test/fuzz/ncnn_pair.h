// SPDX-License-Identifier: Apache-2.0
// An ncnn model's two files as one string, which is what the fuzzer passes around.
#ifndef FIRN_TEST_FUZZ_NCNN_PAIR_H_
#define FIRN_TEST_FUZZ_NCNN_PAIR_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace firn::fuzz {

inline constexpr std::string_view kNcnnPair = "ncnnpair";

struct NcnnPair {
  std::string param, bin;
};

inline bool is_ncnn_pair(const std::string& file) {
  return file.starts_with(kNcnnPair) && file.size() >= kNcnnPair.size() + sizeof(uint64_t);
}

inline std::string join(const NcnnPair& pair) {
  const uint64_t length = pair.param.size();
  std::string file(kNcnnPair);
  file.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return file + pair.param + pair.bin;
}

inline NcnnPair split(const std::string& file) {
  uint64_t length = 0;
  const size_t head = kNcnnPair.size() + sizeof(length);
  std::memcpy(&length, file.data() + kNcnnPair.size(), sizeof(length));
  const std::string rest = file.substr(head);
  return {rest.substr(0, length), rest.substr(std::min<size_t>(length, rest.size()))};
}

}  // namespace firn::fuzz

#endif  // FIRN_TEST_FUZZ_NCNN_PAIR_H_
