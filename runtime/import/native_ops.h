// SPDX-License-Identifier: Apache-2.0
// Operators and enumerations between memory and the FlatBuffer.
#ifndef FIRN_RUNTIME_IMPORT_NATIVE_OPS_H_
#define FIRN_RUNTIME_IMPORT_NATIVE_OPS_H_

#include "firn/status.h"
#include "firn_generated.h"
#include "runtime/ops.h"

namespace firn {

// An enumeration whose enumerators, up to kLast, stand in the same order in the schema.
template <auto kLast, typename Wire>
struct Mirror {
  using Ours = decltype(kLast);
  static_assert(static_cast<int>(kLast) == static_cast<int>(Wire::MAX),
                "runtime/import/firn.fbs lacks an enumerator");
  static Wire pack(Ours value) { return static_cast<Wire>(value); }
  // Clears `valid` where a file's value is none of the enumerators.
  static Ours unpack(Wire value, bool& valid) {
    if (value > Wire::MAX) valid = false;
    return value > Wire::MAX ? Ours{} : static_cast<Ours>(value);
  }
};
using DTypes = Mirror<DType::boolean, wire::DType>;

struct WireOp {
  wire::Op type;
  flatbuffers::Offset<void> table;
};
WireOp pack_op(flatbuffers::FlatBufferBuilder& builder, const Op& op);

// malformed: no operator, an unknown one, or attributes that no operator has. What else attributes
// must satisfy is shape inference's to say.
Result<Op> unpack_op(const wire::Node& node);

}  // namespace firn

#endif  // FIRN_RUNTIME_IMPORT_NATIVE_OPS_H_
