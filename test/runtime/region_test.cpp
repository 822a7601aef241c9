// SPDX-License-Identifier: Apache-2.0
// Regions of images: the operator worked out by hand, and what ONNX and ncnn make of it.
#include <doctest/doctest.h>

#include <cmath>

#include "firn/model.h"
#include "firn/session.h"
#include "test/runtime/ncnn_builder.h"
#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;
using Floats = std::vector<float>;

namespace {

// 4 by 4 pixels of one channel, row by row 0 to 15.
Value picture() {
  Floats pixels(16);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i);
  return floats({1, 4, 4, 1}, pixels);
}

Floats pool(const RegionPool& op, const Floats& region) {
  return run(op, {picture(), floats({1, 4}, region)});
}

std::string failure(const RegionPool& op, const std::vector<Value>& in) {
  return text(evaluate(op, in).status());
}

// The outputs of a model for inputs called as they are, by the public interface.
std::vector<Value> run_model(const Model& model, const std::vector<NamedTensor>& inputs) {
  Result<Session> session = Session::create(model);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  Outputs outputs;
  const Status status = session->run(inputs, outputs);
  REQUIRE_MESSAGE(status.ok(), status.message());
  std::vector<Value> values;
  for (const auto& [name, tensor] : outputs.all()) {
    const auto data = tensor.as<float>();
    values.push_back(floats(tensor.shape, {data.begin(), data.end()}));
    values.back().name = name;
  }
  return values;
}

Floats numbers(const Value& value) {
  return {value.as<float>().begin(), value.as<float>().end()};
}

}  // namespace

TEST_CASE("RegionPool: the largest pixel of a bin, edges rounded to pixels") {
  RegionPool op{RegionPool::Kind::max, {2, 2}};
  CHECK(pool(op, {0, 0, 3, 3}) == Floats{5, 7, 13, 15});
  CHECK(pool(op, {0.4f, 0.6f, 2.4f, 2.4f}) == Floats{5, 6, 9, 10});  // columns 0 to 2, rows 1 and 2
  op.scale = 0.5f;
  CHECK(pool(op, {0, 0, 6, 6}) == Floats{5, 7, 13, 15});
  CHECK(pool(op, {20, 20, 40, 40}) == Floats{0, 0, 0, 0});  // outside
}

TEST_CASE("RegionPool: means of bins that have channels of their own") {
  Floats pixels;
  for (int i = 0; i < 16; ++i)
    for (int channel = 0; channel < 4; ++channel)
      pixels.push_back(static_cast<float>(i + 100 * channel));
  const RegionPool op{RegionPool::Kind::position, {2, 2}};
  CHECK(run(op, {floats({1, 4, 4, 4}, pixels), floats({1, 4}, {0, 0, 3, 3})}) ==
        Floats{2.5f, 104.5f, 210.5f, 312.5f});
}

TEST_CASE("RegionPool: samples between pixels") {
  RegionPool op{RegionPool::Kind::align, {1, 1}};
  CHECK(pool(op, {0, 0, 2, 2}) == Floats{5});  // four samples, at 0.5 and 1.5
  op.samples = 1;
  CHECK(pool(op, {0, 0, 3, 3}) == Floats{7.5f});  // at 1.5, 1.5
  op.half_pixel = true;
  CHECK(pool(op, {0.5f, 0.5f, 3.5f, 3.5f}) == Floats{7.5f});
  CHECK(pool(op, {2.25f, 0.5f, 2.25f, 0.5f}) == Floats{1.75f});  // of no size
  op.half_pixel = false;
  CHECK(pool(op, {-9, -9, -7, -7}) == Floats{0});     // outside
  CHECK(pool(op, {3, 3, 4.5f, 4.5f}) == Floats{15});  // a sample at 3.75 is the last pixel's
  // The shares of the four pixels around 1.5, 1.5: a quarter each.
  op.kind = RegionPool::Kind::align_max;
  CHECK(pool(op, {0, 0, 3, 3}) == Floats{2.5f});
  // Half a bin lies outside: samples begin where the picture does, at columns 1 and 3.
  op = {RegionPool::Kind::align_inside, {1, 1}, 1, 0};
  CHECK(pool(op, {-2, 0, 2, 2}) == Floats{6});
}

