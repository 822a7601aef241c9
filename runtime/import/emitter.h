// SPDX-License-Identifier: Apache-2.0
// What the translation of one node emits canonical nodes with: in its name, with errors that name
// it.
#ifndef FIRN_RUNTIME_IMPORT_EMITTER_H_
#define FIRN_RUNTIME_IMPORT_EMITTER_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/import/graph_builder.h"

namespace firn::imports {

// One dimension of a Reshape's target: a number, or a dimension of the input, known or not.
struct TargetDim {
  int32_t number = -1;
  int source = -1;
  static TargetDim of(int64_t number) { return {static_cast<int32_t>(number), -1}; }
  static TargetDim copy(int axis) { return {-1, axis}; }
  static TargetDim rest() { return {}; }  // whatever is left; once
};

class Emitter {
 public:
  // `where` begins its messages: "onnx: node 'conv_3' (Conv)".
  Emitter(GraphBuilder& builder, std::string where, std::string name)
      : builder(builder), where_(std::move(where)), name_(std::move(name)) {}

  GraphBuilder& builder;

  // "onnx: node 'conv_3' (Conv): what".
  Status fail(Code code, const std::string& what) const;
  Status malformed(const std::string& what) const { return fail(Code::malformed, what); }
  Status unsupported(const std::string& what) const { return fail(Code::unsupported, what); }
  const std::string& name() const { return name_; }

  const Shape& shape(ValueId id) const { return builder.shape(id); }
  int rank(ValueId id) const { return builder.shape(id).rank; }
  DType type(ValueId id) const { return builder.type(id); }
  // `axis` in [0, rank), counting from the end where it is negative.
  Result<int32_t> axis(int64_t axis, int rank) const;

  // A canonical node; `suffix` tells apart what one ONNX node becomes: "" is the main one.
  Result<ValueId> emit(std::string_view suffix, Op op, std::vector<ValueId> in,
                       std::optional<Quant> quant = std::nullopt);
  // The same for one that only moves the elements of in[0], whose scale they keep.
  Result<ValueId> move(std::string_view suffix, Op op, std::vector<ValueId> in);
  // The same for an operator with several outputs.
  Result<std::vector<ValueId>> emit_all(std::string_view suffix, Op op, std::vector<ValueId> in,
                                        size_t outputs);
  template <typename T>
  Result<ValueId> constant(std::string_view suffix, const Shape& shape, std::span<const T> data) {
    return constant_bytes(suffix, DTypeOf<T>::value, shape, std::as_bytes(data));
  }
  // unsupported where a constant of so many bytes would blow the model up; to ask before making
  // one.
  Status allow(size_t bytes) const {
    return builder.can_spend(bytes) ? Status() : too_large(bytes);
  }
  // A scalar of type `type`, for arithmetic with tensors of that type. unsupported for booleans.
  Result<ValueId> scalar(std::string_view suffix, DType type, double value);
  Result<ValueId> reshape(std::string_view suffix, ValueId x, const std::vector<TargetDim>& to);
  // Gives y the shape of x again; its first `kept` dimensions are x's still.
  Result<ValueId> restore(std::string_view suffix, ValueId y, ValueId x, int kept);
  Result<ValueId> transpose(std::string_view suffix, ValueId x, std::vector<int32_t> perm);
  Result<ValueId> binary(std::string_view suffix, Binary::Kind kind, ValueId a, ValueId b);
  Result<ValueId> unary(std::string_view suffix, Unary::Kind kind, ValueId x, float alpha = 0,
                        float beta = 0);
  Result<ValueId> reduce(std::string_view suffix, Reduce::Kind kind, ValueId x,
                         std::vector<int32_t> axes, bool keep = true);
  // The same, perhaps over axes that are computed.
  Result<ValueId> reduce(std::string_view suffix, Reduce op, ValueId x, ValueId axes);
  Result<ValueId> slice(std::string_view suffix, ValueId x, int32_t axis, int32_t begin,
                        int32_t end, int32_t step = 1);
  Result<ValueId> convert(std::string_view suffix, ValueId x, DType to);

 private:
  Status too_large(size_t bytes) const;
  Result<ValueId> constant_bytes(std::string_view suffix, DType type, const Shape& shape,
                                 std::span<const std::byte> bytes);
  Result<ValueId> widened(std::string_view suffix, ValueId x);
  std::string part(std::string_view suffix) const;
  Result<ValueId> dynamic_shape(std::string_view suffix, ValueId x,
                                const std::vector<TargetDim>& to);

  std::string where_;
  std::string name_;
};

}  // namespace firn::imports

#endif  // FIRN_RUNTIME_IMPORT_EMITTER_H_
