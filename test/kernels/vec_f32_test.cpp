// SPDX-License-Identifier: Apache-2.0
// Every float function and norm of this machine: close to double precision, and the same bits from
// every variant.
#include "kernels/vec_f32.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

namespace firn::test {
namespace {

using kernels::LayerNormF32;
using kernels::VecF32;

double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

struct Function {
  const char* name;
  VecF32::Map VecF32::*map;
  double (*expected)(double);
};
const Function kFunctions[] = {
    {"exp", &VecF32::exp, [](double x) { return std::exp(x); }},
    {"tanh", &VecF32::tanh, [](double x) { return std::tanh(x); }},
    {"erf", &VecF32::erf, [](double x) { return std::erf(x); }},
    {"sigmoid", &VecF32::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"silu", &VecF32::silu, [](double x) { return x / (1 + std::exp(-x)); }},
    {"softplus", &VecF32::softplus, softplus},
    {"mish", &VecF32::mish, [](double x) { return x * std::tanh(softplus(x)); }},
    {"gelu", &VecF32::gelu, [](double x) { return x * 0.5 * std::erfc(-x / std::numbers::sqrt2); }},
    {"gelu_tanh", &VecF32::gelu_tanh,
     [](double x) {
       return 0.5 * x *
              (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
     }},
};

// Dense near 0, then out to where every function is at its limit.
std::vector<float> arguments() {
  std::vector<float> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<float>(i) * 0.0025f);
  for (int i = -1200; i <= 1200; ++i) x.push_back(static_cast<float>(i) * 0.1f);
  for (float v = 1e-38f; v < 1; v *= 7) x.insert(x.end(), {v, -v});
  return x;
}

std::vector<const VecF32*> variants() {
  std::vector<const VecF32*> found;
  for (const VecF32& vec : kernels::vec_f32_table())
    if ((kernels::supported_isas() & kernels::bit(vec.isa)) != 0) found.push_back(&vec);
  return found;
}

std::vector<float> noise(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> data(n);
  for (float& v : data) v = static_cast<float>(random() % 4001) / 1000 - 1;
  return data;
}

}  // namespace

TEST_CASE("float functions are within a few units in the last place, on every instruction set") {
  const std::vector<float> x = arguments();
  for (const Function& f : kFunctions) {
    CAPTURE(std::string(f.name));
    std::vector<float> first;
    for (const VecF32* vec : variants()) {
      CAPTURE(std::string(vec->name));
      std::vector<float> y(x.size());
      (vec->*f.map)(x.size(), x.data(), y.data());
      if (first.empty()) first = y;
      CHECK(std::memcmp(first.data(), y.data(), y.size() * sizeof(float)) == 0);
    }
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = f.expected(static_cast<double>(x[i]));
      if (std::isinf(static_cast<float>(want))) {
        CHECK(first[i] == static_cast<float>(want));
        continue;
      }
      // Where a result is a small difference, the error is relative to what is subtracted.
      const double error = std::abs(static_cast<double>(first[i]) - want);
      const double scale = std::max(std::abs(want), std::min(1.0, std::abs(double{x[i]})));
      CAPTURE(x[i]);
      if (error > 4e-7 * scale + 1e-44) CHECK(static_cast<double>(first[i]) == want);
    }
  }
}

TEST_CASE("float functions of every length, in place, at the limits") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const VecF32* vec : variants()) {
    for (const Function& f : kFunctions) {
      CAPTURE(std::string(f.name));
      for (size_t n = 0; n < 40; ++n) {
        std::vector<float> x = noise(n + 8, 1), y = x;
        std::vector<float> all(x.size());
        (vec->*f.map)(x.size(), x.data(), all.data());
        (vec->*f.map)(n, y.data(), y.data());
        for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == (i < n ? all[i] : x[i]));
      }
      float nan = std::numeric_limits<float>::quiet_NaN();
      (vec->*f.map)(1, &nan, &nan);
      CHECK(std::isnan(nan));
      float high = kInf;
      (vec->*f.map)(1, &high, &high);
      CHECK(high == static_cast<float>(f.expected(std::numeric_limits<double>::infinity())));
    }
  }
}

