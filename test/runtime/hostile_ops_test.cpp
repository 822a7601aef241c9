// SPDX-License-Identifier: Apache-2.0
// Random operators on random inputs, most of them nonsense: inference refuses them with a message,
// or the reference computes them. Meant to run under sanitizers, too.
#include <doctest/doctest.h>

#include <climits>
#include <random>

#include "runtime/recurrent.h"
#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;

namespace {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<uint32_t>(n)); }
  bool coin() { return below(2) == 0; }
  // Mostly small, sometimes an edge of what fits.
  int32_t number() {
    constexpr int32_t kEdges[] = {INT_MIN, INT_MIN + 1, INT_MAX, INT_MAX - 1, 1 << 30, 65536, -7};
    return below(12) == 0 ? kEdges[below(7)] : below(6) - 1;
  }
  // Mostly 1.
  int32_t positive() { return below(3) == 0 ? number() : 1 + below(2); }
  float real() { return below(8) == 0 ? std::numeric_limits<float>::infinity() : number() * 0.5f; }
  std::vector<int32_t> numbers(int n) {
    std::vector<int32_t> list(static_cast<size_t>(n));
    for (int32_t& x : list) x = number();
    return list;
  }
  template <typename Kind>
  Kind kind(Kind last) {
    return static_cast<Kind>(below(static_cast<int>(last) + 1));
  }
  Window window() {
    if (coin()) return {{1 + below(3), 1 + below(3)}, {1, 2}, {1, 1}, {below(2), 1, 0, 1}};
    return {{positive(), positive()},
            {positive(), positive()},
            {positive(), positive()},
            {number(), number(), number(), number()}};
  }

  Shape shape(int rank) {
    Shape s;
    for (int i = 0; i < rank; ++i) s[s.rank++] = below(20) == 0 ? 0 : 1 + below(3);
    return s;
  }
  Value value(int rank) {
    const Shape s = shape(rank);
    std::vector<float> f;
    std::vector<int64_t> l;
    for (size_t i = 0; i < s.elements(); ++i) {
      f.push_back(real());
      l.push_back(below(30) == 0 ? INT64_MIN : number());
    }
    Quant quant = per_tensor(0.5f, 3);
    switch (below(8)) {
      case 0:
        return longs(s, l);
      case 1:
        return ints(s, {l.begin(), l.end()});
      case 2:
        return booleans(s, {l.begin(), l.end()});
      case 3:
        return bytes(s, {l.begin(), l.end()}, quant);
      default:
        return floats(s, f);
    }
  }

  Op op(int rank) {
    const Clamp clamp = coin() ? Clamp{} : Clamp{real(), real()};
    const std::array<int32_t, 2> pair{number(), number()};
    switch (below(static_cast<int>(std::variant_size_v<OpVariant>))) {
      case 0:
        return Conv2d{window(), positive(), clamp};
      case 1:
        return ConvTranspose2d{window(), pair, positive(), clamp};
      case 2:
        return Dense{clamp};
      case 3:
        return MatMul{};
      case 4:
        return Binary{kind(Binary::Kind::bitwise_xor), clamp};
      case 5:
        return Unary{kind(Unary::Kind::is_nan), real(), real()};
      case 6:
        return PRelu{};
      case 7:
        return Pool2d{kind(Pool2d::Kind::average), window(), coin(), coin()};
      case 8:
        return Reduce{kind(Reduce::Kind::log_sum_exp), numbers(below(3)), coin(), below(8) == 0,
                      coin()};
      case 9:
        return Softmax{number(), coin()};
      case 10:
        return Concat{number()};
      case 11:
        return Slice{numbers(rank), numbers(rank), numbers(rank), below(8) == 0};
      case 12:
        return Pad{kind(Pad::Mode::wrap), numbers(rank), numbers(rank), real(), below(8) == 0};
      case 13:
        return Reshape{numbers(below(5)), coin(), coin()};
      case 14: {
        std::vector<int32_t> perm = numbers(rank);
        if (coin())
          for (int i = 0; i < rank; ++i) perm[static_cast<size_t>(i)] = rank - 1 - i;
        return Transpose{perm};
      }
      case 15:
        return Resize2d{kind(Resize2d::Kind::bilinear),
                        kind(Resize2d::Coordinates::align_corners),
                        kind(Resize2d::Nearest::ceil),
                        pair,
                        {real(), real()}};
      case 16:
        return LocalResponseNorm{number(), real(), real(), real()};
      case 17:
        return InstanceNorm{real()};
      case 18:
        return DepthToSpace{number(), coin()};
      case 19:
        return Gather{number()};
      case 20:
        return ShapeOf{number(), number()};
      case 21:
        return Expand{};
      case 22:
        return Fill{kind(DType::boolean), static_cast<double>(real())};
      case 23:
        return Range{};
      case 24:
        return Where{};
      case 25:
        return ArgMax{number(), coin(), coin()};
      case 26:
        return Squeeze{coin()};
      case 27:
        return Tile{};
      case 28:
        return GatherElements{number()};
      case 29:
        return GatherNd{number()};
      case 30:
        return Scatter{kind(Scatter::Kind::positions), kind(Scatter::Reduction::min), number()};
      case 31:
        return CumSum{number(), coin(), coin()};
      case 32:
        return NonZero{};
      case 33:
        return NonMaxSuppression{coin()};
      case 34:
        return GridSample{kind(GridSample::Kind::cubic), kind(GridSample::Padding::reflection),
                          coin()};
      case 35: {
        const size_t axes = static_cast<size_t>(below(3));
        const auto reals = [&] {
          std::vector<float> list(coin() ? axes : 0);
          for (float& x : list) x = real();
          return list;
        };
        return Resize{.kind = kind(Resize::Kind::cubic),
                      .coordinates = kind(Resize::Coordinates::crop),
                      .nearest = kind(Resize2d::Nearest::ceil),
                      .from = coin() ? Resize::From::attributes : kind(Resize::From::scales),
                      .aspect = kind(Resize::Aspect::not_smaller),
                      .axes = numbers(static_cast<int>(axes)),
                      .size = numbers(static_cast<int>(axes)),
                      .scale = reals(),
                      .begin = reals(),
                      .end = reals(),
                      .cubic = real(),
                      .exclude_outside = coin(),
                      .antialias = coin(),
                      .extrapolation = real()};
      }
      case 36: {
        Recurrent op{kind(Recurrent::Cell::rnn),
                     kind(Recurrent::Direction::both),
                     coin(),
                     coin(),
                     real(),
                     real(),
                     real(),
                     {}};
        for (int i = coin() ? 0 : below(7); i > 0; --i)
          op.activations.push_back({kind(Unary::Kind::is_nan), real(), real()});
        return op;
      }
      case 37:
        return TopK{number(), number(), coin()};
      case 38:
        return DetectionOutput{number(), coin(), real(), real(), number(), number()};
      case 39:
        return LayerNorm{real(), coin()};
      case 40:
        return DetectionPostProcess{below(4), below(6), below(3), below(5),
                                    coin(),   real(),   real(),   {1, 2, 0.5f, real()}};
      case 41:
        return RegionPool{kind(RegionPool::Kind::align_inside),
                          {positive(), positive()},
                          real(),
                          number(),
                          coin()};
      default:
        return Convert{kind(DType::boolean)};
    }
  }

 private:
  std::mt19937 engine_;
};

