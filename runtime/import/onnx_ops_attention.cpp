// SPDX-License-Identifier: Apache-2.0
// Attention and rotary embeddings, made of matrix products, a softmax and element-wise arithmetic.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

using Kind = Binary::Kind;

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// [B, length, heads * size] as [B, heads, length, size].
Result<ValueId> split_heads(Context& c, std::string_view what, ValueId x, int64_t heads) {
  const int32_t hidden = c.shape(x)[2];
  if (hidden < 0) return c.unsupported("an open hidden size");
  if (heads < 1 || hidden % heads != 0) {
    return c.malformed(std::to_string(hidden) + " features in " + std::to_string(heads) + " heads");
  }
  FIRN_ASSIGN(x, c.reshape(std::string(what) + "_split", x,
                           {TargetDim::copy(0), TargetDim::copy(1), TargetDim::of(heads),
                            TargetDim::of(hidden / heads)}));
  return c.transpose(std::string(what) + "_heads", x, {0, 2, 1, 3});
}

struct Operands {
  ValueId q = ValueId::none, k = ValueId::none, v = ValueId::none;  // [B, heads, length, size]
  int64_t past = 0;  // how many of the keys come from the cache
  bool flat = false;
};

// Queries, keys and values by heads; those of the past in front.
Result<Operands> read_operands(Context& c) {
  Operands result;
  ValueId* const parts[] = {&result.q, &result.k, &result.v};
  FIRN_ASSIGN(const int64_t q_heads, c.attr("q_num_heads", int64_t{0}));
  FIRN_ASSIGN(const int64_t kv_heads, c.attr("kv_num_heads", int64_t{0}));
  int rank = 0;
  for (size_t i = 0; i < 3; ++i) {
    FIRN_ASSIGN(*parts[i], c.input(i));
    if (i == 0) rank = c.rank(*parts[i]);
    if (rank != c.rank(*parts[i]) || (rank != 3 && rank != 4)) {
      return c.malformed("queries, keys and values need the same rank, 3 or 4");
    }
    result.flat = rank == 3;
    if (!result.flat) continue;
    FIRN_ASSIGN(*parts[i], split_heads(c,
                                       i == 0   ? "q"
                                       : i == 1 ? "k"
                                                : "v",
                                       *parts[i], i == 0 ? q_heads : kv_heads));
  }
  if (c.has(4) != c.has(5)) return c.malformed("past_key and past_value come together");
  if (c.has(4)) {
    FIRN_ASSIGN(const ValueId past_key, c.input(4));
    FIRN_ASSIGN(const ValueId past_value, c.input(5));
    if (c.rank(past_key) != 4) return c.malformed("past_key is " + to_string(c.shape(past_key)));
    result.past = c.shape(past_key)[2];
    FIRN_ASSIGN(result.k, c.emit("present_key", Concat{2}, {past_key, result.k}));
    FIRN_ASSIGN(result.v, c.emit("present_value", Concat{2}, {past_value, result.v}));
  }
  if (c.wanted(1)) FIRN_TRY(c.bind(result.k, 1));
  if (c.wanted(2)) FIRN_TRY(c.bind(result.v, 2));
  return result;
}

// 0 where `allowed`, minus infinity elsewhere.
Result<ValueId> bias_of(Context& c, std::string_view suffix, ValueId allowed) {
  FIRN_ASSIGN(const ValueId open, c.scalar("open", DType::f32, 0));
  FIRN_ASSIGN(const ValueId closed, c.scalar("closed", DType::f32, kMasked));
  return c.emit(suffix, Where{}, {allowed, open, closed});
}

Result<ValueId> sum_of(Context& c, std::string_view suffix, ValueId a, ValueId b) {
  if (a == ValueId::none) return b;
  if (b == ValueId::none) return a;
  return c.binary(suffix, Kind::add, a, b);
}

// The mask input as a bias; the keys that a shorter one does not mention are masked.
Result<ValueId> mask_bias(Context& c, int32_t keys) {
  ValueId mask = c.optional_input(3);
  if (mask == ValueId::none) return mask;
  if (c.type(mask) == DType::boolean) {
    FIRN_ASSIGN(mask, bias_of(c, "mask", mask));
  }
  const int rank = c.rank(mask);
  if (rank < 1) return c.malformed("the mask is a scalar");
  const int32_t given = c.shape(mask)[rank - 1];
  if (given == keys) return mask;
  if (given < 0 || keys < 0) return c.unsupported("an open number of keys with a mask");
  if (given == 1 || given > keys) return mask;  // broadcasts, or is refused where it is added
  Pad pad;
  pad.value = kMasked;
  pad.before.assign(static_cast<size_t>(rank), 0);
  pad.after = pad.before;
  pad.after.back() = keys - given;
  return c.emit("padded_mask", std::move(pad), {mask});
}

