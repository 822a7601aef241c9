// SPDX-License-Identifier: Apache-2.0
// Every step a float, integer or boolean operator is lowered to, against the reference: random
// shapes and data, on one thread and on several; what computes nothing but moves is equal.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "runtime/program.h"
#include "test/runtime/tiny_graph.h"

namespace firn {
namespace {

using test::booleans;
using test::constant;
using test::floats;
using test::ints;
using test::longs;
using test::OneNode;
using test::open;

std::mt19937 g_random(1);

int below(int n) {
  return static_cast<int>(g_random() % static_cast<uint32_t>(n));
}

// Whether an operator may do without a kernel: what only the reference can say the truth about.
enum class On : uint8_t { kernel, any };

struct Run {
  OneNode node;
  std::vector<std::vector<std::byte>> memory;  // of the inputs
  std::vector<Tensor> inputs;

  Run(Op op, const std::vector<Value>& in, float lo, float hi, Value y = open("y", {}))
      : node(std::move(op), in, std::move(y)) {
    for (const ValueId id : node.graph.inputs) {
      const Value& value = node.graph.value(id);
      const size_t n = value.shape.elements(), width = dtype_bytes(value.type);
      // Exactly as large as the tensor: who reads behind it is seen by sanitizers.
      std::vector<std::byte>& bytes = memory.emplace_back(n * width);
      for (size_t i = 0; i < n; ++i) {
        const float x = lo + (hi - lo) * static_cast<float>(g_random() % 65536) / 65536;
        const Tensor one{value.type, Shape{}, bytes.data() + i * width};
        if (value.type == DType::f32) one.as<float>()[0] = x;
        if (value.type == DType::i32) one.as<int32_t>()[0] = static_cast<int32_t>(x);
        if (value.type == DType::i64) one.as<int64_t>()[0] = static_cast<int64_t>(x);
        if (width == 1)
          bytes[i] = static_cast<std::byte>(value.type == DType::boolean ? g_random() % 2
                                                                         : g_random() % 256);
      }
      inputs.push_back({value.type, value.shape, bytes.data()});
    }
  }
};

double number(const Value& value, size_t i) {
  switch (value.type) {
    case DType::f32:
      return static_cast<double>(value.as<float>()[i]);
    case DType::i32:
      return value.as<int32_t>()[i];
    case DType::i64:
      return static_cast<double>(value.as<int64_t>()[i]);
    default:
      return static_cast<double>(value.constant->bytes()[i]);
  }
}

// Compiles and runs the node, twice, and compares with the reference: as bytes where tolerance is
// 0, else relative to the largest element.
void check_runs(Run run, double tolerance, kernels::IsaMask isa, int threads, On on) {
  const Graph& g = run.node.graph;
  const auto expected = reference_run(g, run.inputs);
  REQUIRE_MESSAGE(expected.ok(), expected.status().message());
  const Value& want = expected->front();
  const auto pool = kernels::Pool::create(threads);
  auto program = Program::compile(std::make_shared<Graph>(g), {isa, nullptr}, *pool);
  REQUIRE_MESSAGE(program.ok(), program.status().message());
  for (const LoweredStep& step : (*program)->steps())
    if (on == On::kernel) CHECK(step.kernel != "reference");
  Value got = want;
  for (int again = 0; again < 2; ++again) {
    for (size_t i = 0; i < run.inputs.size(); ++i) (*program)->bind_input(i, run.inputs[i].data);
    const Status ran = (*program)->run(*pool);
    REQUIRE_MESSAGE(ran.ok(), ran.message());
  }
  auto copy = Buffer::allocate(want.constant->bytes().size());
  REQUIRE(copy.ok());
  std::memcpy(copy->second.data(), (*program)->data(g.outputs[0]), copy->second.size());
  got.constant = copy->first;
  if (tolerance == 0) {
    CHECK(std::memcmp(copy->second.data(), want.constant->bytes().data(), copy->second.size()) ==
          0);
    return;
  }
  double largest = 1e-3;
  for (size_t i = 0; i < want.shape.elements(); ++i)
    if (std::isfinite(number(want, i))) largest = std::max(largest, std::abs(number(want, i)));
  for (size_t i = 0; i < want.shape.elements(); ++i) {
    const double e = number(want, i), y = number(got, i);
    const bool same =
        e == y || (std::isnan(e) && std::isnan(y)) || std::abs(e - y) <= tolerance * largest;
    CAPTURE(i);
    if (!same) REQUIRE(y == e);
  }
}

void check(const Op& op, const std::vector<Value>& in, double tolerance = 0, float lo = -3,
           float hi = 3, On on = On::kernel, const Value& y = open("y", {})) {
  Run run(op, in, lo, hi, y);
  const Status inferred = run.node.infer();
  CAPTURE(std::string(op_name(op)));
  REQUIRE_MESSAGE(inferred.ok(), inferred.message());
  std::string shapes;
  for (const Value& value : in) shapes += to_string(value.shape);
  CAPTURE(shapes);
  check_runs(run, tolerance, kernels::supported_isas(), 1, on);
  check_runs(run, tolerance, kernels::bit(kernels::Isa::scalar), 3, on);
}

Shape random_shape(int rank, int most = 9) {
  Shape shape;
  for (int i = 0; i < rank; ++i) shape[shape.rank++] = 1 + below(most);
  return shape;
}

// Some dimensions 1, some leading ones left out.
Shape broadcastable(const Shape& to) {
  Shape from;
  for (int i = below(to.rank + 1); i < to.rank; ++i) from[from.rank++] = below(3) == 0 ? 1 : to[i];
  return from;
}

template <typename F>
void times(int n, F&& f) {
  for (int i = 0; i < n; ++i) f();
}

const Shape kLarge{3, 60, 401};  // shared by threads

}  // namespace

TEST_CASE("lowered products of values") {
  times(25, [] {
    const Shape batch = random_shape(below(3), 4);
    const int32_t m = 1 + below(70), k = 1 + below(40), n = 1 + below(90);
    Shape a = broadcastable(batch), b = broadcastable(batch);
    a[a.rank++] = m;
    a[a.rank++] = k;
    b[b.rank++] = k;
    b[b.rank++] = n;
    check(MatMul{}, {open("a", a), open("b", b)}, 1e-6);
  });
  check(MatMul{}, {open("a", {2, 3, 100, 200}), open("b", {3, 200, 70})}, 1e-6);
  check(Dense{{-1, 2}}, {open("x", {5, 33}), open("w", {70, 33}), open("b", {70})}, 1e-5);
  check(Dense{}, {open("x", {3, 1, 33}), open("w", {7, 33})}, 1e-6);
}

TEST_CASE("lowered convolutions of few channels, any window") {
  for (int i = 0; i < 120; ++i) {
    Conv2d op;
    for (size_t d = 0; d < 2; ++d) {
      op.window.kernel[d] = 1 + below(5);
      op.window.stride[d] = 1 + below(3);
      op.window.pad[d] = below(op.window.kernel[d]);
      op.window.pad[d + 2] = below(op.window.kernel[d]);
    }
    op.window.dilation[0] = 1 + below(2);
    const int32_t c = 1 + below(5), n = 1 + below(80);
    const Shape x{1 + below(2), op.window.kernel[0] * 2 + below(9), op.window.kernel[1] + below(20),
                  c};
    const Shape w{n, op.window.kernel[0], op.window.kernel[1], c};
    std::vector<float> weights(w.elements()), bias(static_cast<size_t>(n));
    for (float& v : weights) v = static_cast<float>(below(2001)) / 1000 - 1;
    for (float& v : bias) v = static_cast<float>(below(2001)) / 1000 - 1;
    std::vector<Value> in{open("x", x), floats(w, weights)};
    if (below(2) == 0) in.push_back(floats({n}, bias));
    if (below(2) == 0) op.clamp = {0, 6};
    check(op, in, 1e-6, -1, 1);
    Run run(op, in, -1, 1);
    REQUIRE(run.node.infer().ok());
    check_runs(std::move(run), 1e-6, kernels::supported_isas(), 3, On::kernel);
  }
}

TEST_CASE("products read transposed operands in place") {
  times(20, [] {
    const int32_t b = 1 + below(3), h = 1 + below(3), m = 1 + below(9), k = 1 + below(9),
                  n = 1 + below(9);
    Graph g;
    const ValueId x = g.add(open("x", {b, m, h, k})), w = g.add(open("w", {b, n, h, k}));
    const ValueId xt = g.add(open("xt", {})), wt = g.add(open("wt", {})), y = g.add(open("y", {}));
    g.inputs = {x, w};
    g.outputs = {y};
    g.add({"turn_x", Transpose{{0, 2, 1, 3}}, {x}, {xt}});
    g.add({"turn_w", Transpose{{0, 2, 3, 1}}, {w}, {wt}});
    g.add({"product", MatMul{}, {xt, wt}, {y}});
    REQUIRE(infer_shapes(g).ok());
    std::vector<float> dx(g.value(x).shape.elements()), dw(g.value(w).shape.elements());
    for (float& v : dx) v = static_cast<float>(below(100));
    for (float& v : dw) v = static_cast<float>(below(100));
    const std::vector<Tensor> in{view(g.value(x).shape, dx.data()),
                                 view(g.value(w).shape, dw.data())};
    const auto want = reference_run(g, in);
    REQUIRE(want.ok());
    const auto pool = kernels::Pool::create(1);
    auto program =
        Program::compile(std::make_shared<Graph>(g), {kernels::supported_isas(), nullptr}, *pool);
    REQUIRE(program.ok());
    CHECK((*program)->steps().size() == 1);
    for (size_t i = 0; i < 2; ++i) (*program)->bind_input(i, in[i].data);
    REQUIRE((*program)->run(*pool).ok());
    // Integers in float: exact in whatever order.
    CHECK(std::memcmp((*program)->data(y), want->front().constant->bytes().data(),
                      want->front().constant->bytes().size()) == 0);
  });
}

TEST_CASE("lowered binary operators, any broadcasting") {
  using Kind = Binary::Kind;
  for (int k = 0; k <= static_cast<int>(Kind::bitwise_xor); ++k) {
    const auto kind = static_cast<Kind>(k);
    const bool logic = kind == Kind::logical_and || kind == Kind::logical_or;
    const bool bits = kind >= Kind::bitwise_and;
    const bool compares = kind == Kind::equal || kind == Kind::less || kind == Kind::greater;
    const bool divides =
        kind == Kind::div || kind == Kind::mod || kind == Kind::fmod || kind == Kind::pow;
    times(6, [&] {
      const Shape shape = random_shape(1 + below(5), 6);
      const Shape sa = broadcastable(shape), sb = broadcastable(shape);
      const auto both = [&](DType type) {
        return std::vector{open("a", sa, type), open("b", sb, type)};
      };
      if (logic) return check(Binary{kind}, both(DType::boolean));
      if (kind == Kind::equal) check(Binary{kind}, both(DType::boolean));
      for (const DType type : {DType::i32, DType::i64}) {
        if (kind == Kind::atan2) continue;
        // Divisions of integers may fail, and are the reference's.
        check(Binary{kind}, both(type), 0, divides ? 1.0f : -2.5f, divides ? 9.0f : 2.5f,
              divides ? On::any : On::kernel);
      }
      if (bits) return;
      check(Binary{kind}, both(DType::f32), compares ? 0 : 1e-6, kind == Kind::pow ? 0.1f : -3.0f);
      if (!compares) check(Binary{kind, {-0.5f, 1}}, both(DType::f32), 1e-6);
    });
  }
  check(Binary{Kind::pow}, {open("a", kLarge), floats({}, {2})}, 0);
  check(Binary{Kind::pow}, {open("a", kLarge), open("b", {401})}, 1e-6, 0.1f, 2);
}

TEST_CASE("lowered unary operators") {
  using Kind = Unary::Kind;
  for (int k = 0; k <= static_cast<int>(Kind::is_nan); ++k) {
    Unary op{static_cast<Kind>(k), 0.25f, 0.5f};
    CAPTURE(k);
    if (op.kind == Kind::logical_not) {
      check(op, {open("x", {3, 7}, DType::boolean)});
      continue;
    }
    const bool positive = op.kind == Kind::log || op.kind == Kind::sqrt;
    const bool above_one = op.kind == Kind::acosh;
    for (const Shape& shape : {Shape{}, Shape{5, 13}, kLarge})
      check(op, {open("x", shape)}, 1e-6,
            above_one  ? 1.1f
            : positive ? 0.1f
                       : -0.9f,
            above_one || positive ? 5.0f : 0.9f);
    if (op.kind == Kind::silu) check(Unary{op.kind, 1, 0}, {open("x", kLarge)}, 1e-6);
    if (op.kind == Kind::abs || op.kind == Kind::neg || op.kind == Kind::sign) {
      check(op, {open("x", {4, 9}, DType::i32)});
      check(op, {open("x", {4, 9}, DType::i64)});
    }
  }
}

TEST_CASE("lowered choices and casts") {
  times(20, [] {
    const Shape shape = random_shape(1 + below(5), 6);
    const Shape c = broadcastable(shape), a = broadcastable(shape), b = broadcastable(shape);
    for (const DType type : {DType::f32, DType::i64, DType::i32, DType::boolean})
      check(Where{}, {open("c", c, DType::boolean), open("a", a, type), open("b", b, type)});
    check(PRelu{}, {open("x", shape), open("slope", broadcastable(shape))});
  });
  check(PRelu{}, {open("x", kLarge), open("slope", {401})});
  const DType types[] = {DType::f32, DType::u8, DType::i32, DType::i64, DType::boolean};
  for (const DType from : types)
    for (const DType to : types)
      check(Convert{to}, {open("x", {7, 11}, from)}, 0, -300, 300, On::any, open("y", {}, to));
  const float edges[] = {NAN,  INFINITY, -INFINITY, 2147483647.0f, -2147483648.0f,
                         3e9f, 1e19f,    0.9f};
  OneNode extremes(Convert{DType::i32}, {open("x", {8})}, open("y", {}, DType::i32));
  Value x = floats({8}, {edges, edges + 8});
  const std::vector<int32_t> want =
      test::values<int32_t>(test::evaluate(Convert{DType::i32}, {x}, open("y", {}, DType::i32)));
  REQUIRE(extremes.infer().ok());
  const auto pool = kernels::Pool::create(1);
  auto program = Program::compile(std::make_shared<Graph>(extremes.graph), {}, *pool);
  REQUIRE(program.ok());
  (*program)->bind_input(0, edges);
  REQUIRE((*program)->run(*pool).ok());
  CHECK(std::memcmp((*program)->data(extremes.out), want.data(), sizeof(int32_t) * 8) == 0);
}

TEST_CASE("lowered reductions over any axes") {
  for (int k = 0; k <= static_cast<int>(Reduce::Kind::log_sum_exp); ++k) {
    const auto kind = static_cast<Reduce::Kind>(k);
    times(12, [&] {
      const Shape shape = random_shape(1 + below(5), 7);
      std::vector<int32_t> axes;
      for (int i = 0; i < shape.rank; ++i)
        if (below(2) == 0) axes.push_back(i);
      const bool keep = below(2) == 0;
      check(Reduce{kind, axes, keep}, {open("x", shape)}, 1e-6);
      if (kind == Reduce::Kind::mean || kind == Reduce::Kind::l2 ||
          kind == Reduce::Kind::log_sum_exp)
        return;
      check(Reduce{kind, axes, keep}, {open("x", shape, DType::i32)});
      check(Reduce{kind, axes, keep}, {open("x", shape, DType::i64)});
    });
    if (kind == Reduce::Kind::prod) continue;  // of so many, 0 or infinite
    for (const std::vector<int32_t>& axes : {std::vector{0}, {1}, {2}, {0, 2}, {0, 1, 2}})
      check(Reduce{kind, axes}, {open("x", kLarge)}, 1e-5);
  }
}

TEST_CASE("lowered softmax and positions of extremes, any axis") {
  times(15, [] {
    const Shape shape = random_shape(1 + below(4), 9);
    const int32_t axis = below(shape.rank);
    check(Softmax{axis}, {open("x", shape)}, 1e-6);
    check(Softmax{axis, true}, {open("x", shape)}, 1e-6);
    for (const DType type : {DType::f32, DType::i32, DType::i64})
      check(ArgMax{axis, below(2) == 0, below(2) == 0}, {open("x", shape, type)});
  });
  for (int32_t axis = 0; axis < 3; ++axis) {
    check(Softmax{axis}, {open("x", kLarge)}, 1e-6, -50, 50);
    check(Softmax{axis, true}, {open("x", kLarge)}, 1e-6, -50, 50);
    check(ArgMax{axis}, {open("x", kLarge)});
  }
}

TEST_CASE("lowered norms") {
  for (const Shape& shape : {Shape{2, 3, 5, 7}, Shape{1, 40, 33, 100}, Shape{2, 9, 1}}) {
    const int32_t c = shape[shape.rank - 1];
    check(InstanceNorm{1e-3f}, {open("x", shape), open("s", {c}), open("b", {c})}, 1e-5);
    for (const bool centred : {false, true}) {
      check(LayerNorm{1e-3f, centred}, {open("x", shape)}, 1e-5);
      check(LayerNorm{1e-3f, centred}, {open("x", shape), open("s", {c})}, 1e-5);
      check(LayerNorm{1e-3f, centred}, {open("x", shape), open("", {}), open("b", {c})}, 1e-5);
      check(LayerNorm{1e-3f, centred}, {open("x", shape), open("s", {c}), open("b", {c})}, 1e-5);
    }
    if (shape.rank == 4) check(LocalResponseNorm{4, 0.5f, 0.75f, 2}, {open("x", shape)}, 1e-6);
  }
}

TEST_CASE("lowered movements of any type") {
  for (const DType type : {DType::f32, DType::i64, DType::i32, DType::boolean, DType::u8}) {
    times(12, [&] {
      const Shape shape = random_shape(1 + below(4), 7);
      const Value x = open("x", shape, type);
      Pad pad;
      std::vector<int64_t> repeats;
      for (int i = 0; i < shape.rank; ++i) {
        pad.before.push_back(below(shape[i]));
        pad.after.push_back(below(shape[i]));
        repeats.push_back(1 + below(3));
      }
      for (const auto mode : {Pad::Mode::constant, Pad::Mode::reflect, Pad::Mode::edge,
                              Pad::Mode::symmetric, Pad::Mode::wrap}) {
        pad.mode = mode;
        pad.value = type == DType::boolean ? 1.0f : 3.0f;
        check(pad, {x});
      }
      pad.mode = Pad::Mode::constant;
      for (int i = 0; i < shape.rank; ++i) pad.before[static_cast<size_t>(i)] = -below(shape[i]);
      check(pad, {x});
      check(Tile{}, {x, longs({shape.rank}, repeats)});
      const Shape from = broadcastable(shape);
      const std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
      check(Expand{}, {open("x", from, type), longs({shape.rank}, dims)});
      const int32_t axis = below(shape.rank);
      std::vector<int64_t> indices;
      for (int i = 0; i < 6; ++i) indices.push_back(below(2 * shape[axis]) - shape[axis]);
      check(Gather{axis}, {x, longs({2, 3}, indices)});
      check(Gather{axis}, {x, ints({}, {static_cast<int32_t>(indices[0])})});
      std::vector<int32_t> perm(shape.rank);
      for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int32_t>(i);
      std::shuffle(perm.begin(), perm.end(), g_random);
      check(Transpose{perm}, {x});
      check(Concat{axis}, {x, x, x});
      Slice slice;
      for (int i = 0; i < shape.rank; ++i) {
        const bool back = below(2) == 0;
        slice.begin.push_back(back ? INT32_MAX : below(shape[i]));
        slice.end.push_back(back ? INT32_MIN : INT32_MAX);
        slice.step.push_back((back ? -1 : 1) * (1 + below(2)));
      }
      check(slice, {x});
    });
    const int32_t b = 1 + below(3);
    for (const bool crd : {false, true})
      check(DepthToSpace{b, crd}, {open("x", {2, 3, 4, 5 * b * b}, type)});
  }
  check(Transpose{{2, 0, 1}}, {open("x", kLarge)});
  check(Gather{1}, {open("x", kLarge), longs({4}, {5, -1, 0, 7})});
  check(Pad{Pad::Mode::reflect, {0, 2, 5}, {0, 1, 3}}, {open("x", kLarge)});
  check(Expand{}, {open("x", {60, 1}), longs({3}, {3, 60, 401})});
}

TEST_CASE("int8 values move as they are") {
  Value y = open("y", {}, DType::i8), x = open("x", {2, 6, 5, 8}, DType::i8);
  x.quant = y.quant = test::per_tensor(0.5f, -3);
  const auto stays = [&](const Op& op, const std::vector<Value>& in) {
    check(op, in, 0, 0, 0, On::kernel, y);
  };
  stays(Gather{1}, {x, longs({3}, {5, -6, 2})});
  stays(Expand{}, {x, longs({5}, {3, 2, 6, 5, 8})});
  stays(Tile{}, {x, longs({4}, {1, 2, 1, 3})});
  stays(Slice{{0, 5, 1, 0}, {2, INT32_MIN, 5, 8}, {1, -2, 1, 3}}, {x});
  stays(DepthToSpace{2}, {x});
  stays(Transpose{{3, 0, 2, 1}}, {x});
  stays(Concat{2}, {x, x});
  for (int mode = 0; mode <= static_cast<int>(Pad::Mode::wrap); ++mode)
    stays(Pad{static_cast<Pad::Mode>(mode), {0, 2, 1, 0}, {0, 1, 3, 0}, 1.25f}, {x});
  Resize2d resize;
  resize.size = {9, 4};
  stays(resize, {x});
  stays(Pool2d{Pool2d::Kind::max, {{2, 3}, {2, 1}}}, {x});
}

TEST_CASE("a gathered index that is out of range fails the run") {
  OneNode node(Gather{0}, {open("x", {4, 2}), open("i", {2}, DType::i64)});
  REQUIRE(node.infer().ok());
  const auto pool = kernels::Pool::create(1);
  auto program = Program::compile(std::make_shared<Graph>(node.graph), {}, *pool);
  REQUIRE(program.ok());
  const float x[8] = {};
  for (const int64_t bad : {int64_t{4}, int64_t{-5}, INT64_MIN}) {
    const int64_t indices[] = {-4, bad};
    (*program)->bind_input(0, x);
    (*program)->bind_input(1, indices);
    CHECK(test::text((*program)->run(*pool)) == "invalid_argument: node (Gather): index " +
                                                    std::to_string(bad) +
                                                    ", axis 0 of the input has 4");
  }
}

TEST_CASE("lowered resizes and pools in all their ways") {
  using R = Resize2d;
  for (const auto coordinates : {R::Coordinates::half_pixel, R::Coordinates::pytorch_half_pixel,
                                 R::Coordinates::asymmetric, R::Coordinates::align_corners})
    for (const auto& [h, w] : {std::pair{1, 1}, {4, 9}, {7, 3}, {40, 45}}) {
      R op{R::Kind::bilinear, coordinates, R::Nearest::floor, {h, w}};
      check(op, {open("x", {2, 5, 6, 3})}, 1e-6);
      op.kind = R::Kind::nearest;
      for (const auto nearest : {R::Nearest::round_prefer_floor, R::Nearest::round_prefer_ceil,
                                 R::Nearest::floor, R::Nearest::ceil}) {
        op.nearest = nearest;
        check(op, {open("x", {2, 5, 6, 3})});
        check(op, {open("x", {1, 5, 6, 2}, DType::i64)});
      }
      op.kind = R::Kind::bilinear;
      op.size = {0, 0};
      op.scale = {1.3f, 0.7f};
      check(op, {open("x", {2, 5, 6, 3})}, 1e-6);
    }
  for (const auto kind : {Pool2d::Kind::max, Pool2d::Kind::average})
    for (const bool count_pad : {false, true})
      for (const bool ceil : {false, true})
        for (const int32_t dilation : {1, 2})
          for (const int32_t pad : {0, 1})
            check(Pool2d{kind,
                         {{3, 2}, {2, 3}, {dilation, dilation}, {pad, 0, pad, pad}},
                         count_pad,
                         ceil},
                  {open("x", {2, 8, 11, 5})}, 1e-6);
}

}  // namespace firn
