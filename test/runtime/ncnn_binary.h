// SPDX-License-Identifier: Apache-2.0
// Turns a .param's text into its binary form, as ncnn's tool does.
#ifndef FIRN_TEST_RUNTIME_NCNN_BINARY_H_
#define FIRN_TEST_RUNTIME_NCNN_BINARY_H_

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "runtime/import/ncnn_param.h"

namespace firn::test {

namespace ncnn_binary {

inline void put(std::string& bytes, int32_t word) {
  bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
}

inline void put(std::string& bytes, const ncnn::Param& param) {
  put(bytes, param.array ? -23300 - param.id : param.id);
  if (param.array) put(bytes, static_cast<int32_t>(param.numbers.size()));
  for (const ncnn::Number& number : param.numbers) {
    const float real = number.as_float();
    int32_t bits = 0;
    std::memcpy(&bits, &real, sizeof(bits));
    put(bytes, number.is_integer() ? *number.as_int() : bits);
  }
}

}  // namespace ncnn_binary

// The text itself where it makes no sense.
inline std::string binary_param(const std::string& text) {
  constexpr int32_t kBlobs = 100, kEnd = -233;
  const auto layers = ncnn::parse_text_param(text);
  if (!layers.ok()) return text;
  std::map<std::string, int32_t> blobs;
  std::string bytes;
  const auto put = [&](auto value) { ncnn_binary::put(bytes, value); };
  put(ncnn::kMagic);
  put(static_cast<int32_t>(layers->size()));
  put(kBlobs);
  for (const ncnn::Layer& layer : *layers) {
    int32_t type = 0;
    while (!ncnn::layer_type(type).empty() && ncnn::layer_type(type) != layer.type) ++type;
    put(type);
    put(static_cast<int32_t>(layer.bottoms.size()));
    put(static_cast<int32_t>(layer.tops.size()));
    for (const auto* names : {&layer.bottoms, &layer.tops}) {
      for (const std::string& name : *names) {
        put(blobs.emplace(name, static_cast<int32_t>(blobs.size())).first->second);
      }
    }
    for (const ncnn::Param& param : layer.params) ncnn_binary::put(bytes, param);
    put(kEnd);
  }
  return bytes;
}

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_NCNN_BINARY_H_
