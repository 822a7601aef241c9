// SPDX-License-Identifier: Apache-2.0
// Writes one JSON object: escapes, shortest numbers that read back the same, commas.
#ifndef FIRN_EXAMPLES_FIRN_JSON_H_
#define FIRN_EXAMPLES_FIRN_JSON_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace firn::tool {

// Builds the text from the first call to the last; open() and close() come in pairs.
class Json {
 public:
  // An object '{' or an array '[', as the next element or as the value of `key`.
  Json& open(char bracket) { return begin(bracket); }
  Json& open(std::string_view key, char bracket) { return name(key).begin(bracket); }
  Json& close();

  // Values of an array.
  Json& value(std::string_view text);
  Json& value(const char* text) { return value(std::string_view(text)); }
  Json& value(bool flag);
  Json& value(double number);  // null where not finite: JSON has no word for it
  template <std::integral T>
  Json& value(T number) {
    return raw(std::to_string(number));
  }
  template <typename T>
  Json& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : raw("null");
  }

  // Members of an object.
  template <typename T>
  Json& member(std::string_view key, const T& content) {
    return name(key).value(content);
  }

  const std::string& text() const { return text_; }

 private:
  Json& name(std::string_view key);
  Json& begin(char bracket);
  Json& raw(std::string_view text);
  void separate();

  std::string text_;
  std::string open_;         // the brackets that are open, innermost last
  bool need_comma_ = false;  // before the next element
};

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_JSON_H_
