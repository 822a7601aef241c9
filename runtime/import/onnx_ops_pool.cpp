// SPDX-License-Identifier: Apache-2.0
// Pools, local and global.
#include "runtime/import/onnx_emit.h"
#include "runtime/import/onnx_max_indices.h"
#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_pool_3d.h"
#include "runtime/import/onnx_window.h"

namespace firn::onnx {
namespace {

// The Indices output, of a pool that gives `y`.
Status bind_indices(Context& c, ValueId x, const Window& window, ValueId y) {
  FIRN_ASSIGN(const int64_t order, c.attr("storage_order", int64_t{0}));
  if (!c.wanted(1)) return {};
  const auto as_image = [&](const char* suffix, ValueId of) -> Result<ValueId> {
    if (c.rank(of) == 4) return of;
    return c.reshape(
        suffix, of, {TargetDim::copy(0), TargetDim::copy(1), TargetDim::of(1), TargetDim::copy(2)});
  };
  FIRN_ASSIGN(const ValueId image, as_image("image_of_row", x));
  FIRN_ASSIGN(const ValueId pooled, as_image("pooled_row", y));
  FIRN_ASSIGN(const ValueId indices, max_indices(c, image, window, c.shape(pooled), order != 0));
  return c.bind(c.restore("Indices", indices, y, 2), 1);
}

// x of one or two spatial dimensions; reads the window's attributes.
Result<ValueId> pool_2d(Context& c, ValueId x, Pool2d op) {
  const int rank = c.rank(x);
  FIRN_ASSIGN(WindowAttributes attributes, read_window(c, rank, {}));
  FIRN_TRY(resolve_same(c, x, attributes));
  op.window = attributes.window;
  FIRN_ASSIGN(const ValueId nhwc, to_nhwc(c, x));
  FIRN_ASSIGN(const ValueId pooled, c.emit("", op, {nhwc}));
  FIRN_ASSIGN(const ValueId y, from_nhwc(c, pooled, rank));
  if (op.kind == Pool2d::Kind::max) FIRN_TRY(bind_indices(c, x, op.window, y));
  return y;
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
  // Integers without a scale are exact in f32 up to 16 bits.
  const DType type = c.type(x);
  const bool small = type == DType::i8 || type == DType::u8;
  ValueId real = x;
  if (small && !c.builder.value(x).quant) {
    FIRN_ASSIGN(real, c.convert("real", x, DType::f32));
  }
  if (rank == 5) {
    static_cast<void>(c.find("storage_order"));  // of indices, of which there are none
    if (c.wanted(1)) return c.unsupported("its Indices output of three dimensions");
  }
  FIRN_ASSIGN(const ValueId y, rank == 5 ? pool_3d(c, real, op) : pool_2d(c, real, op));
  if (real == x) return y;
  return c.convert("integer", y, type);
}

std::span<const Operator> pool_operators() {
  return kOperators;
}

}  // namespace firn::onnx
