// SPDX-License-Identifier: Apache-2.0
// Models that are written as ONNX and read back: the same int8 layers on the same scales, and the
// same answers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "firn/onnx_export.h"
#include "runtime/export/onnx_writer.h"
#include "test/api/network.h"

namespace firn::test {
namespace {

std::string temporary(const std::string& name) {
  return std::string(FIRN_BINARY) + "/" + name;
}

// Through a file.
Model exported(const Model& model, const OnnxExportOptions& options = {}) {
  const std::string path = temporary("exported.onnx");
  must(export_onnx(model, path, options));
  Model read = must(Model::load(path));
  std::remove(path.c_str());
  return read;
}

Model frozen(const Model& model, const CalibrateOptions& options = {}) {
  Session session = must(Session::create(model));
  must(session.calibrate(options));
  observe(session, 40);
  must(session.freeze({.timed = false}));
  const std::string path = temporary("to_export.firn");
  must(session.save(path));
  Model read = must(Model::load(path));
  std::remove(path.c_str());
  return read;
}

// Scales of all weights, and pairs of scale and zero point of all int8 activations.
std::multiset<float> weight_scales(const Model& model) {
  std::multiset<float> scales;
  const Graph graph = must(model.impl().optimised());
  for (const Value& value : graph.values)
    if (value.type == DType::i8 && value.constant && value.quant)
      scales.insert(value.quant->scale.begin(), value.quant->scale.end());
  return scales;
}

std::set<std::pair<float, int32_t>> grids(const Model& model) {
  std::set<std::pair<float, int32_t>> grids;
  const Graph graph = must(model.impl().optimised());
  for (const Value& value : graph.values)
    if (value.type == DType::i8 && !value.constant && value.quant)
      grids.insert({value.quant->scale[0], value.quant->zero[0]});
  return grids;
}

TEST_CASE("export: a frozen network reads back as the same int8 network") {
  const Model model = frozen(small_model());
  for (const bool uint8 : {false, true}) {
    CAPTURE(uint8);
    const Model back = exported(model, {.uint8_activations = uint8});
    CHECK(back.inputs()[0].name == "image");
    CHECK(back.inputs()[0].type == DType::f32);
    CHECK(back.inputs()[0].shape == model.inputs()[0].shape);
    CHECK(back.outputs()[0].name == "logits");
    CHECK(back.info().layers_int8 == model.info().layers_int8);
    CHECK(back.info().layers_float == model.info().layers_float);
    CHECK(weight_scales(back) == weight_scales(model));
    CHECK(grids(back) == grids(model));
    Session want = must(Session::create(model)), got = must(Session::create(back));
    for (uint32_t i = 0; i < 5; ++i)
      CHECK(run_all(got, frame(700 + i)) == run_all(want, frame(700 + i)));
    CHECK(run_all(got, frame(1, small_shape(2)), small_shape(2)) ==
          run_all(want, frame(1, small_shape(2)), small_shape(2)));
  }
}

TEST_CASE("export: a float network answers alike") {
  const Model model = small_model();
  const Model back = exported(model);
  CHECK(back.info().layers_int8 == 0);
  Session want = must(Session::create(model)), got = must(Session::create(back));
  CHECK(largest_difference(run_all(got, frame(3)), run_all(want, frame(3))) < 1e-5);
}

TEST_CASE("export: symmetric ranges and layers kept in float") {
  const Model model = frozen(small_model(), {.symmetric = true});
  const Model back = exported(model);
  for (const auto& [scale, zero] : grids(back)) CHECK(zero == 0);
  Session want = must(Session::create(model)), got = must(Session::create(back));
  CHECK(run_all(got, frame(9)) == run_all(want, frame(9)));
}

// Float networks of one operator, through ONNX and back.
void check_float(GraphBuilder& b, ValueId y, const Shape& shape) {
  b.output(y);
  const Model model = must(make_model("test", b.graph));
  const Model back = exported(model);
  Session want = must(Session::create(model)), got = must(Session::create(back));
  std::vector<float> data(shape.elements());
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<float>(static_cast<int>(i * 7919 % 256) - 128) / 64;
  Outputs a, c;
  must(want.run({{"x", view(shape, data.data())}}, a));
  must(got.run({{"x", view(shape, data.data())}}, c));
  REQUIRE(a.all().size() == c.all().size());
  CHECK(a.all()[0].tensor.shape == c.all()[0].tensor.shape);
  CHECK(largest_difference(copy(a.all()[0].tensor), copy(c.all()[0].tensor)) < 2e-5);
}

TEST_CASE("export: operators keep their meaning") {
  const Shape image{1, 6, 6, 4};
  using Kind = Unary::Kind;
  for (const Kind kind :
       {Kind::clamp, Kind::sigmoid, Kind::tanh, Kind::exp, Kind::abs, Kind::neg, Kind::floor,
        Kind::erf, Kind::hard_sigmoid, Kind::hard_swish, Kind::silu, Kind::mish, Kind::softplus,
        Kind::elu, Kind::leaky_relu, Kind::gelu, Kind::gelu_tanh, Kind::sign, Kind::trunc}) {
    CAPTURE(op_name(Unary{kind}));
    GraphBuilder b;
    const Unary op{kind, kind == Kind::clamp ? -0.5f : 0.3f, 0.4f};
    check_float(b, b.add("y", op, {b.conv("c", b.input("x", image), 4)}), image);
  }
  const auto one = [&](const char* name, auto op) {
    CAPTURE(name);
    GraphBuilder b;
    check_float(b, b.add("y", op, {b.input("x", image)}), image);
  };
  one("reduce channels", Reduce{Reduce::Kind::sum, {3}, true});
  one("reduce rows", Reduce{Reduce::Kind::max, {1}, false});
  one("reduce image", Reduce{Reduce::Kind::mean, {1, 2}, false});
  one("softmax", Softmax{-1, false});
  one("log softmax", Softmax{3, true});
  one("pad", Pad{Pad::Mode::reflect, {0, 1, 2, 0}, {0, 2, 1, 0}});
  one("slice", Slice{{0, 1, 0, 1}, {INT32_MAX, 5, INT32_MAX, 3}, {1, 2, 1, 1}});
  one("transpose", Transpose{{0, 2, 1, 3}});
  one("to planar", Transpose{{0, 3, 1, 2}});
  one("reshape", Reshape{{0, -1, 2}});
  one("depth to space", DepthToSpace{2, false});
  one("lrn", LocalResponseNorm{3, 0.1f, 0.75f, 2});
  one("resize", Resize2d{Resize2d::Kind::bilinear,
                         Resize2d::Coordinates::half_pixel,
                         Resize2d::Nearest::floor,
                         {9, 12},
                         {1, 1}});
  one("nearest", Resize2d{Resize2d::Kind::nearest,
                          Resize2d::Coordinates::asymmetric,
                          Resize2d::Nearest::floor,
                          {0, 0},
                          {2, 3}});
  one("average", Pool2d{Pool2d::Kind::average, Window{{3, 3}, {2, 2}, {1, 1}, {1, 1, 0, 0}}, true});
  one("argmax free", Pool2d{Pool2d::Kind::max, Window{{2, 3}, {2, 1}, {1, 1}, {0, 1, 0, 1}}});

  GraphBuilder b;
  const ValueId x = b.input("x", image);
  const ValueId c = b.conv("c", x, 4, 3, 1);
  const ValueId scaled = b.binary("scaled", Binary::Kind::mul, c, b.random({4}));
  const ValueId moved = b.binary("moved", Binary::Kind::sub, b.random({6, 1}), scaled);
  const ValueId both = b.add("both", Concat{3}, {moved, c});
  const ValueId up =
      b.add("up", ConvTranspose2d{Window{{3, 2}, {2, 2}, {1, 1}, {1, 0, 0, 0}}, {1, 0}, 2, {0, 3}},
            {both, b.random({6, 3, 2, 4}), b.random({6})});
  const ValueId dense = b.dense("dense", up, 3);
  check_float(b, b.add("norm", LayerNorm{1e-3f, true}, {dense, b.random({3}), b.random({3})}),
              image);
  GraphBuilder rms;
  check_float(rms,
              rms.add("norm", LayerNorm{1e-3f, false}, {rms.input("x", image), rms.random({4})}),
              image);
}

TEST_CASE("export: what ONNX cannot say is refused, by node and operator") {
  GraphBuilder b;
  b.output(b.binary("angle", Binary::Kind::atan2, b.input("x", {1, 4}), b.random({4})));
  const Model model = must(make_model("test", b.graph));
  const std::string path = temporary("refused.onnx");
  const Status status = export_onnx(model, path);
  CHECK(status.code() == Code::unsupported);
  CHECK(status.message().find("angle") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(export_onnx(small_model(), temporary("none/x.onnx")).code() == Code::not_found);
}

}  // namespace
}  // namespace firn::test
