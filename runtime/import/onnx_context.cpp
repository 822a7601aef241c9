// SPDX-License-Identifier: Apache-2.0
// Reads a node's attributes and inputs.
#include "runtime/import/onnx_context.h"

#include <algorithm>

namespace firn::onnx {
Result<ValueId> Context::input(size_t i) const {
  if (!has(i)) return malformed("input " + std::to_string(i) + " is missing");
  return names_.at(proto_.inputs[i]);
}

ValueId Context::optional_input(size_t i) const {
  return has(i) ? names_.at(proto_.inputs[i]) : ValueId::none;
}

const AttributeProto* Context::find(std::string_view name) {
  for (size_t i = 0; i < proto_.attributes.size(); ++i) {
    if (proto_.attributes[i].name != name) continue;
    attribute_read_[i] = true;
    return &proto_.attributes[i];
  }
  return nullptr;
}

Result<const AttributeProto*> Context::typed(std::string_view name, AttributeProto::Type type) {
  const AttributeProto* attribute = find(name);
  if (attribute != nullptr && attribute->type != type) {
    return malformed("attribute '" + std::string(name) + "' has type " +
                     std::to_string(static_cast<int>(attribute->type)) + ", expected " +
                     std::to_string(static_cast<int>(type)));
  }
  return attribute;
}

Result<int64_t> Context::attr(std::string_view name, int64_t missing) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::i));
  return found == nullptr ? missing : found->i;
}

Result<float> Context::attr(std::string_view name, float missing) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::f));
  return found == nullptr ? missing : found->f;
}

Result<std::string> Context::attr(std::string_view name, const char* missing) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::s));
  return found == nullptr ? std::string(missing) : std::string(found->s);
}

Result<std::vector<int64_t>> Context::attr_ints(std::string_view name) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::ints));
  return found == nullptr ? std::vector<int64_t>() : found->ints;
}

Result<std::vector<float>> Context::attr_floats(std::string_view name) {
  FIRN_ASSIGN(const AttributeProto* found, typed(name, AttributeProto::Type::floats));
  return found == nullptr ? std::vector<float>() : found->floats;
}

Status Context::all_attributes_read() const {
  for (size_t i = 0; i < attribute_read_.size(); ++i) {
    if (!attribute_read_[i]) {
      return unsupported("attribute '" + std::string(proto_.attributes[i].name) +
                         "' is not supported in opset " + std::to_string(opset));
    }
  }
  return {};
}

Status Context::not_constant(size_t i, ValueId id) const {
  return unsupported("input " + std::to_string(i) + " ('" + builder.value(id).name +
                     "') is computed at run time, only constants are supported there");
}

Result<std::vector<std::optional<int64_t>>> Context::known_ints(size_t i) const {
  FIRN_ASSIGN(const ValueId id, input(i));
  if (type(id) != DType::i64 && type(id) != DType::i32) {
    return malformed("input " + std::to_string(i) + " has type " + dtype_name(type(id)) +
                     ", expected i64 or i32");
  }
  std::optional<std::vector<std::optional<int64_t>>> ints = builder.known_ints(id);
  if (!ints) return not_constant(i, id);
  return *std::move(ints);
}

bool Context::is_known(size_t i) const {
  if (!has(i)) return true;
  const std::optional<std::vector<std::optional<int64_t>>> ints =
      builder.known_ints(optional_input(i));
  return ints && std::ranges::all_of(*ints, [](const auto& number) { return number.has_value(); });
}

Result<std::vector<int64_t>> Context::constant_ints(size_t i) const {
  FIRN_ASSIGN(const std::vector<std::optional<int64_t>> known, known_ints(i));
  std::vector<int64_t> ints;
  for (const std::optional<int64_t>& number : known) {
    if (!number) return not_constant(i, optional_input(i));
    ints.push_back(*number);
  }
  return ints;
}

Result<std::vector<float>> Context::constant_floats(size_t i) const {
  FIRN_ASSIGN(const ValueId id, input(i));
  const Value& value = builder.value(id);
  if (value.constant == nullptr) return not_constant(i, id);
  if (value.type != DType::f32) {
    return malformed("input " + std::to_string(i) + " has type " + dtype_name(value.type) +
                     ", expected f32");
  }
  return std::vector<float>(value.as<float>().begin(), value.as<float>().end());
}

Status Context::bind(ValueId id, size_t output) {
  if (!wanted(output) || id == ValueId::none) return {};
  names_[proto_.outputs[output]] = id;
  return {};
}

Status Context::bind(const Result<ValueId>& id, size_t output) {
  FIRN_TRY(id.status());
  return bind(*id, output);
}

}  // namespace firn::onnx
