// SPDX-License-Identifier: Apache-2.0
// Softmax and normalizations, on real numbers.
#include "runtime/import/tflite_ops.h"
#include "runtime/import/tflite_window.h"

namespace firn::tflite {
namespace {

Status softmax(Context& c) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::SoftmaxOptions>(wire::BuiltinOptions::Softmax));
  FIRN_ASSIGN(ValueId x, c.real_input(0));
  if (options->beta() != 1) {
    FIRN_ASSIGN(const ValueId beta, c.scalar("beta", DType::f32, double{options->beta()}));
    FIRN_ASSIGN(x, c.binary("scaled", Binary::Kind::mul, x, beta));
  }
  return c.bind(c.emit("", Softmax{-1, false}, {x}));
}

Status log_softmax(Context& c) {
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  return c.bind(c.emit("", Softmax{-1, true}, {x}));
}

// x over the length of its innermost vectors.
Status l2_normalization(Context& c) {
  constexpr double kShortest = 1e-6;
  FIRN_ASSIGN(const auto* const options,
              c.optional_options<wire::ActivationOptions>(wire::BuiltinOptions::L2Norm));
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  if (c.rank(x) == 0) return c.malformed("an input of rank 0");
  FIRN_ASSIGN(const ValueId length, c.reduce("length", Reduce::Kind::l2, x, {c.rank(x) - 1}));
  FIRN_ASSIGN(const ValueId shortest, c.scalar("shortest", DType::f32, kShortest));
  FIRN_ASSIGN(const ValueId divisor, c.binary("divisor", Binary::Kind::max, length, shortest));
  FIRN_ASSIGN(const ValueId y, c.binary("", Binary::Kind::div, x, divisor));
  return c.bind(c.activate(y, options == nullptr ? wire::Activation::none : options->activation()));
}

// Sums of squares over radius channels to both sides; alpha is of each, not of their mean.
Status local_response_normalization(Context& c) {
  FIRN_ASSIGN(const auto* const options, c.options<wire::LocalResponseNormalizationOptions>(
                                             wire::BuiltinOptions::LocalResponseNormalization));
  constexpr int32_t kMaxRadius = 1 << 20;
  if (options->radius() < 0 || options->radius() > kMaxRadius) {
    return c.malformed("a radius of " + std::to_string(options->radius()));
  }
  FIRN_ASSIGN(const ValueId x, c.real_input(0));
  FIRN_TRY(expect_image(c, x));
  LocalResponseNorm op;
  op.size = 2 * options->radius() + 1;
  op.alpha = options->alpha() * static_cast<float>(op.size);
  op.beta = options->beta();
  op.bias = options->bias();
  return c.bind(c.emit("", op, {x}));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::L2_NORMALIZATION, l2_normalization},
    {wire::BuiltinOperator::LOCAL_RESPONSE_NORMALIZATION, local_response_normalization},
    {wire::BuiltinOperator::LOG_SOFTMAX, log_softmax},
    {wire::BuiltinOperator::SOFTMAX, softmax},
};

}  // namespace

std::span<const Operator> norm_operators() {
  return kOperators;
}

}  // namespace firn::tflite
