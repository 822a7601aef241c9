// SPDX-License-Identifier: Apache-2.0
// Runs the built tool, and makes the small files it reads.
#ifndef FIRN_TEST_TOOL_TOOL_H_
#define FIRN_TEST_TOOL_TOOL_H_

#include <cstdint>
#include <string>
#include <vector>

namespace firn::tool {

// A folder that goes away with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path(const std::string& name = {}) const;
  // Writes a file, with the folders above it, and returns its path.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::string folder_;
};

struct Outcome {
  int status = -1;  // as the shell sees it
  std::string out, err;
};

// `firn ARGUMENTS`, through the shell.
Outcome firn(const std::string& arguments);

// What a run prints that must succeed, without a word on standard error, which is no terminal here.
std::string output_of(const std::string& arguments);

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Whether it failed as every failure must: with a status above 0, nothing on standard output, and
// one line on standard error, which holds `part`.
bool failed_with(const Outcome& outcome, const std::string& part);

std::string read_text(const std::string& path);

// A PNG file of 8-bit gray (one channel) or RGB (three) pixels; up to 65535 bytes of them.
std::string png(int width, int height, int channels, const std::vector<uint8_t>& pixels);

// The number that follows `"key": ` in a JSON text; NaN where there is none.
double json_number(const std::string& json, const std::string& key);

}  // namespace firn::tool

#endif  // FIRN_TEST_TOOL_TOOL_H_
