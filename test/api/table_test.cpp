// SPDX-License-Identifier: Apache-2.0
// Tables in a session: ncnn's and firn's, from a quantized model, and that a broken one never
// gives a model.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "firn/onnx_export.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

std::string temporary(const std::string& name) {
  return std::string(FIRN_BINARY) + "/" + name;
}

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

Session calibrated(const Model& model) {
  Session session = must(Session::create(model));
  must(session.calibrate({.method = Method::mse}));
  observe(session, 40);
  return session;
}

std::string table_of(Session& session, TableFormat format) {
  const std::string path = temporary("session.table");
  must(session.save_table(path, format));
  const std::string text = text_of(path);
  std::remove(path.c_str());
  return text;
}

Session loaded(const Model& model, const std::string& text) {
  const std::string path = temporary("loaded.table");
  write_text(path, text);
  Session session = must(Session::create(model));
  must(session.load_table(path));
  std::remove(path.c_str());
  return session;
}

const LayerReport& layer(const FreezeReport& report, const std::string& name) {
  const auto found = std::ranges::find(report.layers, name, &LayerReport::name);
  REQUIRE(found != report.layers.end());
  return *found;
}

// With `#` in front of the line that starts so.
std::string commented(std::string text, const std::string& start) {
  const size_t at = text.find("\n" + start);
  REQUIRE(at != std::string::npos);
  return text.insert(at + 1, "#");
}

TEST_CASE("a table of either format freezes, and reads back as what it was") {
  const Model model = small_model();
  Session session = calibrated(model);
  for (const TableFormat format : {TableFormat::firn, TableFormat::ncnn}) {
    const std::string text = table_of(session, format);
    Session other = loaded(model, text);
    if (format == TableFormat::ncnn) {
      // 127 / largest and back: the last digits of a scale may differ by a rounding.
      Session again = loaded(model, table_of(other, format));
      CHECK(table_of(again, format) == table_of(other, format));
    }
    const FreezeReport report = must(other.freeze({.timed = false}));
    CHECK(report.layers_int8 >= 6);
    for (const char* name : {"stem", "expand", "depthwise", "project", "left", "right"}) {
      CAPTURE(name);
      CHECK(layer(report, name).precision == Precision::i8);
    }
  }
  // ncnn's has no range for what adds; firn's has.
  Session ncnn = loaded(model, table_of(session, TableFormat::ncnn));
  CHECK(
      layer(must(ncnn.freeze({.timed = false})), "residual").why.starts_with("no range is given"));
  Session firn = loaded(model, table_of(session, TableFormat::firn));
  CHECK(layer(must(firn.freeze({.timed = false})), "residual").precision == Precision::i8);
}

TEST_CASE("a table's ranges are the very ranges that a freeze would use") {
  const Model model = small_model();
  Session session = calibrated(model);
  const std::string text = table_of(session, TableFormat::firn);
  Session from_table = loaded(model, text);
  CHECK(table_of(from_table, TableFormat::firn).size() > 100);
  must(from_table.freeze({.timed = false}));
  const std::string a = temporary("a.firn"), b = temporary("b.firn");
  // Channels made alike have ranges of their own, and take frames.
  must(session.freeze({.equalize = false, .timed = false}));
  must(session.save(a));
  must(from_table.save(b));
  // Biases apart, which only observed means correct.
  const Model one = must(Model::load(a)), two = must(Model::load(b));
  for (const std::string& path : {a, b}) std::remove(path.c_str());
  const Graph first = must(one.impl().imported()), second = must(two.impl().imported());
  for (const Value& value : first.values) {
    const auto same = std::ranges::find(second.values, value.name, &Value::name);
    if (value.type != DType::i8 || same == second.values.end()) continue;
    CAPTURE(value.name);
    CHECK(same->quant == value.quant);
  }
}

TEST_CASE("a # in a table keeps a layer, or what needs a range, in float") {
  const Model model = small_model();
  Session session = calibrated(model);
  const std::string firn = table_of(session, TableFormat::firn);
  const std::string ncnn = table_of(session, TableFormat::ncnn);
  const size_t layers = firn.find("\nlayers ");
  for (const std::string& text :
       {firn.substr(0, layers) + commented(firn.substr(layers), "\"expand\""),
        commented(ncnn, "expand_param_0"), commented(ncnn, "expand "),
        commented(commented(ncnn, "expand_param_0"), "expand ")}) {
    Session other = loaded(model, text);
    const FreezeReport report = must(other.freeze({.timed = false}));
    CHECK(layer(report, "expand").precision == Precision::f32);
    CHECK(layer(report, "expand").why.starts_with("behind a # in "));
    CHECK(layer(report, "depthwise").precision == Precision::i8);
  }
  Session unranged = loaded(model, commented(firn, "\"relu1\""));
  const FreezeReport report = must(unranged.freeze({.timed = false}));
  CHECK(layer(report, "depthwise").precision == Precision::f32);
  CHECK(layer(report, "depthwise").why == "no range is given for relu1");
  CHECK(layer(report, "project").precision == Precision::i8);
}

