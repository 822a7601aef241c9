// SPDX-License-Identifier: Apache-2.0
// A small network with everything a classifier has, and frames for it, for the tests of sessions.
#ifndef FIRN_TEST_API_NETWORK_H_
#define FIRN_TEST_API_NETWORK_H_

#include <cmath>
#include <string>
#include <vector>

#include "firn/session.h"
#include "runtime/model_impl.h"
#include "test/runtime/random_graph.h"

namespace firn::test {

// NCHW in, open batch: convolution, depthwise, residual, hard-swish, squeeze-excite, concatenation,
// pools, softmax; two outputs.
inline Model small_model(int32_t side = 24) {
  GraphBuilder b(11);
  const ValueId x = b.input("image", {1, 3, side, side});
  const ValueId stem =
      b.unary("act0", Unary::Kind::hard_swish, b.conv("stem", b.to_nhwc(x), 16, 3, 1, 2));
  const ValueId wide = b.relu("relu1", b.conv("expand", stem, 32));
  const ValueId deep = b.relu("relu2", b.conv("depthwise", wide, 32, 3, 1, 1, 32));
  const ValueId narrow = b.conv("project", deep, 16);
  const ValueId sum = b.binary("residual", Binary::Kind::add, stem, narrow);
  const ValueId squeezed = b.add("squeeze", Reduce{Reduce::Kind::mean, {1, 2}, true}, {sum});
  const ValueId gate = b.unary("gate_act", Unary::Kind::sigmoid, b.conv("gate", squeezed, 16));
  const ValueId excited = b.binary("excite", Binary::Kind::mul, sum, gate);
  Window window{{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}};
  const ValueId pooled = b.add("pool", Pool2d{Pool2d::Kind::max, window, false, false}, {excited});
  const ValueId left = b.relu("relu3", b.conv("left", pooled, 24));
  const ValueId right = b.relu("relu4", b.conv("right", pooled, 24, 3, 1));
  const ValueId both = b.add("both", Concat{3}, {left, right});
  const ValueId mean = b.add("mean", Reduce{Reduce::Kind::mean, {1, 2}, false}, {both});
  const ValueId logits = b.dense("logits", mean, 10);
  b.output(logits);
  b.output(b.add("prob", Softmax{-1, false}, {logits}));
  b.graph.value(x).shape[0] = -1;
  return must(make_model("test", std::move(b.graph)));
}

inline Shape small_shape(int32_t batch = 1, int32_t side = 24) {
  return {batch, 3, side, side};
}

// Smooth pictures with some noise, in about [-1, 1].
inline std::vector<float> frame(uint32_t seed, const Shape& shape = small_shape()) {
  std::mt19937 random(seed);
  std::vector<float> data(shape.elements());
  const auto phase = static_cast<float>(random() % 628) / 100;
  const auto rate = 0.01f + static_cast<float>(random() % 100) / 1000;
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = 0.8f * std::sin(phase + rate * static_cast<float>(i)) +
              0.2f * (static_cast<float>(random() % 2001) / 1000 - 1);
  return data;
}

inline std::vector<float> copy(const Tensor& tensor) {
  const auto values = tensor.as<float>();
  return {values.begin(), values.end()};
}

// All outputs of a run, one behind the other.
inline std::vector<float> run_all(Session& session, std::vector<float> data,
                                  const Shape& shape = small_shape()) {
  Outputs outputs;
  must(session.run({{"image", view(shape, data.data())}}, outputs));
  std::vector<float> all;
  for (const NamedTensor& output : outputs.all())
    for (const float v : output.tensor.as<float>()) all.push_back(v);
  return all;
}

inline double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

inline void observe(Session& session, int frames, uint32_t seed = 100) {
  for (int i = 0; i < frames; ++i) run_all(session, frame(seed + static_cast<uint32_t>(i)));
}

// A session that has been calibrated on some frames.
inline Session calibrated(const Model& model, int frames = 40) {
  Session session = must(Session::create(model));
  must(session.calibrate());
  observe(session, frames);
  return session;
}

}  // namespace firn::test

#endif  // FIRN_TEST_API_NETWORK_H_
