// SPDX-License-Identifier: Apache-2.0
// Messages are one line of text, whatever names they quote.
#include <doctest/doctest.h>

#include "firn/status.h"

using namespace firn;

namespace {

std::string message_of(const std::string& text) {
  return Status(Code::malformed, text).message();
}

}  // namespace

TEST_CASE("a message of one line stays as it is") {
  for (const char* text : {"", "conv_12: weight channels 32, input has 24", "größe 面 🙂"}) {
    CHECK(message_of(text) == text);
  }
}

TEST_CASE("control characters and what is not UTF-8 are spelled out") {
  CHECK(message_of("two\nlines\t\x7f") == "two\\x0alines\\x09\\x7f");
  CHECK(message_of(std::string("nul\0!", 5)) == "nul\\x00!");
  CHECK(message_of("\xff, \xc3") == "\\xff, \\xc3");
  CHECK(message_of("\xc0\xaf") == "\\xc0\\xaf");           // overlong
  CHECK(message_of("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate
  CHECK(message_of("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
}
