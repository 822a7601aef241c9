// SPDX-License-Identifier: Apache-2.0
// Copies by tables, in pieces as long as neighbours stay neighbours; and the operators made of
// them.
#include "runtime/lower/table_copy.h"

#include <algorithm>
#include <cstring>

#include "runtime/lower/lower.h"
#include "runtime/reference_call.h"

namespace firn {
namespace {

void fill_bytes(std::byte* to, size_t bytes, const std::byte* element, size_t element_bytes) {
  const bool alike =
      std::all_of(element, element + element_bytes, [&](std::byte b) { return b == element[0]; });
  if (alike) {
    std::memset(to, static_cast<int>(element[0]), bytes);
    return;
  }
  for (size_t i = 0; i < bytes; i += element_bytes) std::memcpy(to + i, element, element_bytes);
}

}  // namespace

TableCopy::TableCopy(const Shape& x, const Shape& y, std::span<const std::vector<int64_t>> source,
                     size_t element_bytes)
    : element_bytes_(element_bytes) {
  const auto is_whole = [&](size_t d) {
    if (x.dim[d] != y.dim[d]) return false;
    for (size_t i = 0; i < source[d].size(); ++i)
      if (source[d][i] != static_cast<int64_t>(i)) return false;
    return true;
  };
  // Innermost dimensions that are taken whole are part of the element.
  size_t rank = y.rank;
  int64_t bytes = static_cast<int64_t>(element_bytes);
  for (; rank > 1 && is_whole(rank - 1); --rank) bytes *= x.dim[rank - 1];
  for (size_t d = rank; d-- > 0;) {
    std::vector<int64_t> offsets;
    for (const int64_t i : source[d]) offsets.push_back(i == kFill ? kFill : i * bytes);
    if (d + 1 < rank) {
      row_count_ *= offsets.size();
      rows_.insert(rows_.begin(), std::move(offsets));
    } else {
      for (const int64_t from : offsets) {
        const bool joins =
            !pieces_.empty() &&
            (from == kFill
                 ? pieces_.back().from == kFill
                 : pieces_.back().from != kFill &&
                       pieces_.back().from + static_cast<int64_t>(pieces_.back().bytes) == from);
        if (!joins) pieces_.push_back({from, 0});
        pieces_.back().bytes += static_cast<size_t>(bytes);
        row_bytes_ += static_cast<size_t>(bytes);
      }
    }
    bytes *= x.dim[d];
  }
  if (rank == 0) {
    pieces_.push_back({0, element_bytes});
    row_bytes_ = element_bytes;
  }
}

void TableCopy::run(const std::byte* from, std::byte* to, const std::byte* fill,
                    kernels::Pool& pool) const {
  constexpr size_t kGrain = size_t{1} << 17;  // bytes worth a wake-up
  pool.parallel_for(
      row_count_, std::max<size_t>(1, kGrain / row_bytes_), [&](size_t begin, size_t end) {
        for (size_t row = begin; row < end; ++row) {
          int64_t offset = 0;
          bool filled = false;
          size_t rest = row;
          for (size_t d = rows_.size(); d-- > 0;) {
            const int64_t at = rows_[d][rest % rows_[d].size()];
            rest /= rows_[d].size();
            filled = filled || at == kFill;
            offset += at;
          }
          std::byte* target = to + row * row_bytes_;
          if (filled) {
            fill_bytes(target, row_bytes_, fill, element_bytes_);
            continue;
          }
          for (const Piece& piece : pieces_) {
            if (piece.from == kFill) {
              fill_bytes(target, piece.bytes, fill, element_bytes_);
            } else if (piece.bytes == 4) {  // single floats, where repeated or reversed
              std::memcpy(target, from + offset + piece.from, 4);
            } else {
              std::memcpy(target, from + offset + piece.from, piece.bytes);
            }
            target += piece.bytes;
          }
        }
      });
}

namespace {

using Tables = std::vector<std::vector<int64_t>>;

// One table a dimension of y, from f(dimension, index).
template <typename F>
Tables tables(const Shape& y, F&& f) {
  Tables all(y.rank);
  for (int d = 0; d < y.rank; ++d)
    for (int64_t i = 0; i < y[d]; ++i) all[static_cast<size_t>(d)].push_back(f(d, i));
  return all;
}

void push_copy(const LowerContext& context, const Node& node, const Tables& source,
               const std::array<std::byte, 8>& fill, std::vector<LoweredStep>& steps) {
  const ValueId x = node.in[0], y = node.out[0];
  const Value& from = context.value(x);
  TableCopy copy(from.shape, context.value(y).shape, source, dtype_bytes(from.type));
  LoweredStep lowered = describe_step(
      context, node, make_step([=, copy = std::move(copy)](const Frame& frame) -> Status {
        copy.run(frame.at<const std::byte>(x), frame.at<std::byte>(y), fill.data(), frame.pool);
        return {};
      }),
      "copy");
  lowered.exact_reads = true;
  steps.push_back(std::move(lowered));
}

}  // namespace

Lowered lower_pad(const LowerContext& context, const Node& node, const Pad& op,
                  std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y) || (y.quant && !y.quant->per_tensor())) return false;
  alignas(8) std::array<std::byte, 8> fill{};
  float value = op.value;
  convert({DType::f32, Shape{}, &value}, std::nullopt, {y.type, Shape{}, fill.data()}, y.quant);
  const Tables source = tables(y.shape, [&](int d, int64_t i) {
    return pad_source(op.mode, i, op.before[static_cast<size_t>(d)], x.shape[d]);
  });
  push_copy(context, node, source, fill, steps);
  return true;
}

Lowered lower_tile(const LowerContext& context, const Node& node, const Tile&,
                   std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y)) return false;
  push_copy(context, node, tables(y.shape, [&](int d, int64_t i) { return i % x.shape[d]; }), {},
            steps);
  return true;
}

Lowered lower_resize_nearest(const LowerContext& context, const Node& node, const Resize2d& op,
                             std::vector<LoweredStep>& steps) {
  const Value& x = context.value(node.in[0]);
  const Value& y = context.value(node.out[0]);
  if (!moves_as_is(x, y)) return false;
  const Tables source = tables(y.shape, [&](int d, int64_t i) {
    if (d == 0 || d == 3) return i;
    return resize_nearest(op.nearest, resize_source(op, d - 1, i, x.shape[d], y.shape[d]),
                          x.shape[d]);
  });
  push_copy(context, node, source, {}, steps);
  return true;
}

}  // namespace firn
