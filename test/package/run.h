// SPDX-License-Identifier: Apache-2.0
// One run of the little model, printed: the same lines from both programs.
#ifndef FIRN_TEST_PACKAGE_RUN_H_
#define FIRN_TEST_PACKAGE_RUN_H_

#include <firn/session.h>

#include <array>
#include <cstdio>

inline constexpr int kIn = 16;
inline constexpr int kOut = 8;

// Between -1 and 1.
inline std::array<float, kIn> frame(int n) {
  std::array<float, kIn> values{};
  for (int i = 0; i < kIn; ++i)
    values[static_cast<size_t>(i)] = static_cast<float>((n * 7 + i * 5) % 17) / 8.0f - 1.0f;
  return values;
}

// The exit status of the program.
inline int print_run(firn::Session& session) {
  std::array<float, kIn> x = frame(3);
  firn::Outputs outputs;
  const firn::Status status = session.run({{"x", firn::view({1, kIn}, x.data())}}, outputs);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  for (const float y : outputs["y"].as<float>()) std::printf("%.9g\n", static_cast<double>(y));
  return 0;
}

#endif  // FIRN_TEST_PACKAGE_RUN_H_
