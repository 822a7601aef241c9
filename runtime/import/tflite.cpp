// SPDX-License-Identifier: Apache-2.0
// Reads a TensorFlow Lite model: checks its frame, then translates operator after operator.
#include "runtime/import/tflite.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>
#include <utility>
#include <vector>

#include "runtime/import/tflite_context.h"
#include "runtime/import/tflite_ops.h"

namespace firn {
namespace tflite {
namespace {

using imports::GraphBuilder;
using imports::InputInfo;
using wire::BuiltinOperator;

constexpr uint32_t kVersion = 3;

Status malformed(const std::string& what) {
  return {Code::malformed, "tflite: " + what};
}

// Codes past the old one-byte field have its largest value there.
BuiltinOperator code_of(const wire::OperatorCode& code) {
  const auto old = static_cast<int32_t>(code.deprecated_builtin_code());
  const auto now = static_cast<int32_t>(code.builtin_code());
  return static_cast<BuiltinOperator>(std::max(old, now));
}

std::string operator_name(const wire::OperatorCode& code) {
  if (code_of(code) == BuiltinOperator::CUSTOM) {
    return "custom operator '" + (code.custom_code() ? code.custom_code()->str() : "") + "'";
  }
  const std::string name = wire::EnumNameBuiltinOperator(code_of(code));
  return name.empty() ? "operator " + std::to_string(static_cast<int>(code_of(code))) : name;
}

class Importer {
 public:
  Importer(const wire::Model& model, const wire::SubGraph& graph, TensorReader reader)
      : model_(model), graph_(graph), builder_("tflite"), tensors_(builder_, std::move(reader)) {}

  Result<Graph> run() {
    FIRN_TRY(check_frame());
    find_variables();
    FIRN_TRY(read_inputs());
    for (uint32_t i = 0; i < operator_count(); ++i) FIRN_TRY(translate(i));
    FIRN_ASSIGN(std::vector<ValueId> outputs, read_outputs());
    FIRN_TRY(add_states(outputs));
    FIRN_ASSIGN(Graph graph, builder_.finish(outputs));
    graph.states = variables_.size();
    return graph;
  }

 private:
  uint32_t operator_count() const {
    return graph_.operators() == nullptr ? 0 : graph_.operators()->size();
  }

  Status check_index(const std::string& what, int32_t tensor) const {
    if (tensor >= 0 && static_cast<size_t>(tensor) < tensors_.count()) return {};
    return malformed(what + " is tensor " + std::to_string(tensor) + " of " +
                     std::to_string(tensors_.count()));
  }

  Result<const FileTensor*> tensor_info(size_t tensor) {
    const Result<const FileTensor*> found = tensors_.info(tensor);
    if (found.ok()) return found;
    return Status(found.status().code(), "tflite: " + found.status().message());
  }

  Result<ValueId> value(size_t tensor) {
    const Result<ValueId> found = tensors_.value(tensor);
    if (found.ok()) return found;
    return Status(found.status().code(), "tflite: " + found.status().message());
  }

  // Tensors are assigned once: an input, a constant, or one operator's output.
  Status check_frame() {
    if (graph_.inputs() == nullptr) return malformed("the graph states no inputs");
    if (graph_.outputs() == nullptr || graph_.outputs()->size() == 0) {
      return malformed("the graph has no outputs");
    }
    std::vector<bool> written(tensors_.count());
    for (const int32_t tensor : *graph_.inputs()) {
      FIRN_TRY(check_index("an input", tensor));
      const auto at = static_cast<size_t>(tensor);
      if (written[at]) return malformed("input " + tensors_.describe(at) + " is listed twice");
      written[at] = true;
    }
    for (const int32_t tensor : *graph_.outputs()) FIRN_TRY(check_index("an output", tensor));
    const size_t codes = model_.operator_codes() == nullptr ? 0 : model_.operator_codes()->size();
    for (uint32_t i = 0; i < operator_count(); ++i) {
      const wire::Operator& op = *graph_.operators()->Get(i);
      const std::string node = "node " + std::to_string(i);
      if (op.opcode_index() >= codes) {
        return malformed(node + ": operator code " + std::to_string(op.opcode_index()) + " of " +
                         std::to_string(codes));
      }
      for (uint32_t k = 0; op.inputs() != nullptr && k < op.inputs()->size(); ++k) {
        if (op.inputs()->Get(k) == -1) continue;
        FIRN_TRY(check_index(node + ": input " + std::to_string(k), op.inputs()->Get(k)));
      }
      for (uint32_t k = 0; op.outputs() != nullptr && k < op.outputs()->size(); ++k) {
        FIRN_TRY(check_index(node + ": output " + std::to_string(k), op.outputs()->Get(k)));
        const auto at = static_cast<size_t>(op.outputs()->Get(k));
        if (written[at]) {
          return malformed(node + ": its output " + tensors_.describe(at) +
                           " is also written elsewhere");
        }
        written[at] = true;
      }
    }
    return {};
  }

