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

std::string output_of(const std::string& arguments) {
  const Outcome outcome = firn(arguments);
  CAPTURE(arguments);
  CHECK(outcome.err == "");
  REQUIRE(outcome.status == 0);
  return outcome.out;
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

namespace {

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string png_chunk(const std::string& type, const std::string& data) {
  uint32_t crc = ~0u;
  for (const char c : type + data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return big_endian(static_cast<uint32_t>(data.size())) + type + data + big_endian(~crc);
}

// zlib without compression: one stored block.
std::string stored(const std::string& data) {
  const auto length = static_cast<uint16_t>(data.size());
  uint32_t a = 1, b = 0;
  for (const char c : data) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  std::string block = "\x78\x01\x01";
  for (const int part : {length & 0xff, length >> 8, ~length & 0xff, (~length >> 8) & 0xff}) {
    block += static_cast<char>(part);
  }
  return block + data + big_endian(b << 16 | a);
}

}  // namespace

std::string png(int width, int height, int channels, const std::vector<uint8_t>& pixels) {
  const auto row_bytes = static_cast<size_t>(width * channels);
  REQUIRE(pixels.size() == row_bytes * static_cast<size_t>(height));
  std::string rows;
  for (size_t at = 0; at < pixels.size(); at += row_bytes) {
    rows += '\0';  // the row's filter: none
    rows.append(pixels.begin() + static_cast<std::ptrdiff_t>(at),
                pixels.begin() + static_cast<std::ptrdiff_t>(at + row_bytes));
  }
  REQUIRE(rows.size() <= 65535);
  const std::string header = big_endian(static_cast<uint32_t>(width)) +
                             big_endian(static_cast<uint32_t>(height)) + '\x08' +
                             (channels == 3 ? '\x02' : '\0') + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", stored(rows)) +
         png_chunk("IEND", "");
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
