// SPDX-License-Identifier: Apache-2.0
// Products of matrices: fully connected layers, general products, embeddings.
#include <algorithm>

#include "runtime/import/einsum.h"
#include "runtime/import/ncnn_int8.h"
#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_window.h"

namespace firn::ncnn {
namespace {

// Rows of a matrix one by one, or all of a blob as one row.
Result<ValueId> as_rows(Context& c, ValueId x, int32_t inputs) {
  if (c.dims(x) == 2 && c.shape(x)[2] == inputs) return x;
  if (c.dims(x) == 1) return x;
  return c.emit("flat", Reshape{{0, -1}, false}, {x}, c.builder.value(x).quant);
}

Status inner_product(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(const int32_t outputs, c.at_least(1, 0, "the number of outputs", 0));
  FIRN_ASSIGN(const bool has_bias, c.flag(1, false));
  FIRN_ASSIGN(const int32_t size, c.at_least(1, 2, "the number of weights", 0));
  FIRN_ASSIGN(const Activation activation, read_activation(c));
  if (size % outputs != 0) {
    return c.malformed(std::to_string(size) + " weights for " + std::to_string(outputs) +
                       " outputs");
  }
  const int32_t inputs = size / outputs;
  const auto sum = static_cast<size_t>(inputs);
  FIRN_ASSIGN(Value weights, c.tagged_value({outputs, inputs}, Spread::of_weights(sum)));
  ValueId w = ValueId::none, bias = ValueId::none;
  if (has_bias) {
    FIRN_ASSIGN(bias, c.weight("bias", {outputs}, Spread::of_biases()));
  }
  FIRN_ASSIGN(const std::optional<Int8Scales> int8,
              read_int8_scales(c, {.channels = outputs, .top = false, .inputs = sum}));
  ValueId x = ValueId::none;
  if (int8) {
    FIRN_ASSIGN(const Int8Operands quantized,
                quantize_operands(c, std::move(weights), bias, {}, *int8));
    w = quantized.weights;
    bias = quantized.bias;
    FIRN_ASSIGN(const ValueId given, c.raw_input());
    FIRN_ASSIGN(const ValueId rows, as_rows(c, given, inputs));
    FIRN_ASSIGN(x, quantize_input(c, rows, int8->bottom));
  } else {
    if (weights.type != DType::f32) {
      return c.malformed("its weights are int8, and it states no scales");
    }
    FIRN_ASSIGN(w, c.add_constant("weights", std::move(weights)));
    FIRN_ASSIGN(const ValueId given, c.input());
    FIRN_ASSIGN(x, as_rows(c, given, inputs));
  }
  FIRN_ASSIGN(const ValueId y, c.emit("", Dense{activation.clamp()}, {x, w, bias}));
  return c.bind(activate(c, y, activation));
}

// What the parameters of a Gemm say.
struct GemmParams {
  bool transpose_a = false, transpose_b = false;
  bool constant_a = false, constant_b = false, constant_c = false;
  int32_t m = 0, n = 0, k = 0;
  bool int8 = false;
};

Result<GemmParams> read_gemm(const Context& c) {
  GemmParams p;
  FIRN_ASSIGN(p.transpose_a, c.flag(2, false));
  FIRN_ASSIGN(p.transpose_b, c.flag(3, false));
  FIRN_ASSIGN(p.constant_a, c.flag(4, false));
  FIRN_ASSIGN(p.constant_b, c.flag(5, false));
  FIRN_ASSIGN(p.constant_c, c.flag(6, false));
  FIRN_ASSIGN(p.m, c.at_least(p.constant_a ? 1 : 0, 7, "M", 0));
  FIRN_ASSIGN(p.n, c.at_least(p.constant_b ? 1 : 0, 8, "N", 0));
  FIRN_ASSIGN(p.k, c.at_least(p.constant_a || p.constant_b ? 1 : 0, 9, "K", 0));
  FIRN_ASSIGN(const int32_t quantize_term, c.param(18, 0));
  // Larger terms name formats of 4 to 8 bits in blocks.
  if (quantize_term < 0 || quantize_term > 3) {
    return c.unsupported("quantize_term " + std::to_string(quantize_term));
  }
  p.int8 = quantize_term != 0;
  return p;
}

struct GemmOperands {
  ValueId a = ValueId::none, b = ValueId::none, c = ValueId::none;  // [1,M,K] [N,K] or [1,K,N]
  bool b_is_filter = false;                                         // [N,K], constant
};

// A matrix that another layer computes, also as rows in channels, [1,rows,columns].
Result<ValueId> as_matrix(Context& c, std::string_view suffix, ValueId x, bool transposed) {
  if (c.dims(x) == 3) {
    FIRN_ASSIGN(x, c.reshape_blob(suffix, x, {TargetDim::copy(1), TargetDim::copy(3)}));
  } else if (c.dims(x) == 1) {
    FIRN_ASSIGN(x, c.reshape_blob(suffix, x, {TargetDim::of(1), TargetDim::copy(1)}));
  }
  FIRN_TRY(c.expect_dims(x, 2, 2));
  if (!transposed) return x;
  return c.transpose(std::string(suffix) + "_turned", x, {0, 2, 1});
}

// The constant C as it broadcasts to [M,N].
Result<ValueId> constant_c(Context& c, const GemmParams& p) {
  FIRN_ASSIGN(const int32_t kind, c.param(10, 0));
  if (kind == -1) return ValueId::none;
  const bool rows = kind == 1 || kind == 2 || kind == 3, columns = kind == 3 || kind == 4;
  if (kind < -1 || kind > 4 || (rows && p.m < 1) || (columns && p.n < 1)) {
    return c.malformed("C broadcasts as " + std::to_string(kind) + ", M is " + std::to_string(p.m) +
                       " and N " + std::to_string(p.n));
  }
  if (kind == 4) return c.tagged_weight("c", {p.n}, Spread::of_biases());
  return c.tagged_weight("c", {rows ? p.m : 1, columns ? p.n : 1}, Spread::of_biases());
}

// A computed C: a vector of M runs along the rows unless N is as long.
Result<ValueId> computed_c(Context& c, ValueId x, int32_t m, int32_t n) {
  if (c.dims(x) != 1) return as_matrix(c, "c", x, false);
  const int32_t length = c.shape(x)[1];
  if (length == m && length != n && length != 1) {
    return c.reshape_blob("c", x, {TargetDim::copy(1), TargetDim::of(1)});
  }
  return x;
}

// Weights come in the order A, B, C, and then the scales of those that are int8.
Result<GemmOperands> gemm_operands(Context& c, const GemmParams& p) {
  GemmOperands o;
  Value a, b;
  const auto spread = Spread::of_weights(static_cast<size_t>(p.k));
  if (p.constant_a) {
    FIRN_ASSIGN(a, c.tagged_value(p.transpose_a ? Shape{p.k, p.m} : Shape{p.m, p.k}, spread));
  }
  if (p.constant_b) {
    FIRN_ASSIGN(b, c.tagged_value(p.transpose_b ? Shape{p.n, p.k} : Shape{p.k, p.n}, spread));
  }
  if (p.constant_c) {
    FIRN_ASSIGN(o.c, constant_c(c, p));
  }
  const float made_up = 127 / spread.hi;
  std::vector<float> a_scales{1}, b_scales{1};
  if (p.int8 && p.constant_a) {
    FIRN_ASSIGN(a_scales, c.weight_floats(p.m, {made_up, made_up}));
  }
  if (p.int8 && p.constant_b) {
    FIRN_ASSIGN(b_scales, c.weight_floats(1, {made_up, made_up}));
  }
  if (!p.int8 && (a.type != DType::f32 || b.type != DType::f32)) {
    return c.malformed("its weights are int8, and it states no scales");
  }
  size_t next = 0;
  if (p.constant_a) {
    if (a.type != DType::f32 && p.transpose_a) return c.unsupported("a transposed int8 A");
    FIRN_ASSIGN(a, dequantized(c, std::move(a), a_scales));
    FIRN_ASSIGN(const ValueId stored, c.add_constant("a", std::move(a)));
    FIRN_ASSIGN(o.a, c.as_blob("rows", stored, {TargetDim::copy(0), TargetDim::copy(1)}));
    if (p.transpose_a) {
      FIRN_ASSIGN(o.a, c.transpose("a_turned", o.a, {0, 2, 1}));
    }
  } else {
    FIRN_ASSIGN(const ValueId x, c.input(next++));
    FIRN_ASSIGN(o.a, as_matrix(c, "a", x, p.transpose_a));
  }
  if (p.constant_b) {
    FIRN_ASSIGN(b, dequantized(c, std::move(b), b_scales));
    FIRN_ASSIGN(o.b, c.add_constant("b", std::move(b)));
    if (!p.transpose_b) {
      FIRN_ASSIGN(o.b, c.transpose("b_turned", o.b, {1, 0}));
    }
    o.b_is_filter = true;
  } else {
    FIRN_ASSIGN(const ValueId x, c.input(next++));
    FIRN_ASSIGN(o.b, as_matrix(c, "b", x, p.transpose_b));
  }
  if (!p.constant_c && next < c.input_count()) {
    const int32_t n = o.b_is_filter ? c.shape(o.b)[0] : c.shape(o.b)[2];
    FIRN_ASSIGN(const ValueId x, c.input(next));
    FIRN_ASSIGN(o.c, computed_c(c, x, c.shape(o.a)[1], n));
  }
  return o;
}

// alpha (A B + beta C), perhaps transposed, perhaps with the rows as channels.
Status gemm(Context& c) {
  FIRN_ASSIGN(const float alpha, c.param(0, 1.0f));
  FIRN_ASSIGN(const float beta, c.param(1, 1.0f));
  FIRN_ASSIGN(const bool rows_in_channels, c.flag(11, false));
  FIRN_ASSIGN(const bool turned, c.flag(14, false));
  FIRN_ASSIGN(const GemmParams params, read_gemm(c));
  FIRN_ASSIGN(GemmOperands o, gemm_operands(c, params));
  if (o.c != ValueId::none && beta != 1) {
    FIRN_ASSIGN(o.c, c.with_number("beta", Binary::Kind::mul, o.c, beta));
  }
  // A constant vector of N is a bias.
  const bool is_bias = o.b_is_filter && o.c != ValueId::none && c.builder.is_constant(o.c) &&
                       c.rank(o.c) == 1 && c.shape(o.c)[0] == c.shape(o.b)[0];
  ValueId y = ValueId::none;
  if (o.b_is_filter) {
    FIRN_ASSIGN(y, c.emit("", Dense{}, {o.a, o.b, is_bias ? o.c : ValueId::none}));
  } else {
    FIRN_ASSIGN(y, c.emit("", MatMul{}, {o.a, o.b}));
  }
  if (o.c != ValueId::none && !is_bias) {
    FIRN_ASSIGN(y, c.binary("add", Binary::Kind::add, y, o.c));
  }
  if (alpha != 1) {
    FIRN_ASSIGN(y, c.with_number("alpha", Binary::Kind::mul, y, alpha));
  }
  if (turned) {
    FIRN_ASSIGN(y, c.transpose("turned", y, {0, 2, 1}));
  }
  if (!rows_in_channels) return c.bind(y);
  return c.bind(
      c.reshape_blob("channels", y, {TargetDim::copy(1), TargetDim::of(1), TargetDim::copy(2)}));
}

// As NumPy's matmul: a vector is a row on the left and a column on the right.
Status mat_mul(Context& c) {
  FIRN_TRY(c.expect_inputs(2, 2));
  FIRN_ASSIGN(ValueId a, c.input(0));
  FIRN_ASSIGN(ValueId b, c.input(1));
  FIRN_ASSIGN(const bool turned, c.flag(0, false));
  const bool row = c.dims(a) == 1, column = c.dims(b) == 1;
  if (row) {
    FIRN_ASSIGN(a, c.reshape_blob("row", a, {TargetDim::of(1), TargetDim::copy(1)}));
  }
  if (column) {
    FIRN_ASSIGN(b, c.reshape_blob("column", b, {TargetDim::copy(1), TargetDim::of(1)}));
  } else if (turned) {
    std::vector<int32_t> perm;
    for (int32_t d = 0; d < c.rank(b); ++d) perm.push_back(d);
    std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
    FIRN_ASSIGN(b, c.transpose("turned", b, perm));
  }
  // The batch of 1 stays in front where one side has more dimensions.
  for (ValueId* side : {&a, &b}) {
    const int missing = std::max(c.dims(a), c.dims(b)) - c.dims(*side);
    if (missing == 0) continue;
    std::vector<TargetDim> to(static_cast<size_t>(missing), TargetDim::of(1));
    for (int d = 1; d < c.rank(*side); ++d) to.push_back(TargetDim::copy(d));
    FIRN_ASSIGN(*side, c.reshape_blob("batch", *side, to));
  }
  FIRN_ASSIGN(ValueId y, c.emit("", MatMul{}, {a, b}));
  if (!row && !column) return c.bind(y);
  std::vector<TargetDim> to;
  const int last = c.rank(y) - 1;
  for (int d = 1; d <= last; ++d) {
    const bool dropped = (row && d == last - 1) || (column && d == last);
    if (!dropped) to.push_back(TargetDim::copy(d));
  }
  if (to.empty()) to.push_back(TargetDim::of(1));
  return c.bind(c.reshape_blob("vector", y, to));
}

// A row of the table for each word.
Status embed(Context& c) {
  FIRN_TRY(c.expect_inputs(1, 1));
  FIRN_ASSIGN(ValueId words, c.input());
  FIRN_TRY(c.expect_dims(words, 1, 1));
  FIRN_ASSIGN(const int32_t width, c.at_least(1, 0, "the number of outputs", 0));
  FIRN_ASSIGN(const int32_t rows, c.at_least(1, 1, "the number of words", 0));
  FIRN_ASSIGN(const bool has_bias, c.flag(2, false));
  FIRN_ASSIGN(const int32_t size, c.param(3, 0));
  FIRN_ASSIGN(const bool int8, c.flag(18, false));
  if (size != int64_t{width} * rows) {
    return c.malformed(std::to_string(size) + " weights for " + std::to_string(rows) +
                       " words of " + std::to_string(width));
  }
  FIRN_ASSIGN(Value table, c.tagged_value({rows, width}, {-1, 1}));
  ValueId bias = ValueId::none;
  if (has_bias) {
    FIRN_ASSIGN(bias, c.weight("bias", {width}, Spread::of_biases()));
  }
  if (int8) {
    FIRN_ASSIGN(const std::vector<float> scale, c.weight_floats(1, {127, 127}));
    FIRN_ASSIGN(table, dequantized(c, std::move(table), scale));
  } else if (table.type != DType::f32) {
    return c.malformed("its weights are int8, and it states no scales");
  }
  FIRN_ASSIGN(const ValueId weights, c.add_constant("table", std::move(table)));
  if (c.type(words) == DType::f32) {
    FIRN_ASSIGN(words, c.convert("words", words, DType::i32));
  }
  FIRN_ASSIGN(const ValueId y, c.emit("", Gather{0}, {weights, words}));
  if (bias == ValueId::none) return c.bind(y);
  return c.bind(c.binary("add", Binary::Kind::add, y, bias));
}

// Its equation is a list of letters, for dimensions of blobs; "ii" is the trace.
Status einsum(Context& c) {
  FIRN_ASSIGN(const std::vector<int32_t> letters, c.ints(0));
  std::string equation;
  for (const int32_t letter : letters) {
    if (letter < 32 || letter > 126) {
      return c.malformed("its equation has the letter " + std::to_string(letter));
    }
    equation += static_cast<char>(letter);
  }
  std::vector<ValueId> in;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FIRN_ASSIGN(const ValueId x, c.input(i));
    std::vector<TargetDim> to;
    for (int d = 1; d < c.rank(x); ++d) to.push_back(TargetDim::copy(d));
    FIRN_ASSIGN(const ValueId plain, c.reshape("input" + std::to_string(i), x, to));
    in.push_back(plain);
  }
  if (in.empty()) return c.malformed("it has no inputs");
  FIRN_ASSIGN(const ValueId y, imports::einsum(c, equation, in));
  std::vector<TargetDim> to;
  for (int d = 0; d < c.rank(y); ++d) to.push_back(TargetDim::copy(d));
  if (to.empty()) to.push_back(TargetDim::of(1));
  return c.bind(c.as_blob("", y, to));
}

constexpr Operator kOperators[] = {
    {"Einsum", einsum},  {"Embed", embed}, {"Gemm", gemm}, {"InnerProduct", inner_product},
    {"MatMul", mat_mul},
};

}  // namespace

std::span<const Operator> matrix_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
