// SPDX-License-Identifier: Apache-2.0
// Damage to ncnn models: numbers, words and lines of the .param, bytes of the .bin; sometimes the
// text as its binary form, damaged in turn.
#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "test/fuzz/mutations.h"
#include "test/fuzz/ncnn_pair.h"
#include "test/runtime/ncnn_binary.h"

namespace firn::fuzz {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::string odd_number(Random& random) {
  constexpr std::array kOdd{"0",    "-1",   "1e30",       "-1e30",       "nan",
                            "inf",  "0.5",  "2147483647", "-2147483648", "4294967296",
                            "-233", "-234", "1e-45"};
  if (random.one_in(3)) return kOdd[random.below(kOdd.size())];
  const auto number = static_cast<int64_t>(edge_integer(random));
  return std::to_string(random.one_in(2) ? static_cast<int32_t>(number) : number);
}

// The number at or behind a random place, replaced.
void change_number(std::string& line, Random& random) {
  const size_t from = line.find_first_of("0123456789", random.below(line.size() + 1));
  if (from == std::string::npos) return;
  const size_t to = std::min(line.find_first_not_of("0123456789.", from), line.size());
  line.replace(from, to - from, odd_number(random));
}

void change_line(std::vector<std::string>& lines, const std::vector<std::string>& others,
                 Random& random) {
  const size_t at = random.below(lines.size());
  switch (random.below(8)) {
    case 0:
      std::swap(lines[at], lines[random.below(lines.size())]);
      break;
    case 1:
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(at),
                   others[random.below(others.size())]);
      break;
    case 3:
      lines[at] += " " + std::to_string(random.below(24)) + "=" + odd_number(random);
      break;
    default:
      change_number(lines[at], random);
  }
}

}  // namespace

std::string mutate_ncnn(std::string file, const std::string& other, Random& random) {
  NcnnPair pair = split(file);
  const NcnnPair second = split(other);
  if (random.one_in(6)) {
    pair.bin = mutate_bytes(std::move(pair.bin), second.bin + "tail", random);
    return join(pair);
  }
  if (random.one_in(4)) {
    pair.param = test::binary_param(pair.param);
    for (size_t edits = 1 + random.below(3); edits > 0; --edits) {
      set_element(pair.param, 0, pair.param.size(), random);
    }
    return join(pair);
  }
  if (random.one_in(8)) {
    pair.param = mutate_bytes(std::move(pair.param), second.param, random);
    return join(pair);
  }
  std::vector<std::string> lines = lines_of(pair.param);
  const std::vector<std::string> others = lines_of(second.param);
  for (size_t edits = 1 + random.below(3); edits > 0 && !lines.empty(); --edits) {
    change_line(lines, others, random);
  }
  pair.param = text_of(lines);
  return join(pair);
}

}  // namespace firn::fuzz
