// SPDX-License-Identifier: Apache-2.0
// Sessions: planning, running, switching programs.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "runtime/lower/lower.h"
#include "runtime/passes/passes.h"
#include "runtime/reference_call.h"
#include "runtime/session_impl.h"

namespace firn {
namespace {

// Whether a shape is one that the model declares.
Status check_shape(const TensorInfo& info, const Shape& given) {
  const Shape& declared = info.shape;
  bool fits = given.rank == declared.rank && given.known();
  for (int i = 0; fits && i < given.rank; ++i)
    fits = declared[i] == given[i] || (declared[i] == -1 && given[i] > 0);
  if (!fits)
    return {Code::invalid_argument, "input " + info.name + ": expected shape " +
                                        to_string(declared) + ", got " + to_string(given)};
  return checked_elements(given).status();
}

// A frozen graph for other input shapes.
Result<Graph> reshaped(Graph graph, std::span<const Shape> shapes) {
  for (size_t i = 0; i < shapes.size(); ++i) graph.value(graph.inputs[i]).shape = shapes[i];
  FIRN_TRY(infer_shapes(graph));
  return graph;
}

bool plain_numbers(DType type) {
  return type == DType::u8 || type == DType::i8;
}

// Fills `to`, of the model's type, from a tensor of another one.
Status convert_input(const TensorInfo& info, const Tensor& from, const Tensor& to) {
  const size_t n = from.shape.elements();
  if (to.type == DType::f32 && plain_numbers(from.type)) {
    float* out = to.as<float>().data();
    if (from.type == DType::u8)
      std::copy_n(from.as<uint8_t>().data(), n, out);
    else
      std::copy_n(from.as<int8_t>().data(), n, out);
    return {};
  }
  if (plain_numbers(to.type) && from.type == DType::f32 && info.quant.has_value()) {
    const bool is_signed = to.type == DType::i8;
    const int32_t zero = info.quant->zero[0];
    // uint8 is int8 with everything 128 higher.
    const kernels::Clamp8 clamp{is_signed ? zero : zero - 128};
    const float inverse = kernels::rescale(1.0 / info.quant->scale[0]);
    const float* in = from.as<float>().data();
    auto* out = static_cast<uint8_t*>(to.data);
    for (size_t i = 0; i < n; ++i) {
      const auto q = static_cast<uint8_t>(kernels::round_clamped(in[i] * inverse, clamp));
      out[i] = is_signed ? q : static_cast<uint8_t>(q ^ 0x80);
    }
    return {};
  }
  return {Code::invalid_argument, "input " + info.name + ": expected " + dtype_name(to.type) +
                                      ", got " + dtype_name(from.type)};
}

}  // namespace

std::vector<Shape> input_shapes(const Graph& graph) {
  std::vector<Shape> shapes;
  for (const ValueId id : graph.inputs) shapes.push_back(graph.value(id).shape);
  return shapes;
}

Result<std::vector<std::shared_ptr<const Buffer>>> bind_zeros(Program& program) {
  std::vector<std::shared_ptr<const Buffer>> zeros;
  const Graph& g = program.graph();
  for (size_t i = 0; i < g.inputs.size(); ++i) {
    const Value& input = g.value(g.inputs[i]);
    FIRN_ASSIGN(auto zero, Buffer::allocate(input.shape.elements() * dtype_bytes(input.type)));
    zeros.push_back(zero.first);
    program.bind_input(i, zero.second.data());
  }
  return zeros;
}

void Outputs::bind(const std::string& name, const Tensor& tensor) {
  for (NamedTensor& b : bound_)
    if (b.name == name) {
      b.tensor = tensor;
      return;
    }
  bound_.push_back({name, tensor});
}

Tensor Outputs::operator[](std::string_view name) const {
  for (const NamedTensor& t : tensors_)
    if (t.name == name) return t.tensor;
  return {};
}

SessionImpl::~SessionImpl() {
  // Their threads use the rest, and the mutex too; the watch's replaces the calibration.
  for (std::shared_ptr<void>* part : {&watch, &calibration}) {
    std::shared_ptr<void> last;
    const std::lock_guard lock(run_mutex);
    last = std::move(*part);
  }
}

Result<std::shared_ptr<Program>> SessionImpl::warmed_up(Result<std::unique_ptr<Program>> compiled,
                                                        kernels::Pool& on) {
  FIRN_ASSIGN(std::unique_ptr<Program> made, std::move(compiled));
  // The first run touches all memory and lets XNNPACK set itself up.
  FIRN_ASSIGN(const auto zeros, bind_zeros(*made));
  // Zeros may be data that make no sense to it: a divisor, a length.
  const Status status = made->run(on);
  if (status.code() != Code::invalid_argument) FIRN_TRY(status);
  return std::shared_ptr<Program>(std::move(made));
}

CompileOptions SessionImpl::compile_options(const Graph& graph) const {
  const bool integers = options.weights == WeightUse::integers ||
                        (options.weights == WeightUse::automatic && graph.dynamic);
  return {kernels::allowed_isas(isa), packed, integers};
}

Result<std::shared_ptr<Program>> SessionImpl::compile(std::shared_ptr<const Graph> graph,
                                                      kernels::Pool& on) const {
  const CompileOptions how = compile_options(*graph);
  return warmed_up(Program::compile(std::move(graph), how, on), on);
}

Result<std::shared_ptr<Program>> SessionImpl::compile(Graph graph, kernels::Pool& on) const {
  const CompileOptions how = compile_options(graph);
  return warmed_up(Program::compile(std::move(graph), how, on), on);
}

Result<std::shared_ptr<Program>> SessionImpl::compile_model() const {
  {
    const std::lock_guard lock(model->taking);
    if (std::optional<Graph> graph = model->take()) {
      FIRN_ASSIGN(auto made, compile(*std::move(graph), *pool));
      model->give(made->shared_graph());
      return made;
    }
  }
  if (std::shared_ptr<const Graph> graph = model->graph()) {
    auto made = compile(std::move(graph), *pool);
    if (made.ok() || made.status().code() != Code::failed_precondition) return made;
  }
  FIRN_ASSIGN(Graph graph, model->optimised());
  FIRN_ASSIGN(auto made, compile(std::move(graph), *pool));
  model->give(made->shared_graph());
  return made;
}

SessionImpl::Running SessionImpl::running() const {
  const std::lock_guard lock(run_mutex);
  return {program->shared_graph(), frozen, model};
}

Result<std::shared_ptr<const Graph>> SessionImpl::running_graph() const {
  const Running now = running();
  if (!now.graph->any_released()) return now.graph;
  const std::vector<Shape> shapes = input_shapes(*now.graph);
  Graph whole;
  if (now.frozen == nullptr) {
    FIRN_ASSIGN(whole, now.model->optimised_for(shapes));
  } else {
    FIRN_ASSIGN(whole, now.frozen->whole());
    FIRN_ASSIGN(whole, reshaped(std::move(whole), shapes));
  }
  return std::make_shared<const Graph>(std::move(whole));
}

Result<std::shared_ptr<Program>> SessionImpl::compile_for(std::span<const Shape> shapes) {
  if (frozen == nullptr) {
    FIRN_TRY(model->keep_imported());
    FIRN_ASSIGN(Graph graph, model->optimised_for(shapes));
    return compile(std::move(graph), *pool);
  }
  FIRN_ASSIGN(Graph graph, reshaped(frozen->graph(), shapes));
  auto made = compile(std::move(graph), *pool);
  // A layer of another size may have another kernel, which packs its weights anew.
  if (made.status().code() == Code::failed_precondition) {
    FIRN_ASSIGN(graph, frozen->whole());
    FIRN_ASSIGN(graph, reshaped(std::move(graph), shapes));
    made = compile(std::move(graph), *pool);
  }
  if (made.ok()) frozen = std::make_shared<const FrozenGraph>(frozen->repacked(**made));
  return made;
}

std::vector<Shape> SessionImpl::shapes() const {
  const std::lock_guard lock(run_mutex);
  return input_shapes(program->graph());
}

void SessionImpl::adopt(std::shared_ptr<Program> next,
                        std::shared_ptr<const FrozenGraph> frozen_graph, State now,
                        std::shared_ptr<Tap> next_tap) {
  std::shared_ptr<Program> dropped;  // freed after the lock
  const std::lock_guard lock(run_mutex);
  dropped = std::exchange(program, std::move(next));
  if (retired.empty()) retired = dropped->output_memory();  // else nothing ran on `dropped`
  frozen = std::move(frozen_graph);
  tap = std::move(next_tap);
  state = now;
}

Result<Graph> SessionImpl::current_graph() const {
  const Running now = running();
  if (now.frozen == nullptr) {
    FIRN_ASSIGN(const Graph graph, now.model->imported());
    return join_tail(graph, *cut);
  }
  // Dimensions that the model leaves open stay open.
  FIRN_ASSIGN(Graph graph, now.frozen->whole());
  for (size_t i = 0; i < inputs.size(); ++i) graph.value(graph.inputs[i]).shape = inputs[i].shape;
  return join_tail(graph, *cut);
}

Status SessionImpl::bind_inputs(std::span<const NamedTensor> given_inputs,
                                std::vector<Tensor>& bound) {
  const std::vector<TensorInfo>& infos = this->inputs;
  bound.clear();
  std::vector<Shape> shapes;
  for (const TensorInfo& info : infos) {
    const auto given = std::find_if(given_inputs.begin(), given_inputs.end(),
                                    [&](const NamedTensor& t) { return t.name == info.name; });
    if (given == given_inputs.end())
      return {Code::invalid_argument, "input " + info.name + " is missing"};
    FIRN_TRY(check_shape(info, given->tensor.shape));
    if (given->tensor.data == nullptr && given->tensor.shape.elements() != 0)
      return {Code::invalid_argument, "input " + info.name + ": its data is null"};
    shapes.push_back(given->tensor.shape);
    bound.push_back(given->tensor);
  }
  if (given_inputs.size() != infos.size())
    for (const NamedTensor& t : given_inputs)
      if (std::none_of(infos.begin(), infos.end(),
                       [&](const TensorInfo& info) { return info.name == t.name; }))
        return {Code::invalid_argument, "the model has no input " + t.name};

  for (size_t i = 0; i < states.size(); ++i) {
    shapes.push_back(states[i].shape);
    bound.push_back({states[i].type, states[i].shape, carried[i].data()});
  }
  if (shapes != input_shapes(program->graph())) {
    FIRN_ASSIGN(program, compile_for(shapes));
  }
  for (size_t i = 0; i < states.size(); ++i)
    program->bind_input(infos.size() + i, carried[i].data());
  staging.resize(infos.size());
  for (size_t i = 0; i < infos.size(); ++i) {
    if (bound[i].type != infos[i].type) {
      Tensor converted{infos[i].type, bound[i].shape, nullptr};
      staging[i].resize(converted.bytes());
      converted.data = staging[i].data();
      FIRN_TRY(convert_input(infos[i], bound[i], converted));
      bound[i] = converted;
    }
    program->bind_input(i, bound[i].data);
  }
  return {};
}

Status SessionImpl::run_tail(std::span<const Tensor> bound) {
  const Graph& g = program->graph();
  std::vector<Tensor> in;
  for (const Source& source : cut->tail_inputs) {
    if (source.from == Source::From::model_input) {
      in.push_back(bound[source.index]);
      continue;
    }
    const ValueId id = g.outputs[source.index];
    in.push_back({g.value(id).type, g.value(id).shape, const_cast<void*>(program->data(id))});
  }
  return tail->run(in);
}

SessionImpl::Output SessionImpl::output(size_t i) const {
  const Source& source = cut->outputs[i];
  if (source.from == Source::From::tail) {
    const Value& value = tail->output(source.index);
    auto* data = const_cast<std::byte*>(value.constant->bytes().data());
    return {{value.type, value.shape, data}, value.quant};
  }
  const Graph& g = program->graph();
  const ValueId id = g.outputs[source.index];
  const Value& value = g.value(id);
  return {{value.type, value.shape, const_cast<void*>(program->data(id))}, value.quant};
}

void SessionImpl::reset_states() {
  carried.resize(states.size());
  for (size_t i = 0; i < states.size(); ++i) {
    const Tensor tensor{states[i].type, states[i].shape, nullptr};
    const std::optional<Quant>& quant = states[i].quant;
    const int zero = quant ? quant->zero[0] : 0;
    carried[i].assign(tensor.bytes(), static_cast<std::byte>(zero));
  }
}

void SessionImpl::carry_states() {
  for (size_t i = 0; i < states.size(); ++i)
    std::memcpy(carried[i].data(), output(outputs.size() + i).tensor.data, carried[i].size());
}

Status SessionImpl::hand_out(Outputs& given) const {
  given.tensors_.resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i)
    given.tensors_[i] = {outputs[i].name, output(i).tensor};
  for (const NamedTensor& bound : given.bound_) {
    const auto out = std::find_if(given.tensors_.begin(), given.tensors_.end(),
                                  [&](const NamedTensor& t) { return t.name == bound.name; });
    if (out == given.tensors_.end())
      return {Code::invalid_argument, "the model has no output " + bound.name};
    const bool same_type = bound.tensor.type == out->tensor.type;
    if (bound.tensor.shape != out->tensor.shape ||
        (bound.tensor.data == nullptr && out->tensor.bytes() != 0) ||
        (!same_type && bound.tensor.type != DType::f32))
      return {Code::invalid_argument,
              "output " + bound.name + ": expected " + dtype_name(out->tensor.type) + " " +
                  to_string(out->tensor.shape) + ", the bound tensor is " +
                  dtype_name(bound.tensor.type) + " " + to_string(bound.tensor.shape)};
    if (out->tensor.bytes() == 0) {
      // nothing to write
    } else if (same_type) {
      std::memcpy(bound.tensor.data, out->tensor.data, out->tensor.bytes());
    } else {
      const auto [tensor, quant] = output(static_cast<size_t>(out - given.tensors_.begin()));
      convert(tensor, quant, bound.tensor, std::nullopt);
    }
    out->tensor = bound.tensor;
  }
  return {};
}

