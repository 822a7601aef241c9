// SPDX-License-Identifier: Apache-2.0
// Reads expressions from their end: operands wait on a stack for the function in front of them, and
// what is left are the numbers of the list. Whole numbers stay whole, as they do in ncnn, until
// something makes fractions of them.
#include "runtime/import/ncnn_expression.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace firn::ncnn {
namespace {

struct Operand {
  bool whole = true;
  double value = 0;
};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> tokens;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("(),"), text.size());
    if (end > 0) tokens.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return tokens;
}

double round_to_float(double x) {
  return static_cast<double>(static_cast<float>(x));
}

using Function1 = double (*)(double);
using Function2 = double (*)(double, double);
// Of whole numbers as C divides, of others rounded down.
double quotient(double a, double b, bool whole) {
  return whole ? std::trunc(a / b) : std::floor(round_to_float(a / b));
}

template <typename F>
struct Named {
  std::string_view name;
  F function;
};

// Of whole numbers, a whole number.
constexpr Named<Function2> kArithmetic[] = {
    {"+", [](double a, double b) { return a + b; }},
    {"-", [](double a, double b) { return a - b; }},
    {"*", [](double a, double b) { return a * b; }},
    {"max", [](double a, double b) { return std::max(a, b); }},
    {"min", [](double a, double b) { return std::min(a, b); }},
};
constexpr Named<Function1> kSigns[] = {
    {"abs", [](double a) { return std::abs(a); }},
    {"neg", [](double a) { return -a; }},
    {"sign", [](double a) { return a > 0   ? 1.0
                                   : a < 0 ? -1.0
                                           : 0.0; }},
    {"square", [](double a) { return a * a; }},
};
// A whole number of anything.
constexpr Named<Function1> kRounding[] = {
    {"trunc", [](double a) { return std::trunc(a); }},
    {"ceil", [](double a) { return std::ceil(a); }},
    {"floor", [](double a) { return std::floor(a); }},
    {"round", [](double a) { return std::round(a); }},
};
// A fraction of anything.
constexpr Named<Function2> kFractions[] = {
    {"/", [](double a, double b) { return a / b; }},
    {"pow", [](double a, double b) { return std::pow(a, b); }},
    {"fmod", [](double a, double b) { return std::fmod(a, b); }},
};
constexpr Named<Function1> kRoots[] = {
    {"sqrt", [](double a) { return std::sqrt(a); }},
    {"rsqrt", [](double a) { return 1 / std::sqrt(a); }},
    {"reciprocal", [](double a) { return 1 / a; }},
    {"exp", [](double a) { return std::exp(a); }},
    {"log", [](double a) { return std::log(a); }},
};

template <typename F, size_t kCount>
F find(const Named<F> (&table)[kCount], std::string_view name) {
  const auto found = std::ranges::find(table, name, &Named<F>::name);
  return found == std::end(table) ? nullptr : found->function;
}

class Reader {
 public:
  Reader(const Context& c, std::string text) : c_(c), text_(std::move(text)) {}

  Result<std::vector<int32_t>> read() {
    const std::vector<std::string_view> tokens = split(text_);
    for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) FIRN_TRY(take(*token));
    std::vector<int32_t> sizes;
    for (auto operand = stack_.rbegin(); operand != stack_.rend(); ++operand) {
      const double size = std::trunc(operand->value);
      if (!(std::abs(size) <= std::numeric_limits<int32_t>::max()))
        return wrong("a size is " + std::to_string(size));
      sizes.push_back(static_cast<int32_t>(size));
    }
    if (sizes.empty()) return wrong("it has no numbers");
    return sizes;
  }

 private:
  Status wrong(const std::string& what) const {
    return c_.malformed("expression '" + text_ + "': " + what);
  }

  void push(bool whole, double value) {
    stack_.push_back({whole, whole ? value : round_to_float(value)});
  }

  Status take(std::string_view token) {
    const auto two = [&](Function2 f, Gives gives) {
      return apply(
          token, 2, [f](double a, double b, bool) { return f(a, b); }, gives);
    };
    const auto one = [&](Function1 f, Gives gives) {
      return apply(
          token, 1, [f](double a, double, bool) { return f(a); }, gives);
    };
    if (token == "//") return apply(token, 2, quotient, Gives::same);
    if (const auto f = find(kArithmetic, token)) return two(f, Gives::same);
    if (const auto f = find(kFractions, token)) return two(f, Gives::fraction);
    if (const auto f = find(kSigns, token)) return one(f, Gives::same);
    if (const auto f = find(kRounding, token)) return one(f, Gives::whole);
    if (const auto f = find(kRoots, token)) return one(f, Gives::fraction);
    return operand(token);
  }

  enum class Gives : uint8_t { same, whole, fraction };

  template <typename F>
  Status apply(std::string_view name, size_t count, F&& function, Gives gives) {
    if (stack_.size() < count) return wrong("'" + std::string(name) + "' lacks an operand");
    const Operand a = stack_.back();
    const Operand b = count == 2 ? stack_[stack_.size() - 2] : Operand{};
    stack_.resize(stack_.size() - count);
    const bool whole = a.whole && b.whole;
    const double y = function(a.value, b.value, whole);
    if (!std::isfinite(y)) return wrong("'" + std::string(name) + "' gives no number");
    push(gives == Gives::whole || (gives == Gives::same && whole), y);
    return {};
  }

  Status operand(std::string_view token) {
    const std::string_view sides = "whdc";
    if (token.size() == 2 && token[0] >= '0' && token[0] <= '9' &&
        sides.find(token[1]) != std::string_view::npos) {
      FIRN_ASSIGN(const ValueId x, c_.raw_input(static_cast<size_t>(token[0] - '0')));
      const int axis = axis_of(token[1], c_.dims(x));
      int32_t size = 1;  // a dimension that it lacks
      if (axis > 0) {
        FIRN_ASSIGN(size, c_.known_dim(x, axis));
      }
      push(true, size);
      return {};
    }
    double number = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), number);
    if (error != std::errc() || end != token.data() + token.size() || !std::isfinite(number))
      return c_.unsupported("expression '" + text_ + "' with '" + std::string(token) + "'");
    push(number == std::trunc(number), number);
    return {};
  }

  const Context& c_;
  std::string text_;
  std::vector<Operand> stack_;
};

}  // namespace

Result<std::vector<int32_t>> sizes_from(const Context& c, int id) {
  FIRN_ASSIGN(const std::string text, c.text(id));
  if (text.empty()) return std::vector<int32_t>{};
  return Reader(c, text).read();
}

}  // namespace firn::ncnn