TEST_CASE("no broken table gives a model: the session stays as it was") {
  const Model model = small_model();
  Session session = calibrated(model);
  const std::string path = temporary("broken.table");
  for (const TableFormat format : {TableFormat::firn, TableFormat::ncnn}) {
    const std::string good = table_of(session, format);
    std::vector<std::string> lines;
    std::istringstream in(good);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    Session other = must(Session::create(model));
    size_t tried = 0;
    const auto refuse = [&](const std::vector<std::string>& broken) {
      std::string text;
      for (const std::string& line : broken) text += line + "\n";
      write_text(path, text);
      const Status status = other.load_table(path);
      CAPTURE(text);
      CHECK_FALSE(status.ok());
      CHECK(status.message().starts_with(path + ":"));
      CHECK(other.state() == State::fp32);
      CHECK(other.freeze().status().code() == Code::failed_precondition);
      ++tried;
    };
    for (size_t i = 0; i < lines.size(); ++i) {
      std::vector<std::string> broken = lines;
      broken.erase(broken.begin() + static_cast<ptrdiff_t>(i));
      refuse(broken);  // a line is missing
      broken = lines;
      broken.insert(broken.begin() + static_cast<ptrdiff_t>(i), "");
      refuse(broken);  // a blank line
      broken = lines;
      broken.insert(broken.begin() + static_cast<ptrdiff_t>(i), lines[i]);
      refuse(broken);  // twice
      broken = lines;
      broken[i].insert(broken[i][0] == '"' ? 1 : 0, "x");
      refuse(broken);  // another name
      const size_t space = lines[i].find_last_of(' ', lines[i].find(" #") - 1);
      const size_t word = lines[i].find_first_not_of(' ', lines[i].find(' '));
      if (word == std::string::npos || space == std::string::npos) continue;
      broken = lines;
      broken[i].insert(word, "x");
      refuse(broken);  // no number
    }
    CHECK(tried > 4 * lines.size());
    for (size_t n = 0; n + 12 < good.size(); n += 37) {
      write_text(path, good.substr(0, n));
      CHECK_FALSE(other.load_table(path).ok());
    }
  }
  write_text(path, table_of(session, TableFormat::firn));
  Session different = must(Session::create(small_model(32)));
  CHECK(different.load_table(path).code() == Code::failed_precondition);
  std::remove(path.c_str());
}

TEST_CASE("the scales of a quantized model freeze its float original to the same scales") {
  const Model model = small_model();
  Session session = calibrated(model);
  must(session.freeze({.timed = false}));
  const std::string path = temporary("scales.onnx"), frozen = temporary("scales.firn");
  must(session.save(frozen));
  must(export_onnx(must(Model::load(frozen)), path));
  const Model quantized = must(Model::load(path));
  for (const std::string& file : {path, frozen}) std::remove(file.c_str());

  Session again = must(Session::create(model));
  must(again.load_scales(quantized));
  const FreezeReport report = must(again.freeze({.timed = false}));
  CHECK(report.layers_int8 >= 7);
  must(again.save(frozen));
  const Model two = must(Model::load(frozen));
  std::remove(frozen.c_str());
  std::multiset<std::vector<float>> want, got;
  for (const auto& [graph, scales] : {std::pair{must(quantized.impl().optimised()), &want},
                                      std::pair{must(two.impl().optimised()), &got}})
    for (const Value& value : graph.values)
      if (value.type == DType::i8 && value.constant) scales->insert(value.quant->scale);
  CHECK(got == want);

  Session other = must(Session::create(small_model(32)));
  must(other.load_scales(quantized));  // of the same names: what they are worth is seen at a freeze
  GraphBuilder b;
  b.output(b.conv("unlike", b.input("unknown", {1, 4, 4, 3}), 2));
  Session stranger = must(Session::create(must(make_model("test", b.graph))));
  const Status status = stranger.load_scales(quantized);
  CHECK(status.code() == Code::failed_precondition);
  CHECK(stranger.state() == State::fp32);
}

}  // namespace
}  // namespace firn::test
