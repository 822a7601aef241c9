// SPDX-License-Identifier: Apache-2.0
// An option whose value is one of a few names.
#ifndef FIRN_EXAMPLES_FIRN_CHOICE_H_
#define FIRN_EXAMPLES_FIRN_CHOICE_H_

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace firn::tool {

template <typename T>
CLI::Option* add_choice(CLI::App& command, const std::string& name, T& value,
                        const std::string& description,
                        const std::vector<std::pair<std::string, T>>& choices) {
  std::string names;
  for (const auto& [text, choice] : choices) names += (names.empty() ? "" : "|") + text;
  return command
      .add_option_function<std::string>(
          name,
          [&value, choices](const std::string& given) {
            for (const auto& [text, choice] : choices)
              if (text == given) value = choice;
          },
          description)
      ->type_name(names)
      ->check(CLI::Validator(
          [names](std::string& given) {
            return ("|" + names + "|").find("|" + given + "|") == std::string::npos
                       ? "expected " + names + ", got " + given
                       : std::string();
          },
          ""));
}

// The same where the name itself is the value.
inline CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                               const std::string& description,
                               const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, std::string>> choices;
  for (const std::string& text : names) choices.emplace_back(text, text);
  return add_choice<std::string>(command, name, value, description, choices);
}

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_CHOICE_H_
