// SPDX-License-Identifier: Apache-2.0
// Pools, local and global.
#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_pool_3d.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

// x of one or two spatial dimensions; reads the window's attributes.
Result<ValueId> pool_2d(Context& c, ValueId x, Pool2d op) {
  const int rank = c.rank(x);
  FIRN_ASSIGN(WindowAttributes attributes, read_window(c, rank, {}));
  FIRN_TRY(resolve_same(c, x, attributes));
  op.window = attributes.window;
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId y, c.emit("", op, {nhwc}));
  return from_nhwc(c, y, rank);
}

Status pool(Context& c, Pool2d::Kind kind) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  return c.bind(emit_pool(c, kind, x));
}

// Over all spatial dimensions; needs no NHWC.
Status global_pool(Context& c, Reduce::Kind kind) {
  FIRN_ASSIGN(const ValueId x, c.input(0));
  const int rank = c.rank(x);
  if (rank < 3) return c.malformed("an input of rank " + std::to_string(rank));
  std::vector<int32_t> axes;
  for (int a = 2; a < rank; ++a) axes.push_back(a);
  return c.bind(c.reduce("", kind, x, std::move(axes)));
}

constexpr Operator kOperators[] = {
    {"AveragePool", [](Context& c) { return pool(c, Pool2d::Kind::average); }},
    {"GlobalAveragePool", [](Context& c) { return global_pool(c, Reduce::Kind::mean); }},
    {"GlobalMaxPool", [](Context& c) { return global_pool(c, Reduce::Kind::max); }},
    {"MaxPool", [](Context& c) { return pool(c, Pool2d::Kind::max); }},
};

}  // namespace

Result<ValueId> emit_pool(Context& c, Pool2d::Kind kind, ValueId x) {
  const int rank = c.rank(x);
  Pool2d op;
  op.kind = kind;
  FIRN_ASSIGN(const int64_t ceil, c.attr("ceil_mode", int64_t{0}));
  op.ceil = ceil != 0;
  if (kind == Pool2d::Kind::average) {
    FIRN_ASSIGN(const int64_t count_pad, c.attr("count_include_pad", int64_t{0}));
    op.count_pad = count_pad != 0;
  }
  // The order of indices that an Indices output would have; there is none.
  static_cast<void>(c.find("storage_order"));
  if (c.wanted(1)) return c.unsupported("its Indices output is not supported");

  // Integers without a scale are exact in f32 up to 16 bits.
  const DType type = c.type(x);
  const bool small = type == DType::i8 || type == DType::u8;
  ValueId real = x;
  if (small && !c.builder.value(x).quant) {
    FIRN_ASSIGN(real, c.convert("real", x, DType::f32));
  }
  FIRN_ASSIGN(const ValueId y, rank == 5 ? pool_3d(c, real, op) : pool_2d(c, real, op));
  if (real == x) return y;
  return c.convert("integer", y, type);
}

std::span<const Operator> pool_operators() {
  return kOperators;
}

}  // namespace firn::onnx
