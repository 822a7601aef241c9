// SPDX-License-Identifier: Apache-2.0
// Ties between channels, found node by node and joined in a forest.
#include "quant/channel_classes.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/int8_ops.h"

namespace firn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Forest {
 public:
  explicit Forest(size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), size_t{0}); }
  size_t root(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) { parent_[root(a)] = root(b); }

 private:
  std::vector<size_t> parent_;
};

class Ties {
 public:
  explicit Ties(const Graph& graph)
      : graph_(graph), first_(offsets(graph)), channels_(first_.back()), values_(first_.size()) {
    pinned_.resize(first_.back());
    clamp_.assign(first_.back(), kInfinity);
  }

  ChannelClasses run();

 private:
  static std::vector<size_t> offsets(const Graph& graph);
  size_t width(ValueId id) const { return first_[index(id) + 1] - first_[index(id)]; }
  bool scalable(ValueId id) const { return id != ValueId::none && width(id) > 0; }

  void pin(ValueId id) {
    if (!scalable(id)) return;
    for (size_t c = 0; c < width(id); ++c) pinned_[first_[index(id)] + c] = true;
  }
  void pin_all(const Node& node) {
    for (ValueId id : node.in) pin(id);
    for (ValueId id : node.out) pin(id);
  }
  // The channels of a from `a_at` on are those of b from `b_at` on, as many as given.
  void tie(ValueId a, size_t a_at, ValueId b, size_t b_at, size_t count) {
    for (size_t c = 0; c < count; ++c)
      channels_.join(first_[index(a)] + a_at + c, first_[index(b)] + b_at + c);
    values_.join(index(a), index(b));
  }
  bool tie(ValueId a, ValueId b) {
    if (!scalable(a) || !scalable(b) || width(a) != width(b)) return false;
    tie(a, 0, b, 0, width(a));
    return true;
  }
  // Of what the node gives. Only a clamp at 0 keeps its place.
  bool limit(const Node& node, Clamp clamp) {
    if ((clamp.lo != 0 && clamp.lo != -kInfinity) || !(clamp.hi > 0)) return false;
    const ValueId id = node.out[0];
    for (size_t c = 0; c < width(id); ++c) {
      float& least = clamp_[first_[index(id)] + c];
      least = std::min(least, clamp.hi);
    }
    return true;
  }
  int32_t innermost(ValueId id) const { return graph_.value(id).shape.rank - 1; }

  // Whether the node's channels are tied, or its weights take factors up.
  bool visit(const Node& node, const Conv2d& op) { return weighted(node, op.clamp); }
  bool visit(const Node& node, const Dense& op) { return weighted(node, op.clamp); }
  bool visit(const Node& node, const Unary& op);
  bool visit(const Node& node, const Binary& op);
  bool visit(const Node& node, const PRelu&) { return tie(node.in[0], node.out[0]); }
  bool visit(const Node& node, const Pool2d&) { return tie(node.in[0], node.out[0]); }
  bool visit(const Node& node, const Reduce& op);
  bool visit(const Node& node, const Concat& op);
  bool visit(const Node& node, const Slice& op);
  bool visit(const Node& node, const Pad& op);
  bool visit(const Node& node, const Reshape&) { return tie(node.in[0], node.out[0]); }
  bool visit(const Node& node, const Transpose& op) {
    return op.perm.back() == innermost(node.in[0]) && tie(node.in[0], node.out[0]);
  }
  bool visit(const Node& node, const Resize2d&) { return tie(node.in[0], node.out[0]); }
  template <typename AnyOp>
  bool visit(const Node&, const AnyOp&) {
    return false;
  }
  bool weighted(const Node& node, Clamp clamp);

  const Graph& graph_;
  const std::vector<size_t> first_;  // per value: of its channels among all
  Forest channels_, values_;
  std::vector<bool> pinned_;  // per channel
  std::vector<float> clamp_;
};

std::vector<size_t> Ties::offsets(const Graph& graph) {
  std::vector<size_t> first{0};
  for (const Value& value : graph.values) {
    const bool activation =
        value.constant == nullptr && value.type == DType::f32 && value.shape.rank > 0;
    const int32_t channels = activation ? value.shape[value.shape.rank - 1] : 0;
    first.push_back(first.back() + static_cast<size_t>(std::max(channels, 0)));
  }
  return first;
}

