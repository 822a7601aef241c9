// SPDX-License-Identifier: Apache-2.0
// Turns ONNX tensors into constants: element types, raw and typed data, external files.
#ifndef FIRN_RUNTIME_IMPORT_ONNX_TENSOR_H_
#define FIRN_RUNTIME_IMPORT_ONNX_TENSOR_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/file.h"
#include "runtime/graph.h"
#include "runtime/import/onnx_proto.h"

namespace firn::onnx {

// The type a tensor of `type` has in a graph: f16, bf16 and f64 become f32. Empty where there is
// none.
std::optional<DType> canonical_type(ElementType type);
// "float16", "uint32", ..., as ONNX calls them.
std::string element_name(ElementType type);

class TensorReader {
 public:
  // Protos view `bytes`, which `owner` keeps alive; external data is in `files`.
  TensorReader(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
               DataFiles& files)
      : bytes_(bytes), owner_(std::move(owner)), files_(&files) {}

  // A constant, named as the proto; it views the file where type and alignment allow. `what` names
  // the tensor in messages: "initializer 'w'". malformed: data that does not fit the shape, a path
  // that leaves the folder; unsupported: types; not_found, io_error: external files.
  Result<Value> read(const TensorProto& proto, const std::string& what);

 private:
  // Bytes of one constant, what keeps them alive, and the whole that they lie in.
  struct Source {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes, whole;
  };
  Result<Source> external(const TensorProto& proto, size_t expected);

  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  DataFiles* files_;
};

}  // namespace firn::onnx

#endif  // FIRN_RUNTIME_IMPORT_ONNX_TENSOR_H_
