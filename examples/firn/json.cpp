// SPDX-License-Identifier: Apache-2.0
// Writes one JSON object: escapes, shortest numbers that read back the same, commas.
#include "json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text.h"

namespace firn::tool {
namespace {

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
