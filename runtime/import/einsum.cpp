// SPDX-License-Identifier: Apache-2.0
// Einsum: sums over labels that end, and one batched matrix product for each further operand.
#include "runtime/import/einsum.h"

#include <algorithm>
#include <array>
#include <limits>

namespace firn::imports {
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

constexpr std::string_view kEllipsis = "...";

// The labels that an ellipsis stands for in a term of that many dimensions more than it has labels:
// from the end, so that shorter ones broadcast as NumPy's do. No other label is a digit.
Labels behind_ellipsis(size_t dims) {
  Labels labels;
  for (size_t d = dims; d > 0; --d) labels += static_cast<char>('0' + d);
  return labels;
}

// "ij,jk->ik" for inputs of those ranks; without an arrow the output has what an ellipsis stands
// for and every label that occurs once, in order.
Result<Equation> read_equation(const Emitter& c, std::string text, const std::vector<ValueId>& in) {
  std::erase(text, ' ');
  const std::string quoted = "equation '" + text + "'";
  const size_t arrow = text.find("->");
  Equation equation{{""}, ""};
  for (const char letter : text.substr(0, arrow)) {
    if (letter == ',')
      equation.in.emplace_back();
    else
      equation.in.back() += letter;
  }
  if (equation.in.size() != in.size())
    return c.malformed("equation with " + std::to_string(equation.in.size()) + " terms, inputs " +
                       std::to_string(in.size()));
  const auto is_letter = [](char l) { return (l >= 'a' && l <= 'z') || (l >= 'A' && l <= 'Z'); };
  Labels longest, all;
  for (size_t i = 0; i < in.size(); ++i) {
    Labels& labels = equation.in[i];
    const size_t rank = c.shape(in[i]).rank, at = labels.find(kEllipsis);
    const std::string term = labels;
    if (at != Labels::npos) labels.erase(at, kEllipsis.size());
    if (!std::ranges::all_of(labels, is_letter)) return c.malformed(quoted);
    if (at == Labels::npos ? labels.size() != rank : labels.size() > rank)
      return c.malformed("term '" + term + "' for an input " + to_string(c.shape(in[i])));
    all += labels;
    if (at == Labels::npos) continue;
    const Labels rest = behind_ellipsis(rank - labels.size());
    if (rest.size() > longest.size()) longest = rest;
    labels.insert(at, rest);
  }
  if (arrow == std::string::npos) {
    for (const char label : all)
      if (std::ranges::count(all, label) == 1) equation.out += label;
    std::ranges::sort(equation.out);
    equation.out.insert(0, longest);
    return equation;
  }
  equation.out = text.substr(arrow + 2);
  const size_t at = equation.out.find(kEllipsis);
  if (at != Labels::npos) equation.out.erase(at, kEllipsis.size());
  for (const char label : equation.out)
    if (!is_letter(label) || !has(all, label) || std::ranges::count(equation.out, label) > 1)
      return c.malformed(quoted);
  if (at != Labels::npos) equation.out.insert(at, longest);
  return equation;
}

// Sums over the labels that are not in `kept`.
Result<Term> summed(Emitter& c, std::string_view suffix, Term term, const Labels& kept) {
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

Result<Term> ordered(Emitter& c, std::string_view suffix, Term term, const Labels& order) {
  if (term.labels == order) return term;
  std::vector<int32_t> perm;
  for (const char label : order) perm.push_back(static_cast<int32_t>(term.labels.find(label)));
  FIRN_ASSIGN(term.id, c.transpose(suffix, term.id, std::move(perm)));
  term.labels = order;
  return term;
}

// One dimension in place of `group`, which starts at axis `first` of x.
Result<TargetDim> joined(const Emitter& c, ValueId x, size_t first, size_t count) {
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
Result<ValueId> grouped(Emitter& c, const std::string& suffix, Term term,
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
Result<Term> product(Emitter& c, const std::string& suffix, Term a, Term b, const Labels& kept) {
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

// Elements whose indices of a label that occurs twice are the same: every n + 1st of the n * n.
Result<Term> diagonals(Emitter& c, const std::string& suffix, Term term) {
  for (size_t d = 0; d < term.labels.size(); ++d) {
    const char label = term.labels[d];
    if (std::ranges::count(term.labels, label) < 2) continue;
    const size_t other = term.labels.find(label, d + 1);
    const int32_t n = c.shape(term.id)[static_cast<int>(d)];
    if (n < 0 || c.shape(term.id)[static_cast<int>(other)] != n)
      return c.unsupported("a diagonal of " + to_string(c.shape(term.id)));
    std::vector<int32_t> perm;
    std::vector<TargetDim> to;
    Labels rest;
    for (size_t axis = 0; axis < term.labels.size(); ++axis) {
      if (axis == d || axis == other) continue;
      to.push_back(TargetDim::copy(static_cast<int>(perm.size())));
      perm.push_back(static_cast<int32_t>(axis));
      rest += term.labels[axis];
    }
    perm.insert(perm.end(), {static_cast<int32_t>(d), static_cast<int32_t>(other)});
    to.push_back(TargetDim::of(int64_t{n} * n));
    const std::string name = suffix + "_diagonal" + std::to_string(d);
    FIRN_ASSIGN(const ValueId turned, c.transpose(name + "_last", term.id, std::move(perm)));
    FIRN_ASSIGN(const ValueId flat, c.reshape(name + "_flat", turned, to));
    FIRN_ASSIGN(term.id, c.slice(name, flat, static_cast<int32_t>(rest.size()), 0,
                                 std::numeric_limits<int32_t>::max(), n + 1));
    term.labels = rest + label;
    d = static_cast<size_t>(-1);  // from the start: labels have moved
  }
  return term;
}

}  // namespace

Result<ValueId> einsum(Emitter& c, const std::string& text, const std::vector<ValueId>& in) {
  FIRN_ASSIGN(const Equation equation, read_equation(c, text, in));
  std::vector<Term> terms;
  for (size_t i = 0; i < in.size(); ++i) {
    FIRN_ASSIGN(const Term term, diagonals(c, "term" + std::to_string(i), {in[i], equation.in[i]}));
    terms.push_back(term);
  }
  Term y = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    Labels kept = equation.out;
    for (size_t later = i + 1; later < terms.size(); ++later) kept += terms[later].labels;
    FIRN_ASSIGN(y, product(c, "product" + std::to_string(i), y, terms[i], kept));
  }
  FIRN_ASSIGN(y, summed(c, "sum", y, equation.out));
  FIRN_ASSIGN(y, ordered(c, "order", y, equation.out));
  return y.id;
}

}  // namespace firn::imports