Value zeros(const Shape& shape) {
  return floats(shape, std::vector<float>(shape.elements()));
}

// Gives the operators that chance hardly ever gives inputs that fit each other, such inputs.
void mend(const Op& op, std::vector<Value>& in, Random& random) {
  const Shape x = in[0].shape;
  const auto filter = [&](const Window& window, int32_t groups) {
    const bool sane = x.rank == 4 && groups > 0 && groups < 8 && window.kernel[0] > 0 &&
                      window.kernel[0] < 8 && window.kernel[1] > 0 && window.kernel[1] < 8;
    if (sane) in = {in[0], zeros({groups, window.kernel[0], window.kernel[1], x[3] / groups})};
  };
  if (const auto* conv = std::get_if<Conv2d>(&op)) filter(conv->window, conv->groups);
  if (const auto* conv = std::get_if<ConvTranspose2d>(&op)) filter(conv->window, conv->groups);
  if (std::holds_alternative<InstanceNorm>(op) && x.rank > 0)
    in = {in[0], zeros({x[x.rank - 1]}), zeros({x[x.rank - 1]})};
  if (std::holds_alternative<Where>(op)) {
    const Value branch = random.value(x.rank);
    in = {booleans({1}, {1}), branch, branch};
  }
  if (std::holds_alternative<Tile>(op))
    in = {in[0], longs({x.rank}, std::vector<int64_t>(x.rank, random.below(4)))};
  if (std::holds_alternative<Squeeze>(op)) in = {in[0], longs({1}, {random.below(5) - 2})};
  const auto small = [&](const Shape& shape) {
    std::vector<int64_t> list(shape.elements());
    for (int64_t& i : list) i = random.below(4) - 2;
    return longs(shape, list);
  };
  if (std::holds_alternative<GatherElements>(op)) in = {in[0], small(x)};
  if (std::holds_alternative<GatherNd>(op)) in = {in[0], small({random.below(3), 1})};
  if (const auto* scatter = std::get_if<Scatter>(&op)) {
    if (scatter->kind == Scatter::Kind::elements) in = {in[0], small(x), in[0]};
    if (scatter->kind == Scatter::Kind::positions) in = {in[0], small({0, x.rank}), in[0]};
    if (scatter->kind == Scatter::Kind::positions) in[2].shape = {0};
  }
  const auto reals = [&](const Shape& shape) {
    std::vector<float> list(shape.elements());
    for (float& v : list) v = random.real();
    return floats(shape, list);
  };
  if (const auto* cell = std::get_if<Recurrent>(&op)) {
    const int32_t directions = cell->direction == Recurrent::Direction::both ? 2 : 1;
    const int32_t gates = static_cast<int32_t>(gate_count(cell->cell));
    const Value none{.name = "", .type = DType::f32, .shape = {}, .quant = {}, .constant = {}};
    in = {reals({3, 2, 4}), reals({directions, gates * 5, 4}), reals({directions, gates * 5, 5}),
          random.coin() ? none : reals({directions, 2 * gates * 5}),
          ints({2}, {random.number(), random.number()})};
  }
  if (std::holds_alternative<NonMaxSuppression>(op)) {
    in = {reals({2, 5, 4}), reals({2, 3, 5}), longs({}, {random.number()}),
          floats({1}, {random.real()}), floats({}, {random.real()})};
  }
  if (std::holds_alternative<DetectionPostProcess>(op)) {
    in = {reals({1, 5, 4}), reals({1, 5, 3}), reals({5, 4})};
  }
  if (std::holds_alternative<DetectionOutput>(op)) in = {reals({5, 4}), reals({5, 3})};
  if (const auto* pool = std::get_if<RegionPool>(&op)) {
    const bool sane =
        pool->size[0] > 0 && pool->size[0] < 4 && pool->size[1] > 0 && pool->size[1] < 4;
    const int32_t channels = sane ? 2 * pool->size[0] * pool->size[1] : 2;
    in = {reals({2, 3, 4, channels}), reals({3, 4}),
          longs({3}, {random.below(2), 0, random.below(9) == 0 ? random.number() : 1})};
    if (random.coin()) in.pop_back();
  }
  if (std::holds_alternative<GridSample>(op)) {
    Shape grid = random.shape(4);
    grid[0] = x.rank == 4 ? x[0] : 1;
    grid[3] = 2;
    in = {in[0], reals(grid)};
  }
  if (const auto* resize = std::get_if<Resize>(&op)) {
    in = {in[0]};
    if (resize->from == Resize::From::scales) in.push_back(floats({2}, {random.real(), 1.5f}));
    if (resize->from == Resize::From::sizes) in.push_back(longs({1}, {random.number()}));
  }
  if (std::holds_alternative<NonZero>(op)) in = {in[0]};
  if (std::holds_alternative<TopK>(op)) in = {in[0]};
  if (std::holds_alternative<CumSum>(op) && random.coin()) in = {in[0]};
  if (std::holds_alternative<Range>(op))
    in = {longs({}, {random.number()}), longs({}, {random.number()}), longs({}, {random.number()})};
}

}  // namespace