TEST_CASE("layer norms: all lengths, with and without mean, scale and bias, the same bits") {
  const LayerNormF32 plain{.rows = 3, .epsilon = 1e-3f};
  for (const size_t c : {1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 257}) {
    const std::vector<float> x = noise(3 * c, 5), scale = noise(c, 6), bias = noise(c, 7);
    for (int way = 0; way < 8; ++way) {
      LayerNormF32 p = plain;
      p.c = c;
      p.centred = (way & 1) != 0;
      if ((way & 2) != 0) p.scale = scale.data();
      if ((way & 4) != 0) p.bias = bias.data();
      std::vector<float> first;
      for (const VecF32* vec : variants()) {
        std::vector<float> y(3 * c + 1, 77);
        vec->layer_norm(p, x.data(), y.data());
        if (first.empty()) first = y;
        CHECK(y == first);
        CHECK(y.back() == 77);
      }
      for (size_t r = 0; r < 3; ++r) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < c; ++i) mean += static_cast<double>(x[r * c + i]);
        mean = p.centred ? mean / static_cast<double>(c) : 0;
        for (size_t i = 0; i < c; ++i)
          variance += std::pow(static_cast<double>(x[r * c + i]) - mean, 2);
        const double factor = 1 / std::sqrt(variance / static_cast<double>(c) + 1e-3);
        for (size_t i = 0; i < c; ++i) {
          const double want = (static_cast<double>(x[r * c + i]) - mean) * factor *
                                  (p.scale != nullptr ? static_cast<double>(scale[i]) : 1) +
                              (p.bias != nullptr ? static_cast<double>(bias[i]) : 0);
          if (std::abs(static_cast<double>(first[r * c + i]) - want) > 1e-5)
            CHECK(static_cast<double>(first[r * c + i]) == want);
        }
      }
    }
  }
}

TEST_CASE("softmax: all lengths, in place, the same bits; infinity and NaN as IEEE has them") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const size_t c : {1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 257}) {
    std::vector<float> x = noise(4 * c, 8);
    for (size_t i = 0; i < c; ++i) {
      x[i] = -100 - x[i];                                                 // all negative
      x[c + i] *= 300;                                                    // far apart
      if (i % 3 == 1) x[2 * c + i] = -kInf;                               // counts as nothing
      x[3 * c + i] = c > 1 && i == c / 2 ? std::nanf("") : x[3 * c + i];  // spoils its row
    }
    std::vector<float> first;
    for (const VecF32* vec : variants()) {
      std::vector<float> y = x;
      y.push_back(77);
      vec->softmax(4, c, y.data(), y.data());
      CHECK(y.back() == 77);
      if (first.empty()) first = y;
      CHECK(std::memcmp(y.data(), first.data(), 3 * c * sizeof(float)) == 0);
      for (size_t i = 3 * c; c > 1 && i < 4 * c; ++i) CHECK(std::isnan(y[i]));
    }
    for (size_t r = 0; r < 3; ++r) {
      const float* row = x.data() + r * c;
      const double most = static_cast<double>(*std::max_element(row, row + c));
      double sum = 0;
      for (size_t i = 0; i < c; ++i) sum += std::exp(static_cast<double>(row[i]) - most);
      for (size_t i = 0; i < c; ++i) {
        const double want = std::exp(static_cast<double>(row[i]) - most) / sum;
        if (std::abs(static_cast<double>(first[r * c + i]) - want) > 1e-6 * want + 1e-30)
          CHECK(static_cast<double>(first[r * c + i]) == want);
      }
    }
  }
}

TEST_CASE("sums") {
  for (const size_t n : {0, 1, 5, 16, 17, 47, 1000}) {
    const std::vector<float> x = noise(n, 9);
    double want = 0;
    for (const float v : x) want += static_cast<double>(v);
    const float first = variants()[0]->sum(n, x.data());
    CHECK(std::abs(static_cast<double>(first) - want) < 1e-3);
    for (const VecF32* vec : variants()) CHECK(vec->sum(n, x.data()) == first);
  }
}

}  // namespace firn::test
