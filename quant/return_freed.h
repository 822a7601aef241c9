// SPDX-License-Identifier: Apache-2.0
// Memory that goes back to the system.
#ifndef FIRN_QUANT_RETURN_FREED_H_
#define FIRN_QUANT_RETURN_FREED_H_

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace firn {

// At its end the system gets what was freed before: a freeze packs all weights several times, one
// after the other, and glibc would keep what they took. Other C libraries return it themselves.
struct ReturnFreed {
  ReturnFreed() = default;
  ReturnFreed(const ReturnFreed&) = delete;
  ReturnFreed& operator=(const ReturnFreed&) = delete;
  ~ReturnFreed() {
#if defined(__GLIBC__)
    ::malloc_trim(0);
#endif
  }
};

}  // namespace firn

#endif  // FIRN_QUANT_RETURN_FREED_H_
