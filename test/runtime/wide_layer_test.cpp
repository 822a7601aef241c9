// SPDX-License-Identifier: Apache-2.0
// Layers with 16-bit activations: the same bits as their arithmetic spelled out, from every
// instruction set and any number of threads, and a step from the reference.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/requant.h"
#include "runtime/geometry.h"
#include "runtime/int8_ops.h"
#include "runtime/program.h"
#include "test/runtime/random_graph.h"
#include "test/runtime/tiny_graph.h"

namespace firn {
namespace {

using test::must;

Quant wide(float scale) {
  Quant quant = test::per_tensor(scale, 0);
  quant.bits = 16;
  return quant;
}

// A layer with random weights, and an input.
struct Layer {
  Graph graph;
  std::vector<int16_t> x;
  std::mt19937 random;

  explicit Layer(uint32_t seed) : random(seed) {}
  int below(int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); }

  void make(const Op& op, const Shape& input, const Shape& weights, const Value& output,
            bool biased) {
    x.resize(input.elements());
    for (int16_t& q : x)
      q = static_cast<int16_t>(below(9) == 0 ? (below(2) ? -32768 : 32767) : below(65536) - 32768);
    Node node{"layer", op, {}, {}};
    node.in.push_back(graph.add({"x", DType::i16, input, wide(0.0003f), nullptr}));
    graph.inputs = node.in;
    std::vector<int8_t> w(weights.elements());
    for (int8_t& q : w) q = static_cast<int8_t>(below(255) - 127);
    node.in.push_back(must(graph.add_constant<int8_t>("w", weights, w)));
    Quant quant;
    quant.axis = 0;
    for (int32_t c = 0; c < weights[0]; ++c)
      quant.scale.push_back(0.001f + 0.0001f * static_cast<float>(below(30)));
    quant.zero.assign(quant.scale.size(), 0);
    graph.value(node.in[1]).quant = quant;
    if (biased) {
      std::vector<float> bias(quant.scale.size());
      for (float& b : bias) b = static_cast<float>(below(2000) - 1000) / 100;
      node.in.push_back(must(graph.add_constant<float>("b", Shape{weights[0]}, bias)));
    }
    Value y = output;
    y.name = "y";
    node.out.push_back(graph.add(y));
    graph.outputs = node.out;
    graph.add(node);
    must(infer_shapes(graph));
  }

  const Value& y() const { return graph.value(graph.outputs[0]); }

