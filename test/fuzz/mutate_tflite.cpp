// SPDX-License-Identifier: Apache-2.0
// Damage to TensorFlow Lite files that still verify: what is edited are numbers in place, found by
// the format's own tables, so that the importer reads them.
#include <cstring>

#include "test/fuzz/mutations.h"
#include "tflite_generated.h"

namespace firn::fuzz {
namespace {

namespace wire = tflite::wire;

// A number somewhere in the file.
template <typename T>
void write(std::string& file, const void* at, T value) {
  const auto offset = static_cast<size_t>(static_cast<const char*>(at) - file.data());
  if (offset + sizeof(T) <= file.size()) std::memcpy(file.data() + offset, &value, sizeof(T));
}

// Mostly what might pass for an index or a size.
int32_t number(Random& random) {
  if (random.one_in(2)) return static_cast<int32_t>(random.below(12)) - 1;
  return static_cast<int32_t>(edge_integer(random));
}

template <typename T>
void edit_vector(std::string& file, const flatbuffers::Vector<T>* vector, Random& random) {
  if (vector == nullptr || vector->size() == 0) return;
  write(file, vector->Data() + random.below(vector->size()) * sizeof(T),
        static_cast<T>(number(random)));
}

// One of the scalars of a table: whatever stands at a field of it.
void edit_table(std::string& file, const void* table, size_t fields, Random& random) {
  if (table == nullptr) return;
  const auto slot = static_cast<flatbuffers::voffset_t>(4 + 2 * random.below(fields));
  const uint8_t* at = static_cast<const flatbuffers::Table*>(table)->GetAddressOf(slot);
  if (at == nullptr) return;
  if (random.one_in(2)) {
    write(file, at, static_cast<uint8_t>(random.below(20)));
  } else {
    write(file, at, number(random));
  }
}

void edit_tensor(std::string& file, const wire::Tensor& tensor, Random& random) {
  const auto* quantization = tensor.quantization();
  switch (random.below(6)) {
    case 0:
      return edit_vector(file, tensor.shape(), random);
    case 1:
      return edit_vector(file, tensor.shape_signature(), random);
    case 2:
      if (quantization == nullptr || quantization->zero_point() == nullptr) return;
      return edit_vector(file, quantization->zero_point(), random);
    case 3:
      if (quantization == nullptr || quantization->scale() == nullptr) return;
      return edit_vector(file, quantization->scale(), random);
    default:
      return edit_table(file, &tensor, 6, random);
  }
}

void edit_operator(std::string& file, const wire::Operator& op, Random& random) {
  switch (random.below(5)) {
    case 0:
      return edit_vector(file, op.inputs(), random);
    case 1:
      return edit_vector(file, op.outputs(), random);
    case 2:
      return edit_table(file, &op, 4, random);
    default:
      return edit_table(file, op.builtin_options(), 7, random);
  }
}

void edit_model(std::string& file, const wire::Model& model, Random& random) {
  const wire::SubGraph& graph = *model.subgraphs()->Get(0);
  const auto one_of = [&](const auto* vector) {
    return vector->Get(static_cast<uint32_t>(random.below(vector->size())));
  };
  const bool tensors = graph.tensors() != nullptr && graph.tensors()->size() > 0;
  const bool operators = graph.operators() != nullptr && graph.operators()->size() > 0;
  switch (random.below(8)) {
    case 0:
      return edit_vector(file, random.one_in(2) ? graph.inputs() : graph.outputs(), random);
    case 1:
      if (model.operator_codes() == nullptr || model.operator_codes()->size() == 0) return;
      return edit_table(file, one_of(model.operator_codes()), 4, random);
    case 2:
      if (model.buffers() == nullptr || model.buffers()->size() == 0) return;
      return edit_vector(file, one_of(model.buffers())->data(), random);
    case 3:
    case 4:
      if (tensors) edit_tensor(file, *one_of(graph.tensors()), random);
      return;
    default:
      if (operators) edit_operator(file, *one_of(graph.operators()), random);
  }
}

}  // namespace

std::string mutate_tflite(std::string file, const std::string& other, Random& random) {
  for (size_t edits = 1 + random.below(3); edits > 0; --edits) {
    flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(file.data()), file.size());
    const bool whole = wire::VerifyModelBuffer(verifier);
    const wire::Model* model = whole ? wire::GetModel(file.data()) : nullptr;
    const bool graph = whole && model->subgraphs() != nullptr && model->subgraphs()->size() > 0;
    if (!graph || random.one_in(8)) return mutate_bytes(std::move(file), other, random);
    edit_model(file, *model, random);
  }
  return file;
}

}  // namespace firn::fuzz
