// SPDX-License-Identifier: Apache-2.0
// What freeze() does with kept frames: channels made alike, weights rounded for the output; with
// one weight scale a layer as well.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "test/api/network.h"

namespace firn::test {
namespace {

// Every other channel of the stem is a fiftieth of the others, and made large again behind it. The
// activations are clamped at 0 and `most`.
Model uneven_model(float most = INFINITY) {
  GraphBuilder b(21);
  const auto uneven = [&](const Shape& shape, float small, float large) {
    std::vector<float> w = b.floats(shape.elements(), -0.5f, 0.5f);
    const size_t row = w.size() / static_cast<size_t>(shape[0]);
    for (size_t i = 0; i < w.size(); ++i) w[i] *= i / row % 2 == 0 ? large : small;
    return b.constant(shape, w);
  };
  const auto act = [&](const std::string& name, ValueId v) {
    return b.unary(name, Unary::Kind::clamp, v, 0, most);
  };
  const ValueId x = b.input("image", {1, 3, 24, 24});
  Conv2d stem;
  stem.window = {{3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}};
  const ValueId wide =
      act("act1", b.add("stem", stem, {b.to_nhwc(x), uneven({16, 3, 3, 3}, 0.02f, 1)}));
  Conv2d deep;
  deep.window = {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}};
  deep.groups = 16;
  const ValueId even = act("act2", b.add("depthwise", deep, {wide, uneven({16, 3, 3, 1}, 50, 1)}));
  const ValueId narrow = act("act3", b.conv("project", even, 24));
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, false}, {narrow});
  b.output(b.dense("logits", mean, 10));
  return must(make_model("uneven", std::move(b.graph)));
}

double sqnr_after(const Model& model, const FreezeOptions& options) {
  Session fp32 = must(Session::create(model)), session = must(Session::create(model));
  must(session.calibrate());
  observe(session, 40);
  must(session.freeze(options));
  double signal = 0, noise = 0;
  for (uint32_t i = 0; i < 20; ++i) {
    const auto want = run_all(fp32, frame(500 + i)), got = run_all(session, frame(500 + i));
    for (size_t k = 0; k < want.size(); ++k) {
      signal += static_cast<double>(want[k]) * want[k];
      noise += std::pow(static_cast<double>(want[k]) - got[k], 2);
    }
  }
  return 10 * std::log10(signal / noise);
}

TEST_CASE("freeze makes uneven channels alike") {
  const Model model = uneven_model();
  const double alike = sqnr_after(model, {.timed = false});
  const double as_is = sqnr_after(model, {.equalize = false, .timed = false});
  CHECK(alike > as_is + 3);
}

TEST_CASE("channels made alike have room for what only frames that were not kept reached") {
  const auto widest = [](float brightest) {
    Session session = must(Session::create(uneven_model()));
    must(session.calibrate());
    for (uint32_t i = 0; i < 40; ++i) {
      std::vector<float> data = frame(100 + i);
      for (float& x : data) x *= i == 34 ? brightest : 1;  // observed as the 31st: not kept
      run_all(session, data);
    }
    const FreezeReport report = must(session.freeze({.timed = false}));
    const auto act = std::ranges::find_if(
        report.tensors, [](const TensorReport& t) { return t.name.find("act1") == 0; });
    REQUIRE(act != report.tensors.end());
    CHECK(act->frames < 20);  // those of the kept frames: its channels were made alike
    return act->hi / act->max;
  };
  CHECK(widest(1) < 1.5f);
  CHECK(widest(2) > 1.7f);
}

TEST_CASE("freeze gives pixels from -1 to 1 the scale that misses them least") {
  const auto scale_of_input = [](bool pixels) {
    Session session = must(Session::create(small_model()));
    must(session.calibrate());
    for (uint32_t i = 0; i < 20; ++i) {
      std::vector<float> data = frame(i);
      for (float& x : data)
        if (pixels) x = (std::clamp(std::floor(127.5f * x + 128), 0.0f, 255.0f) - 127.5f) / 127.5f;
      data[0] = -1;
      data[1] = 1;
      run_all(session, data);
    }
    const FreezeReport report = must(session.freeze({.timed = false}));
    return report.tensors.at(0).scale;
  };
  CHECK(scale_of_input(true) == 1.0f / 127);
  CHECK(scale_of_input(false) == doctest::Approx(2.0 / 255).epsilon(1e-4));
}

