// SPDX-License-Identifier: Apache-2.0
// Casts between plain types, and the unsigned bytes at the edges of a network.
#include <algorithm>
#include <limits>

#include "runtime/lower/lower.h"

namespace firn {
namespace {

// Booleans are bytes that are 0 or not.
struct Boolean {
  uint8_t byte;
};

template <typename T>
T number(T x) {
  return x;
}
int32_t number(Boolean x) {
  return x.byte != 0;
}

// As the reference has it: floats saturate and lose their fraction, NaN gives 0; integers wrap.
template <typename To, typename From>
To cast(From x) {
  if constexpr (std::is_same_v<To, Boolean>) {
    return {static_cast<uint8_t>(x != From{0})};
  } else if constexpr (std::is_same_v<From, float> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    constexpr float kEnd = 2.0f * static_cast<float>(uint64_t{1} << (Limits::digits - 1));
    if (x != x) return 0;
    return x < static_cast<float>(Limits::min()) ? Limits::min()
           : x >= kEnd                           ? Limits::max()
                                                 : static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
void cast_all(size_t n, const From* x, To* y) {
  for (size_t i = 0; i < n; ++i) y[i] = cast<To>(number(x[i]));
}

// Calls f(T()) for the type that stands for `type`; false where there is none.
template <typename F>
bool with_type(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      f(float{});
      return true;
    case DType::u8:
      f(uint8_t{});
      return true;
    case DType::i32:
      f(int32_t{});
      return true;
    case DType::i64:
      f(int64_t{});
      return true;
    case DType::boolean:
      f(Boolean{});
      return true;
    default:
      return false;
  }
}

// y = f(x) over all elements.
template <typename From, typename To, typename F>
LoweredStep convert_step(const LowerContext& context, const Node& node, F all) {
  const ValueId x = node.in[0], y = node.out[0];
  const size_t n = context.value(y).shape.elements();
  LoweredStep lowered =
      describe_step(context, node, make_step([=](const Frame& frame) -> Status {
                      parallel_elements(frame.pool, n, [&](size_t begin, size_t end) {
                        all(end - begin, frame.at<const From>(x) + begin, frame.at<To>(y) + begin);
                      });
                      return {};
                    }),
                    "loop");
  lowered.exact_reads = true;
  return lowered;
}

// u8 as i8 is a shift by 128 where both stand for the same numbers.
bool shifts(const Value& unsigned_value, const Value& signed_value) {
  return unsigned_value.quant && signed_value.quant && unsigned_value.quant->per_tensor() &&
         signed_value.quant->per_tensor() && unsigned_value.quant->bits == 8 &&
         signed_value.quant->bits == 8 &&
         unsigned_value.quant->scale[0] == signed_value.quant->scale[0] &&
         unsigned_value.quant->zero[0] - 128 == signed_value.quant->zero[0];
}

}  // namespace

Lowered lower_convert_plain(const LowerContext& context, const Node& node,
                            std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  const bool to_signed = x.type == DType::u8 && y.type == DType::i8 && shifts(x, y);
  const bool to_unsigned = x.type == DType::i8 && y.type == DType::u8 && shifts(y, x);
  if (to_signed || to_unsigned) {
    steps.push_back(convert_step<uint8_t, uint8_t>(context, node,
                                                   [](size_t n, const uint8_t* from, uint8_t* to) {
                                                     for (size_t i = 0; i < n; ++i)
                                                       to[i] = from[i] ^ 0x80;
                                                   }));
    return true;
  }
  if (x.type == DType::u8 && x.quant && x.quant->per_tensor() && is_plain(y, DType::f32)) {
    const float scale = x.quant->scale[0];
    const int32_t zero = x.quant->zero[0];
    steps.push_back(
        convert_step<uint8_t, float>(context, node, [=](size_t n, const uint8_t* from, float* to) {
          for (size_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i] - zero) * scale;
        }));
    return true;
  }
  if (x.quant || y.quant) return false;
  bool done = false;
  with_type(x.type, [&]<typename From>(From) {
    done = with_type(y.type, [&]<typename To>(To) {
      steps.push_back(convert_step<From, To>(context, node, cast_all<From, To>));
    });
  });
  return done;
}

}  // namespace firn
