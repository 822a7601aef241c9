// SPDX-License-Identifier: Apache-2.0
// Opens a model file with a session that is ready to run.
#include "network.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "text.h"

namespace firn::tool {
namespace {

// "[NAME=]1x3x224x224": the name, or "", and the shape.
Result<std::pair<std::string, Shape>> parse_named_shape(const std::string& argument) {
  const size_t equals = argument.rfind('=');
  const bool named = equals != std::string::npos;
  FIRN_ASSIGN(const Shape shape, parse_shape(named ? argument.substr(equals + 1) : argument));
  return std::pair(named ? argument.substr(0, equals) : std::string(), shape);
}

// Applies one "[NAME=]1x3x224x224" to the inputs.
Status apply_shape(const std::string& argument, std::vector<TensorInfo>& inputs) {
  FIRN_ASSIGN(const auto stated, parse_named_shape(argument));
  const auto& [given, shape] = stated;
  if (given.empty() && inputs.size() != 1) {
    return {Code::invalid_argument, "--shape " + argument + ": the model has " +
                                        std::to_string(inputs.size()) +
                                        " inputs, write NAME=" + argument};
  }
  const std::string name = given.empty() ? inputs[0].name : given;
  const auto input = std::find_if(inputs.begin(), inputs.end(),
                                  [&](const TensorInfo& each) { return each.name == name; });
  if (input == inputs.end()) {
    return {Code::not_found, "--shape " + argument + ": the model has no input '" + name + "'"};
  }
  bool fits = shape.rank == input->shape.rank;
  for (int i = 0; fits && i < shape.rank; ++i) {
    fits = input->shape[i] < 0 || input->shape[i] == shape[i];
  }
  if (!fits) {
    return {Code::invalid_argument,
            "--shape " + argument + ": input '" + name + "' is " + to_string(input->shape)};
  }
  input->shape = shape;
  return {};
}

// The message with the file in front, where it does not name it yet.
Status about(const std::string& path, const Status& status) {
  const std::string shown = Status(status.code(), path).message();  // as messages spell it
  const bool named = status.message().find(shown) != std::string::npos;
  return {status.code(), named ? status.message() : path + ": " + status.message()};
}

}  // namespace

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::i8:
      return "int8";
    case Precision::i16:
      return "int16";
    case Precision::f32:
      break;
  }
  return "fp32";
}

std::string layers_text(int int8, int i16, int floats, const char* float_name) {
  return format("%d int8, ", int8) + (i16 > 0 ? format("%d int16, ", i16) : "") +
         format("%d %s", floats, float_name);
}

Result<Shape> parse_shape(const std::string& text) {
  std::vector<int64_t> dims;
  for (const std::string& part : split(text, 'x')) {
    const Result<int> dim = parse_number<int>(part);
    if (!dim || *dim < 1) {
      return Status(Code::invalid_argument, "'" + text + "' is not a shape like 1x3x224x224");
    }
    dims.push_back(*dim);
  }
  FIRN_ASSIGN(const Shape shape, Shape::from(dims));
  FIRN_TRY(checked_elements(shape).status());
  return shape;
}

Result<Model> open_model(const std::string& path, const RunOptions& options) {
  LoadOptions load{.random_weights = options.random_weights, .input_shapes = {}};
  for (const std::string& argument : options.shapes) {
    FIRN_ASSIGN(auto shape, parse_named_shape(argument));
    load.input_shapes.push_back(std::move(shape));
  }
  Result<Model> model = Model::load(path, load);
  return model ? std::move(model) : about(path, model.status());
}

Result<Network> open_network(const std::string& path, const RunOptions& options) {
  FIRN_ASSIGN(Model model, open_model(path, options));
  std::vector<TensorInfo> inputs = model.inputs();
  for (const std::string& argument : options.shapes) FIRN_TRY(apply_shape(argument, inputs));
  SessionOptions settings{.threads = options.threads, .isa = options.isa, .input_shapes = {}};
  if (options.weight_use == "floats") settings.weights = WeightUse::floats;
  if (options.weight_use == "integers") settings.weights = WeightUse::integers;
  for (const TensorInfo& input : inputs) {
    if (input.shape.known()) settings.input_shapes.emplace_back(input.name, input.shape);
  }
  Result<Session> session = Session::create(model, settings);
  if (!session) return about(path, session.status());
  return Network{std::move(model), *std::move(session), std::move(inputs)};
}

}  // namespace firn::tool
