// SPDX-License-Identifier: Apache-2.0
// Exports of elementwise operators, reductions, movements and conversions.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "runtime/export/onnx_exporter.h"

namespace firn::onnx {
namespace {

const char* binary_name(Binary::Kind kind) {
  switch (kind) {
    case Binary::Kind::add:
      return "Add";
    case Binary::Kind::sub:
      return "Sub";
    case Binary::Kind::mul:
      return "Mul";
    case Binary::Kind::div:
      return "Div";
    case Binary::Kind::max:
      return "Max";
    case Binary::Kind::min:
      return "Min";
    case Binary::Kind::pow:
      return "Pow";
    case Binary::Kind::equal:
      return "Equal";
    case Binary::Kind::less:
      return "Less";
    case Binary::Kind::greater:
      return "Greater";
    case Binary::Kind::logical_and:
      return "And";
    case Binary::Kind::logical_or:
      return "Or";
    case Binary::Kind::fmod:
      return "Mod";
    default:
      return nullptr;
  }
}

// Those that are one operator, and where alpha and beta go.
struct UnaryForm {
  const char* op = nullptr;
  const char* alpha = nullptr;
  const char* beta = nullptr;
};

UnaryForm unary_form(Unary::Kind kind) {
  switch (kind) {
    case Unary::Kind::sigmoid:
      return {"Sigmoid"};
    case Unary::Kind::tanh:
      return {"Tanh"};
    case Unary::Kind::exp:
      return {"Exp"};
    case Unary::Kind::log:
      return {"Log"};
    case Unary::Kind::sqrt:
      return {"Sqrt"};
    case Unary::Kind::reciprocal:
      return {"Reciprocal"};
    case Unary::Kind::abs:
      return {"Abs"};
    case Unary::Kind::neg:
      return {"Neg"};
    case Unary::Kind::floor:
      return {"Floor"};
    case Unary::Kind::ceil:
      return {"Ceil"};
    case Unary::Kind::round:
      return {"Round"};
    case Unary::Kind::erf:
      return {"Erf"};
    case Unary::Kind::sin:
      return {"Sin"};
    case Unary::Kind::cos:
      return {"Cos"};
    case Unary::Kind::hard_sigmoid:
      return {"HardSigmoid", "alpha", "beta"};
    case Unary::Kind::hard_swish:
      return {"HardSwish"};
    case Unary::Kind::softplus:
      return {"Softplus"};
    case Unary::Kind::softsign:
      return {"Softsign"};
    case Unary::Kind::elu:
      return {"Elu", "alpha"};
    case Unary::Kind::leaky_relu:
      return {"LeakyRelu", "alpha"};
    case Unary::Kind::logical_not:
      return {"Not"};
    case Unary::Kind::sign:
      return {"Sign"};
    case Unary::Kind::tan:
      return {"Tan"};
    case Unary::Kind::asin:
      return {"Asin"};
    case Unary::Kind::acos:
      return {"Acos"};
    case Unary::Kind::atan:
      return {"Atan"};
    case Unary::Kind::sinh:
      return {"Sinh"};
    case Unary::Kind::cosh:
      return {"Cosh"};
    case Unary::Kind::asinh:
      return {"Asinh"};
    case Unary::Kind::acosh:
      return {"Acosh"};
    case Unary::Kind::atanh:
      return {"Atanh"};
    case Unary::Kind::is_nan:
      return {"IsNaN"};
    default:
      return {};
  }
}

}  // namespace

Status Exporter::write(const Node& node, const Binary& op) {
  const char* name = binary_name(op.kind);
  if (name == nullptr) return unsupported(node, "ONNX's opset 17 has no such operator");
  // Planar where an operand is so, and all others can be.
  const int rank = graph_.value(node.out[0]).shape.rank;
  const bool any =
      std::ranges::any_of(node.in, [&](ValueId id) { return layout_of(id) == Layout::planar; });
  const bool all = std::ranges::all_of(node.in, [&](ValueId id) {
    return graph_.value(id).shape.rank == 4 || graph_.is_constant(id) ||
           graph_.value(id).shape.elements() == 1;
  });
  const Layout layout = rank == 4 && any && all ? Layout::planar : Layout::plain;
  std::vector<Attribute> attributes;
  if (op.kind == Binary::Kind::fmod) attributes.push_back({"fmod", int64_t{1}});
  emit(name, node, {operand(node.in[0], layout), operand(node.in[1], layout)}, layout, attributes,
       op.clamp);
  return {};
}

Status Exporter::write(const Node& node, const Unary& op) {
  const Layout layout = layout_of(node.in[0]);
  const std::string x = read(node.in[0], layout);
  const auto number = [&](float value) { return scalar(node.name + "_constant", value); };
  switch (op.kind) {
    case Unary::Kind::clamp: {
      const bool relu = op.alpha == 0 && op.beta == std::numeric_limits<float>::infinity();
      if (relu)
        emit("Relu", node, {x}, layout);
      else
        emit("Clip", node, {x, number(op.alpha), number(op.beta)}, layout);
      return {};
    }
    case Unary::Kind::silu: {
      const std::string scaled =
          op.alpha == 1 ? x : step("Mul", node.name + "_scaled", {x, number(op.alpha)});
      emit("Mul", node, {x, step("Sigmoid", node.name, {scaled})}, layout);
      return {};
    }
    case Unary::Kind::mish: {
      const std::string gate = step("Tanh", node.name, {step("Softplus", node.name, {x})});
      emit("Mul", node, {x, gate}, layout);
      return {};
    }
    case Unary::Kind::gelu: {
      const std::string scaled = step("Div", node.name, {x, number(std::numbers::sqrt2_v<float>)});
      const std::string lifted =
          step("Add", node.name, {step("Erf", node.name, {scaled}), number(1)});
      emit("Mul", node, {step("Mul", node.name, {x, lifted}), number(0.5f)}, layout);
      return {};
    }
    case Unary::Kind::gelu_tanh: {
      const std::string cube = step("Pow", node.name, {x, number(3)});
      const std::string inner =
          step("Add", node.name + "_inner", {x, step("Mul", node.name, {cube, number(0.044715f)})});
      const std::string scaled =
          step("Mul", node.name, {inner, number(std::sqrt(2 / std::numbers::pi_v<float>))});
      const std::string lifted =
          step("Add", node.name, {step("Tanh", node.name, {scaled}), number(1)});
      emit("Mul", node, {step("Mul", node.name, {x, lifted}), number(0.5f)}, layout);
      return {};
    }
    case Unary::Kind::trunc: {
      const std::string whole = step("Floor", node.name, {step("Abs", node.name, {x})});
      emit("Mul", node, {step("Sign", node.name, {x}), whole}, layout);
      return {};
    }
    default:
      break;
  }
  const UnaryForm form = unary_form(op.kind);
  if (form.op == nullptr) return unsupported(node, "ONNX's opset 17 has no such function");
  std::vector<Attribute> attributes;
  if (form.alpha != nullptr) attributes.push_back({form.alpha, op.alpha});
  if (form.beta != nullptr) attributes.push_back({form.beta, op.beta});
  emit(form.op, node, {x}, layout, attributes);
  return {};
}

Status Exporter::write(const Node& node, const PRelu&) {
  const bool constant_slope = graph_.is_constant(node.in[1]);
  const Layout layout = constant_slope ? layout_of(node.in[0]) : Layout::plain;
  emit("PRelu", node, {read(node.in[0], layout), operand(node.in[1], layout)}, layout);
  return {};
}

Status Exporter::write(const Node& node, const Reduce& op) {
  constexpr const char* kNames[] = {"ReduceMean", "ReduceSum",  "ReduceMax",
                                    "ReduceMin",  "ReduceProd", "ReduceSumSquare",
                                    "ReduceL1",   "ReduceL2",   "ReduceLogSumExp"};
  if (op.from_input) return unsupported(node, "its axes are computed");
  // Without the reduced dimensions the layouts are the same only where the channels are all that
  // is left behind the batch.
  const bool spatial = op.axes == std::vector<int32_t>{1, 2};
  const Layout from = op.keep || spatial ? layout_of(node.in[0]) : Layout::plain;
  const Layout to = op.keep ? from : Layout::plain;
  const int rank = graph_.value(node.in[0]).shape.rank;
  Ints axes;
  for (const int32_t axis : op.axes) axes.push_back(axis_in(from, axis, rank));
  std::ranges::sort(axes);
  std::vector<std::string> inputs{read(node.in[0], from)};
  std::vector<Attribute> attributes{{"keepdims", int64_t{op.keep}}};
  if (op.kind == Reduce::Kind::sum)
    inputs.push_back(
        constant_of<int64_t>(node.name + "_axes", {static_cast<int64_t>(axes.size())}, axes));
  else
    attributes.push_back({"axes", axes});
  emit(kNames[static_cast<size_t>(op.kind)], node, inputs, to, attributes);
  return {};
}

Status Exporter::write(const Node& node, const Softmax& op) {
  const Layout layout = layout_of(node.in[0]);
  const int rank = graph_.value(node.in[0]).shape.rank;
  emit(op.log ? "LogSoftmax" : "Softmax", node, {read(node.in[0], layout)}, layout,
       {{"axis", int64_t{axis_in(layout, op.axis, rank)}}});
  return {};
}

Status Exporter::write(const Node& node, const Concat& op) {
  const Layout layout = layout_of(node.in[0]);
  std::vector<std::string> inputs;
  for (const ValueId id : node.in) inputs.push_back(read(id, layout));
  emit("Concat", node, inputs, layout,
       {{"axis", int64_t{axis_in(layout, op.axis, graph_.value(node.in[0]).shape.rank)}}});
  return {};
}

Status Exporter::write(const Node& node, const Slice& op) {
  if (op.from_input) return unsupported(node, "what it takes is computed");
  const Layout layout = layout_of(node.in[0]);
  const int rank = graph_.value(node.in[0]).shape.rank;
  Ints axes;
  std::array<std::vector<int64_t>, 3> bounds;
  for (size_t i = 0; i < op.begin.size(); ++i) {
    axes.push_back(axis_in(layout, static_cast<int32_t>(i), rank));
    bounds[0].push_back(op.begin[i]);
    bounds[1].push_back(op.end[i]);
    bounds[2].push_back(op.step.empty() ? 1 : op.step[i]);
  }
  const std::vector<int64_t> dims{static_cast<int64_t>(axes.size())};
  emit("Slice", node,
       {read(node.in[0], layout), constant_of(node.name + "_starts", dims, bounds[0]),
        constant_of(node.name + "_ends", dims, bounds[1]),
        constant_of(node.name + "_axes", dims, axes),
        constant_of(node.name + "_steps", dims, bounds[2])},
       layout);
  return {};
}

Status Exporter::write(const Node& node, const Pad& op) {
  constexpr const char* kModes[] = {"constant", "reflect", "edge"};
  if (op.from_input) return unsupported(node, "how much it pads is computed");
  if (op.mode > Pad::Mode::edge) return unsupported(node, "ONNX's opset 17 has no such padding");
  const Layout layout = layout_of(node.in[0]);
  const size_t rank = op.before.size();
  std::vector<int64_t> pads(2 * rank);
  for (size_t i = 0; i < rank; ++i) {
    const auto to =
        static_cast<size_t>(axis_in(layout, static_cast<int32_t>(i), static_cast<int>(rank)));
    pads[to] = op.before[i];
    pads[rank + to] = op.after[i];
  }
  std::vector<std::string> inputs{
      read(node.in[0], layout),
      constant_of(node.name + "_pads", {static_cast<int64_t>(2 * rank)}, pads)};
  if (op.mode == Pad::Mode::constant) inputs.push_back(scalar(node.name + "_value", op.value));
  emit("Pad", node, inputs, layout, {{"mode", std::string(kModes[static_cast<size_t>(op.mode)])}});
  return {};
}

Status Exporter::write(const Node& node, const Reshape& op) {
  if (op.from_input) return unsupported(node, "its shape is computed");
  const std::vector<int64_t> shape(op.shape.begin(), op.shape.end());
  std::vector<Attribute> attributes;
  if (op.plain_zero) attributes.push_back({"allowzero", int64_t{1}});
  emit("Reshape", node,
       {read(node.in[0], Layout::plain),
        constant_of(node.name + "_shape", {static_cast<int64_t>(shape.size())}, shape)},
       Layout::plain, attributes);
  return {};
}

// One that goes from one layout to the other only says how the value is seen.
Status Exporter::write(const Node& node, const Transpose& op) {
  const ValueId in = node.in[0], out = node.out[0];
  const bool output = graph_.is_output(out);
  if (op.perm == kToPlain && !graph_.is_constant(in) && !output) {
    views_[{out, Layout::planar}] = read(in, Layout::plain);
    return {};
  }
  if (op.perm == kToPlanar && layout_of(in) == Layout::planar && !output) {
    views_[{out, Layout::plain}] = read(in, Layout::planar);
    return {};
  }
  if (op.perm == kToPlanar && layout_of(in) == Layout::planar) {
    emit("Identity", node, {read(in, Layout::planar)}, Layout::plain);
    return {};
  }
  emit("Transpose", node, {read(in, Layout::plain)}, Layout::plain,
       {{"perm", Ints(op.perm.begin(), op.perm.end())}});
  return {};
}

Status Exporter::write(const Node& node, const DepthToSpace& op) {
  emit("DepthToSpace", node, {read(node.in[0], Layout::planar)}, Layout::planar,
       {{"blocksize", int64_t{op.block}}, {"mode", std::string(op.crd ? "CRD" : "DCR")}});
  return {};
}

Status Exporter::write(const Node& node, const Gather& op) {
  emit("Gather", node, {read(node.in[0], Layout::plain), read(node.in[1], Layout::plain)},
       Layout::plain, {{"axis", int64_t{op.axis}}});
  return {};
}

Status Exporter::write(const Node& node, const Where&) {
  std::vector<std::string> inputs;
  for (const ValueId id : node.in) inputs.push_back(read(id, Layout::plain));
  emit("Where", node, inputs, Layout::plain);
  return {};
}

Status Exporter::write(const Node& node, const ArgMax& op) {
  emit(op.min ? "ArgMin" : "ArgMax", node, {read(node.in[0], Layout::plain)}, Layout::plain,
       {{"axis", int64_t{op.axis}}, {"keepdims", int64_t{op.keep}}});
  return {};
}

// Between floats and int8 the exported floats are the same ones, rounded where that is new.
Status Exporter::write(const Node& node, const Convert& op) {
  const ValueId in = node.in[0], out = node.out[0];
  const bool from_int8 = is_int8(graph_.value(in)), to_int8 = is_int8(graph_.value(out));
  const bool from_float = graph_.value(in).type == DType::f32;
  const Layout layout = layout_of(in);
  if ((from_int8 || from_float) && to_int8) {
    quantize(out, layout, read(in, layout));
  } else if (from_int8 && graph_.value(out).type == DType::f32) {
    if (graph_.is_output(out))
      emit("Identity", node, {read(in, layout)}, layout);
    else
      views_[{out, layout}] = read(in, layout);
  } else {
    emit("Cast", node, {read(in, layout)}, layout, {{"to", data_type(op.to)}});
  }
  return {};
}

}  // namespace firn::onnx