// Numbers f(i, j) for queries i and keys j.
template <typename F>
Result<ValueId> grid(Context& c, std::string_view suffix, int32_t queries, int32_t keys, F f) {
  FIRN_ASSIGN(const size_t elements, checked_elements({queries, keys}));
  FIRN_TRY(c.allow(elements * sizeof(int64_t)));
  std::vector<int64_t> numbers;
  numbers.reserve(elements);
  for (int64_t i = 0; i < queries; ++i) {
    for (int64_t j = 0; j < keys; ++j) numbers.push_back(f(i, j));
  }
  return c.constant<int64_t>(suffix, {queries, keys}, numbers);
}

// Key j is open to query i up to j = i + past; with the lengths of each sample's valid keys, up to
// j = i + valid - queries, and below valid in any case.
Result<ValueId> position_bias(Context& c, bool causal, int32_t queries, int32_t keys,
                              int64_t past) {
  ValueId lengths = c.optional_input(6);
  if (!causal && lengths == ValueId::none) return ValueId::none;
  if (queries < 0 || keys < 0 || past < 0) {
    return c.unsupported("causal or padded attention over open lengths");
  }
  if (lengths == ValueId::none) {
    FIRN_ASSIGN(const ValueId ahead, grid(c, "ahead", queries, keys,
                                          [&](int64_t i, int64_t j) { return j - i - past; }));
    FIRN_ASSIGN(const ValueId one, c.scalar("one", DType::i64, 1));
    FIRN_ASSIGN(const ValueId allowed, c.binary("causal", Kind::less, ahead, one));
    return bias_of(c, "causal_bias", allowed);
  }
  if (c.rank(lengths) != 1) return c.malformed("nonpad_kv_seqlen is not a vector");
  if (c.has(4)) return c.malformed("nonpad_kv_seqlen with past_key");
  FIRN_ASSIGN(lengths, c.reshape("lengths", lengths,
                                 {TargetDim::copy(0), TargetDim::of(1), TargetDim::of(1),
                                  TargetDim::of(1)}));
  FIRN_ASSIGN(const ValueId key, grid(c, "key", 1, keys, [](int64_t, int64_t j) { return j; }));
  FIRN_ASSIGN(const ValueId valid, c.binary("valid", Kind::less, key, lengths));
  if (!causal) return bias_of(c, "valid_bias", valid);
  FIRN_ASSIGN(const ValueId needed, grid(c, "needed", queries, keys, [&](int64_t i, int64_t j) {
                return j - i + queries - 1;
              }));
  FIRN_ASSIGN(const ValueId before, c.binary("causal", Kind::less, needed, lengths));
  FIRN_ASSIGN(const ValueId allowed, c.binary("allowed", Kind::logical_and, valid, before));
  return bias_of(c, "causal_bias", allowed);
}

// a * b by heads; where b has fewer heads, each serves a run of a's.
Result<ValueId> product_by_heads(Context& c, std::string_view suffix, ValueId a, ValueId b) {
  const int32_t heads = c.shape(a)[1], fewer = c.shape(b)[1];
  if (heads == fewer) return c.emit(suffix, MatMul{}, {a, b});
  if (heads < 0 || fewer < 1 || heads % fewer != 0) {
    return c.malformed(std::to_string(heads) + " query heads, " + std::to_string(fewer) +
                       " key and value heads");
  }
  const std::string name(suffix);
  const auto copy = [](int axis) { return TargetDim::copy(axis); };
  FIRN_ASSIGN(a, c.reshape(name + "_runs", a,
                           {copy(0), TargetDim::of(fewer), TargetDim::of(heads / fewer), copy(2),
                            copy(3)}));
  FIRN_ASSIGN(b, c.reshape(name + "_shared", b,
                           {copy(0), TargetDim::of(fewer), TargetDim::of(1), copy(2), copy(3)}));
  FIRN_ASSIGN(const ValueId y, c.emit(suffix, MatMul{}, {a, b}));
  return c.reshape(name + "_heads", y, {copy(0), TargetDim::of(heads), copy(3), copy(4)});
}

