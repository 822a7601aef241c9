// SPDX-License-Identifier: Apache-2.0
// Compiling a graph into a Program, and running it.
#include "runtime/program.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/arena.h"
#include "runtime/lower/lower.h"

namespace firn {
namespace {

size_t value_bytes(const Value& v) {
  return v.shape.elements() * dtype_bytes(v.type);
}

}  // namespace

Result<std::unique_ptr<Program>> Program::compile(std::shared_ptr<const Graph> graph,
                                                  const CompileOptions& options,
                                                  kernels::Pool& pool) {
  return compile(std::move(graph), nullptr, options, pool);
}

Result<std::unique_ptr<Program>> Program::compile(Graph graph, const CompileOptions& options,
                                                  kernels::Pool& pool) {
  const auto own = std::make_shared<Graph>(std::move(graph));
  return compile(own, own.get(), options, pool);
}

Result<std::unique_ptr<Program>> Program::compile(std::shared_ptr<const Graph> graph, Graph* own,
                                                  const CompileOptions& options,
                                                  kernels::Pool& pool) {
  std::unique_ptr<Program> program(new Program());
  program->graph_ = std::move(graph);
  const Graph& g = *program->graph_;
  const Uses uses(g);
  program->placement_ = find_placements(g, uses);
  const auto packed =
      options.packed != nullptr ? options.packed : std::make_shared<PackedWeights>();
  Releases releases(own, uses);
  program->is_unsigned_.assign(g.values.size(), false);
  const LowerContext context{g,
                             uses,
                             program->placement_,
                             options.isa,
                             pool,
                             *packed,
                             releases,
                             program->is_unsigned_,
                             options.integer_weights};
  program->is_unsigned_ = find_unsigned(context);
  for (const Node& node : g.nodes) FIRN_TRY(lower_node(context, node, program->steps_));
  packed->forget_all();
  program->work_in_place();
  FIRN_TRY(program->plan());
  program->alone_ = kernels::Pool::create(1);
  if (program->alone_ == nullptr) return Status(Code::out_of_memory, "a program's pool");
  program->find_stretches();
  program->find_weights_ahead();
  return program;
}

void Program::find_stretches() {
  constexpr double kWorthWakingNs = 30'000;
  const auto needs_pool = [](const LoweredStep& s) {
    return s.shared_ns >= kernels::Pool::kWorthSharingNs;
  };
  for (size_t i = 0; i < steps_.size();) {
    Stretch stretch{i, i, false, false};
    double shared_ns = 0;
    for (bool pool = false; i < steps_.size(); ++i) {
      const LoweredStep& step = steps_[i];
      if (step.xnn_threads ? pool : needs_pool(step) && stretch.xnn_threads) break;
      stretch.xnn_threads |= step.xnn_threads;
      pool |= needs_pool(step);
      shared_ns += step.shared_ns;
    }
    stretch.end = i;
    stretch.shared = !stretch.xnn_threads && shared_ns >= kWorthWakingNs;
    stretches_.push_back(stretch);
  }
}

void Program::find_weights_ahead() {
  ahead_.assign(steps_.size(), {});
  for (size_t i = steps_.size(); i-- > 1;)
    ahead_[i - 1] = steps_[i].packed != nullptr ? steps_[i].packed->bytes->bytes() : ahead_[i];
}

// Puts what a step writes where one of its inputs is that nobody reads later.
void Program::work_in_place() {
  const Graph& g = *graph_;
  const size_t steps = steps_.size();
  std::vector<size_t> last(g.values.size(), 0);  // step that touches the root, or anything in it
  const auto touch = [&](ValueId id, size_t step) {
    size_t& of_root = last[index(root(id))];
    of_root = std::max(of_root, step);
  };
  for (size_t i = 0; i < steps; ++i) {
    for (const ValueId id : steps_[i].writes) touch(id, i);
    for (const ValueId id : steps_[i].reads) touch(id, i);
  }
  for (const ValueId id : g.outputs) touch(id, steps);
  for (const ValueId id : g.inputs) touch(id, steps);  // the caller's memory

  for (size_t i = 0; i < steps; ++i) {
    if (!steps_[i].in_place) continue;
    const ValueId y = steps_[i].writes[0];
    const size_t bytes = value_bytes(g.value(y));
    const auto dies_here = [&](ValueId x) {
      const ValueId r = root(x);
      return last[index(r)] == i && g.value(r).constant == nullptr &&
             value_bytes(g.value(x)) == bytes && value_bytes(g.value(r)) == bytes;
    };
    const auto x = std::ranges::find_if(steps_[i].reads, dies_here);
    if (x == steps_[i].reads.end() || root(y) != y) continue;
    const ValueId r = root(*x);
    placement_[index(y)] = {r, 0, 0};
    last[index(r)] = last[index(y)];
  }
}

ValueId Program::root(ValueId id) const {
  while (placement_[index(id)].parent != ValueId::none) id = placement_[index(id)].parent;
  return id;
}

Status Program::plan() {
  const Graph& g = *graph_;
  const size_t count = g.values.size();
  inside_.assign(count, {});
  for (size_t v = 0; v < count; ++v)
    if (placement_[v].parent != ValueId::none)
      inside_[index(placement_[v].parent)].push_back(static_cast<ValueId>(v));

  // From the first step that touches a root, or anything inside it, to the last.
  const int steps = static_cast<int>(steps_.size());
  std::vector<int> first(count, steps), last(count, -1);
  std::vector<bool> read_past_end(count, false);
  const auto touch = [&](ValueId id, int step) {
    const size_t r = index(root(id));
    first[r] = std::min(first[r], step);
    last[r] = std::max(last[r], step);
  };
  for (int i = 0; i < steps; ++i) {
    const LoweredStep& step = steps_[static_cast<size_t>(i)];
    for (const ValueId id : step.writes) touch(id, i);
    for (const ValueId id : step.reads) {
      touch(id, i);
      if (!step.exact_reads) read_past_end[index(root(id))] = true;
    }
  }
  for (const ValueId id : g.outputs) touch(id, steps);

  std::vector<ValueId> resident;
  std::vector<Lifetime> lifetimes;
  const auto reside = [&](size_t v) {
    resident.push_back(static_cast<ValueId>(v));
    lifetimes.push_back({value_bytes(g.values[v]) + kernels::kReadSlack, first[v], last[v]});
  };
  staged_input_.assign(g.inputs.size(), false);
  for (size_t i = 0; i < g.inputs.size(); ++i) {
    const size_t v = index(g.inputs[i]);
    staged_input_[i] = read_past_end[v];
    if (!staged_input_[i]) continue;
    first[v] = 0;
    last[v] = std::max(last[v], 0);
    reside(v);
  }
  const auto is_input = [&](size_t v) {
    return std::find(g.inputs.begin(), g.inputs.end(), static_cast<ValueId>(v)) != g.inputs.end();
  };
  for (size_t v = 0; v < count; ++v) {
    const bool touched = last[v] >= 0 && first[v] <= steps;
    if (touched && g.values[v].constant == nullptr && !is_input(v)) reside(v);
  }

  for (int i = 0; i < steps; ++i)
    lifetimes.push_back({steps_[static_cast<size_t>(i)].scratch_bytes, i, i});

  const ArenaPlan arena = plan_arena(lifetimes);
  FIRN_ASSIGN(auto block, Buffer::allocate(arena.bytes));
  owned_.push_back(block.first);
  arena_ = block.second;
  slots_.assign(count, nullptr);
  for (size_t i = 0; i < resident.size(); ++i) place(resident[i], arena_.data() + arena.offset[i]);
  for (size_t i = resident.size(); i < lifetimes.size(); ++i)
    scratch_.push_back(arena_.data() + arena.offset[i]);

  // Constants are read in place, unless a kernel may read past their end.
  for (size_t v = 0; v < count; ++v) {
    const Value& value = g.values[v];
    if (value.constant == nullptr || last[v] < 0) continue;
    const void* data = value.constant->bytes().data();
    if (read_past_end[v]) {
      const size_t bytes = value.constant->bytes().size();
      FIRN_ASSIGN(auto copy, Buffer::allocate(bytes));
      std::memcpy(copy.second.data(), data, bytes);
      owned_.push_back(copy.first);
      data = copy.second.data();
    }
    place(static_cast<ValueId>(v), const_cast<void*>(data));
  }
  return {};
}

void Program::place(ValueId id, void* data) {
  slots_[index(id)] = data;
  for (const ValueId child : inside_[index(id)])
    place(child, static_cast<std::byte*>(data) + placement_[index(child)].offset_bytes);
}

void Program::bind_input(size_t i, const void* data) {
  const ValueId id = graph_->inputs[i];
  if (data == nullptr) return;  // it has no elements
  if (staged_input_[i]) {
    std::memcpy(slots_[index(id)], data, value_bytes(graph_->value(id)));
  } else if (slots_[index(id)] != data) {
    place(id, const_cast<void*>(data));
  }
}

Status Program::run(const Stretch& stretch, kernels::Pool& pool, const Hook* hook) {
  for (size_t i = stretch.begin; i < stretch.end; ++i) {
    FIRN_TRY(steps_[i].step->run({slots_.data(), pool, scratch_[i], ahead_[i]}));
    if (hook != nullptr) (*hook)(*this, i);
  }
  return {};
}

Status Program::run(kernels::Pool& pool, const Hook* hook) {
  for (size_t i = 0; i < stretches_.size(); ++i) {
    const Stretch& stretch = stretches_[i];
    Status status;
    if (stretch.shared) {
      const bool xnn_follows = i + 1 < stretches_.size() && stretches_[i + 1].xnn_threads;
      pool.together([&] { status = run(stretch, pool, hook); }, xnn_follows);
    } else {
      status = run(stretch, *alone_, hook);
    }
    if (stretch.xnn_threads) pool.rest();
    FIRN_TRY(status);
  }
  return {};
}

size_t Program::pixel_stride(ValueId id) const {
  if (const int32_t wide = placement_[index(id)].pixel_stride; wide != 0)
    return static_cast<size_t>(wide);
  const Shape& shape = graph_->value(id).shape;
  return shape.rank == 0 ? 1 : static_cast<size_t>(shape[shape.rank - 1]);
}

void Program::read_float(ValueId id, std::span<float> out) const {
  const Value& value = graph_->value(id);
  const auto c = static_cast<size_t>(value.shape.rank == 0 ? 1 : value.shape[value.shape.rank - 1]);
  const size_t stride = pixel_stride(id);
  const auto copy = [&]<typename T>(const T* from, double scale, int32_t zero) {
    if (stride == c) {
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>((static_cast<double>(from[i]) - zero) * scale);
      return;
    }
    for (size_t i = 0; i < out.size(); ++i) {
      const auto x = static_cast<double>(from[i / c * stride + i % c]);
      out[i] = static_cast<float>((x - zero) * scale);
    }
  };
  const bool quantized = value.quant.has_value() && value.quant->per_tensor();
  const double scale = quantized ? value.quant->scale[0] : 1;
  const int32_t zero = quantized ? value.quant->zero[0] : 0;
  const void* from = data(id);
  switch (value.type) {
    case DType::f32:
      return copy(static_cast<const float*>(from), 1, 0);
    case DType::i8:
      if (is_unsigned(id)) return copy(static_cast<const uint8_t*>(from), scale, zero + 128);
      return copy(static_cast<const int8_t*>(from), scale, zero);
    case DType::u8:
      return copy(static_cast<const uint8_t*>(from), scale, zero);
    case DType::i16:
      return copy(static_cast<const int16_t*>(from), scale, zero);
    case DType::i32:
      return copy(static_cast<const int32_t*>(from), scale, zero);
    case DType::i64:
      return copy(static_cast<const int64_t*>(from), 1, 0);
    case DType::boolean:
      return copy(static_cast<const uint8_t*>(from), 1, 0);
    case DType::f16:
      std::fill(out.begin(), out.end(), 0.0f);
      return;
  }
}

MemoryUse Program::memory() const {
  MemoryUse use;
  use.arena_bytes = arena_.size();
  for (const LoweredStep& step : steps_) {
    use.weight_bytes += step.weight_bytes;
    if (step.packed != nullptr && step.packed->bytes.use_count() > 1)
      use.shared_weight_bytes += step.packed->bytes->size();
  }
  return use;
}

std::vector<std::shared_ptr<const Buffer>> Program::output_memory() const {
  std::vector<std::shared_ptr<const Buffer>> memory = owned_;
  for (const ValueId id : graph_->outputs)
    if (const auto& constant = graph_->value(root(id)).constant) memory.push_back(constant);
  return memory;
}

}  // namespace firn
