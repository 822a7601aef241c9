// SPDX-License-Identifier: Apache-2.0
// What a layer's translation sees of it: parameters, weights, blobs, and how to emit canonical
// nodes.
//
// ncnn's blobs have no batch; here they all have one of 1 in front, so that a blob of c, h, w is
// [1,c,h,w]. A blob's axis a is axis a + 1.
#ifndef FIRN_RUNTIME_IMPORT_NCNN_CONTEXT_H_
#define FIRN_RUNTIME_IMPORT_NCNN_CONTEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/import/emitter.h"
#include "runtime/import/ncnn_param.h"
#include "runtime/import/ncnn_weights.h"

namespace firn::ncnn {

using imports::TargetDim;

// What dimension 'w', 'h', 'd' or 'c' of a blob is among its value's axes; -1 where it has none.
int axis_of(char name, int dims);

class Context : public imports::Emitter {
 public:
  using Names = std::unordered_map<std::string_view, ValueId>;  // blob -> value

  Context(imports::GraphBuilder& builder, WeightReader& weights, Names& names, const Layer& layer,
          std::string name)
      : Emitter(builder, "ncnn: layer '" + name + "' (" + layer.type + ")", name),
        weights_(weights),
        names_(names),
        layer_(layer) {}

  const std::string& type_name() const { return layer_.type; }

  // Parameters by number; malformed where one is a text, a list, NaN or, of an integer, a fraction.
  bool has(int id) const { return find(id) != nullptr; }
  Result<int32_t> param(int id, int32_t missing) const;
  Result<float> param(int id, float missing) const;
  Result<bool> flag(int id, bool missing) const;
  Result<std::vector<int32_t>> ints(int id) const;
  Result<std::vector<float>> floats(int id) const;
  Result<std::string> text(int id) const;
  // An integer of at least `least`.
  Result<int32_t> at_least(int32_t least, int id, const char* what, int32_t missing) const;
  // unsupported unless parameter `id` is `expected` or missing.
  Status expect_param(int id, const char* what, int32_t expected) const;

  // The next blob of the .bin, plain or tagged; shapes without the batch.
  Result<ValueId> weight(std::string_view suffix, const Shape& shape, Spread spread);
  Result<std::vector<float>> weight_floats(int32_t count, Spread spread);
  // i8 where it is stored so.
  Result<Value> tagged_value(const Shape& shape, Spread spread);
  // unsupported where it is i8.
  Result<ValueId> tagged_weight(std::string_view suffix, const Shape& shape, Spread spread);
  Result<ValueId> add_constant(std::string_view suffix, Value value);

  // Blobs read and written.
  size_t input_count() const { return layer_.bottoms.size(); }
  size_t output_count() const { return layer_.tops.size(); }
  Status expect_inputs(size_t least, size_t most) const;
  Result<ValueId> input(size_t i = 0);  // as real numbers
  // As it is: what int8 layers hand to one another stays int8.
  Result<ValueId> raw_input(size_t i = 0) const;
  // malformed where there is no such output or it is none.
  Status bind(const Result<ValueId>& id, size_t output = 0);

  // How many dimensions a blob has in ncnn.
  int dims(ValueId id) const { return rank(id) - 1; }
  // ncnn's axis, counted from the outermost dimension, or negative, as the value's.
  Result<int32_t> blob_axis(int32_t axis, ValueId id) const;
  // unsupported unless it has between `least` and `most` dimensions.
  Status expect_dims(ValueId id, int least, int most) const;
  // The size along an axis of the value; unsupported where it is open.
  Result<int32_t> known_dim(ValueId id, int axis) const;

  // Shapes to come of `dims` behind the batch: a blob's own, or one of 1.
  Result<ValueId> reshape_blob(std::string_view suffix, ValueId x, std::vector<TargetDim> dims);
  Result<ValueId> as_blob(std::string_view suffix, ValueId x, std::vector<TargetDim> dims);
  // A vector [n] made to broadcast along the outermost dimension of x.
  Result<ValueId> per_channel(std::string_view suffix, ValueId vector, ValueId x);
  // One number, as f32.
  Result<ValueId> number(std::string_view suffix, float value) {
    return scalar(suffix, DType::f32, value);
  }
  // a op b, b a number.
  Result<ValueId> with_number(std::string_view suffix, Binary::Kind kind, ValueId a, float b);

 private:
  const Param* find(int id) const;
  Result<const Param*> numbers(int id, bool array) const;

  WeightReader& weights_;
  Names& names_;
  const Layer& layer_;
};

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_CONTEXT_H_