TEST_CASE("RegionPool: each region of its image, and what makes no sense") {
  const RegionPool op{RegionPool::Kind::max, {1, 1}};
  const Value two = floats({2, 1, 1, 1}, {3, 8}),
              regions = floats({2, 4}, {0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(run(op, {two, regions}) == Floats{3, 3});
  CHECK(run(op, {two, regions, longs({2}, {1, 0})}) == Floats{8, 3});
  CHECK(failure(op, {two, regions, longs({2}, {0, 2})}) ==
        "invalid_argument: node (RegionMaxPool): region 1 is of image 2 of 2");
  CHECK(failure(op, {two, floats({1, 4}, {0, NAN, 0, 0})}) ==
        "invalid_argument: node (RegionMaxPool): region 0 reaches nan");
  CHECK(failure(op, {two, floats({1, 4}, {0, 0, 1e30f, 0})})
            .ends_with("region 0 reaches 1000000015047466219876688855040.000000"));
  CHECK(failure(op, {two, floats({1, 5}, {0, 0, 0, 0, 0})}) ==
        "malformed: node: regions b are 1x5, expected 4 numbers each");
  CHECK(failure(op, {two, regions, longs({1}, {0})}) ==
        "malformed: node: 2 regions, their images are 1");
  CHECK(failure({RegionPool::Kind::max, {0, 1}}, {two, regions}) ==
        "malformed: node: regions of 0 by 1");
  CHECK(failure({RegionPool::Kind::max, {1, 1}, 0}, {two, regions}) ==
        "malformed: node: the scale is 0.000000");
  CHECK(failure({RegionPool::Kind::align, {1, 1}, 1, 1000}, {two, regions}) ==
        "malformed: node: 1000 samples a side, expected 0 to 128");
  CHECK(failure({RegionPool::Kind::position, {2, 3}}, {two, regions}) ==
        "malformed: node: 1 channels for 6 bins");
}

TEST_CASE("onnx: RoiAlign and MaxRoiPool") {
  OnnxModel align(16);
  align.input("x", {1, 1, 4, 4})
      .input("rois", {1, 4})
      .initializer(onnx_ints("images", {0}))
      .node("RoiAlign", {"x", "rois", "images"}, {"y"},
            {attr("output_height", int64_t{2}), attr("output_width", int64_t{1}),
             attr("sampling_ratio", int64_t{1}), attr("spatial_scale", 0.5f)})
      .output("y");
  const std::string bytes = align.bytes();
  const Floats pixels = numbers(picture()), region{1, 1, 7, 7};
  const auto y = test::run(
      import(bytes), {view(Shape{1, 1, 4, 4}, pixels.data()), view(Shape{1, 4}, region.data())});
  CHECK(y[0].shape == Shape{1, 1, 2, 1});
  CHECK(floats_of(y[0]) == Floats{4 * 0.75f + 1.5f, 4 * 2.25f + 1.5f});

  OnnxModel largest(13);
  largest.input("x", {1, 1, 4, 4})
      .initializer(onnx_floats("rois", {2, 5}, {0, 0, 0, 3, 3, 0, 2, 0, 3, 1}))
      .node("MaxRoiPool", {"x", "rois"}, {"y"}, {attr("pooled_shape", std::vector<int64_t>{1, 2})})
      .output("y");
  CHECK(run_floats(largest, {1, 1, 4, 4}, pixels) == Floats{13, 15, 6, 7});
}

TEST_CASE("ncnn: a detector of two stages gives its regions and what it says of each") {
  // Of one place and nine anchors: 128 pixels a side and more, all cut to the picture's 64.
  NcnnModel model;
  model.layer("Input scores 0 1 scores 0=1 1=1 2=18")
      .layer("Input offsets 0 1 offsets 0=1 1=1 2=36")
      .layer("Input info 0 1 info 0=3")
      .layer("Input picture 0 1 picture 0=4 1=4 2=2")
      .layer("Proposal p 3 1 scores offsets info rois 0=16 1=16 2=6000 3=300 4=0.7 5=8")
      .layer("ROIPooling pool 2 1 picture rois pooled 0=2 1=2 2=0.0625")
      .layer("InnerProduct fc 1 1 pooled fc 0=3 2=24")
      .layer("Softmax prob 1 1 fc prob 0=0");
  Floats weights(24);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.01f * static_cast<float>(i % 7);
  model.tagged(weights);
  const std::string param = model.param();
  const auto loaded = Model::parse_ncnn(as_bytes(param), as_bytes(model.bin()));
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
  REQUIRE(loaded->outputs().size() == 2);
  CHECK(loaded->outputs()[0].name == "rois");
  CHECK(loaded->outputs()[1].name == "prob");

  Floats scores(18, 0.1f), offsets(36, 0), pixels(32);
  scores[9 + 4] = 0.9f;
  // The best one moves up and to the left by half its size, so it overlaps the others by little.
  offsets[4 * 4] = offsets[4 * 4 + 1] = -0.5f;
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i);
  const Floats info{64, 64, 1};
  const auto given = [&](const Floats& all) {
    return std::vector<NamedTensor>{{"scores", view(Shape{18, 1, 1}, all.data())},
                                    {"offsets", view(Shape{36, 1, 1}, offsets.data())},
                                    {"info", view(Shape{3}, info.data())},
                                    {"picture", view(Shape{2, 4, 4}, pixels.data())}};
  };
  const std::vector<Value> found = run_model(*loaded, given(scores));
  REQUIRE(found[0].shape[0] == 2);
  CHECK(found[0].shape == Shape{2, 1, 4});
  // Anchor 4 is 256 by 256 around 8, 8, moved to -120; anchor 0 is 184 by 96. Both are cut at the
  // picture's edges, and the other seven overlap anchor 0.
  const Floats rois = numbers(found[0]);
  CHECK(Floats(rois.begin(), rois.begin() + 4) == Floats{0, 0, 8, 8});
  CHECK(Floats(rois.begin() + 4, rois.end()) == Floats{0, 0, 63, 56});
  CHECK(found[1].shape == Shape{2, 3});
  const Floats prob = numbers(found[1]);
  CHECK(prob[0] + prob[1] + prob[2] == doctest::Approx(1));

  // Each region alone, as ncnn's users run it, gives the same.
  NcnnModel second;
  second.layer("Input picture 0 1 picture 0=4 1=4 2=2")
      .layer("Input roi 0 1 roi 0=4")
      .layer("ROIPooling pool 2 1 picture roi pooled 0=2 1=2 2=0.0625")
      .layer("InnerProduct fc 1 1 pooled fc 0=3 2=24")
      .layer("Softmax prob 1 1 fc prob 0=0")
      .tagged(weights);
  const std::string second_param = second.param();
  const auto head = Model::parse_ncnn(as_bytes(second_param), as_bytes(second.bin()));
  REQUIRE_MESSAGE(head.ok(), head.status().message());
  CHECK(head->outputs()[0].shape == Shape{3});
  for (size_t r = 0; r < 2; ++r) {
    const std::vector<Value> alone =
        run_model(*head, {{"picture", view(Shape{2, 4, 4}, pixels.data())},
                          {"roi", view(Shape{4}, rois.data() + 4 * r)}});
    for (size_t i = 0; i < 3; ++i) CHECK(numbers(alone[0])[i] == doctest::Approx(prob[3 * r + i]));
  }
}

TEST_CASE("ncnn: layers of detectors of two stages refuse what does not fit") {
  const auto refused = [](const std::string& line) {
    NcnnModel model;
    model.layer("Input x 0 1 x 0=4 1=4 2=18").layer("Input r 0 1 r 0=4").layer(line);
    return refusal(model);
  };
  CHECK(refused("ROIPooling p 2 1 x r out 0=2") ==
        "malformed: ncnn: layer 'p' (ROIPooling): the height is 0, expected at least 1");
  CHECK(refused("PSROIPooling p 2 1 x r out 0=3 1=3 3=1") ==
        "malformed: ncnn: layer 'p' (PSROIPooling): 1 channels for 3 by 3 bins, the input has 18");
  CHECK(refused("ROIAlign p 2 1 x r out 0=3 1=3 5=2") ==
        "unsupported: ncnn: layer 'p' (ROIAlign): version 2 of it");
  CHECK(refused("ROIAlign p 2 1 x x out 0=3 1=3") == "ok");
  CHECK(refused("Proposal p 3 1 x x r out") ==
        "malformed: ncnn: layer 'p' (Proposal): scores are 1x18x4x4, offsets 1x18x4x4, expected "
        "1x18x4x4 and 1x36x4x4");
  CHECK(refused("Proposal p 3 1 x x r out 0=0").ends_with("the stride is 0, expected at least 1"));
}