TEST_CASE("freeze rounds weights for the layers' outputs") {
  const Model model = small_model();
  const auto with = [&](Rounding rounding) {
    return sqnr_after(model, {.equalize = false, .rounding = rounding, .timed = false});
  };
  const double nearest = with(Rounding::nearest), fast = with(Rounding::fast);
  CHECK(fast > nearest + 0.5);
}

TEST_CASE("thorough rounding reaches rows that fast rounding leaves to nearest") {
  GraphBuilder b(22);
  const ValueId x = b.input("image", {1, 3, 24, 24});
  const ValueId stem = b.relu("act1", b.conv("stem", b.to_nhwc(x), 192, 3, 1, 2));
  b.output(b.conv("long", stem, 16, 3));
  const Model model = must(make_model("long", std::move(b.graph)));
  const auto with = [&](Rounding rounding) {
    return sqnr_after(model, {.equalize = false, .rounding = rounding, .timed = false});
  };
  CHECK(with(Rounding::thorough) > with(Rounding::fast) + 0.5);
}

TEST_CASE("biases make up for what rounding does to the mean") {
  const Model model = uneven_model();
  const auto with = [&](BiasCorrection bias, Rounding rounding) {
    return sqnr_after(model, {.per_channel = false,
                              .equalize = false,
                              .rounding = rounding,
                              .bias_correction = bias,
                              .timed = false});
  };
  const double none = with(BiasCorrection::none, Rounding::nearest),
               analytic = with(BiasCorrection::analytic, Rounding::nearest),
               frames = with(BiasCorrection::frames, Rounding::nearest);
  CHECK(analytic > none + 1);
  CHECK(frames > analytic + 1);
}

TEST_CASE("with one weight scale a layer, channels made alike matter more") {
  const Model model = uneven_model();
  const double alike = sqnr_after(model, {.per_channel = false, .timed = false});
  const double as_is = sqnr_after(model, {.per_channel = false, .equalize = false, .timed = false});
  CHECK(alike > as_is + 6);
}

TEST_CASE("with one weight scale a layer, channels that reach a clamp are made alike, too") {
  const Model model = uneven_model(0.5f);
  const double alike = sqnr_after(model, {.per_channel = false, .timed = false});
  const double as_is = sqnr_after(model, {.per_channel = false, .equalize = false, .timed = false});
  CHECK(alike > as_is + 6);
  // Clamps that moved are layers of their own, in int8.
  Session session = must(Session::create(model));
  must(session.calibrate());
  observe(session, 40);
  const FreezeReport report = must(session.freeze({.per_channel = false, .timed = false}));
  const auto is_bound = [](const LayerReport& layer) {
    return layer.name.ends_with(".bound") && layer.precision == Precision::i8;
  };
  CHECK(std::ranges::count_if(report.layers, is_bound) >= 2);
}

TEST_CASE("a limit on the error is refused, or kept by layers that go back to float") {
  Session session = must(Session::create(small_model()));
  must(session.calibrate());
  observe(session, 40);
  const Result<FreezeReport> refused = session.freeze({.min_sqnr_db = 60, .timed = false});
  REQUIRE(refused.status().code() == Code::refused);
  const FreezeReport report =
      must(session.freeze({.min_sqnr_db = 60, .back_off = true, .timed = false}));
  for (const OutputReport& output : report.outputs) CHECK(output.sqnr_db >= 60);
  int backed_off = 0;
  for (const LayerReport& layer : report.layers)
    backed_off += layer.why.starts_with("for the limit of 60.0 dB");
  CHECK(backed_off > 0);
  CHECK(std::ranges::any_of(report.warnings, [](const std::string& warning) {
    return warning.find("a run takes") != std::string::npos;
  }));
}

TEST_CASE("the first and last layers with weights stay in float on request") {
  Session session = must(Session::create(small_model()));
  must(session.calibrate());
  observe(session, 20);
  const FreezeReport report =
      must(session.freeze({.keep_float = {"first:2", "last:1"}, .timed = false}));
  std::string kept;
  for (const LayerReport& layer : report.layers)
    if (layer.why.starts_with("kept by pattern")) kept += layer.name + " ";
  CHECK(kept == "stem expand logits ");
  must(session.thaw());
  CHECK(session.freeze({.keep_float = {"first:0"}}).status().code() == Code::invalid_argument);
}

TEST_CASE("a calibration that keeps no frames freezes all the same") {
  Session session = must(Session::create(small_model()));
  must(session.calibrate({.keep_max = 0}));
  observe(session, 20);
  CHECK(must(session.freeze({.timed = false})).layers_int8 > 0);
}

}  // namespace
}  // namespace firn::test
