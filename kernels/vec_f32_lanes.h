// SPDX-License-Identifier: Apache-2.0
// Float functions on vectors of kBytes, written in the compiler's own vectors so that one text
// serves every instruction set. Internal to the files of the ISAs, as is all that includes it.
#ifndef FIRN_KERNELS_VEC_F32_LANES_H_
#define FIRN_KERNELS_VEC_F32_LANES_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace firn::kernels {
namespace {

template <int kBytes>
struct VecF32Lanes {
  typedef float Float __attribute__((vector_size(kBytes)));
  typedef int32_t Int __attribute__((vector_size(kBytes)));
  static constexpr size_t kLanes = kBytes / 4;

  static Float load(const float* p) {
    Float x;
    memcpy(&x, p, sizeof x);
    return x;
  }
  static void store(float* p, Float x) { memcpy(p, &x, sizeof x); }
  static Float load(const float* p, size_t n) {
    Float x{};
    memcpy(&x, p, n * sizeof(float));
    return x;
  }
  static void store(float* p, Float x, size_t n) { memcpy(p, &x, n * sizeof(float)); }
  static Float set(float x) { return Float{} + x; }

  static Float as_float(Int x) {
    Float y;
    memcpy(&y, &x, sizeof y);
    return y;
  }
  static Int as_int(Float x) {
    Int y;
    memcpy(&y, &x, sizeof y);
    return y;
  }
  static Float abs(Float x) { return as_float(as_int(x) & 0x7fffffff); }
  static Float with_sign(Float magnitude, Float sign) {
    return as_float(as_int(magnitude) | (as_int(sign) & INT32_MIN));
  }
  // NaN stays.
  static Float at_most(Float x, float hi) { return x > hi ? set(hi) : x; }
  static Float at_least(Float x, float lo) { return x < lo ? set(lo) : x; }

  // c[0] + c[1] x + ..., Horner's rule.
  template <size_t kCount>
  static Float polynomial(Float x, const float (&c)[kCount]) {
    Float y = set(c[kCount - 1]);
    for (size_t i = kCount - 1; i-- > 0;) y = y * x + c[i];
    return y;
  }

  // 2^n, n in [-126, 127].
  static Float power_of_two(Int n) { return as_float((n + 127) << 23); }

  // exp(x) = 2^n exp(r), |r| <= log(2) / 2; log(2) in two parts (Cody and Waite), exp(r) by Cephes'
  // polynomial. 2^n in two factors, so that results may be denormal.
  static Float exp(Float x) {
    const Float bounded = at_least(at_most(x, 89.0f), -104.0f);
    constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds
    const Float shifted = bounded * 1.44269504f + kToInteger;
    const Float n = shifted - kToInteger;
    const Float r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    const float c[] = {5.0000001201e-1f, 1.6666665459e-1f, 4.1665795894e-2f,
                       8.3334519073e-3f, 1.3981999507e-3f, 1.9875691500e-4f};
    const Float y = r * r * polynomial(r, c) + r + 1.0f;
    const Int whole = as_int(shifted) - as_int(set(kToInteger));
    const Int half = whole >> 1;
    return y * power_of_two(half) * power_of_two(whole - half);
  }

  // Cephes: a polynomial near 0, where 1 - 2 / (exp(2x) + 1) would cancel.
  static Float tanh(Float x) {
    const Float a = abs(x), s = x * x;
    const float c[] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f, 2.06390887954e-2f,
                       -5.70498872745e-3f};
    const Float small = x + x * s * polynomial(s, c);
    const Float large = 1.0f - 2.0f / (exp(at_most(a, 10.0f) * 2.0f) + 1.0f);
    return a < 0.625f ? small : with_sign(large, x);
  }

  // Polynomials fitted to erf(x) / x in x^2, and to -log(erfc(x)) / x, each for the least largest
  // error; beyond 4 it is 1.
  static Float erf(Float x) {
    const Float a = at_most(abs(x), 4.0f), s = a * a;
    const float near[] = {1.128379166f,    -3.761262716e-1f, 1.128360038e-1f, -2.685445149e-2f,
                          5.189546943e-3f, -8.020934738e-4f, 7.889408634e-5f};
    const float far[] = {1.128697163f,    6.349582793e-1f,  1.065491332e-1f, -2.402553458e-2f,
                         3.764672339e-3f, -3.523351648e-4f, 1.413413992e-5f};
    const Float small = a * polynomial(s, near);
    const Float large = 1.0f - exp(-a * polynomial(a, far));
    return with_sign(a < 1.0f ? small : large, x);
  }

  static Float sigmoid(Float x) { return 1.0f / (1.0f + exp(-x)); }
  static Float silu(Float x) { return x / (1.0f + exp(-x)); }
  static Float gelu(Float x) { return 0.5f * x * (1.0f + erf(x * 0.707106781f)); }
  static Float gelu_tanh(Float x) {
    return 0.5f * x * (1.0f + tanh(0.797884561f * (x + 0.044715f * x * x * x)));
  }

  // tanh(log(1 + e)) = (e^2 + 2e) / (e^2 + 2e + 2); 1 from where e^2 would overflow.
  static Float mish(Float x) {
    const Float e = exp(at_most(x, 20.0f));
    const Float t = e * (e + 2.0f);
    return x * (t / (t + 2.0f));
  }

  // log(1 + t), t in [0, 1]: the error of rounding u = 1 + t is taken back by t / (u - 1) (Kahan);
  // log(u) by Cephes' polynomial around 1, u halved above sqrt(2).
  static Float log1p(Float t) {
    const Float u = 1.0f + t;
    const Int halve = u > 1.41421356f;
    const Float z = (halve ? u * 0.5f : u) - 1.0f, s = z * z;
    const float c[] = {3.3333331174e-1f,  -2.4999993993e-1f, 2.0000714765e-1f,
                       -1.6668057665e-1f, 1.4249322787e-1f,  -1.2420140846e-1f,
                       1.1676998740e-1f,  -1.1514610310e-1f, 7.0376836292e-2f};
    const Float y = z + (z * s * polynomial(z, c) - 0.5f * s);
    const Float log_u = halve ? y + 0.693147181f : y;
    const Float d = u - 1.0f;
    return d == 0.0f ? t : log_u * (t / d);
  }
  static Float softplus(Float x) { return at_least(x, 0.0f) + log1p(exp(-abs(x))); }
};

}  // namespace
}  // namespace firn::kernels

#endif  // FIRN_KERNELS_VEC_F32_LANES_H_
