// SPDX-License-Identifier: Apache-2.0
// The page of firn report, section by section.
#include "report_page.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "html.h"
#include "network.h"
#include "report_assets.h"
#include "text.h"

namespace firn::tool {
namespace {

// Below this a layer's output is visibly noisy: one part in thirty.
constexpr double kLowSqnr = 15;
// More activations than this are folded away at first.
constexpr size_t kManyTensors = 24;

std::string ms_text(double ms) {
  return format("%.4g ms", ms);
}

std::string plain_ms_text(double ms) {
  return format("%.3f", ms);
}

// Breaks into lines at the arrow only.
std::string arrow(const std::string& before, const std::string& after) {
  std::string text;
  for (const char c : before) text += c == ' ' ? "\u00a0" : std::string(1, c);
  text += " \u2192 ";
  for (const char c : after) text += c == ' ' ? "\u00a0" : std::string(1, c);
  return text;
}

std::string tile(const std::string& name, const std::string& value, const std::string& note) {
  return "<div class=tile><dt>" + name + "</dt><dd class=big>" + html_text(value) +
         "</dd><dd class=soft>" + html_text(note) + "</dd></div>\n";
}

size_t worst_output(const Comparison& comparison) {
  size_t worst = 0;
  for (size_t i = 1; i < comparison.errors.size(); ++i) {
    if (!(comparison.errors[i].sqnr_db() >= comparison.errors[worst].sqnr_db())) worst = i;
  }
  return worst;
}

int count_of(const std::vector<ReportLayer>& layers, Precision precision) {
  return static_cast<int>(std::ranges::count(layers, precision, &ReportLayer::precision));
}

std::string summary(const ReportData& data, const std::vector<ReportLayer>& layers) {
  const Comparison& compared = data.comparison;
  const TopOne& top = compared.top;
  const std::string samples = format("%zu samples", compared.samples);
  std::string html = "<dl class=tiles>\n";
  if (top.accuracy_a() && top.accuracy_b()) {
    html += tile("Top-1 accuracy",
                 arrow(percent_text(*top.accuracy_a()), percent_text(*top.accuracy_b())), samples);
  }
  if (top.agreement()) {
    html += tile("Top-1 agreement", percent_text(*top.agreement()), samples);
  }
  const size_t worst = worst_output(compared);
  html += tile("Output SQNR", decibel_text(compared.errors[worst].sqnr_db()),
               format("%slargest error %.3g", compared.errors.size() > 1 ? "the worst, " : "",
                      compared.errors[worst].max_abs_error()));
  const auto bytes_before = static_cast<double>(data.info_before.weight_bytes);
  const auto bytes_after = static_cast<double>(data.info_after.weight_bytes);
  html += tile(
      "Weights",
      arrow(bytes_text(data.info_before.weight_bytes), bytes_text(data.info_after.weight_bytes)),
      bytes_after > 0 ? format("%.2f times smaller", bytes_before / bytes_after) : "");
  html +=
      tile("A run", arrow(ms_text(data.before.total_ms), ms_text(data.after.total_ms)),
           format("%.2f times faster; %s, %d thread%s",
                  data.after.total_ms > 0 ? data.before.total_ms / data.after.total_ms : 0,
                  data.after.isa.c_str(), data.after.threads, data.after.threads == 1 ? "" : "s"));
  html += tile(data.freeze ? "Layers" : "Steps",
               data.freeze
                   ? layers_text(data.freeze->layers_int8, data.freeze->layers_i16,
                                 data.freeze->layers_float, "fp32")
                   : layers_text(count_of(layers, Precision::i8), count_of(layers, Precision::i16),
                                 count_of(layers, Precision::f32), "fp32"),
               !data.freeze ? ""
               : data.freeze->verified_frames > 0
                   ? format("verified on %zu held-back", data.freeze->verified_frames)
                   : "not verified");
  return html + "</dl>\n";
}

std::string warnings(const ReportData& data) {
  if (!data.freeze || data.freeze->warnings.empty()) return "";
  std::string html = "<section class=warn aria-labelledby=wh><h2 id=wh>Warnings</h2><ul>";
  for (const std::string& warning : data.freeze->warnings) {
    html += "<li>" + html_text(warning) + "</li>";
  }
  return html + "</ul></section>\n";
}

std::string outputs(const Comparison& comparison) {
  std::string html =
      "<section id=outputs><h2>Outputs</h2><div class=box tabindex=0 role=region "
      "aria-label=Outputs><table><thead><tr><th>Output</th><th class=n>SQNR</th><th "
      "class=n>Largest "
      "error</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < comparison.names.size(); ++i) {
    const OutputError& error = comparison.errors[i];
    html += "<tr><th class=name scope=row>" + html_text(comparison.names[i]) + "</th>";
    html += number_cell("SQNR", decibel_text(error.sqnr_db()), error.sqnr_db());
    html +=
        number_cell("Largest error", format("%.3g", error.max_abs_error()), error.max_abs_error());
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></section>\n";
}

// Float first.
std::string sort_key(Precision precision) {
  return precision == Precision::f32 ? "0" : precision == Precision::i16 ? "1" : "2";
}

std::string layer_row(size_t index, const ReportLayer& layer, double most_share, double total_ms) {
  std::string about = layer.op;
  for (const std::string* part : {&layer.shape, &layer.kernel}) {
    if (!part->empty()) about += " \u00b7 " + *part;
  }
  const std::string precision = precision_name(layer.precision);
  std::string html = "<tr role=row>";
  html += "<td class=\"n i\" role=cell" + format(" data-v=%zu>%zu</td>", index, index);
  html += "<th class=name role=rowheader scope=row>" + html_text(layer.name) + "<small>" +
          html_text(about) + "</small>";
  if (!layer.why.empty()) html += "<small>" + html_text(precision + ": " + layer.why) + "</small>";
  html += "</th>";
  html += "<td role=cell data-l=Type data-v=" + sort_key(layer.precision) + "><span class=\"tag " +
          precision + "\">" + precision + "</span></td>";
  std::string sqnr =
      number_cell("SQNR", layer.sqnr_db ? decibel_text(*layer.sqnr_db) : "\u2013", layer.sqnr_db);
  if (layer.sqnr_db && *layer.sqnr_db < kLowSqnr) sqnr.replace(0, 11, "<td class=\"n low\"");
  html += sqnr;
  html += number_cell("fp32, ms", layer.ms_before ? plain_ms_text(*layer.ms_before) : "\u2013",
                      layer.ms_before);
  html += number_cell("Now, ms", layer.ms_after ? plain_ms_text(*layer.ms_after) : "\u2013",
                      layer.ms_after);
  const double share = layer.ms_after && total_ms > 0 ? *layer.ms_after / total_ms : 0;
  html += bar_cell("Share", layer.ms_after ? format("%.1f %%", 100 * share) : "\u2013", share,
                   most_share > 0 ? share / most_share : 0);
  const bool constants = layer.bytes_before + layer.bytes_after > 0;
  html += number_cell(
      "Weights",
      constants ? arrow(bytes_text(layer.bytes_before), bytes_text(layer.bytes_after)) : "\u2013",
      static_cast<double>(layer.bytes_after));
  return html + "</tr>\n";
}

std::string layers_section(const ReportData& data, const std::vector<ReportLayer>& layers) {
  double most = 0;
  for (const StepProfile& step : data.after.steps) most = std::max(most, step.ms);
  std::string html = "<details class=s id=layers open><summary><h2>Layers</h2> <span class=soft>" +
                     format("%zu, in the order they run", layers.size()) + "</span></summary>\n";
  html +=
      "<div class=tools data-for=layer-rows hidden><label>Show <input type=search "
      "placeholder=\"conv, fp32, ...\"></label><label>Sort by <select><option value=\"0 +\">order"
      "<option value=\"3 +\">SQNR, worst first<option value=\"5 -\">time, longest first<option "
      "value=\"2 +\">fp32 first<option value=\"7 -\">weights, largest first</select></label>"
      "<output class=soft></output></div>\n";
  html +=
      "<div class=\"box cards\" tabindex=0 role=region aria-label=Layers><table role=table>"
      "<thead role=rowgroup><tr role=row>";
  // How a first click on each column sorts.
  static constexpr const char* kColumns[][3] = {{"#", "1", " class=n"},
                                                {"Layer", "", ""},
                                                {"Type", "1", ""},
                                                {"SQNR", "1", " class=n"},
                                                {"fp32, ms", "-1", " class=n"},
                                                {"Now, ms", "-1", " class=n"},
                                                {"Share", "-1", " class=n"},
                                                {"Weights", "-1", " class=n"}};
  for (const auto& [name, first, attributes] : kColumns) {
    html += std::string("<th role=columnheader scope=col") + attributes +
            (*first != 0 ? std::string(" data-first=") + first : "") + ">" + name + "</th>";
  }
  html += "</tr></thead><tbody id=layer-rows role=rowgroup>\n";
  for (size_t i = 0; i < layers.size(); ++i) {
    html += layer_row(i + 1, layers[i], data.after.share(most), data.after.total_ms);
  }
  html += "</tbody></table></div>\n";
  html +=
      "<p class=soft>SQNR: a layer's output in the frozen network against the float network, on "
      "held-back frames. A dash: not known, or no step of its own. Times: medians, on zeros.</p>";
  return html + "</details>\n";
}

std::string kernels_section(const Profile& profile) {
  const std::vector<KernelTotal> totals = totals_by_kernel(profile.steps);
  std::string html =
      "<details class=s id=kernels open><summary><h2>Kernels</h2> <span class=soft>where the time "
      "goes</span></summary><div class=box tabindex=0 role=region aria-label=Kernels><table>"
      "<thead><tr><th>Kernel</th><th class=n>Steps</th><th class=n>ms</th><th class=n>Share</th>"
      "</tr></thead><tbody>\n";
  for (const KernelTotal& total : totals) {
    html += "<tr><th scope=row class=m>" + html_text(total.kernel) + "</th>";
    html += number_cell("Steps", std::to_string(total.steps), total.steps);
    html += number_cell("ms", plain_ms_text(total.ms), total.ms);
    html += bar_cell("Share", format("%.1f %%", 100 * profile.share(total.ms)),
                     profile.share(total.ms), totals[0].ms > 0 ? total.ms / totals[0].ms : 0);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n";
}

std::string tensor_item(size_t index, const TensorReport& tensor) {
  const auto number = [](float value) { return format("%.4g", static_cast<double>(value)); };
  std::string html = format("<li class=t data-order=%zu data-clipped=%.9g data-width=%.9g>", index,
                            tensor.clipped, static_cast<double>(tensor.hi) - tensor.lo);
  html += "<b>" + html_text(tensor.name) + "</b>" + histogram_svg(tensor);
  if (!tensor.bins.empty()) {
    html += "<div class=ends><span>" + html_text(number(tensor.bins_lo)) + "</span><span>" +
            html_text(number(tensor.bins_hi)) + "</span></div>";
  }
  html += "<small>int8 reaches " + html_text(number(tensor.lo) + " to " + number(tensor.hi)) +
          " (" + method_name(tensor.method) + ")</small>";
  html += "<small>step " + html_text(number(tensor.scale)) + ", zero at " +
          std::to_string(tensor.zero) + "</small>";
  if (tensor.frames > 0) {
    html +=
        "<small>clipped <span" + std::string(tensor.clipped >= 0.01 ? " class=low" : "") + ">" +
        html_text(format("%.3g %%", 100 * tensor.clipped)) + "</span>" +
        (tensor.zeros > 0 ? html_text(format(", exactly 0: %.3g %%", 100 * tensor.zeros)) : "") +
        "</small>";
  } else {
    html += "<small>range from a table: no values were seen</small>";
  }
  return html + "</li>\n";
}

std::string tensors_section(const std::vector<TensorReport>& tensors) {
  std::string html = "<details class=s id=activations";
  html += tensors.size() <= kManyTensors ? " open" : "";
  html += "><summary><h2>Activations</h2> <span class=soft>" +
          format("%zu in int8, their values and ranges", tensors.size()) + "</span></summary>\n";
  html +=
      "<div class=tools data-for=tensor-items hidden><label>Show <input type=search "
      "placeholder=\"name\"></label><label>Sort by <select><option value=\"order +\">order<option "
      "value=\"clipped -\">clipped, most first<option value=\"width -\">range, widest first"
      "</select></label><output class=soft></output></div>\n";
  html +=
      "<p class=soft><span class=key style=\"background:var(--bars)\"></span> share of the values, "
      "on a logarithmic scale from a millionth to all; a thin line: exactly 0. <span class=key "
      "style=\"background:var(--in);border:2px solid var(--edge)\"></span> what int8 reaches; what "
      "lies outside is clipped.</p>\n<ul class=grid id=tensor-items>\n";
  for (size_t i = 0; i < tensors.size(); ++i) html += tensor_item(i, tensors[i]);
  return html + "</ul></details>\n";
}

std::string classes_section(const TopOne& top) {
  const auto classes = worst_classes(top);
  std::string html =
      "<details class=s id=classes open><summary><h2>Classes</h2> <span class=soft>" +
      format("%zu, the worst agreement first", classes.size()) + "</span></summary>\n";
  html +=
      "<div class=box tabindex=0 role=region aria-label=Classes><table><thead><tr><th>Class</th>"
      "<th class=n>Samples</th><th class=n>Agree</th><th class=n>fp32</th><th class=n>Now</th>"
      "</tr></thead><tbody>\n";
  for (const auto& [label, count] : classes) {
    const auto share = [&, samples = count.samples](size_t part) {
      return static_cast<double>(part) / static_cast<double>(samples);
    };
    html += format("<tr><th scope=row>%lld</th>", static_cast<long long>(label));
    html +=
        number_cell("Samples", std::to_string(count.samples), static_cast<double>(count.samples));
    html +=
        bar_cell("Agree", percent_text(share(count.same)), share(count.same), share(count.same));
    html += number_cell("fp32", percent_text(share(count.right_a)), share(count.right_a));
    html += number_cell("Now", percent_text(share(count.right_b)), share(count.right_b));
    html += "</tr>\n";
  }
  return html +
         "</tbody></table></div><p class=soft>Agree: both give the same first answer. fp32 "
         "and Now: the share that each answers rightly.</p></details>\n";
}

std::string navigation(const std::vector<std::pair<const char*, const char*>>& links) {
  std::string html = "<nav aria-label=Sections><ul>";
  for (const auto& [id, name] : links) {
    html += format("<li><a href=\"#%s\">%s</a></li>", id, name);
  }
  return html + "</ul></nav>\n";
}

}  // namespace

std::string report_page(const ReportData& data) {
  const std::vector<ReportLayer> layers = report_layers(data);
  const std::string model = html_text(data.model), frozen = html_text(data.frozen);
  // Nothing is loaded from anywhere, and browsers shall hold the page to that.
  std::string html =
      "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
      "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n<title>" +
      model + " in int8</title>\n<style>" + kReportStyle + "</style>\n</head>\n<body>\n";
  html += "<header><h1>" + model + " in int8</h1>\n<p class=soft>";
  if (data.freeze && data.calibration.frames > 0) {
    html += format("Calibrated on %zu samples, %zu held back to verify; ", data.calibration.frames,
                   data.calibration.held_back);
  } else if (data.freeze) {
    html += "Ranges from a table; ";
  } else {
    html += "Frozen as <code>" + frozen + "</code>; ";
  }
  html += format("compared with float on %zu others.</p></header>\n", data.comparison.samples);

  std::vector<std::pair<const char*, const char*>> links = {{"summary", "Summary"}};
  const bool tensors = data.freeze && !data.freeze->tensors.empty();
  links.emplace_back("layers", "Layers");
  links.emplace_back("kernels", "Kernels");
  if (tensors) links.emplace_back("activations", "Activations");
  if (!data.comparison.top.classes().empty()) links.emplace_back("classes", "Classes");
  html += navigation(links);

  html += "<main>\n<div id=summary>" + summary(data, layers) + "</div>\n" + warnings(data);
  if (data.comparison.names.size() > 1) html += outputs(data.comparison);
  html += layers_section(data, layers) + kernels_section(data.after);
  if (tensors) html += tensors_section(data.freeze->tensors);
  if (!data.comparison.top.classes().empty()) html += classes_section(data.comparison.top);
  html +=
      "</main>\n<footer><p>Made by firn. Accuracy, agreement and SQNR of outputs are those of "
      "<code>firn compare</code>, times those of <code>firn profile</code>.</p></footer>\n";
  html += "<script type=\"application/json\" id=figures>" +
          json_for_script("{\"compare\": " + as_json(data.comparison) +
                          ", \"profile_before\": " + as_json(data.before, data.model) +
                          ", \"profile\": " + as_json(data.after, data.frozen) + "}") +
          "</script>\n<script>" + kReportScript + "</script>\n</body>\n</html>\n";
  return html;
}

}  // namespace firn::tool
