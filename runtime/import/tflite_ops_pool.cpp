// SPDX-License-Identifier: Apache-2.0
// Pools: average, largest, root of the mean square.
#include "runtime/import/tflite_ops.h"
#include "runtime/import/tflite_window.h"

namespace firn::tflite {
namespace {

struct Pooling {
  ValueId x;
  Pool2d op;
  wire::Activation activation;
};

Result<Pooling> pooling(Context& c, Pool2d::Kind kind) {
  FIRN_ASSIGN(const auto* const options,
              c.options<wire::Pool2DOptions>(wire::BuiltinOptions::Pool2D));
  Pooling result{ValueId::none, {}, options->activation()};
  FIRN_ASSIGN(result.x, c.input(0));
  FIRN_TRY(expect_image(c, result.x));
  result.op.kind = kind;
  FIRN_ASSIGN(result.op.window,
              window_over(c, result.x,
                          window_options(*options, {options->filter_h(), options->filter_w()})));
  return result;
}

Status pool(Context& c, Pool2d::Kind kind) {
  FIRN_ASSIGN(const Pooling pooling, tflite::pooling(c, kind));
  FIRN_ASSIGN(const ValueId y, c.compute(pooling.op, {pooling.x}));
  return c.bind(c.activate(y, pooling.activation));
}

Status average_pool(Context& c) {
  return pool(c, Pool2d::Kind::average);
}

Status max_pool(Context& c) {
  return pool(c, Pool2d::Kind::max);
}

Status l2_pool(Context& c) {
  FIRN_ASSIGN(const Pooling pooling, tflite::pooling(c, Pool2d::Kind::average));
  FIRN_ASSIGN(const ValueId x, c.real(pooling.x));
  FIRN_ASSIGN(const ValueId squares, c.binary("squares", Binary::Kind::mul, x, x));
  FIRN_ASSIGN(const ValueId mean, c.emit("mean", pooling.op, {squares}));
  FIRN_ASSIGN(const ValueId y, c.unary("", Unary::Kind::sqrt, mean));
  return c.bind(c.activate(y, pooling.activation));
}

constexpr Operator kOperators[] = {
    {wire::BuiltinOperator::AVERAGE_POOL_2D, average_pool},
    {wire::BuiltinOperator::L2_POOL_2D, l2_pool},
    {wire::BuiltinOperator::MAX_POOL_2D, max_pool},
};

}  // namespace

std::span<const Operator> pool_operators() {
  return kOperators;
}

}  // namespace firn::tflite
