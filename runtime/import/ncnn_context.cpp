// SPDX-License-Identifier: Apache-2.0
// Reads a layer's parameters, weights and blobs; emits in its name.
#include "runtime/import/ncnn_context.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace firn::ncnn {

int axis_of(char name, int dims) {
  constexpr std::array<std::string_view, 5> kNames{"", "w", "hw", "chw", "cdhw"};
  if (dims < 1 || dims > 4) return -1;
  const size_t found = kNames[static_cast<size_t>(dims)].find(name);
  return found == std::string_view::npos ? -1 : static_cast<int>(found) + 1;
}

const Param* Context::find(int id) const {
  const auto found = std::ranges::find(layer_.params, id, &Param::id);
  return found == layer_.params.end() ? nullptr : &*found;
}

// Null where it is not given. A list of one is a number, and a number a list of one.
Result<const Param*> Context::numbers(int id, bool array) const {
  const Param* param = find(id);
  if (param == nullptr) return param;
  if (param->text) {
    return malformed("parameter " + std::to_string(id) + " is '" + param->string +
                     "', expected a number");
  }
  if (!array && param->numbers.size() != 1) {
    return malformed("parameter " + std::to_string(id) + " is a list of " +
                     std::to_string(param->numbers.size()) + ", expected one number");
  }
  return param;
}

Result<std::vector<int32_t>> Context::ints(int id) const {
  FIRN_ASSIGN(const Param* param, numbers(id, true));
  std::vector<int32_t> result;
  if (param == nullptr) return result;
  for (const Number& number : param->numbers) {
    const std::optional<int32_t> value = number.as_int();
    if (!value) {
      return malformed("parameter " + std::to_string(id) + " has " +
                       std::to_string(number.as_float()) + ", expected whole numbers");
    }
    result.push_back(*value);
  }
  return result;
}

Result<std::vector<float>> Context::floats(int id) const {
  FIRN_ASSIGN(const Param* param, numbers(id, true));
  std::vector<float> result;
  if (param == nullptr) return result;
  for (const Number& number : param->numbers) {
    if (std::isnan(number.as_float())) {
      return malformed("parameter " + std::to_string(id) + " is NaN");
    }
    result.push_back(number.as_float());
  }
  return result;
}

Result<int32_t> Context::param(int id, int32_t missing) const {
  FIRN_TRY(numbers(id, false).status());
  FIRN_ASSIGN(const std::vector<int32_t> values, ints(id));
  return values.empty() ? missing : values[0];
}

Result<float> Context::param(int id, float missing) const {
  FIRN_TRY(numbers(id, false).status());
  FIRN_ASSIGN(const std::vector<float> values, floats(id));
  return values.empty() ? missing : values[0];
}

Result<bool> Context::flag(int id, bool missing) const {
  FIRN_ASSIGN(const int32_t value, param(id, missing ? 1 : 0));
  return value != 0;
}

Result<std::string> Context::text(int id) const {
  const Param* param = find(id);
  if (param == nullptr) return std::string();
  if (!param->text) return malformed("parameter " + std::to_string(id) + " is no text");
  return param->string;
}

Result<int32_t> Context::at_least(int32_t least, int id, const char* what, int32_t missing) const {
  FIRN_ASSIGN(const int32_t value, param(id, missing));
  if (value >= least) return value;
  return malformed(std::string(what) + " is " + std::to_string(value) + ", expected at least " +
                   std::to_string(least));
}

Status Context::expect_param(int id, const char* what, int32_t expected) const {
  FIRN_ASSIGN(const int32_t value, param(id, expected));
  if (value == expected) return {};
  return unsupported(std::string(what) + " is " + std::to_string(value) + ", only " +
                     std::to_string(expected) + " is supported");
}

Result<ValueId> Context::add_constant(std::string_view suffix, Value value) {
  value.name = builder.unique_name(name() + "/" + std::string(suffix));
  builder.raise_budget(value.constant->bytes().size());
  return builder.add_constant(std::move(value));
}

