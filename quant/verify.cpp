// SPDX-License-Identifier: Apache-2.0
// Runs both graphs frame by frame and sums up the errors of every layer.
#include "quant/verify.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "quant/report.h"
#include "quant/return_freed.h"

namespace firn {
namespace {

// The float values of one run, by the names of the values that are compared.
using Values = std::map<std::string, std::vector<float>>;

// What is compared of each layer: its first output, named alike in both graphs.
std::map<std::string, std::string> outputs_of_layers(const Graph& graph) {
  std::map<std::string, std::string> value_of;
  for (const Node& node : graph.nodes) value_of[node.name] = graph.value(node.out[0]).name;
  return value_of;
}

void read(const Program& program, ValueId id, std::vector<float>& out) {
  out.resize(program.graph().value(id).shape.elements());
  program.read_float(id, out);
}

Status run(Program& program, kernels::Pool& pool, const HeldFrame& frame,
           const Program::Hook& hook) {
  for (size_t i = 0; i < frame.inputs.size(); ++i)
    program.bind_input(i, frame.inputs[i]->bytes().data());
  return program.run(pool, hook ? &hook : nullptr);
}

}  // namespace

Status verify(const SessionImpl& impl, std::shared_ptr<const Graph> reference,
              const Answers& answers, const std::shared_ptr<const Graph>& quantized, Frames frames,
              FreezeReport& report) {
  const ReturnFreed afterwards;
  const auto pool = kernels::Pool::create(impl.options.threads);
  if (pool == nullptr) return {Code::out_of_memory, "verify: no memory"};
  const CompileOptions how = impl.compile_options(*reference);
  Graph own = *reference;
  reference = nullptr;
  FIRN_ASSIGN(const auto float_program, Program::compile(std::move(own), how, *pool));
  const Graph& floats = float_program->graph();
  FIRN_ASSIGN(const auto int8_program,
              Program::compile(quantized, impl.compile_options(*quantized), *pool));
  const auto value_of = outputs_of_layers(floats);
  Values expected;  // only what is compared is kept
  std::map<std::string, Sqnr> error;
  for (const LayerReport& layer : report.layers)
    if (const auto found = value_of.find(layer.name); found != value_of.end())
      expected[found->second];

  std::vector<Sqnr> output_error(floats.outputs.size());
  report.outputs.clear();
  for (const ValueId id : floats.outputs) report.outputs.push_back({floats.value(id).name, 0, 0});
  std::vector<float> got, want;
  const std::vector<Shape> shapes = input_shapes(floats);
  for (size_t f = 0; f < frames.size(); ++f) {
    const HeldFrame& frame = *frames[f];
    if (frame.shapes != shapes) continue;
    FIRN_TRY(run(*float_program, *pool, frame, [&](const Program& program, size_t step) {
      for (const ValueId id : program.steps()[step].writes)
        if (const auto found = expected.find(program.graph().value(id).name);
            found != expected.end())
          read(program, id, found->second);
    }));
    FIRN_TRY(run(*int8_program, *pool, frame, [&](const Program& program, size_t step) {
      for (const ValueId id : program.steps()[step].writes) {
        const std::string& name = program.graph().value(id).name;
        const auto found = expected.find(name);
        if (found == expected.end()) continue;
        read(program, id, got);
        error[name].add(found->second, got);
      }
    }));
    for (size_t i = 0; i < output_error.size(); ++i) {
      const auto of_output = answers.find(report.outputs[i].name);
      if (of_output != answers.end() && of_output->second.contains(f))
        want = of_output->second.at(f);
      else
        read(*float_program, floats.outputs[i], want);
      read(*int8_program, quantized->outputs[i], got);
      output_error[i].add(want, got);
      for (size_t k = 0; k < want.size(); ++k)
        report.outputs[i].max_abs_error = std::max(
            report.outputs[i].max_abs_error, std::fabs(static_cast<double>(want[k]) - got[k]));
    }
    ++report.verified_frames;
  }
  for (LayerReport& layer : report.layers)
    if (const auto found = value_of.find(layer.name); found != value_of.end())
      layer.sqnr_db = error[found->second].db();
  for (size_t i = 0; i < output_error.size(); ++i) report.outputs[i].sqnr_db = output_error[i].db();
  return {};
}

}  // namespace firn