Status SessionImpl::run(std::span<const NamedTensor> given, Outputs& results) {
  const std::lock_guard lock(run_mutex);
  retired.clear();
  std::vector<Tensor> bound;
  FIRN_TRY(bind_inputs(given, bound));
  if (tap == nullptr) {
    FIRN_TRY(program->run(*pool));
  } else {
    tap->begin(*program);
    FIRN_TRY(program->run(*pool, &tap->step));
    tap->end(*program, bound);
  }
  if (tail != nullptr) FIRN_TRY(run_tail(bound));
  if (options.keep_state) carry_states();
  return hand_out(results);
}

Result<Session> Session::create(const Model& model, const SessionOptions& options) {
  auto impl = std::make_shared<SessionImpl>();
  impl->options = options;
  impl->model = model.shared_impl();
  impl->inputs = impl->model->inputs;
  impl->outputs = impl->model->outputs;
  impl->states = impl->model->states;
  impl->cut = impl->model->cut;
  impl->packed = impl->model->packed;
  impl->reset_states();
  if (impl->cut->has_tail()) impl->tail = std::make_unique<TailRun>(*impl->cut);
  impl->isa = kernels::best_isa();
  if (!options.isa.empty()) {
    const auto isa = kernels::isa_from_name(options.isa);
    if (!isa.has_value() || (kernels::supported_isas() & kernels::bit(*isa)) == 0)
      return Status(Code::invalid_argument,
                    "instruction set " + options.isa + " is not one this machine has");
    impl->isa = *isa;
  }
  constexpr int kMaxThreads = 256;
  if (options.threads < 1 || options.threads > kMaxThreads)
    return Status(Code::invalid_argument, "threads: expected 1 to " + std::to_string(kMaxThreads) +
                                              ", got " + std::to_string(options.threads));
  impl->pool = kernels::Pool::create(options.threads);
  if (impl->pool == nullptr)
    return Status(Code::out_of_memory,
                  "cannot start " + std::to_string(options.threads) + " threads");

  std::vector<Shape> shapes = impl->model->start_shapes;
  for (const auto& [name, shape] : options.input_shapes) {
    const auto info = std::find_if(impl->inputs.begin(), impl->inputs.end(),
                                   [&name = name](const TensorInfo& i) { return i.name == name; });
    if (info == impl->inputs.end())
      return Status(Code::invalid_argument, "the model has no input " + name);
    FIRN_TRY(check_shape(*info, shape));
    shapes[static_cast<size_t>(info - impl->inputs.begin())] = shape;
  }
  if (shapes == impl->model->start_shapes) {
    FIRN_ASSIGN(impl->program, impl->compile_model());
  } else {
    FIRN_ASSIGN(Graph graph, impl->model->optimised_for(shapes));
    impl->model->drop();
    FIRN_ASSIGN(impl->program, impl->compile(std::move(graph), *impl->pool));
  }
  if (impl->model->int8_weights) impl->state = State::frozen;
  return Session(std::move(impl));
}

