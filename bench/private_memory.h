// SPDX-License-Identifier: Apache-2.0
// The memory of this process that no file stands behind.
#ifndef FIRN_BENCH_PRIVATE_MEMORY_H_
#define FIRN_BENCH_PRIVATE_MEMORY_H_

#include <cstddef>
#include <cstdio>

namespace firn::bench {

// RssAnon of /proc/self/status; 0 where the system does not say.
inline size_t private_bytes() {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  if (status == nullptr) return 0;
  char line[256];
  unsigned long kib = 0;
  while (std::fgets(line, sizeof line, status) != nullptr)
    if (std::sscanf(line, "RssAnon: %lu", &kib) == 1) break;
  std::fclose(status);
  return size_t{1024} * kib;
}

}  // namespace firn::bench

#endif  // FIRN_BENCH_PRIVATE_MEMORY_H_