Result<ValueId> Context::weight(std::string_view suffix, const Shape& shape, Spread spread) {
  Result<Value> value = weights_.read(shape, spread);
  if (!value.ok()) return fail(value.status().code(), value.status().message());
  return add_constant(suffix, *std::move(value));
}

Result<std::vector<float>> Context::weight_floats(int32_t count, Spread spread) {
  const Result<Value> value = weights_.read({count}, spread);
  if (!value.ok()) return fail(value.status().code(), value.status().message());
  return std::vector<float>(value->as<float>().begin(), value->as<float>().end());
}

Result<Value> Context::tagged_value(const Shape& shape, Spread spread) {
  Result<Value> value = weights_.read_tagged(shape, spread);
  if (!value.ok()) return fail(value.status().code(), value.status().message());
  return value;
}

Result<ValueId> Context::tagged_weight(std::string_view suffix, const Shape& shape, Spread spread) {
  FIRN_ASSIGN(Value value, tagged_value(shape, spread));
  if (value.type != DType::f32) return malformed("its weights are int8, and it states no scales");
  return add_constant(suffix, std::move(value));
}

Status Context::expect_inputs(size_t least, size_t most) const {
  if (input_count() >= least && input_count() <= most) return {};
  return malformed(std::to_string(input_count()) + " inputs, expected " + std::to_string(least) +
                   (least == most ? "" : " to " + std::to_string(most)));
}

Result<ValueId> Context::raw_input(size_t i) const {
  if (i >= input_count()) return malformed("input " + std::to_string(i) + " is missing");
  return names_.at(layer_.bottoms[i]);
}

Result<ValueId> Context::input(size_t i) {
  FIRN_ASSIGN(const ValueId x, raw_input(i));
  if (type(x) != DType::i8) return x;
  return convert("real", x, DType::f32);
}

Status Context::bind(const Result<ValueId>& id, size_t output) {
  FIRN_TRY(id.status());
  if (output >= output_count()) {
    return malformed(std::to_string(output_count()) + " outputs, it makes more");
  }
  names_[layer_.tops[output]] = *id;
  return {};
}

Result<int32_t> Context::blob_axis(int32_t axis, ValueId id) const {
  const int count = dims(id);
  const int32_t positive = axis < 0 ? axis + count : axis;
  if (positive >= 0 && positive < count) return positive + 1;
  return malformed("axis " + std::to_string(axis) + " of a blob of " + std::to_string(count) +
                   " dimensions");
}

Status Context::expect_dims(ValueId id, int least, int most) const {
  if (dims(id) >= least && dims(id) <= most) return {};
  return unsupported("a blob of " + std::to_string(dims(id)) + " dimensions, expected " +
                     std::to_string(least) + (least == most ? "" : " to " + std::to_string(most)));
}

Result<int32_t> Context::known_dim(ValueId id, int axis) const {
  const int32_t dim = shape(id)[axis];
  if (dim >= 0) return dim;
  return unsupported("its input's shape must be known here, it is " + to_string(shape(id)));
}

Result<ValueId> Context::reshape_blob(std::string_view suffix, ValueId x,
                                      std::vector<TargetDim> dims) {
  dims.insert(dims.begin(), TargetDim::copy(0));
  return reshape(suffix, x, dims);
}

Result<ValueId> Context::as_blob(std::string_view suffix, ValueId x, std::vector<TargetDim> dims) {
  dims.insert(dims.begin(), TargetDim::of(1));
  return reshape(suffix, x, dims);
}

Result<ValueId> Context::per_channel(std::string_view suffix, ValueId vector, ValueId x) {
  if (dims(x) == 1) return vector;
  std::vector<TargetDim> to{TargetDim::copy(0)};
  to.resize(static_cast<size_t>(dims(x)), TargetDim::of(1));
  return reshape(suffix, vector, to);
}

Result<ValueId> Context::with_number(std::string_view suffix, Binary::Kind kind, ValueId a,
                                     float b) {
  FIRN_ASSIGN(const ValueId id, number(std::string(suffix) + "_number", b));
  return binary(suffix, kind, a, id);
}

}  // namespace firn::ncnn