Status Session::run(std::span<const NamedTensor> inputs, Outputs& outputs) {
  return impl_->run(inputs, outputs);
}

Status Session::run(std::initializer_list<NamedTensor> inputs, Outputs& outputs) {
  return impl_->run({inputs.begin(), inputs.size()}, outputs);
}

Status SessionImpl::thaw() {
  if (state != State::frozen) return {Code::failed_precondition, "thaw: the session is not frozen"};
  if (model == nullptr) return {Code::failed_precondition, "thaw: the float weights were not kept"};
  if (model->int8_weights) return {Code::failed_precondition, "thaw: the model was loaded in int8"};
  FIRN_ASSIGN(Graph graph, model->optimised_for(shapes()));
  FIRN_ASSIGN(auto next, compile(std::move(graph), *pool));
  adopt(std::move(next), nullptr, State::fp32);
  return {};
}

Status Session::thaw() {
  const std::lock_guard control(impl_->control_mutex);
  return impl_->thaw();
}

void Session::reset() {
  const std::lock_guard lock(impl_->run_mutex);
  impl_->reset_states();
}

State Session::state() const {
  return impl_->state;
}

std::vector<TensorInfo> Session::inputs() const {
  const std::lock_guard lock(impl_->run_mutex);
  std::vector<TensorInfo> infos = impl_->inputs;
  const Graph& g = impl_->program->graph();
  for (size_t i = 0; i < infos.size(); ++i) infos[i].shape = g.value(g.inputs[i]).shape;
  return infos;
}

