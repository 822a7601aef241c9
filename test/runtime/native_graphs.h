// SPDX-License-Identifier: Apache-2.0
// Graphs that between them hold everything a .firn file can, and their way into and out of one.
#ifndef FIRN_TEST_RUNTIME_NATIVE_GRAPHS_H_
#define FIRN_TEST_RUNTIME_NATIVE_GRAPHS_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graph.h"
#include "runtime/import/native.h"

namespace firn::native_test {

using Bytes = std::vector<std::byte>;

template <typename T>
std::shared_ptr<const Buffer> constant(const std::vector<T>& data) {
  auto memory = Buffer::allocate(data.size() * sizeof(T));
  REQUIRE(memory.ok());
  std::ranges::copy(std::as_bytes(std::span(data)), memory->second.begin());
  return memory->first;
}

template <typename Kind, typename Make>
void add_each(std::vector<Op>& ops, Kind last, Make make) {
  for (int k = 0; k <= static_cast<int>(last); ++k) ops.push_back(make(static_cast<Kind>(k)));
}

// Every operator with no attribute at its default, and every enumerator.
inline std::vector<Op> unusual_ops() {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Window window{{3, 5}, {2, 1}, {4, 7}, {1, 2, 3, -4}};
  const Clamp relu6{0, 6};
  std::vector<Op> ops{
      Conv2d{window, 6, relu6},
      ConvTranspose2d{window, {1, 2}, 3, {0, kInf}},
      Dense{relu6},
      MatMul{},
      PRelu{},
      Softmax{2, true},
      Concat{-1},
      Slice{{0, 1, -3}, {INT32_MAX, INT32_MIN, 7}, {1, -1, 2}, true},
      Reshape{{-1, 0, 24}, true, true},
      Transpose{{0, 2, 3, 1}},
      LocalResponseNorm{3, 0.5f, 0.25f, 2},
      InstanceNorm{0.125f},
      LayerNorm{0.25f, false},
      DepthToSpace{3, true},
      Gather{-2},
      ShapeOf{1, -1},
      Expand{},
      Range{},
      Where{},
      ArgMax{3, false, true},
      Squeeze{true},
      Tile{},
      GatherElements{-3},
      GatherNd{2},
      CumSum{-2, true, true},
      NonZero{},
      NonMaxSuppression{true},
      TopK{1, 7, false},
      DetectionPostProcess{90, 10, 2, 50, true, 1e-8f, 0.6f, {10, 9, 5, 4}},
      DetectionOutput{1, true, 0.25f, 0.75f, 300, 100},
  };
  add_each(ops, Binary::Kind::bitwise_xor, [&](auto k) { return Binary{k, relu6}; });
  add_each(ops, Unary::Kind::is_nan, [&](auto k) { return Unary{k, -kInf, 1e-38f}; });
  add_each(ops, Pool2d::Kind::average, [&](auto k) { return Pool2d{k, window, true, true}; });
  add_each(ops, Reduce::Kind::log_sum_exp, [&](auto k) {
    return Reduce{k, {1, 2}, false, true, true};
  });
  add_each(ops, Pad::Mode::wrap, [&](auto k) { return Pad{k, {0, 1}, {-2, 3}, -kInf, true}; });
  add_each(ops, Resize2d::Coordinates::align_corners, [](auto k) {
    return Resize2d{Resize2d::Kind::bilinear, k, Resize2d::Nearest::floor, {5, 9}, {0.5f, 3}};
  });
  add_each(ops, Resize2d::Nearest::ceil, [](auto k) {
    return Resize2d{Resize2d::Kind::nearest, Resize2d::Coordinates::asymmetric, k, {0, 0}, {2, 2}};
  });
  const std::vector<Unary> activations{{Unary::Kind::hard_sigmoid, 0.25f, 0.5f},
                                       {Unary::Kind::softsign, 0, 0}};
  add_each(ops, Recurrent::Cell::rnn, [&](auto k) {
    return Recurrent{k, Recurrent::Direction::reverse, true, true, 3, 4, 5, activations};
  });
  add_each(ops, Recurrent::Direction::both,
           [&](auto k) { return Recurrent{.direction = k, .activations = activations}; });
  add_each(ops, GridSample::Kind::cubic, [](auto k) {
    return GridSample{k, GridSample::Padding::border, true};
  });
  add_each(ops, GridSample::Padding::reflection, [](auto k) {
    return GridSample{GridSample::Kind::nearest, k, false};
  });
  add_each(ops, RegionPool::Kind::align_inside, [](auto k) {
    return RegionPool{k, {7, 5}, 0.0625f, 2, true};
  });
  const auto add_resizes = [&](auto last, auto set) {
    add_each(ops, last, [&](auto k) {
      Resize resize{.axes = {2, 1},
                    .size = {5, 0},
                    .scale = {0.5f, 3},
                    .begin = {0, 0.25f},
                    .end = {1, 0.75f},
                    .cubic = -0.5f,
                    .exclude_outside = true,
                    .antialias = true,
                    .extrapolation = -7};
      set(resize, k);
      return resize;
    });
  };
  add_resizes(Resize::Kind::cubic, [](Resize& op, auto k) { op.kind = k; });
  add_resizes(Resize::Coordinates::crop, [](Resize& op, auto k) { op.coordinates = k; });
  add_resizes(Resize2d::Nearest::ceil, [](Resize& op, auto k) { op.nearest = k; });
  add_resizes(Resize::From::scales, [](Resize& op, auto k) { op.from = k; });
  add_resizes(Resize::Aspect::not_smaller, [](Resize& op, auto k) { op.aspect = k; });
  add_each(ops, Scatter::Kind::positions, [](auto k) {
    return Scatter{k, Scatter::Reduction::mul, 3};
  });
  add_each(ops, Scatter::Reduction::min, [](auto k) {
    return Scatter{Scatter::Kind::elements, k, -1};
  });
  add_each(ops, DType::boolean, [](auto k) { return Fill{k, -0.0}; });
  add_each(ops, DType::boolean, [](auto k) { return Convert{k}; });
  return ops;
}
// A chain of nodes with those operators. It need not make sense: the format does not ask.
inline Graph chain(const std::vector<Op>& ops) {
  Graph graph;
  graph.inputs.push_back(graph.add({"x", DType::f32, {-1, 8, 8, 3}, {}, {}}));
  ValueId last = graph.inputs[0];
  for (size_t i = 0; i < ops.size(); ++i) {
    const ValueId out = graph.add({"v" + std::to_string(i), DType::f32, {}, {}, {}});
    graph.add({"n" + std::to_string(i), ops[i], {last}, {out}});
    last = out;
  }
  graph.outputs.push_back(last);
  return graph;
}

// A small quantized net with all kinds of values.
inline Graph sample() {
  Graph graph;
  const Quant per_tensor{-1, 8, 0, {0.02f}, {-3}};
  const auto shared = constant<float>({1, 2, 3, 4});
  const ValueId x = graph.add({"x", DType::i8, {1, 4, 4, 2}, per_tensor, {}});
  const ValueId w = graph.add({"w",
                               DType::i8,
                               {2, 1, 1, 2},
                               Quant{0, 8, 0, {0.5f, 0.25f}, {0, 0}},
                               constant<int8_t>({-127, 1, 2, 127})});
  const ValueId bias = graph.add({"bias",
                                  DType::i32,
                                  {2},
                                  Quant{0, 8, 0, {0.01f, 0.005f}, {0, 0}},
                                  constant<int32_t>({-70000, 70000})});
  const ValueId y = graph.add({"y", DType::i8, {1, 4, 4, 2}, per_tensor, {}});
  graph.add({"conv", Conv2d{{}, 1, {0, 6}}, {x, w, bias}, {y}});
  const ValueId block_w = graph.add({"block_w",
                                     DType::i8,
                                     {1, 5},
                                     Quant{-1, 8, 2, {1, 2, 3}, {0, 0, 0}},
                                     constant<int8_t>({-7, 7, 0, 1, 2})});
  const ValueId flag = graph.add({"flag", DType::boolean, {2}, {}, constant<uint8_t>({0, 1})});
  const ValueId empty = graph.add({"empty", DType::f32, {0, 3}, {}, constant<float>({})});
  const ValueId index = graph.add({"größe", DType::i64, {}, {}, constant<int64_t>({-5})});
  const ValueId a = graph.add({"a", DType::f32, {4}, {}, shared});
  const ValueId b = graph.add({"b", DType::f32, {2, 2}, {}, shared});
  const ValueId z = graph.add({"z", DType::f32, {-1, 3}, {}, {}});
  graph.add({"odd", Concat{1}, {block_w, ValueId::none, flag, empty, index, a, b}, {z}});
  graph.inputs = {x};
  graph.outputs = {z, y};
  return graph;
}

// A net that runs: what is wrong with a damaged copy of it, shape inference and passes must find.
inline Graph runnable() {
  Graph graph;
  const auto add = [&](const char* name, Op op, std::vector<ValueId> in) {
    const ValueId out = graph.add({name, DType::f32, {}, {}, {}});
    graph.add({name, std::move(op), std::move(in), {out}});
    return out;
  };
  const auto weights = [&](const char* name, const Shape& shape) {
    return graph.add(
        {name, DType::f32, shape, {}, constant(std::vector<float>(shape.elements(), 0.1f))});
  };
  const auto dims = [&](const char* name, const std::vector<int64_t>& values) {
    return graph.add(
        {name, DType::i64, {static_cast<int32_t>(values.size())}, {}, constant(values)});
  };
  const ValueId x = graph.add({"x", DType::f32, {-1, 3, 8, 8}, {}, {}});
  ValueId y = add("nhwc", Transpose{{0, 2, 3, 1}}, {x});
  const Window same{{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}};
  y = add("conv", Conv2d{same, 1, {}}, {y, weights("w", {4, 3, 3, 3}), weights("b", {4})});
  y = add("relu", Unary{Unary::Kind::clamp, 0, 6}, {y});
  const ValueId pooled = add("pool", Pool2d{Pool2d::Kind::max, {{2, 2}, {2, 2}}}, {y});
  const ValueId sliced = add("slice", Slice{{0, 0, 0, 0}, {9, 8, 8, 4}, {1, 2, 2, 1}}, {y});
  y = add("concat", Concat{3}, {pooled, sliced});
  y = add("pad", Pad{Pad::Mode::constant, {0, 1, 1, 0}, {0, 1, 1, 0}, 0}, {y});
  y = add("resize", Resize2d{.kind = Resize2d::Kind::bilinear, .size = {4, 4}}, {y});
  y = add("mean", Reduce{Reduce::Kind::mean, {1, 2}, true}, {y});
  y = add("flat", Reshape{{}, true}, {y, dims("to", {0, -1})});
  y = add("dense", Dense{}, {y, weights("dw", {5, 8}), weights("db", {5})});
  y = add("expand", Expand{}, {y, dims("wider", {2, 1, 5})});
  y = add("gather", Gather{0}, {y, dims("which", {1, -2})});
  y = add("softmax", Softmax{-1, false}, {y});
  graph.inputs = {x};
  graph.outputs = {y};
  return graph;
}

inline Bytes serialize(const Graph& graph) {
  auto bytes = serialize_native(graph);
  REQUIRE_MESSAGE(bytes.ok(), bytes.status().message());
  return *bytes;
}

// The graph keeps the file.
inline Result<Graph> read(Bytes file) {
  const auto owner = std::make_shared<const Bytes>(std::move(file));
  return read_native(*owner, owner);
}

}  // namespace firn::native_test

#endif  // FIRN_TEST_RUNTIME_NATIVE_GRAPHS_H_
