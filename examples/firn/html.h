// SPDX-License-Identifier: Apache-2.0
// Pieces of HTML: text from anywhere made harmless, numbers that scripts can sort, histograms.
#ifndef FIRN_EXAMPLES_FIRN_HTML_H_
#define FIRN_EXAMPLES_FIRN_HTML_H_

#include <optional>
#include <string>
#include <string_view>

#include "firn/quantize.h"

namespace firn::tool {

// Text for an element or a quoted attribute: names in models and of files may hold anything.
// Control characters and bytes that are no UTF-8 are spelled out, "\x0a".
std::string html_text(std::string_view text);

// JSON for inside a <script> element, which ends at the first "</script" whatever quotes say.
std::string json_for_script(std::string json);

// A table's cell: its text, and the number that rows are sorted by; without one it comes last.
// `label` stands before the text where the table is shown as cards.
std::string number_cell(std::string_view label, std::string_view text, std::optional<double> value);
// The same with a bar that is `part` (0 to 1) of the cell long.
std::string bar_cell(std::string_view label, std::string_view text, std::optional<double> value,
                     double part);

// The values of an activation with the range that int8 covers, as an SVG image.
std::string histogram_svg(const TensorReport& tensor);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_HTML_H_
