// SPDX-License-Identifier: Apache-2.0
// Reads an ONNX model: checks its frame, then translates node after node.
#include "runtime/import/onnx.h"

#include <exception>
#include <new>
#include <unordered_map>
#include <unordered_set>

#include "runtime/import/graph_builder.h"
#include "runtime/import/onnx_context.h"
#include "runtime/import/onnx_ops.h"
#include "runtime/import/onnx_proto.h"
#include "runtime/import/onnx_tensor.h"

namespace firn {
namespace onnx {
namespace {

constexpr int64_t kMinOpset = 1, kMaxOpset = 28;

Status malformed(const std::string& what) {
  return {Code::malformed, "onnx: " + what};
}

std::string quoted(std::string_view name) {
  return "'" + std::string(name) + "'";
}

bool is_default_domain(std::string_view domain) {
  return domain.empty() || domain == "ai.onnx";
}

// An input's type and shape. malformed and unsupported name it.
Result<imports::InputInfo> declared(const ValueInfo& info) {
  const auto fail = [&](Code code, const std::string& what) {
    return Status(code, "onnx: input " + quoted(info.name) + ": " + what);
  };
  if (!info.is_tensor) return fail(Code::unsupported, "is not a tensor");
  const std::optional<DType> type = canonical_type(info.type);
  if (!type) {
    return fail(Code::unsupported, "type " + element_name(info.type) + " is not supported");
  }
  if (!info.shape) return fail(Code::unsupported, "has no declared rank");
  if (info.shape->size() > kMaxRank) {
    return fail(Code::unsupported, "rank " + std::to_string(info.shape->size()) + ", at most " +
                                       std::to_string(kMaxRank) + " is supported");
  }
  imports::InputInfo input{info.name, *type, {}, {}, {}};
  std::vector<int64_t> dims;
  for (const Dimension& dim : *info.shape) {
    if (dim.value.value_or(0) < 0) {
      return fail(Code::malformed, "a dimension is " + std::to_string(*dim.value));
    }
    input.dim_names[dims.size()] = dim.name;
    dims.push_back(dim.value.value_or(-1));
  }
  const Result<Shape> shape = Shape::from(dims);
  if (!shape.ok()) return fail(shape.status().code(), shape.status().message());
  input.shape = *shape;
  return input;
}

class Importer {
 public:
  Importer(const ModelProto& model, TensorReader tensors)
      : model_(model), graph_(*model.graph), tensors_(std::move(tensors)) {}

  Result<Graph> run() {
    FIRN_TRY(read_opset());
    FIRN_TRY(reserve_names());
    FIRN_TRY(read_inputs());
    FIRN_TRY(read_initializers());
    for (const NodeProto& node : graph_.nodes) FIRN_TRY(translate(node));
    FIRN_TRY(builder_.settle_quantization());
    FIRN_ASSIGN(const std::vector<ValueId> outputs, read_outputs());
    return builder_.finish(outputs);
  }

 private:
  Status read_opset() {
    for (const auto& [domain, version] : model_.opsets) {
      if (!is_default_domain(domain)) continue;
      if (opset_ != 0) return malformed("the opset is stated twice");
      if (version < kMinOpset || version > kMaxOpset) {
        return {Code::unsupported, "onnx: opset " + std::to_string(version) + ", supported are " +
                                       std::to_string(kMinOpset) + " to " +
                                       std::to_string(kMaxOpset)};
      }
      opset_ = version;
    }
    // A model of foreign operators alone fails at its first node, which the message then names.
    if (opset_ == 0 && model_.opsets.empty()) return malformed("no opset is stated");
    return {};
  }

  // Values are assigned once: an input, an initializer (perhaps of an input), or one node's output.
  Status reserve_names() {
    std::unordered_set<std::string_view> inputs;
    for (const ValueInfo& info : graph_.inputs) {
      if (info.name.empty()) return malformed("an input has no name");
      if (!inputs.insert(info.name).second) {
        return malformed("input " + quoted(info.name) + " is listed twice");
      }
      builder_.reserve(info.name);
    }
    for (const TensorProto& tensor : graph_.initializers) {
      if (tensor.name.empty()) return malformed("an initializer has no name");
      if (!initialized_.insert(tensor.name).second) {
        return malformed("initializer " + quoted(tensor.name) + " is listed twice");
      }
      builder_.reserve(tensor.name);
    }
    for (const NodeProto& node : graph_.nodes) {
      for (const std::string_view name : node.outputs) {
        if (!name.empty() && !builder_.reserve(name)) {
          return malformed("node " + quoted(node.name) + " (" + std::string(node.op_type) +
                           "): its output " + quoted(name) + " is also written elsewhere");
        }
      }
    }
    return {};
  }

  // Before IR version 4 initializers had to be listed as inputs, too: those are constants.
  Status read_inputs() {
    std::vector<const ValueInfo*> inputs;
    for (const ValueInfo& info : graph_.inputs) {
      if (!initialized_.contains(info.name)) inputs.push_back(&info);
    }
    std::vector<imports::InputInfo> infos;
    for (const ValueInfo* input : inputs) {
      FIRN_ASSIGN(imports::InputInfo info, declared(*input));
      infos.push_back(std::move(info));
    }
    FIRN_TRY(builder_.add_inputs(infos));
    for (size_t i = 0; i < inputs.size(); ++i) {
      define(inputs[i]->name, static_cast<ValueId>(i));
    }
    return {};
  }

