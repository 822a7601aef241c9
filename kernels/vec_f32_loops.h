// SPDX-License-Identifier: Apache-2.0
// The loops around the float functions, and the norms. Internal to the files of the ISAs.
#ifndef FIRN_KERNELS_VEC_F32_LOOPS_H_
#define FIRN_KERNELS_VEC_F32_LOOPS_H_

#include "kernels/vec_f32.h"
#include "kernels/vec_f32_lanes.h"

namespace firn::kernels {
namespace {

template <int kBytes>
struct VecF32Loops {
  using V = VecF32Lanes<kBytes>;
  using Float = typename V::Float;
  static constexpr size_t kLanes = V::kLanes;
  static constexpr size_t kParts = 16, kVectors = kParts / kLanes;

  template <Float (*kFunction)(Float)>
  static void map(size_t n, const float* x, float* y) {
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) V::store(y + i, kFunction(V::load(x + i)));
    if (i < n) V::store(y + i, kFunction(V::load(x + i, n - i)), n - i);
  }

  // The sum of f(x[i]): element i in part i % 16, the parts then halved until one is left.
  template <typename F>
  static float sum_of(size_t n, const float* x, const F& f) {
    Float part[kVectors] = {};
    size_t i = 0;
    for (; i + kParts <= n; i += kParts)
      for (size_t v = 0; v < kVectors; ++v) part[v] += f(V::load(x + i + v * kLanes));
    float parts[kParts];
    for (size_t v = 0; v < kVectors; ++v) V::store(parts + v * kLanes, part[v]);
    for (size_t p = 0; i < n; ++i, ++p) parts[p] += f(V::load(x + i, 1))[0];
    for (size_t half = kParts / 2; half > 0; half /= 2)
      for (size_t p = 0; p < half; ++p) parts[p] += parts[p + half];
    return parts[0];
  }

  static float sum(size_t n, const float* x) {
    return sum_of(n, x, [](Float v) { return v; });
  }

  // y = (x - mean) * factor, times scale, plus bias where there are such.
  static void normalize(const LayerNormF32& p, float mean, float factor, const float* x, float* y) {
    const auto result = [&](size_t i, size_t n) {
      Float v = ((n == kLanes ? V::load(x + i) : V::load(x + i, n)) - mean) * factor;
      if (p.scale != nullptr) v *= n == kLanes ? V::load(p.scale + i) : V::load(p.scale + i, n);
      if (p.bias != nullptr) v += n == kLanes ? V::load(p.bias + i) : V::load(p.bias + i, n);
      return v;
    };
    size_t i = 0;
    for (; i + kLanes <= p.c; i += kLanes) V::store(y + i, result(i, kLanes));
    if (i < p.c) V::store(y + i, result(i, p.c - i), p.c - i);
  }

  static void layer_norm(const LayerNormF32& p, const float* x, float* y) {
    const auto count = static_cast<float>(p.c);
    for (size_t r = 0; r < p.rows; ++r, x += p.c, y += p.c) {
      const float mean = p.centred ? sum(p.c, x) / count : 0.0f;
      const float squares = sum_of(p.c, x, [&](Float v) { return (v - mean) * (v - mean); });
      normalize(p, mean, 1.0f / __builtin_sqrtf(squares / count + p.epsilon), x, y);
    }
  }

  static float largest(size_t n, const float* x) {
    Float most = V::set(x[0]);
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Float v = V::load(x + i);
      most = v > most ? v : most;
    }
    float result = most[0];
    for (size_t lane = 1; lane < kLanes; ++lane)
      if (most[lane] > result) result = most[lane];
    for (; i < n; ++i)
      if (x[i] > result) result = x[i];
    return result;
  }

  static void softmax(size_t rows, size_t c, const float* x, float* y) {
    for (size_t r = 0; r < rows; ++r, x += c, y += c) {
      const float most = largest(c, x);
      size_t i = 0;
      for (; i + kLanes <= c; i += kLanes) V::store(y + i, V::exp(V::load(x + i) - most));
      if (i < c) V::store(y + i, V::exp(V::load(x + i, c - i) - most), c - i);
      const float factor = 1.0f / sum(c, y);
      for (i = 0; i + kLanes <= c; i += kLanes) V::store(y + i, V::load(y + i) * factor);
      for (; i < c; ++i) y[i] *= factor;
    }
  }

  static constexpr VecF32 entry(const char* name, Isa isa) {
    return {name,
            isa,
            map<V::exp>,
            map<V::tanh>,
            map<V::erf>,
            map<V::sigmoid>,
            map<V::silu>,
            map<V::softplus>,
            map<V::mish>,
            map<V::gelu>,
            map<V::gelu_tanh>,
            layer_norm,
            softmax,
            sum};
  }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_F32_LOOPS_H_