TEST_CASE("hostile operators are refused or computed, never worse") {
  std::vector<int> computed(std::variant_size_v<OpVariant>);
  for (uint32_t seed = 0; seed < 40000; ++seed) {
    Random random(seed);
    const int rank = random.below(3) == 0 ? random.below(kMaxRank + 1) : 4;
    const Op op = random.op(rank);
    std::vector<Value> in{random.value(rank)};
    const int more = random.below(3);
    for (int i = 0; i < more; ++i)
      in.push_back(random.value(random.coin() ? rank : random.below(kMaxRank + 1)));
    if (more > 0 && random.coin()) in[1] = in[0];
    if (random.coin()) mend(op, in, random);

    OneNode one(op, in);
    Status status = one.infer();
    if (status.ok() && one.y().shape.elements() <= 1 << 16) {
      status = fold_node(one.graph, one.graph.nodes[0]);
      if (status.ok()) ++computed[op.index()];
    }
    CAPTURE(seed);
    CAPTURE(text(status));
    const Code code = status.code();
    REQUIRE((code == Code::ok || code == Code::malformed || code == Code::unsupported ||
             code == Code::invalid_argument));
    if (!status.ok()) REQUIRE(status.message().starts_with("node"));
  }
  // Some of each made sense, or this test tests nothing.
  for (size_t i = 0; i < computed.size(); ++i) {
    CAPTURE(i);
    CHECK(computed[i] > 0);
  }
}
