// SPDX-License-Identifier: Apache-2.0
// What an operator's translation sees of its node: options, inputs as the model has them or as real
// numbers, and outputs, which take what is computed in whatever type it is.
#ifndef FIRN_RUNTIME_IMPORT_TFLITE_CONTEXT_H_
#define FIRN_RUNTIME_IMPORT_TFLITE_CONTEXT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "runtime/import/emitter.h"
#include "runtime/import/tflite_tensor.h"

namespace firn::tflite {

// The tensors of the graph as far as they are known, and the values that stand for them.
class Tensors {
 public:
  Tensors(imports::GraphBuilder& builder, TensorReader reader);

  size_t count() const { return info_.size(); }
  std::string describe(size_t i) const { return reader_.describe(i); }
  // The file's, made unique: later tensors of a name that is taken get another one.
  const std::string& name(size_t i) const { return names_[i]; }
  // Read once, when first asked for.
  Result<const FileTensor*> info(size_t i);
  // The value of a tensor; constants become values when first asked for. malformed
  // where nothing has made it so far.
  Result<ValueId> value(size_t i);
  bool made(size_t i) const { return value_[i] != ValueId::none; }
  // Says what a tensor is; the value takes its name, unless it has one of the file's already.
  void define(size_t i, ValueId id);
  // What a variable is from here on.
  void update(size_t i, ValueId id) { value_[i] = id; }
  // Variables' sizes fix those of what flows into them.
  void close_shapes() { reader_.close_shapes(); }
  bool is_variable(size_t i) const { return reader_.is_variable(i); }
  // The same for a value that keeps its name.
  void define_unnamed(size_t i, ValueId id);

 private:
  imports::GraphBuilder& builder_;
  TensorReader reader_;
  std::vector<std::string> names_;
  std::vector<std::optional<FileTensor>> info_;
  std::vector<ValueId> value_;
  std::unordered_set<size_t> named_;  // values that carry the name of a tensor
};

class Context : public imports::Emitter {
 public:
  Context(imports::GraphBuilder& builder, Tensors& tensors, const wire::Operator& op,
          std::string where, std::string name)
      : Emitter(builder, std::move(where), std::move(name)), tensors_(tensors), op_(op) {}

  // The options, whose type is as stated; malformed where they are of another type or missing.
  template <typename T>
  Result<const T*> options(wire::BuiltinOptions type) const {
    FIRN_ASSIGN(const T* const found, optional_options<T>(type));
    if (found == nullptr) return malformed("it has no options");
    return found;
  }
  // The same; null where they are missing.
  template <typename T>
  Result<const T*> optional_options(wire::BuiltinOptions type) const {
    FIRN_TRY(check_options(type));
    return static_cast<const T*>(op_.builtin_options());
  }
  std::span<const uint8_t> custom_options() const;

  // Inputs and outputs: indices were checked before the translation starts.
  size_t input_count() const { return op_.inputs() == nullptr ? 0 : op_.inputs()->size(); }
  size_t output_count() const { return op_.outputs() == nullptr ? 0 : op_.outputs()->size(); }
  bool has(size_t i) const { return i < input_count() && tensor_index(i) >= 0; }
  // Input i as the model has it: quantized int8 (or int16), or plain. malformed where left out.
  Result<ValueId> input(size_t i);
  Result<const FileTensor*> input_info(size_t i);
  // A value as f32: quantized and half-precision ones are converted.
  Result<ValueId> real(ValueId id);
  Result<ValueId> real_input(size_t i);
  // The same for integers that have a scale, as biases do.
  Result<ValueId> scaled_input(size_t i);
  // The integers that stand for quantized numbers, as f32; plain numbers as they are.
  Result<ValueId> bare_input(size_t i);
  // f32, or the integers or booleans that it is.
  Result<ValueId> number(size_t i);
  // Constants, or what known shapes fix; known_ints has empty entries for what is computed at run
  // time, and knows their number alone.
  Result<std::vector<int64_t>> ints(size_t i);
  Result<std::vector<std::optional<int64_t>>> known_ints(size_t i);
  // Whether ints() gives them.
  bool is_known(size_t i);
  Result<std::vector<float>> floats(size_t i);
  // An axis given by a scalar constant, counted from the front.
  Result<int32_t> axis_input(size_t i, int rank);

  Result<const FileTensor*> output_info(size_t i = 0);
  // The quantization of an int8 output.
  std::optional<Quant> int8_output(size_t i = 0);
  // Whether it is int8 with one scale.
  bool is_int8(ValueId id) const;

  // Computes the node's operator: on int8 where all inputs and output 0 are, else on real numbers.
  Result<ValueId> compute(Op op, std::vector<ValueId> in);
  // f(x) of a fused activation; x itself where there is none.
  Result<ValueId> activate(ValueId x, wire::Activation activation);
  // The activation as a clamp. unsupported where it is none.
  Result<Clamp> clamp_of(wire::Activation activation) const;

  // Says what the variable that is input i holds after this.
  Status update(size_t i, ValueId id);
  // Says that output i is of these integers, whatever they stand for.
  Status bind_bare(ValueId id, size_t output = 0);
  // Says that output i is this value: quantized, converted or cast to the output's type.
  Status bind(ValueId id, size_t output = 0);
  Status bind(const Result<ValueId>& id, size_t output = 0);

 private:
  int32_t tensor_index(size_t i) const { return op_.inputs()->Get(static_cast<uint32_t>(i)); }
  size_t output_index(size_t i) const {
    return static_cast<size_t>(op_.outputs()->Get(static_cast<uint32_t>(i)));
  }
  // An error of a tensor as one of this node.
  template <typename T>
  Result<T> named(Result<T> result) const {
    if (result.ok()) return result;
    return fail(result.status().code(), result.status().message());
  }
  Status check_options(wire::BuiltinOptions type) const;
  Result<std::pair<float, float>> bare_scale(const FileTensor& tensor) const;
  Status not_constant(size_t i, ValueId id) const;

  Tensors& tensors_;
  const wire::Operator& op_;
};

}  // namespace firn::tflite

#endif  // FIRN_RUNTIME_IMPORT_TFLITE_CONTEXT_H_
