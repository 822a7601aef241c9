// SPDX-License-Identifier: Apache-2.0
// Walks over a JPEG's markers (ITU-T T.81, annex B) as stb_image does, and looks at its tables.
#include "jpeg_check.h"

#include <cstddef>
#include <cstdint>

namespace firn::tool {
namespace {

// Markers, which follow a byte FF.
constexpr int kStuffing = 0x00;  // the FF before it is a part of the picture
constexpr int kHuffmanTables = 0xc4;
constexpr int kFirstRestart = 0xd0, kLastRestart = 0xd7;
constexpr int kStart = 0xd8, kEnd = 0xd9;

// Past the end of a file are zeros, as stb_image reads them.
int byte(std::string_view file, size_t at) {
  return at < file.size() ? static_cast<uint8_t>(file[at]) : 0;
}

int number16(std::string_view file, size_t at) {
  return byte(file, at) << 8 | byte(file, at + 1);
}

// Each table: a byte of class and place, how many codes there are of 1, 2, ... 16 bits, the values.
bool tables_fit(std::string_view file, size_t at, int segment_bytes) {
  while (segment_bytes > 0) {
    int codes = 0;
    for (size_t bits = 1; bits <= 16; ++bits) codes += byte(file, at + bits);
    if (codes > 256) return false;
    at += static_cast<size_t>(17 + codes);
    segment_bytes -= 17 + codes;
  }
  return true;
}

}  // namespace

bool is_jpeg(std::string_view file) {
  return file.starts_with('\xff');
}

const char* jpeg_problem(std::string_view file) {
  for (size_t at = 0; (at = file.find('\xff', at)) != std::string_view::npos;) {
    while (byte(file, at) == 0xff) ++at;  // any number of them may stand before a marker
    const int marker = byte(file, at++);
    if (marker == kEnd) return nullptr;
    const bool alone = marker == kStuffing || marker == kStart ||
                       (marker >= kFirstRestart && marker <= kLastRestart);
    if (alone) continue;
    const int segment_bytes = number16(file, at);  // these two included
    if (segment_bytes < 2) return "a segment without length";
    if (marker == kHuffmanTables && !tables_fit(file, at + 2, segment_bytes - 2)) {
      return "a Huffman table of more than 256 codes";
    }
    at += static_cast<size_t>(segment_bytes);
  }
  return "it is cut off";
}

}  // namespace firn::tool
