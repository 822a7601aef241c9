// SPDX-License-Identifier: Apache-2.0
// Names of status codes, and the end of a program that has a bug.
#include "firn/status.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "runtime/utf8.h"

namespace firn {
namespace {

// The bytes of the character at the front of `text`; 0 where it does not belong in a line of text.
size_t printable_length(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  return first < 0x20 || first == 0x7F ? 0 : utf8_length(text);
}

std::string one_line(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string line;
  while (!text.empty()) {
    const size_t length = printable_length(text);
    if (length == 0) {
      const auto byte = static_cast<uint8_t>(text[0]);
      line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return line;
}

}  // namespace

Status::Status(Code code, std::string message) : code_(code), message_(one_line(message)) {}

const char* code_name(Code code) {
  switch (code) {
    case Code::ok:
      return "ok";
    case Code::invalid_argument:
      return "invalid_argument";
    case Code::failed_precondition:
      return "failed_precondition";
    case Code::not_found:
      return "not_found";
    case Code::malformed:
      return "malformed";
    case Code::unsupported:
      return "unsupported";
    case Code::refused:
      return "refused";
    case Code::out_of_memory:
      return "out_of_memory";
    case Code::io_error:
      return "io_error";
    case Code::internal:
      return "internal";
  }
  return "unknown";
}

void fatal(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace firn