  Status read_initializers() {
    if (graph_.has_sparse_initializers) {
      return {Code::unsupported, "onnx: sparse initializers are not supported"};
    }
    for (const TensorProto& tensor : graph_.initializers) {
      FIRN_ASSIGN(Value value, tensors_.read(tensor, "initializer " + quoted(tensor.name)));
      builder_.raise_budget(value.constant->bytes().size());
      define(tensor.name, builder_.add_constant(std::move(value)));
    }
    return {};
  }

  // A name of its own for a node: reports and patterns speak of nodes by name.
  std::string node_name(const NodeProto& node) {
    if (node.name.empty()) {
      std::string name;
      do {
        name = std::string(node.op_type) + "_" + std::to_string(unnamed_++);
      } while (!node_names_.insert(name).second);
      return name;
    }
    std::string name(node.name);
    for (int n = 2; !node_names_.insert(name).second; ++n) {
      name = std::string(node.name) + "_" + std::to_string(n);
    }
    return name;
  }

  Status translate(const NodeProto& node) {
    Context context(builder_, tensors_, names_, node, opset_, node_name(node));
    const Operator* op =
        find_operator(is_default_domain(node.domain) ? "" : node.domain, node.op_type, opset_);
    if (op == nullptr) {
      return {Code::unsupported, "onnx: node " + quoted(context.name()) + ": operator " +
                                     quoted(node.op_type) + " (domain " + quoted(node.domain) +
                                     ", opset " + std::to_string(opset_) + ") is not supported"};
    }
    std::unordered_set<std::string_view> attributes;
    for (const AttributeProto& attribute : node.attributes) {
      if (!attributes.insert(attribute.name).second) {
        return context.malformed("attribute " + quoted(attribute.name) + " is given twice");
      }
    }
    for (const std::string_view name : node.inputs) {
      if (!name.empty() && !names_.contains(name)) {
        return context.malformed("input " + quoted(name) +
                                 " is not written by any node before it, nor given");
      }
    }
    if (node.outputs.empty()) return context.malformed("it has no outputs");
    FIRN_TRY(op->translate(context));
    FIRN_TRY(context.all_attributes_read());
    for (const std::string_view name : node.outputs) {
      if (name.empty()) continue;
      const auto found = names_.find(name);
      if (found == names_.end()) {
        return context.unsupported("output " + quoted(name) + " is not supported");
      }
      // The first ONNX name of a value becomes its own; later ones are aliases (Identity).
      if (!named_.contains(index(found->second))) {
        builder_.rename(found->second, std::string(name));
        define(name, found->second);
      }
    }
    return {};
  }

  // Outputs are called as the model says: where that is not its value's own name, by way of a copy.
  Result<std::vector<ValueId>> read_outputs() {
    std::vector<ValueId> outputs;
    std::unordered_set<std::string_view> seen;
    for (const ValueInfo& info : graph_.outputs) {
      const auto found = names_.find(info.name);
      if (found == names_.end()) {
        return malformed("output " + quoted(info.name) + " is not written by any node");
      }
      if (!seen.insert(info.name).second) {
        return malformed("output " + quoted(info.name) + " is listed twice");
      }
      ValueId id = found->second;
      if (builder_.is_input(id) || builder_.value(id).name != info.name) {
        FIRN_ASSIGN(id, builder_.add_copy(std::string(info.name), id));
      }
      outputs.push_back(id);
    }
    if (outputs.empty()) return malformed("the graph has no outputs");
    return outputs;
  }

  void define(std::string_view name, ValueId id) {
    names_[name] = id;
    named_.insert(index(id));
  }

  const ModelProto& model_;
  const GraphProto& graph_;
  TensorReader tensors_;
  GraphBuilder builder_{"onnx"};
  Context::Names names_;
  std::unordered_set<size_t> named_;  // values that carry a name of the file
  std::unordered_set<std::string_view> initialized_;
  std::unordered_set<std::string> node_names_;
  int64_t opset_ = 0;
  int unnamed_ = 0;
};

}  // namespace
}  // namespace onnx

bool looks_like_onnx(std::span<const std::byte> bytes) {
  return onnx::plausible_model(bytes);
}

Result<Graph> read_onnx(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner,
                        DataFiles& files) {
  try {
    FIRN_ASSIGN(const onnx::ModelProto model, onnx::decode_model(bytes));
    if (!model.graph) return onnx::malformed("the model has no graph");
    return onnx::Importer(model, onnx::TensorReader(bytes, owner, files)).run();
  } catch (const std::bad_alloc&) {
    return Status(Code::out_of_memory, "onnx: no memory to read the model");
  } catch (const std::exception& error) {
    return Status(Code::internal, std::string("onnx: ") + error.what());
  }
}

}  // namespace firn
