// SPDX-License-Identifier: Apache-2.0
// Tells text from other bytes: names come from files, and go into reports and messages.
#ifndef FIRN_RUNTIME_UTF8_H_
#define FIRN_RUNTIME_UTF8_H_

#include <cstddef>
#include <string_view>

namespace firn {

// The length of the UTF-8 sequence at the front of `text`, which is not empty (RFC 3629: shortest
// form, no surrogates), or 0. NUL counts as invalid: names also travel as C strings.
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

}  // namespace firn

#endif  // FIRN_RUNTIME_UTF8_H_
