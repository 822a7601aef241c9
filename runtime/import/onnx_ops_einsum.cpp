// SPDX-License-Identifier: Apache-2.0
// Einsum: sums over labels that end, and one batched matrix product for each further operand.
#include <algorithm>
#include <string>
#include <vector>

#include "runtime/import/onnx_ops.h"

namespace firn::onnx {
namespace {

using Labels = std::string;  // one letter a dimension

bool has(const Labels& labels, char label) {
  return labels.find(label) != Labels::npos;
}

// A tensor and what its dimensions are called.
struct Term {
  ValueId id = ValueId::none;
  Labels labels;
};

struct Equation {
  std::vector<Labels> in;
  Labels out;
};

// "ij,jk->ik"; without an arrow the output has every label that occurs once, in order.
Result<Equation> read_equation(Context& c) {
  FIRN_ASSIGN(std::string text, c.attr("equation", ""));
  std::erase(text, ' ');
  if (text.find('.') != std::string::npos)
    return c.unsupported("equation '" + text + "' with an ellipsis");
  const size_t arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  Equation equation{{""}, ""};
  for (const char letter : left) {
    if (letter == ',')
      equation.in.emplace_back();
    else
      equation.in.back() += letter;
  }
  if (arrow != std::string::npos) {
    equation.out = text.substr(arrow + 2);
  } else {
    for (const char label : left)
      if (label != ',' && std::ranges::count(left, label) == 1) equation.out += label;
    std::ranges::sort(equation.out);
  }
  const auto is_letter = [](char l) { return (l >= 'a' && l <= 'z') || (l >= 'A' && l <= 'Z'); };
  std::vector<Labels> all = equation.in;
  all.push_back(equation.out);
  for (const Labels& labels : all) {
    if (!std::ranges::all_of(labels, is_letter)) return c.malformed("equation '" + text + "'");
    for (const char label : labels)
      if (std::ranges::count(labels, label) > 1)
        return c.unsupported("equation '" + text + "' with a label twice in one term");
  }
  for (const char label : equation.out)
    if (!has(left, label)) return c.malformed("equation '" + text + "'");
  return equation;
}

// Sums over the labels that are not in `kept`.
Result<Term> summed(Context& c, std::string_view suffix, Term term, const Labels& kept) {
  std::vector<int32_t> axes;
  Labels rest;
  for (size_t d = 0; d < term.labels.size(); ++d) {
    if (has(kept, term.labels[d]))
      rest += term.labels[d];
    else
      axes.push_back(static_cast<int32_t>(d));
  }
  if (axes.empty()) return term;
  FIRN_ASSIGN(term.id, c.reduce(suffix, Reduce::Kind::sum, term.id, std::move(axes), false));
  term.labels = rest;
  return term;
}

Result<Term> ordered(Context& c, std::string_view suffix, Term term, const Labels& order) {
  if (term.labels == order) return term;
  std::vector<int32_t> perm;
  for (const char label : order) perm.push_back(static_cast<int32_t>(term.labels.find(label)));
  FIRN_ASSIGN(term.id, c.transpose(suffix, term.id, std::move(perm)));
  term.labels = order;
  return term;
}

// One dimension in place of `group`, which starts at axis `first` of x.
Result<TargetDim> joined(const Context& c, ValueId x, size_t first, size_t count) {
  if (count == 1) return TargetDim::copy(static_cast<int>(first));
  int64_t product = 1;
  for (size_t d = first; d < first + count; ++d) {
    const int32_t dim = c.shape(x)[static_cast<int>(d)];
    if (dim < 0) return c.unsupported("open dimensions: " + to_string(c.shape(x)));
    product *= dim;
    if (product > INT32_MAX) return c.malformed("a product of dimensions is too large");
  }
  return TargetDim::of(product);
}

// The labels in three groups, each as one dimension.
Result<ValueId> grouped(Context& c, const std::string& suffix, Term term,
                        const std::array<Labels, 3>& groups) {
  FIRN_ASSIGN(term, ordered(c, suffix + "_order", term, groups[0] + groups[1] + groups[2]));
  std::vector<TargetDim> to;
  size_t first = 0;
  for (const Labels& group : groups) {
    FIRN_ASSIGN(const TargetDim dim, joined(c, term.id, first, group.size()));
    to.push_back(dim);
    first += group.size();
  }
  return c.reshape(suffix, term.id, to);
}

// The product of two terms, summed over what is not in `kept`.
Result<Term> product(Context& c, const std::string& suffix, Term a, Term b, const Labels& kept) {
  FIRN_ASSIGN(a, summed(c, suffix + "_left_sum", a, kept + b.labels));
  FIRN_ASSIGN(b, summed(c, suffix + "_right_sum", b, kept + a.labels));
  Labels batch, inner, rows, columns;
  for (const char label : a.labels) {
    if (!has(b.labels, label))
      rows += label;
    else
      (has(kept, label) ? batch : inner) += label;
  }
  for (const char label : b.labels)
    if (!has(a.labels, label)) columns += label;
  FIRN_ASSIGN(const ValueId left, grouped(c, suffix + "_left", a, {batch, rows, inner}));
  FIRN_ASSIGN(const ValueId right, grouped(c, suffix + "_right", b, {batch, inner, columns}));
  FIRN_ASSIGN(const ValueId y, c.emit(suffix, MatMul{}, {left, right}));
  Term result{y, batch + rows + columns};
  std::vector<TargetDim> to;
  const std::array<Labels, 3> groups{batch, rows, columns};
  for (size_t g = 0; g < groups.size(); ++g)
    for (const char label : groups[g]) {
      const Term& from = has(a.labels, label) ? a : b;
      const int32_t dim = c.shape(from.id)[static_cast<int>(from.labels.find(label))];
      to.push_back(dim < 0 ? TargetDim::copy(static_cast<int>(g)) : TargetDim::of(dim));
    }
  FIRN_ASSIGN(result.id, c.reshape(suffix + "_split", y, to));
  return result;
}

Status einsum(Context& c) {
  FIRN_ASSIGN(const Equation equation, read_equation(c));
  std::vector<Term> terms;
  if (equation.in.size() != c.input_count())
    return c.malformed("equation with " + std::to_string(equation.in.size()) + " terms, inputs " +
                       std::to_string(c.input_count()));
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId id, c.input(i));
    terms.push_back({id, equation.in[i]});
    if (equation.in[i].size() != c.shape(id).rank)
      return c.malformed("term '" + equation.in[i] + "' for an input " + to_string(c.shape(id)));
  }
  Term y = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    Labels kept = equation.out;
    for (size_t later = i + 1; later < terms.size(); ++later) kept += terms[later].labels;
    FIRN_ASSIGN(y, product(c, "product" + std::to_string(i), y, terms[i], kept));
  }
  FIRN_ASSIGN(y, summed(c, "sum", y, equation.out));
  FIRN_ASSIGN(y, ordered(c, "order", y, equation.out));
  return c.bind(y.id);
}

constexpr Operator kOperators[] = {{"Einsum", einsum}};

}  // namespace

std::span<const Operator> einsum_operators() {
  return kOperators;
}

}  // namespace firn::onnx
