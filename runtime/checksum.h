// SPDX-License-Identifier: Apache-2.0
// The checksum of .firn files: XXH64, which reads some ten bytes a nanosecond, so that verifying a
// model costs less than mapping it.
#ifndef FIRN_RUNTIME_CHECKSUM_H_
#define FIRN_RUNTIME_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace firn {

// XXH64 of the bytes, as specified in xxHash's doc/xxhash_spec.md.
uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed);

}  // namespace firn

#endif  // FIRN_RUNTIME_CHECKSUM_H_
