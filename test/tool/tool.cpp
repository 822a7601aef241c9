// SPDX-License-Identifier: Apache-2.0
// Runs the built tool, and makes the small files it reads.
#include "test/tool/tool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace firn::tool {

namespace fs = std::filesystem;

TempFolder::TempFolder() {
  std::string pattern = (fs::temp_directory_path() / "firn_tool_XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code error;
  fs::remove_all(folder_, error);
}

std::string TempFolder::path(const std::string& name) const {
  return (fs::path(folder_) / name).string();
}

std::string TempFolder::write(const std::string& name, const std::string& content) const {
  const fs::path file = fs::path(folder_) / name;
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
  return file.string();
}

Outcome firn(const std::string& arguments) {
  const TempFolder folder;
  const std::string errors = folder.path("stderr");
  const std::string command = "'" FIRN_BINARY "/firn' " + arguments + " 2>'" + errors + "'";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.out.append(buffer, n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 256;
  outcome.err = read_text(errors);
  return outcome;
}

bool failed_with(const Outcome& outcome, const std::string& part) {
  const bool one_line = std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1 &&
                        outcome.err.ends_with('\n') && outcome.err.starts_with("firn: ");
  const bool right = outcome.status > 0 && outcome.status < 126 && outcome.out.empty() &&
                     one_line && outcome.err.find(part) != std::string::npos;
  if (!right) {
    MESSAGE("expected '", part, "', got status ", outcome.status, ", out: ", outcome.out,
            ", err: ", outcome.err);
  }
  return right;
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string pnm(int width, int height, int channels, const std::vector<uint8_t>& pixels) {
  std::ostringstream text;
  text << (channels == 3 ? "P6\n" : "P5\n") << width << ' ' << height << "\n255\n";
  return text.str() + std::string(pixels.begin(), pixels.end());
}

double json_number(const std::string& json, const std::string& key) {
  const std::string start = "\"" + key + "\": ";
  const size_t at = json.find(start);
  if (at == std::string::npos) return NAN;
  const char* begin = json.c_str() + at + start.size();
  char* end = nullptr;
  const double value = std::strtod(begin, &end);
  return end == begin ? NAN : value;
}

}  // namespace firn::tool
