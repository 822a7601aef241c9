// SPDX-License-Identifier: Apache-2.0
// Pieces of HTML: text from anywhere made harmless, numbers that scripts can sort, histograms.
#include "html.h"

#include <algorithm>
#include <cmath>

#include "text.h"

namespace firn::tool {

std::string html_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += format("\\x%02x", static_cast<unsigned char>(c));
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string json_for_script(std::string json) {
  // '<' stands in strings only, where JSON may write it so.
  for (size_t at = 0; (at = json.find('<', at)) != std::string::npos;)
    json.replace(at, 1, "\\u003c");
  return json;
}

namespace {

// data-v="..." of a finite number; infinite ones (SQNR without noise) sort by their sign.
std::string sort_key(std::optional<double> value) {
  if (!value || std::isnan(*value)) return "";
  return format(" data-v=\"%.9g\"", std::clamp(*value, -1e300, 1e300));
}

}  // namespace

std::string number_cell(std::string_view label, std::string_view text,
                        std::optional<double> value) {
  return "<td class=n role=cell data-l=\"" + html_text(label) + "\"" + sort_key(value) + ">" +
         html_text(text) + "</td>";
}

std::string bar_cell(std::string_view label, std::string_view text, std::optional<double> value,
                     double part) {
  return "<td class=\"n bar\" role=cell data-l=\"" + html_text(label) + "\"" + sort_key(value) +
         format(" style=\"--p:%.1f%%\">", 100 * std::clamp(part, 0.0, 1.0)) + html_text(text) +
         "</td>";
}

std::string histogram_svg(const TensorReport& tensor) {
  if (tensor.bins.empty()) return "";
  constexpr double kWidth = 256, kHeight = 64;
  // Shares span many powers of ten, and what is clipped is in the thin tails: heights are
  // logarithms, from a millionth of the values to all of them.
  constexpr double kDecades = 6;
  const auto height = [&](double share) {
    return share <= 0 ? 0 : kHeight * std::clamp(1 + std::log10(share) / kDecades, 0.02, 1.0);
  };
  const double lo = tensor.bins_lo, span = static_cast<double>(tensor.bins_hi) - lo;
  const auto x_of = [&](double value) {
    return span > 0 ? std::clamp((value - lo) / span, 0.0, 1.0) * kWidth : 0;
  };
  const double from = x_of(tensor.lo), to = x_of(tensor.hi), zero = x_of(0);
  std::string svg = format(
      "<svg viewBox=\"0 0 %.0f %.0f\" preserveAspectRatio=none role=img aria-label=\"Histogram of "
      "%s: values from %.4g to %.4g, int8 reaches from %.4g to %.4g\">",
      kWidth, kHeight, html_text(tensor.name).c_str(), static_cast<double>(tensor.min),
      static_cast<double>(tensor.max), static_cast<double>(tensor.lo),
      static_cast<double>(tensor.hi));
  svg += format("<rect class=in x=%.1f width=%.1f height=%.0f />", from, to - from, kHeight);
  svg += format("<path class=h d=\"M0 %.0f", kHeight);
  const double step = kWidth / static_cast<double>(tensor.bins.size());
  double last = 0;
  for (size_t i = 0; i < tensor.bins.size(); ++i) {
    const double h = height(static_cast<double>(tensor.bins[i]));
    // Only where the outline turns: a page holds a hundred of these.
    if (h != last) svg += format("H%.3gV%.1f", static_cast<double>(i) * step, kHeight - h);
    last = h;
  }
  svg += format("H%.0fV%.0fz\"/>", kWidth, kHeight);
  if (tensor.zeros > 0) {
    svg += format("<path class=z d=\"M%.1f %.0fV%.1f\"/>", zero, kHeight,
                  kHeight - height(tensor.zeros));
  }
  svg += format("<path class=e d=\"M%.1f 0V%.0fM%.1f 0V%.0f\"/></svg>", from, kHeight, to, kHeight);
  return svg;
}

}  // namespace firn::tool
