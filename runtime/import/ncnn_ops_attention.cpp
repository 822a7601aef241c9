// SPDX-License-Identifier: Apache-2.0
// Attention: with its projections, without them, and rotary position embeddings.
#include <cmath>
#include <limits>

#include "runtime/import/ncnn_int8.h"
#include "runtime/import/ncnn_ops.h"

namespace firn::ncnn {
namespace {

// A projection's weights as stored; scales of int8 ones come after all of them.
struct Projection {
  Value weights;
  ValueId bias = ValueId::none;
};

Result<Projection> read_projection(Context& c, std::string_view suffix, int32_t outputs,
                                   int32_t inputs) {
  Projection p;
  FIRN_ASSIGN(p.weights,
              c.tagged_value({outputs, inputs}, Spread::of_weights(static_cast<size_t>(inputs))));
  FIRN_ASSIGN(p.bias, c.weight(std::string(suffix) + "_bias", {outputs}, Spread::of_biases()));
  return p;
}

Result<ValueId> project(Context& c, std::string_view suffix, Projection p, int32_t scales,
                        bool int8, ValueId x) {
  if (int8) {
    const float made_up = 127 / Spread::of_weights(static_cast<size_t>(p.weights.shape[1])).hi;
    FIRN_ASSIGN(const std::vector<float> factors, c.weight_floats(scales, {made_up, made_up}));
    FIRN_ASSIGN(p.weights, dequantized(c, std::move(p.weights), factors));
  } else if (p.weights.type != DType::f32) {
    return c.malformed("its weights are int8, and it states no scales");
  }
  FIRN_ASSIGN(const ValueId w,
              c.add_constant(std::string(suffix) + "_weights", std::move(p.weights)));
  return c.emit(suffix, Dense{}, {x, w, p.bias});
}

// [1,T,heads*D] as [1,heads,T,D], or with keys the other way round [1,heads,D,T].
Result<ValueId> split_heads(Context& c, const std::string& suffix, ValueId x, int32_t heads,
                            bool keys) {
  FIRN_ASSIGN(const int32_t width, c.known_dim(x, 2));
  FIRN_ASSIGN(const ValueId split, c.reshape_blob(suffix + "_heads", x,
                                                  {TargetDim::copy(1), TargetDim::of(heads),
                                                   TargetDim::of(width / heads)}));
  return c.transpose(suffix + "_turned", split,
                     keys ? std::vector<int32_t>{0, 2, 3, 1} : std::vector<int32_t>{0, 2, 1, 3});
}

// softmax(q k + mask) v.
Result<ValueId> attend(Context& c, ValueId q, ValueId k, ValueId v, ValueId mask) {
  FIRN_ASSIGN(ValueId scores, c.emit("scores", MatMul{}, {q, k}));
  if (mask != ValueId::none) {
    FIRN_ASSIGN(scores, c.binary("masked", Binary::Kind::add, scores, mask));
  }
  FIRN_ASSIGN(const ValueId weights, c.emit("weights", Softmax{-1, false}, {scores}));
  return c.emit("values", MatMul{}, {weights, v});
}

Status multi_head_attention(Context& c) {
  FIRN_ASSIGN(const int32_t width, c.at_least(1, 0, "embed_dim", 0));
  FIRN_ASSIGN(const int32_t heads, c.at_least(1, 1, "the number of heads", 1));
  FIRN_ASSIGN(const int32_t size, c.at_least(1, 2, "the number of weights", 0));
  FIRN_ASSIGN(const int32_t key_width, c.at_least(1, 3, "kdim", width));
  FIRN_ASSIGN(const int32_t value_width, c.at_least(1, 4, "vdim", width));
  FIRN_ASSIGN(const bool has_mask, c.flag(5, false));
  FIRN_TRY(c.expect_param(7, "kv_cache", 0));
  FIRN_ASSIGN(const int32_t quantize_term, c.param(18, 0));
  if (width % heads != 0 || size % width != 0) {
    return c.malformed("embed_dim " + std::to_string(width) + " with " + std::to_string(heads) +
                       " heads and " + std::to_string(size) + " weights");
  }
  if (quantize_term < 0 || quantize_term > 3) {
    return c.unsupported("quantize_term " + std::to_string(quantize_term));
  }
  FIRN_ASSIGN(const float scale, c.param(6, 1 / std::sqrt(static_cast<float>(width / heads))));
  const int32_t query_width = size / width;
  const size_t blobs = c.input_count() - (has_mask ? 1 : 0);
  FIRN_TRY(c.expect_inputs(has_mask ? 2 : 1, has_mask ? 4 : 3));
  FIRN_ASSIGN(const ValueId query, c.input(0));
  FIRN_ASSIGN(const ValueId key, c.input(blobs > 1 ? 1 : 0));
  FIRN_ASSIGN(const ValueId value, c.input(blobs > 2 ? 2 : blobs > 1 ? 1 : 0));
  for (const ValueId x : {query, key, value}) FIRN_TRY(c.expect_dims(x, 2, 2));

  FIRN_ASSIGN(Projection for_q, read_projection(c, "q", width, query_width));
  FIRN_ASSIGN(Projection for_k, read_projection(c, "k", width, key_width));
  FIRN_ASSIGN(Projection for_v, read_projection(c, "v", width, value_width));
  FIRN_ASSIGN(Projection for_out, read_projection(c, "out", query_width, width));
  const bool int8 = quantize_term != 0;
  FIRN_ASSIGN(ValueId q, project(c, "q", std::move(for_q), width, int8, query));
  FIRN_ASSIGN(ValueId k, project(c, "k", std::move(for_k), width, int8, key));
  FIRN_ASSIGN(ValueId v, project(c, "v", std::move(for_v), width, int8, value));
  FIRN_ASSIGN(q, c.with_number("scaled", Binary::Kind::mul, q, scale));
  FIRN_ASSIGN(q, split_heads(c, "q", q, heads, false));
  FIRN_ASSIGN(k, split_heads(c, "k", k, heads, true));
  FIRN_ASSIGN(v, split_heads(c, "v", v, heads, false));
  ValueId mask = ValueId::none;
  if (has_mask) {
    FIRN_ASSIGN(mask, c.input(c.input_count() - 1));
  }
  FIRN_ASSIGN(const ValueId heads_out, attend(c, q, k, v, mask));
  FIRN_ASSIGN(const ValueId turned, c.transpose("turned", heads_out, {0, 2, 1, 3}));
  FIRN_ASSIGN(const ValueId joined,
              c.reshape_blob("joined", turned, {TargetDim::copy(1), TargetDim::of(width)}));
  return c.bind(project(c, "", std::move(for_out), 1, int8, joined));
}

// [1,heads,T,D] as [1,groups,heads/groups,T,D].
Result<ValueId> group_heads(Context& c, const std::string& suffix, ValueId x, int32_t groups,
                            int32_t each) {
  return c.reshape_blob(
      suffix, x,
      {TargetDim::of(groups), TargetDim::of(each), TargetDim::copy(2), TargetDim::copy(3)});
}

// Queries of some heads share the keys and values of a group. With a cache, what was there before
// goes in front, and the longer keys and values are outputs.
Status scaled_dot_product_attention(Context& c) {
  FIRN_ASSIGN(const bool has_mask, c.flag(5, false));
  FIRN_ASSIGN(float scale, c.param(6, 0.0f));
  FIRN_ASSIGN(const bool cached, c.flag(7, false));
  const size_t past = has_mask ? 4 : 3;
  FIRN_TRY(c.expect_inputs(past + (cached ? 2 : 0), past + (cached ? 2 : 0)));
  FIRN_ASSIGN(ValueId q, c.input(0));
  FIRN_ASSIGN(ValueId k, c.input(1));
  FIRN_ASSIGN(ValueId v, c.input(2));
  ValueId mask = ValueId::none;
  if (has_mask) {
    FIRN_ASSIGN(mask, c.input(3));
  }
  if (cached) {
    FIRN_ASSIGN(const ValueId past_k, c.input(past));
    FIRN_ASSIGN(const ValueId past_v, c.input(past + 1));
    FIRN_ASSIGN(k, c.emit("keys", Concat{2}, {past_k, k}));
    FIRN_ASSIGN(v, c.emit("all_values", Concat{2}, {past_v, v}));
    FIRN_TRY(c.bind(k, 1));
    FIRN_TRY(c.bind(v, 2));
  }
  for (const ValueId x : {q, k, v}) FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(const int32_t heads, c.known_dim(q, 1));
  FIRN_ASSIGN(const int32_t groups, c.known_dim(k, 1));
  FIRN_ASSIGN(const int32_t width, c.known_dim(q, 3));
  if (groups < 1 || heads % groups != 0) {
    return c.malformed(std::to_string(heads) + " heads in " + std::to_string(groups) + " groups");
  }
  if (scale == 0) scale = 1 / std::sqrt(static_cast<float>(width));
  FIRN_ASSIGN(q, c.with_number("scaled", Binary::Kind::mul, q, scale));
  const int32_t each = heads / groups;
  if (each == 1) {
    FIRN_ASSIGN(k, c.transpose("k_turned", k, {0, 1, 3, 2}));
    return c.bind(attend(c, q, k, v, mask));
  }
  FIRN_ASSIGN(q, group_heads(c, "q_groups", q, groups, each));
  FIRN_ASSIGN(k, group_heads(c, "k_groups", k, groups, 1));
  FIRN_ASSIGN(v, group_heads(c, "v_groups", v, groups, 1));
  FIRN_ASSIGN(k, c.transpose("k_turned", k, {0, 1, 2, 4, 3}));
  if (mask != ValueId::none && c.dims(mask) == 3 && c.shape(mask)[1] != 1) {
    FIRN_ASSIGN(mask, group_heads(c, "mask_groups", mask, groups, each));
  }
  FIRN_ASSIGN(const ValueId y, attend(c, q, k, v, mask));
  return c.bind(
      c.reshape_blob("", y, {TargetDim::of(heads), TargetDim::copy(3), TargetDim::copy(4)}));
}

// Pairs of elements, side by side or half a row apart, turned by an angle whose cosine and sine are
// given for each position.
Status rotary_embedding(Context& c) {
  FIRN_TRY(c.expect_inputs(3, 3));
  FIRN_ASSIGN(const ValueId x, c.input(0));
  FIRN_ASSIGN(const ValueId cosine, c.input(1));
  FIRN_ASSIGN(const ValueId sine, c.input(2));
  FIRN_ASSIGN(const bool interleaved, c.flag(0, false));
  FIRN_TRY(c.expect_dims(x, 3, 3));
  FIRN_ASSIGN(const int32_t width, c.known_dim(x, 3));
  const int32_t half = width / 2, edge = std::numeric_limits<int32_t>::max();
  const int32_t step = interleaved ? 2 : 1;
  FIRN_ASSIGN(const ValueId first, c.slice("first", x, 3, 0, interleaved ? edge : half, step));
  FIRN_ASSIGN(const ValueId second, c.slice("second", x, 3, interleaved ? 1 : half, edge, step));
  using Kind = Binary::Kind;
  FIRN_ASSIGN(const ValueId first_cos, c.binary("first_cos", Kind::mul, first, cosine));
  FIRN_ASSIGN(const ValueId second_sin, c.binary("second_sin", Kind::mul, second, sine));
  FIRN_ASSIGN(const ValueId first_sin, c.binary("first_sin", Kind::mul, first, sine));
  FIRN_ASSIGN(const ValueId second_cos, c.binary("second_cos", Kind::mul, second, cosine));
  FIRN_ASSIGN(ValueId one, c.binary("one", Kind::sub, first_cos, second_sin));
  FIRN_ASSIGN(ValueId two, c.binary("two", Kind::add, first_sin, second_cos));
  if (!interleaved) return c.bind(c.emit("", Concat{3}, {one, two}));
  const std::vector<TargetDim> column{TargetDim::copy(1), TargetDim::copy(2), TargetDim::of(half),
                                      TargetDim::of(1)};
  FIRN_ASSIGN(one, c.reshape_blob("one_column", one, column));
  FIRN_ASSIGN(two, c.reshape_blob("two_column", two, column));
  FIRN_ASSIGN(const ValueId pairs, c.emit("", Concat{4}, {one, two}));
  return c.bind(
      c.reshape_blob("row", pairs, {TargetDim::copy(1), TargetDim::copy(2), TargetDim::of(width)}));
}

constexpr Operator kOperators[] = {
    {"MultiHeadAttention", multi_head_attention},
    {"RotaryEmbed", rotary_embedding},
    {"SDPA", scaled_dot_product_attention},
};

}  // namespace

std::span<const Operator> attention_operators() {
  return kOperators;
}

}  // namespace firn::ncnn