  // The variables that operators read, in their order.
  void find_variables() {
    for (uint32_t i = 0; i < operator_count(); ++i) {
      const auto* inputs = graph_.operators()->Get(i)->inputs();
      for (uint32_t k = 0; inputs != nullptr && k < inputs->size(); ++k) {
        const int32_t tensor = inputs->Get(k);
        if (tensor < 0 || !tensors_.is_variable(static_cast<size_t>(tensor))) continue;
        const auto at = static_cast<size_t>(tensor);
        if (std::ranges::find(variables_, at) == variables_.end()) variables_.push_back(at);
      }
    }
    if (!variables_.empty()) tensors_.close_shapes();
  }

  // uint8 inputs are shifted to int8 behind the input. Variables are inputs, too: real numbers,
  // whatever they are quantized to.
  Status read_inputs() {
    std::vector<InputInfo> infos;
    for (const int32_t tensor : *graph_.inputs()) {
      FIRN_ASSIGN(const FileTensor* const info, tensor_info(static_cast<size_t>(tensor)));
      if (info->data != nullptr) {
        return malformed("input '" + info->name + "' is a constant");
      }
      if (info->file_type == DType::f16) {
        return {Code::unsupported, "tflite: input '" + info->name + "' is f16"};
      }
      InputInfo input;
      input.name = info->name;
      input.type = info->file_type;
      input.shape = info->shape;
      input.quant = file_quant(*info);
      infos.push_back(std::move(input));
    }
    for (const size_t tensor : variables_) {
      FIRN_ASSIGN(const FileTensor* const info, tensor_info(tensor));
      if (info->data != nullptr || tensors_.made(tensor)) {
        return malformed(tensors_.describe(tensor) + " is a variable and a constant or output");
      }
      InputInfo input;
      input.name = info->name;
      input.shape = info->shape;
      infos.push_back(std::move(input));
    }
    FIRN_TRY(builder_.add_inputs(infos));
    for (size_t i = 0; i < variables_.size(); ++i) {
      tensors_.define_unnamed(variables_[i], static_cast<ValueId>(graph_.inputs()->size() + i));
    }
    for (uint32_t i = 0; i < graph_.inputs()->size(); ++i) {
      const auto tensor = static_cast<size_t>(graph_.inputs()->Get(i));
      FIRN_ASSIGN(const FileTensor* const info, tensor_info(tensor));
      ValueId id = static_cast<ValueId>(i);
      if (info->file_type != info->type) {
        FIRN_ASSIGN(
            id, builder_.add_node(info->name + "_int8", Convert{info->type}, {id}, info->quant));
      }
      tensors_.define_unnamed(tensor, id);
    }
    return {};
  }

  // The quantization as users of the model see it.
  static std::optional<Quant> file_quant(const FileTensor& tensor) {
    std::optional<Quant> quant = tensor.quant;
    if (quant && tensor.file_type != tensor.type) {
      for (int32_t& zero : quant->zero) zero += 128;
    }
    return quant;
  }

  Status translate(uint32_t i) {
    const wire::Operator& op = *graph_.operators()->Get(i);
    const wire::OperatorCode& code = *model_.operator_codes()->Get(op.opcode_index());
    const std::string number = "node " + std::to_string(i);
    const std::string where = "tflite: " + number + " (" + operator_name(code) + ")";
    if (op.outputs() == nullptr || op.outputs()->size() == 0) {
      return {Code::malformed, where + ": it has no outputs"};
    }
    const auto first = static_cast<size_t>(op.outputs()->Get(0));
    Status (*translation)(Context&) = nullptr;
    if (code_of(code) == BuiltinOperator::CUSTOM) {
      const std::string name = code.custom_code() ? code.custom_code()->str() : "";
      if (const CustomOperator* found = find_custom_operator(name)) translation = found->translate;
    } else if (const Operator* found = find_operator(code_of(code))) {
      translation = found->translate;
    }
    if (translation == nullptr) {
      return {Code::unsupported,
              where + " for '" + tensors_.name(first) + "': it is not supported"};
    }
    Context context(builder_, tensors_, op, where, tensors_.name(first));
    FIRN_TRY(translation(context));
    for (const int32_t output : *op.outputs()) {
      if (!tensors_.made(static_cast<size_t>(output))) {
        return context.unsupported("its output " + tensors_.describe(static_cast<size_t>(output)) +
                                   " is not supported");
      }
    }
    return {};
  }

