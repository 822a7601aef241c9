// SPDX-License-Identifier: Apache-2.0
// Writes one JSON object: escapes, shortest numbers that read back the same, commas.
#include "json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace firn::tool {
namespace {

// Bytes of the well-formed UTF-8 character (RFC 3629) that `text` starts with, 0 where it starts
// with none.
size_t utf8_length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length == 0 || lead > 0xf4 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies past U+10FFFF.
  if (lead == 0xe0 && at(1) < 0xa0) return 0;
  if (lead == 0xed && at(1) > 0x9f) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0) {
      out += "\\ufffd";  // the replacement character: names in models need not be UTF-8
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 7> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", c);
      out += escape.data();
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

}  // namespace

void Json::separate() {
  if (need_comma_) text_ += ", ";
  need_comma_ = false;
}

Json& Json::name(std::string_view key) {
  separate();
  text_ += quoted(key) + ": ";
  return *this;
}

Json& Json::begin(char bracket) {
  separate();
  text_ += bracket;
  open_ += bracket;
  return *this;
}

Json& Json::close() {
  text_ += open_.back() == '{' ? '}' : ']';
  open_.pop_back();
  need_comma_ = true;
  return *this;
}

Json& Json::raw(std::string_view text) {
  separate();
  text_ += text;
  need_comma_ = true;
  return *this;
}

Json& Json::value(std::string_view text) {
  return raw(quoted(text));
}
Json& Json::value(bool flag) {
  return raw(flag ? "true" : "false");
}

Json& Json::value(double number) {
  if (!std::isfinite(number)) return raw("null");
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  return raw({digits.data(), static_cast<size_t>(end - digits.data())});
}

}  // namespace firn::tool
