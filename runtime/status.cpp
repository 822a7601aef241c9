// SPDX-License-Identifier: Apache-2.0
// Names of status codes, and the end of a program that has a bug.
#include "firn/status.h"

#include <cstdio>
#include <cstdlib>

namespace firn {

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
