// SPDX-License-Identifier: Apache-2.0
// Tensors of any type as floats.
#include "floats.h"

#include <algorithm>
#include <string>

namespace firn::tool {
namespace {

template <typename T>
std::vector<float> converted(const Tensor& tensor, float scale, int32_t zero) {
  const std::span<const T> from = tensor.as<const T>();
  std::vector<float> to(from.size());
  std::transform(from.begin(), from.end(), to.begin(), [&](T value) {
    return scale * (static_cast<float>(value) - static_cast<float>(zero));
  });
  return to;
}

}  // namespace

Result<std::vector<float>> floats_of(const Tensor& tensor, const std::optional<Quant>& quant) {
  if (quant && (!quant->per_tensor() || quant->scale.size() != 1 || quant->zero.size() > 1)) {
    return Status(Code::unsupported, "a tensor with more scales than one cannot be read as floats");
  }
  const float scale = quant ? quant->scale[0] : 1.0f;
  const int32_t zero = quant && !quant->zero.empty() ? quant->zero[0] : 0;
  switch (tensor.type) {
    case DType::f32: {
      const std::span<const float> values = tensor.as<const float>();
      return std::vector<float>(values.begin(), values.end());
    }
    case DType::i8:
      return converted<int8_t>(tensor, scale, zero);
    case DType::u8:
      return converted<uint8_t>(tensor, scale, zero);
    case DType::i16:
      return converted<int16_t>(tensor, scale, zero);
    case DType::i32:
      return converted<int32_t>(tensor, scale, zero);
    case DType::i64:
      return converted<int64_t>(tensor, scale, zero);
    case DType::boolean:
      return converted<bool>(tensor, scale, zero);
    case DType::f16:
      break;
  }
  return Status(Code::unsupported,
                std::string("tensors of ") + dtype_name(tensor.type) + " cannot be read as floats");
}

}  // namespace firn::tool