std::vector<TensorInfo> Session::outputs() const {
  const std::lock_guard lock(impl_->run_mutex);
  std::vector<TensorInfo> infos = impl_->outputs;
  const Graph& g = impl_->program->graph();
  for (size_t i = 0; i < infos.size(); ++i) {
    const Source& source = impl_->cut->outputs[i];
    if (source.from == Source::From::body) infos[i].shape = g.value(g.outputs[source.index]).shape;
  }
  return infos;
}

MemoryUse Session::memory() const {
  const std::lock_guard lock(impl_->run_mutex);
  return impl_->program->memory();
}

std::string Session::isa() const {
  return kernels::isa_name(impl_->isa);
}

int Session::threads() const {
  return impl_->options.threads;
}

Result<std::vector<StepProfile>> Session::profile(int runs) {
  using Clock = std::chrono::steady_clock;
  FIRN_ASSIGN(auto graph, impl_->running_graph());
  const std::lock_guard lock(impl_->run_mutex);
  FIRN_ASSIGN(auto program, impl_->compile(std::move(graph), *impl_->pool));
  FIRN_ASSIGN(const auto zeros, bind_zeros(*program));
  const std::span<const LoweredStep> steps = program->steps();
  std::vector<std::vector<double>> ms(steps.size());
  for (int r = 0; r < std::max(runs, 1); ++r) {
    Clock::time_point before = Clock::now();
    const Program::Hook hook = [&](const Program&, size_t i) {
      const Clock::time_point now = Clock::now();
      ms[i].push_back(std::chrono::duration<double, std::milli>(now - before).count());
      before = Clock::now();
    };
    FIRN_TRY(program->run(*impl_->pool, &hook));
  }
  std::vector<StepProfile> profile;
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto middle = ms[i].begin() + static_cast<std::ptrdiff_t>(ms[i].size() / 2);
    std::nth_element(ms[i].begin(), middle, ms[i].end());
    const Shape& shape = program->graph().value(steps[i].writes[0]).shape;
    profile.push_back({steps[i].name, steps[i].op, to_string(shape), steps[i].kernel,
                       steps[i].precision, *middle});
  }
  return profile;
}

}  // namespace firn