  // Outputs are called as the model says, and have its types.
  Result<std::vector<ValueId>> read_outputs() {
    std::vector<ValueId> outputs;
    std::unordered_set<std::string> seen;
    for (const int32_t output : *graph_.outputs()) {
      const auto tensor = static_cast<size_t>(output);
      FIRN_ASSIGN(ValueId id, value(tensor));
      FIRN_ASSIGN(const FileTensor* const info, tensor_info(tensor));
      if (!seen.insert(info->name).second) {
        return malformed("two outputs are called '" + info->name + "'");
      }
      if (info->file_type == DType::f16) {
        return Status(Code::unsupported, "tflite: output '" + info->name + "' is f16");
      }
      if (info->file_type != info->type) {
        builder_.rename(id, builder_.unique_name(info->name + "_int8"));
        FIRN_ASSIGN(id, builder_.add_node(info->name + "_uint8", Convert{info->file_type}, {id},
                                          file_quant(*info)));
        builder_.rename(id, info->name);
      } else if (builder_.is_input(id) || builder_.value(id).name != info->name ||
                 builder_.is_constant(id)) {
        FIRN_ASSIGN(id, builder_.add_copy(info->name, id));
      }
      outputs.push_back(id);
    }
    return outputs;
  }

  // What variables hold at the end: the last outputs.
  Status add_states(std::vector<ValueId>& outputs) {
    for (const size_t tensor : variables_) {
      FIRN_ASSIGN(const ValueId last, value(tensor));
      FIRN_ASSIGN(const ValueId next,
                  builder_.add_copy(builder_.unique_name(tensors_.name(tensor) + "_next"), last));
      outputs.push_back(next);
    }
    return {};
  }

  const wire::Model& model_;
  const wire::SubGraph& graph_;
  GraphBuilder builder_;
  Tensors tensors_;
  std::vector<size_t> variables_;
};

// The verified root; null where the bytes are no FlatBuffer of this schema.
const wire::Model* verified_model(std::span<const std::byte> bytes) {
  constexpr flatbuffers::uoffset_t kMaxDepth = 32, kMaxTables = 1 << 22;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), kMaxDepth, kMaxTables);
  return wire::VerifyModelBuffer(verifier) ? wire::GetModel(data) : nullptr;
}

Result<Graph> read(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner) {
  const wire::Model* model = verified_model(bytes);
  if (model == nullptr) {
    return malformed("the file is damaged or cut off: its FlatBuffer does not verify");
  }
  if (model->version() != kVersion) {
    return Status(Code::unsupported, "tflite: version " + std::to_string(model->version()) +
                                         ", supported is " + std::to_string(kVersion));
  }
  if (model->subgraphs() == nullptr || model->subgraphs()->size() == 0) {
    return malformed("the model has no graph");
  }
  const wire::SubGraph& graph = *model->subgraphs()->Get(0);
  return Importer(*model, graph, TensorReader(bytes, owner, *model, graph)).run();
}

}  // namespace
}  // namespace tflite

bool looks_like_tflite(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data() + 4, "TFL3", 4) == 0;
}

Result<Graph> read_tflite(std::span<const std::byte> bytes,
                          const std::shared_ptr<const void>& owner) {
  constexpr uintptr_t kAlignment = 16;
  if (std::bit_cast<uintptr_t>(bytes.data()) % kAlignment == 0) return tflite::read(bytes, owner);
  // A mapped file starts a page; bytes from elsewhere may lie anywhere.
  FIRN_ASSIGN(const auto copy, Buffer::allocate(bytes.size()));
  std::memcpy(copy.second.data(), bytes.data(), bytes.size());
  return tflite::read(copy.second, copy.first);
}

}  // namespace firn
