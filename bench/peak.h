// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most, measured.
#ifndef FIRN_BENCH_PEAK_H_
#define FIRN_BENCH_PEAK_H_

#include <cstddef>

#include "kernels/isa.h"

namespace firn::bench {

// MAC/s that a loop of nothing but the rung's dot instruction reaches, measured once; 0 for rungs
// that have none here.
double peak(kernels::Isa);
// The same at this moment, over so many seconds. Interruptions, some 20,000 a second on a virtual
// machine, fall into long loops and between short ones: what is compared must take as long.
double peak_now(kernels::Isa, double seconds);
// Bytes/s, read and written, of copying n bytes in the rung's vectors; 0 as above.
double copy_peak(kernels::Isa, size_t n);

}  // namespace firn::bench

#endif  // FIRN_BENCH_PEAK_H_
