// SPDX-License-Identifier: Apache-2.0
// The tensors of a TensorFlow Lite file, checked one by one as operators ask for them.
#ifndef FIRN_RUNTIME_IMPORT_TFLITE_TENSOR_H_
#define FIRN_RUNTIME_IMPORT_TFLITE_TENSOR_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/graph.h"
#include "tflite_generated.h"

namespace firn::tflite {

// What the file says of one tensor. Quantized uint8 is int8 here, zero point and data shifted.
struct FileTensor {
  std::string name;
  DType file_type = DType::f32;  // as users of the model see it
  DType type = DType::f32;
  Shape shape;  // -1: open
  std::optional<Quant> quant;
  // Of int32 and int64, which are biases: how many scales the file has, and the first.
  size_t integer_scales = 0;
  float integer_scale = 0;
  bool variable = false;
  std::shared_ptr<const Buffer> data;  // null where it is computed or given

  bool quantized() const { return quant.has_value(); }
};

class TensorReader {
 public:
  // `bytes` is the whole file, verified and aligned for FlatBuffers.
  TensorReader(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
               const wire::Model& model, const wire::SubGraph& graph)
      : bytes_(bytes), owner_(std::move(owner)), model_(model), graph_(graph) {}

  // From here on open dimensions have the sizes that the file states beside.
  void close_shapes() { closed_ = true; }

  size_t count() const { return graph_.tensors() == nullptr ? 0 : graph_.tensors()->size(); }
  // "tensor 12 'conv/weights'".
  std::string describe(size_t i) const;
  // The tensor's name, made up where it has none.
  std::string name(size_t i) const;
  bool is_variable(size_t i) const {
    return graph_.tensors()->Get(static_cast<uint32_t>(i))->is_variable();
  }
  // malformed, unsupported name the tensor. `i` is below count().
  Result<FileTensor> read(size_t i) const;

 private:
  Result<std::span<const std::byte>> data(const wire::Tensor& tensor) const;

  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  const wire::Model& model_;
  const wire::SubGraph& graph_;
  bool closed_ = false;
};

}  // namespace firn::tflite

#endif  // FIRN_RUNTIME_IMPORT_TFLITE_TENSOR_H_
