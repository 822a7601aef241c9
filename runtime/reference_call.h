// SPDX-License-Identifier: Apache-2.0
// What the reference operators are written in: a call's tensors, read and written as the type that
// an operator computes in.
#ifndef FIRN_RUNTIME_REFERENCE_CALL_H_
#define FIRN_RUNTIME_REFERENCE_CALL_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "runtime/graph.h"

namespace firn {

// Rewrites `from` as the type and quantization of `to`, whose elements are as many: dequantizes,
// quantizes with the normative rounding, requantizes, casts. Floats saturate to integers and lose
// their fraction, NaN gives 0; integers wrap.
void convert(const Tensor& from, const std::optional<Quant>& from_quant, const Tensor& to,
             const std::optional<Quant>& to_quant);
// Writes x to element i of a plain tensor, cast as convert() does.
void write_number(const Tensor& tensor, size_t i, double x);

// A tensor in the type that is asked for: a view where it has it already, a copy otherwise.
struct Operand {
  Tensor tensor;
  std::unique_ptr<std::byte[]> owned;

  std::span<float> f32() const { return tensor.as<float>(); }
  std::span<int64_t> i64() const { return tensor.as<int64_t>(); }
};

// Moves elements of any type.
struct Mover {
  const std::byte* from;
  std::byte* to;
  size_t element;  // bytes

  Mover(const Tensor& source, const Tensor& target)
      : from(static_cast<const std::byte*>(source.data)),
        to(static_cast<std::byte*>(target.data)),
        element(dtype_bytes(target.type)) {}
  void move(int64_t to_index, int64_t from_index, int64_t count = 1) const {
    if (count == 0) return;
    std::memcpy(to + static_cast<size_t>(to_index) * element,
                from + static_cast<size_t>(from_index) * element,
                static_cast<size_t>(count) * element);
  }
};

struct Call {
  const Graph& graph;
  const Node& node;
  std::span<const Tensor> in;
  const Tensor& out;  // the first, or only, one
  std::span<const Tensor> outs;

  const std::optional<Quant>& in_quant(size_t i) const { return graph.value(node.in[i]).quant; }
  const std::optional<Quant>& out_quant() const { return graph.value(node.out[0]).quant; }
  // Whether input i is of plain integers, computed with as such.
  bool on_integers(size_t i) const;

  // Input i as plain numbers of a type.
  Result<Operand> load(size_t i, DType type) const;
  // The bias as f32, no elements where it is left out. Plain int32 is in units of the products of
  // the inputs' scales.
  Result<Operand> load_bias(size_t i) const;
  // Input i as the output has it, to move elements from.
  Result<Operand> load_as_output(size_t i) const;
  // Room for the output as plain numbers; store() writes them as the output has them.
  Result<Operand> open(DType type) const;
  Result<Operand> open_output(size_t i, DType type) const;
  void store(const Operand& result, size_t i = 0) const;

  // "gather_3 (Gather): ...": run-time values that the operator cannot take.
  Status invalid(const std::string& what) const;
};

inline float clamped(double x, const Clamp& clamp) {
  const float y = static_cast<float>(x);
  return y < clamp.lo ? clamp.lo : y > clamp.hi ? clamp.hi : y;  // NaN stays
}

// One an operator; a missing one does not link.
#define FIRN_DECLARE(name) Status compute(const Call& c, const name& op);
FIRN_OPS(FIRN_DECLARE)
#undef FIRN_DECLARE

}  // namespace firn

#endif  // FIRN_RUNTIME_REFERENCE_CALL_H_