// Rows that may look at no key at all give zeros, not the NaN of a softmax over nothing.
Result<ValueId> guarded(Context& c, ValueId weights, ValueId bias) {
  FIRN_ASSIGN(const ValueId best, c.reduce("best", Reduce::Kind::max, bias, {c.rank(bias) - 1}));
  FIRN_ASSIGN(const ValueId closed, c.scalar("closed", DType::f32, kMasked));
  FIRN_ASSIGN(const ValueId zero, c.scalar("zero", DType::f32, 0));
  FIRN_ASSIGN(const ValueId empty, c.binary("empty", Kind::equal, best, closed));
  return c.emit("guarded", Where{}, {empty, zero, weights});
}

Status attention(Context& c) {
  FIRN_ASSIGN(const Operands operands, read_operands(c));
  FIRN_ASSIGN(const int64_t causal, c.attr("is_causal", int64_t{0}));
  FIRN_ASSIGN(const int64_t output_mode, c.attr("qk_matmul_output_mode", int64_t{0}));
  FIRN_ASSIGN(const float softcap, c.attr("softcap", 0.0f));
  const int32_t size = c.shape(operands.q)[3];
  if (size < 1) return c.unsupported("a head of size " + std::to_string(size));
  FIRN_ASSIGN(const float scale, c.attr("scale", 1.0f / std::sqrt(static_cast<float>(size))));
  static_cast<void>(c.find("softmax_precision"));  // f32
  if (output_mode < 0 || output_mode > 3) {
    return c.malformed("qk_matmul_output_mode is " + std::to_string(output_mode));
  }
  const int32_t queries = c.shape(operands.q)[2], keys = c.shape(operands.k)[2];
  FIRN_ASSIGN(const ValueId mask, mask_bias(c, keys));
  FIRN_ASSIGN(const ValueId position, position_bias(c, causal != 0, queries, keys, operands.past));
  FIRN_ASSIGN(const ValueId bias, sum_of(c, "bias", mask, position));

  std::array<ValueId, 4> stages{};  // what a fourth output shows, by its mode
  FIRN_ASSIGN(const ValueId factor, c.scalar("scale", DType::f32, scale));
  FIRN_ASSIGN(const ValueId q, c.binary("scaled", Kind::mul, operands.q, factor));
  FIRN_ASSIGN(const ValueId keys_t, c.transpose("k_transposed", operands.k, {0, 1, 3, 2}));
  FIRN_ASSIGN(stages[0], product_by_heads(c, "scores", q, keys_t));
  stages[1] = stages[0];
  if (softcap > 0) {
    FIRN_ASSIGN(const ValueId cap, c.scalar("softcap", DType::f32, softcap));
    FIRN_ASSIGN(const ValueId part, c.binary("part", Kind::div, stages[0], cap));
    FIRN_ASSIGN(const ValueId capped, c.unary("capped", Unary::Kind::tanh, part));
    FIRN_ASSIGN(stages[1], c.binary("capped_scores", Kind::mul, capped, cap));
  }
  FIRN_ASSIGN(stages[2], sum_of(c, "biased", stages[1], bias));
  FIRN_ASSIGN(stages[3], c.emit("weights", Softmax{-1, false}, {stages[2]}));
  if (mask != ValueId::none || c.has(6)) {
    FIRN_ASSIGN(stages[3], guarded(c, stages[3], bias));
  }
  if (c.wanted(3)) FIRN_TRY(c.bind(stages[static_cast<size_t>(output_mode)], 3));
  FIRN_ASSIGN(ValueId y, product_by_heads(c, "", stages[3], operands.v));
  if (!operands.flat) return c.bind(y);
  FIRN_ASSIGN(y, c.transpose("joined", y, {0, 2, 1, 3}));
  return c.bind(c.reshape("flat", y, {TargetDim::copy(0), TargetDim::copy(1), TargetDim::rest()}));
}

// [B, length, pairs] of a cache, by position where positions are given, as [B, length, 1, pairs].
Result<ValueId> rotary_cache(Context& c, const char* what, size_t input, int32_t pairs) {
  FIRN_ASSIGN(ValueId cache, c.input(input));
  const ValueId positions = c.optional_input(3);
  if (positions != ValueId::none) {
    FIRN_ASSIGN(cache, c.emit(std::string(what) + "_at", Gather{0}, {cache, positions}));
  }
  if (c.rank(cache) != 3) return c.malformed("a cache of rank " + std::to_string(c.rank(cache)));
  if (c.shape(cache)[2] != pairs) {
    FIRN_ASSIGN(cache, c.slice(std::string(what) + "_part", cache, 2, 0, pairs));
  }
  return c.reshape(
      what, cache,
      {TargetDim::copy(0), TargetDim::copy(1), TargetDim::of(1), TargetDim::of(pairs)});
}

