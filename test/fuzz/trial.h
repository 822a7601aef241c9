// SPDX-License-Identifier: Apache-2.0
// One mutated file on its way through the library, and what it cost.
#ifndef FIRN_TEST_FUZZ_TRIAL_H_
#define FIRN_TEST_FUZZ_TRIAL_H_

#include <cstddef>
#include <string>

#include "test/fuzz/random.h"

namespace firn::fuzz {

struct Trial {
  bool loaded = false, ran = false;
  double load_seconds = 0, run_seconds = 0;  // of processor time
  size_t peak_bytes = 0;                     // more than before the file, at the most
  std::string complaint;                     // what the library did wrong; empty: nothing
};

struct Limits {
  double seconds = 2;
  size_t bytes = size_t{1} << 30;
};

// Parses the file; a model that says it is small is also made a session and run twice. Messages
// must be there and one line; loading must keep to the limits.
Trial try_file(const std::string& file, const Limits& limits, Random& random);

}  // namespace firn::fuzz

#endif  // FIRN_TEST_FUZZ_TRIAL_H_
