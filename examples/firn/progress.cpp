// SPDX-License-Identifier: Apache-2.0
// A progress bar on the terminal; silent where standard error is none.
#include "progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "text.h"

namespace firn::tool {

std::string progress_text(std::string_view what, size_t done, size_t total, double seconds,
                          std::string_view note) {
  constexpr size_t kWidth = 24;
  done = std::min(done, total);
  const size_t filled = total == 0 ? kWidth : done * kWidth / total;
  std::string line(what);
  line += " [" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] ";
  line += format("%zu/%zu", done, total);
  if (done > 0 && done < total) {
    line += format("  %.0f s left",
                   seconds * static_cast<double>(total - done) / static_cast<double>(done));
  }
  if (!note.empty()) line += "  " + std::string(note);
  return line;
}

Progress::Progress(std::string what, size_t total)
    : what_(std::move(what)), total_(total), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::step(const std::function<std::string()>& note) {
  ++done_;
  const Clock::time_point now = Clock::now();
  // Ten times a second is smooth, and costs nothing beside the work.
  if (!terminal_ || now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string line = progress_text(what_, done_, total_, seconds, note ? note() : "");
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
}

}  // namespace firn::tool