// Turns pairs of features by the angle of their position: the halves of the rotated part, or, where
// interleaved, neighbours.
Status rotary_embedding(Context& c) {
  FIRN_ASSIGN(const ValueId input, c.input(0));
  FIRN_ASSIGN(const int64_t interleaved, c.attr("interleaved", int64_t{0}));
  FIRN_ASSIGN(const int64_t heads, c.attr("num_heads", int64_t{0}));
  FIRN_ASSIGN(const int64_t stated, c.attr("rotary_embedding_dim", int64_t{0}));
  const bool flat = c.rank(input) == 3;
  if (!flat && c.rank(input) != 4)
    return c.malformed("an input of rank " + std::to_string(c.rank(input)));
  ValueId x = input;
  if (flat) {
    FIRN_ASSIGN(x, split_heads(c, "x", x, heads));
  }
  FIRN_ASSIGN(x, c.transpose("by_position", x, {0, 2, 1, 3}));  // [B, length, heads, size]
  const int32_t size = c.shape(x)[3];
  const int64_t rotated = stated == 0 ? size : stated;
  if (size < 0) return c.unsupported("an open head size");
  if (rotated < 2 || rotated > size || rotated % 2 != 0) {
    return c.malformed("rotates " + std::to_string(rotated) + " of " + std::to_string(size) +
                       " features");
  }
  const int32_t count = static_cast<int32_t>(rotated), pairs = count / 2;
  FIRN_ASSIGN(const ValueId cosine, rotary_cache(c, "cos", 1, pairs));
  FIRN_ASSIGN(const ValueId sine, rotary_cache(c, "sin", 2, pairs));
  const bool neighbours = interleaved != 0;
  FIRN_ASSIGN(const ValueId a,
              neighbours ? c.slice("a", x, 3, 0, count, 2) : c.slice("a", x, 3, 0, pairs));
  FIRN_ASSIGN(const ValueId b,
              neighbours ? c.slice("b", x, 3, 1, count, 2) : c.slice("b", x, 3, pairs, count));
  FIRN_ASSIGN(const ValueId a_cos, c.binary("a_cos", Kind::mul, a, cosine));
  FIRN_ASSIGN(const ValueId b_sin, c.binary("b_sin", Kind::mul, b, sine));
  FIRN_ASSIGN(const ValueId a_sin, c.binary("a_sin", Kind::mul, a, sine));
  FIRN_ASSIGN(const ValueId b_cos, c.binary("b_cos", Kind::mul, b, cosine));
  FIRN_ASSIGN(ValueId first, c.binary("first", Kind::sub, a_cos, b_sin));
  FIRN_ASSIGN(ValueId second, c.binary("second", Kind::add, a_sin, b_cos));
  const auto copy = [](int axis) { return TargetDim::copy(axis); };
  ValueId y = ValueId::none;
  if (neighbours) {
    const std::vector<TargetDim> column{copy(0), copy(1), copy(2), copy(3), TargetDim::of(1)};
    FIRN_ASSIGN(first, c.reshape("first_column", first, column));
    FIRN_ASSIGN(second, c.reshape("second_column", second, column));
    FIRN_ASSIGN(y, c.emit("", Concat{4}, {first, second}));
    FIRN_ASSIGN(y, c.reshape("woven", y, {copy(0), copy(1), copy(2), TargetDim::of(count)}));
  } else {
    FIRN_ASSIGN(y, c.emit("", Concat{3}, {first, second}));
  }
  if (count < size) {
    FIRN_ASSIGN(const ValueId rest, c.slice("rest", x, 3, count, size));
    FIRN_ASSIGN(y, c.emit("with_rest", Concat{3}, {y, rest}));
  }
  if (flat) {
    return c.bind(c.reshape("flat", y, {copy(0), copy(1), TargetDim::rest()}));
  }
  return c.bind(c.transpose("by_head", y, {0, 2, 1, 3}));
}

constexpr Operator kOperators[] = {
    {"Attention", attention},
    {"RotaryEmbedding", rotary_embedding},
};

}  // namespace

std::span<const Operator> attention_operators() {
  return kOperators;
}

}  // namespace firn::onnx
