// SPDX-License-Identifier: Apache-2.0
// A progress bar on the terminal; silent where standard error is none.
#ifndef FIRN_EXAMPLES_FIRN_PROGRESS_H_
#define FIRN_EXAMPLES_FIRN_PROGRESS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace firn::tool {

// The bar as text: "calibrating [######....]  60/100  3 s left  movement 0.01".
std::string progress_text(std::string_view what, size_t done, size_t total, double seconds,
                          std::string_view note);

class Progress {
 public:
  Progress(std::string what, size_t total);
  ~Progress();  // wipes the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // One more is done. `note` stands behind the bar; it is asked for only when the bar is drawn.
  void step(const std::function<std::string()>& note = {});

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  size_t total_, done_ = 0;
  bool terminal_;
  Clock::time_point start_ = Clock::now(), drawn_{};
};

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_PROGRESS_H_