  std::vector<std::byte> lowered(kernels::IsaMask isa, int threads) const {
    const auto pool = kernels::Pool::create(threads);
    auto program = must(Program::compile(std::make_shared<Graph>(graph), {isa, nullptr}, *pool));
    REQUIRE(program->steps().size() == 1);
    CHECK(program->steps()[0].kernel != "reference");
    CHECK(program->steps()[0].precision == Precision::i16);
    program->bind_input(0, x.data());
    for (int again = 0; again < 2; ++again) must(program->run(*pool));
    std::vector<std::byte> bytes(y().shape.elements() * dtype_bytes(y().type));
    std::memcpy(bytes.data(), program->data(graph.outputs[0]), bytes.size());
    return bytes;
  }
};

// What is written for y, in units of the output.
void put(const Value& output, const Clamp& clamp, float y, std::byte* to) {
  if (output.type == DType::f32) {
    y = std::fmin(std::fmax(y, clamp.lo), clamp.hi);
    std::memcpy(to, &y, 4);
    return;
  }
  const bool bytes = output.type == DType::i8;
  const int32_t zero = output.quant->zero[0], least = bytes ? -128 : -32768;
  const auto bound = [&](float at) {
    const double q = std::nearbyint(double{at} / output.quant->scale[0]) + zero;
    return std::clamp<double>(q, least, -least - 1);
  };
  const double lo = bound(clamp.lo), hi = std::max(lo, bound(clamp.hi));
  const double q = std::nearbyint(std::fmin(std::fmax(double{y}, lo - zero), hi - zero)) + zero;
  const auto word = static_cast<int16_t>(q);
  const auto narrow = static_cast<int8_t>(word);
  std::memcpy(to, bytes ? static_cast<const void*>(&narrow) : &word, bytes ? 1 : 2);
}

// The layer by its definition. A Dense is a 1x1 convolution of as many pixels as it has rows.
std::vector<std::byte> defined(const Layer& layer) {
  const Graph& g = layer.graph;
  const Node& node = g.nodes[0];
  Conv2d op;
  if (const auto* conv = std::get_if<Conv2d>(&node.op)) op = *conv;
  if (const auto* dense = std::get_if<Dense>(&node.op)) op.clamp = dense->clamp;
  Shape xs = g.value(node.in[0]).shape, ws = g.value(node.in[1]).shape, ys = layer.y().shape;
  if (ws.rank == 2) {
    const auto rows = [](const Shape& s) {
      return static_cast<int32_t>(s.elements()) / s[s.rank - 1];
    };
    xs = {1, 1, rows(xs), xs[xs.rank - 1]};
    ys = {1, 1, rows(ys), ys[ys.rank - 1]};
    ws = {ws[0], 1, 1, ws[1]};
  }
  const auto w = g.value(node.in[1]).as<int8_t>();
  const Quant& quant = *g.value(node.in[1]).quant;
  const bool depthwise = op.groups > 1 && ws[3] == 1 && op.groups == ws[0];
  const double x_scale = g.value(node.in[0]).quant->scale[0];
  const double y_scale = layer.y().quant ? double{layer.y().quant->scale[0]} : 1;
  std::vector<std::byte> bytes(ys.elements() * dtype_bytes(layer.y().type));
  size_t at = 0;
  for (int32_t n = 0; n < ys[0]; ++n)
    for (int32_t oy = 0; oy < ys[1]; ++oy)
      for (int32_t ox = 0; ox < ys[2]; ++ox)
        for (int32_t oc = 0; oc < ys[3]; ++oc) {
          int64_t high = 0, low = 0, sum = 0, weights = 0;
          for (int32_t ky = 0; ky < ws[1]; ++ky)
            for (int32_t kx = 0; kx < ws[2]; ++kx)
              for (int32_t ic = 0; ic < ws[3]; ++ic) {
                const int64_t weight =
                    w[static_cast<size_t>(((oc * ws[1] + ky) * ws[2] + kx) * ws[3] + ic)];
                const int32_t iy =
                    oy * op.window.stride[0] - op.window.pad[0] + ky * op.window.dilation[0];
                const int32_t ix =
                    ox * op.window.stride[1] - op.window.pad[1] + kx * op.window.dilation[1];
                int64_t q = 0;
                if (iy >= 0 && iy < xs[1] && ix >= 0 && ix < xs[2])
                  q = layer.x[static_cast<size_t>(((n * xs[1] + iy) * xs[2] + ix) * xs[3] +
                                                  oc / (ys[3] / op.groups) * ws[3] + ic)];
                const int64_t top = q >= 0 ? q / 256 : (q - 255) / 256;
                high += weight * top;
                low += weight * (q - 256 * top - 128);
                sum += weight * q;
                weights += weight;
              }
          const auto c = static_cast<size_t>(oc);
          const double unit = x_scale * double{quant.scale[c]};
          const float scale = static_cast<float>(unit / y_scale);
          const double bias = node.in.size() > 2 ? double{g.value(node.in[2]).as<float>()[c]} : 0.0;
          volatile float y = 0;
          if (depthwise) {
            volatile float product = static_cast<float>(sum) * scale;
            y = product + static_cast<float>(bias / y_scale);
          } else {
            volatile float from_high = static_cast<float>(high) * scale;
            volatile float from_low = static_cast<float>(low) * scale;
            volatile float both = from_high * 256 + from_low;
            y = both +
                static_cast<float>((bias + static_cast<double>(128 * weights) * unit) / y_scale);
          }
          put(layer.y(), op.clamp, y, bytes.data() + at);
          at += dtype_bytes(layer.y().type);
        }
  return bytes;
}

double number(const Value& like, const std::byte* from) {
  if (like.type == DType::f32) {
    float y;
    std::memcpy(&y, from, 4);
    return y;
  }
  int16_t word;
  std::memcpy(&word, from, like.type == DType::i8 ? 1 : 2);
  const int32_t q = like.type == DType::i8 ? static_cast<int8_t>(*from) : word;
  return (q - like.quant->zero[0]) * double{like.quant->scale[0]};
}

void check_layer(const Layer& layer) {
  const std::vector<std::byte> want = defined(layer);
  for (size_t i = 0; i < 32; ++i) {
    const auto isa = static_cast<kernels::Isa>(i);
    if ((kernels::supported_isas() & kernels::bit(isa)) == 0) continue;
    CAPTURE(i);
    for (const int threads : {1, 3})
      CHECK(layer.lowered(kernels::bit(isa) | kernels::bit(kernels::Isa::scalar), threads) == want);
  }
  // The reference computes real numbers of them.
  const Tensor input{DType::i16, layer.graph.value(layer.graph.inputs[0]).shape,
                     const_cast<int16_t*>(layer.x.data())};
  const std::vector<Value> reference = must(reference_run(layer.graph, {&input, 1}));
  const Value& y = reference[0];
  const size_t size = dtype_bytes(y.type);
  double largest = 0, error = 0;
  for (size_t i = 0; i < y.shape.elements(); ++i) {
    const double expected = number(y, y.constant->bytes().data() + i * size);
    largest = std::max(largest, std::fabs(expected));
    error = std::max(error, std::fabs(expected - number(y, want.data() + i * size)));
  }
  CHECK(error <= (y.quant ? 1.001 * double{y.quant->scale[0]} : 1e-5 * (1 + largest)));
}

std::vector<Value> outputs() {
  Value floats = test::open("y", {}), words = floats, bytes = floats;
  words.type = DType::i16;
  words.quant = wide(0.0011f);
  bytes.type = DType::i8;
  bytes.quant = test::per_tensor(0.31f, -20);
  return {floats, words, bytes};
}

TEST_CASE("16-bit activations: convolutions of all shapes") {
  for (uint32_t seed = 0; seed < 120; ++seed) {
    CAPTURE(seed);
    Layer layer(seed);
    const int kind = static_cast<int>(seed % 4);  // product, window, groups, depthwise
    Conv2d op;
    const int kernel = kind == 0 ? 1 : 1 + layer.below(4);
    op.window.kernel = {kernel, kind == 3 && layer.below(2) ? 3 : kernel};
    op.window.stride = {1 + layer.below(2), 1 + layer.below(2)};
    if (kind == 0 && seed % 8 == 0) op.window.stride = {1, 1};
    op.window.dilation = {1 + layer.below(2), 1 + layer.below(2)};
    const int most_pad = kind == 0 && seed % 8 == 0 ? 1 : 4;
    for (int32_t& pad : op.window.pad) pad = layer.below(most_pad);
    op.groups = kind == 2 ? 1 + layer.below(3) : kind == 3 ? 2 + layer.below(70) : 1;
    const int in = kind == 3 ? 1 : 1 + layer.below(40), out = kind == 3 ? 1 : 1 + layer.below(40);
    if (seed % 3 == 1) op.clamp = {0, 3};
    const int size = 8 + layer.below(8);
    layer.make(op, {1 + layer.below(2), size, size, in * op.groups},
               {out * op.groups, kernel, op.window.kernel[1], in}, outputs()[seed / 4 % 3],
               seed % 5 != 0);
    check_layer(layer);
  }
}

TEST_CASE("16-bit activations: more than one band, and rows that see padding only") {
  for (const int rows : {1, 23, 24, 25, 49, 700}) {
    CAPTURE(rows);
    Layer dense(static_cast<uint32_t>(rows));
    dense.make(Dense{}, {rows, 100}, {70, 100}, outputs()[static_cast<size_t>(rows) % 3], true);
    check_layer(dense);
  }
  for (const int pad : {0, 5}) {
    Layer conv(3);
    Conv2d op;
    op.window = {{3, 3}, {1, 1}, {1, 1}, {pad, pad, pad, pad}};
    conv.make(op, {2, 40, 40, 20}, {30, 3, 3, 20}, outputs()[0], true);
    check_layer(conv);
  }
}

TEST_CASE("16-bit activations: conversions from and to floats") {
  test::GraphBuilder b;
  const ValueId x = b.input("x", {3, 50});
  const ValueId q = b.graph.add({"q", DType::i16, {3, 50}, wide(0.0001f), nullptr});
  b.graph.add({"q", Convert{DType::i16}, {x}, {q}});
  b.output(b.add("y", Convert{DType::f32}, {q}));
  must(infer_shapes(b.graph));
  const std::vector<float> in = b.floats(150, -4, 4);
  const Tensor input = view(Shape{3, 50}, in.data());
  const std::vector<Value> want = must(reference_run(b.graph, {&input, 1}));
  const auto pool = kernels::Pool::create(1);
  const auto program = must(Program::compile(std::make_shared<Graph>(b.graph),
                                             {kernels::supported_isas(), nullptr}, *pool));
  for (const LoweredStep& step : program->steps()) CHECK(step.kernel != "reference");
  program->bind_input(0, in.data());
  must(program->run(*pool));
  CHECK(std::memcmp(program->data(b.graph.outputs[0]), want[0].constant->bytes().data(), 600) == 0);
  CHECK(std::fabs(want[0].as<float>()[0] - std::clamp(in[0], -3.2768f, 3.2767f)) < 0.00006f);
}

}  // namespace
}  // namespace firn
