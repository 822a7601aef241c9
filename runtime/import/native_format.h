// SPDX-License-Identifier: Apache-2.0
// The layout of a .firn file around its FlatBuffer:
//
//   NativeHeader | graph (firn.fbs) | 0..63 zeros | constants, each at a multiple of 64 | 64 zeros
//
// so that a mapped file is used in place: kernels find constants aligned, and readable beyond their
// end. Everything is little-endian. The constants and the zeros behind them may be a file of their
// own, which the graph then names.
//
// Version 2: packed weights, compact Quants, f16 constants, constants in another file, dynamic.
// What has none of these is written as version 1.
#ifndef FIRN_RUNTIME_IMPORT_NATIVE_FORMAT_H_
#define FIRN_RUNTIME_IMPORT_NATIVE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/checksum.h"

namespace firn {

inline constexpr std::array<char, 4> kNativeMagic{'F', 'I', 'R', 'N'};
inline constexpr uint32_t kNativeVersion = 2;
inline constexpr size_t kNativeAlignment = 64;

struct NativeHeader {
  std::array<char, 4> magic = kNativeMagic;
  uint32_t version = 1;
  uint64_t file_bytes = 0;   // of the whole file
  uint64_t graph_bytes = 0;  // of the FlatBuffer right behind this header
  uint64_t data_offset = 0;  // of the constants, from the start of the file
  uint64_t data_bytes = 0;   // of the constants, without the 64 zeros behind them
  std::array<uint64_t, 2> reserved{};
  uint64_t checksum = 0;  // native_checksum() of the file
};
static_assert(sizeof(NativeHeader) == 64 && offsetof(NativeHeader, checksum) == 56);

constexpr size_t align_native(size_t offset) {
  return (offset + kNativeAlignment - 1) / kNativeAlignment * kNativeAlignment;
}

// Over every byte of the file but the checksum itself. The file holds at least a header.
inline uint64_t native_checksum(std::span<const std::byte> file) {
  const uint64_t header = xxh64(file.first(offsetof(NativeHeader, checksum)), 0);
  return xxh64(file.subspan(sizeof(NativeHeader)), header);
}

}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_NATIVE_FORMAT_H_