bool Ties::weighted(const Node& node, Clamp clamp) {
  return int8_form(graph_, node).kind == Int8Form::Kind::weighted && limit(node, clamp);
}

bool Ties::visit(const Node& node, const Unary& op) {
  using enum Unary::Kind;
  if (op.kind == leaky_relu || op.kind == abs || op.kind == neg)
    return tie(node.in[0], node.out[0]);
  return op.kind == clamp && limit(node, {op.alpha, op.beta}) && tie(node.in[0], node.out[0]);
}

bool Ties::visit(const Node& node, const Binary& op) {
  using enum Binary::Kind;
  const ValueId a = node.in[0], b = node.in[1], out = node.out[0];
  if (!limit(node, op.clamp)) return false;
  if (op.kind == add || op.kind == sub || op.kind == max || op.kind == min)
    return tie(a, out) && tie(b, out);
  if (op.kind == div) return graph_.is_constant(b) && tie(a, out);
  if (op.kind != mul) return false;
  // A product takes the factor of one operand, the larger: the other one is a gate.
  const bool a_is_larger =
      graph_.is_constant(b) || graph_.value(a).shape.elements() >= graph_.value(b).shape.elements();
  pin(a_is_larger ? b : a);
  return !graph_.is_constant(a_is_larger ? a : b) && tie(a_is_larger ? a : b, out);
}

bool Ties::visit(const Node& node, const Reduce& op) {
  using enum Reduce::Kind;
  const bool homogeneous = op.kind == mean || op.kind == sum || op.kind == max ||
                           op.kind == Reduce::Kind::min || op.kind == l1 || op.kind == l2;
  const bool within = !op.from_input && !op.axes.empty() &&
                      std::ranges::find(op.axes, innermost(node.in[0])) == op.axes.end();
  return homogeneous && within && tie(node.in[0], node.out[0]);
}

bool Ties::visit(const Node& node, const Concat& op) {
  const bool inner = op.axis == innermost(node.out[0]);
  size_t at = 0;
  for (ValueId id : node.in) {
    if (!scalable(id)) return false;
    tie(id, 0, node.out[0], inner ? at : 0, width(id));
    at += width(id);
  }
  return true;
}

bool Ties::visit(const Node& node, const Slice& op) {
  return !op.from_input && (op.step.empty() || op.step.back() == 1) && tie(node.in[0], node.out[0]);
}

bool Ties::visit(const Node& node, const Pad& op) {
  if (op.from_input || op.before.empty() || !scalable(node.in[0])) return false;
  const int32_t before = op.before.back(), after = op.after.back();
  const bool zeros = op.mode == Pad::Mode::constant && op.value == 0;
  if ((op.mode == Pad::Mode::constant && !zeros) || before < 0 || after < 0) return false;
  if (!zeros && (before != 0 || after != 0)) return false;
  tie(node.in[0], 0, node.out[0], static_cast<size_t>(before), width(node.in[0]));
  return true;
}

ChannelClasses Ties::run() {
  for (ValueId id : graph_.inputs) pin(id);
  for (ValueId id : graph_.outputs) pin(id);
  for (const Node& node : graph_.nodes) {
    const bool tied = std::visit([&](const auto& op) { return visit(node, op); }, node.op);
    if (!tied) pin_all(node);
  }
  std::vector<bool> fixed(pinned_.size());
  std::vector<float> clamp(pinned_.size(), kInfinity);
  for (size_t i = 0; i < pinned_.size(); ++i) {
    const size_t root = channels_.root(i);
    if (pinned_[i]) fixed[root] = true;
    clamp[root] = std::min(clamp[root], clamp_[i]);
  }
  ChannelClasses classes;
  std::vector<size_t> number(pinned_.size(), ChannelClasses::kNone);
  for (size_t v = 0; v < graph_.values.size(); ++v) {
    std::vector<size_t>& of = classes.of.emplace_back();
    for (size_t i = first_[v]; i < first_[v + 1]; ++i) {
      const size_t root = channels_.root(i);
      if (!fixed[root] && number[root] == ChannelClasses::kNone) {
        number[root] = classes.count++;
        classes.component.push_back(values_.root(v));
        classes.clamp.push_back(clamp[root]);
      }
      of.push_back(number[root]);
    }
  }
  return classes;
}

}  // namespace

ChannelClasses channel_classes(const Graph& graph) {
  return Ties(graph).run();
}

}  // namespace firn
