// SPDX-License-Identifier: Apache-2.0
// Picking ranges from histograms, and measuring which of several a layer likes best.
#include "quant/choose_ranges.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/vec_s8.h"
#include "quant/return_freed.h"
#include "runtime/int8_ops.h"

namespace firn {
namespace {

// Some tenths of a second of float arithmetic on one core.
constexpr double kMostMacs = 8e9;
// What rounding a value takes, and comparing it.
constexpr double kMacsOfRounding = 30;

// A tensor whose range is to be measured.
struct Contest {
  std::vector<Candidate> candidates;
  std::vector<double> rounding;  // of each: the mean squared error of the samples
  size_t frames = 0;             // that were observed
};

// A layer with weights that reads such a tensor; without one, for a tensor that no such layer
// reads, the tensor as it is.
struct Reader {
  ValueId input = ValueId::none;
  size_t contest = 0;
  const Node* layer = nullptr;
  size_t frames = 0, elements = 0;  // that it has read
  // With each candidate, summed over frames: squared errors of what it reads, and of what it
  // gives, relative to the squares of that.
  std::vector<double> read_error, given_error;
};

// In lanes, so that it vectorizes without changing with the compiler.
double squared_distance(std::span<const float> a, std::span<const float> b) {
  constexpr size_t kLanes = 16, kBlock = 4096;
  double sum = 0;
  for (size_t begin = 0; begin < a.size(); begin += kBlock) {
    const size_t end = std::min(a.size(), begin + kBlock);
    float lane[kLanes] = {};
    size_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (size_t l = 0; l < kLanes; ++l) {
        const float error = a[i + l] - b[i + l];
        lane[l] += error * error;
      }
    for (; i < end; ++i) sum += static_cast<double>(a[i] - b[i]) * (a[i] - b[i]);
    for (const float each : lane) sum += each;
  }
  return sum;
}

// The node with its constants, and an input of its own for in[0].
Result<Graph> alone(const Graph& graph, const Node& node) {
  Graph single;
  Node copy = node;
  for (size_t i = 0; i < node.in.size(); ++i)
    if (node.in[i] != ValueId::none) copy.in[i] = single.add(graph.value(node.in[i]));
  copy.out = {single.add(graph.value(node.out[0]))};
  single.inputs = {copy.in[0]};
  single.outputs = copy.out;
  single.add(std::move(copy));
  FIRN_TRY(check(single));
  return single;
}

class Measurement {
 public:
  Measurement(const SessionImpl& impl, const std::shared_ptr<const Graph>& graph)
      : impl_(impl),
        graph_(graph),
        pool_(kernels::Pool::create(impl.options.threads)),
        kernels_(kernels::pick(kernels::vec_s8_table(), kernels::allowed_isas(impl.isa))) {}

  Status prepare(const Observer& observer, bool symmetric);
  Status run(std::span<const std::shared_ptr<const HeldFrame>> frames);
  void decide(ChosenRanges& chosen) const;

 private:
  Status measure(const Program& program, Reader& reader);
  double error_of_all(const Reader& reader, size_t candidate) const;
  // A layer alone in a program of its own. It goes when it was measured: all of them would take as
  // much as the graph's program, and an arena each.
  Result<std::unique_ptr<Program>> compile(const Node& layer);
  // What it gives, or without one, what it would read; good until it computes again.
  Result<std::span<const float>> compute(Program* layer, const std::vector<float>& input);

  const SessionImpl& impl_;
  const std::shared_ptr<const Graph>& graph_;
  std::unique_ptr<kernels::Pool> pool_;
  const kernels::VecS8& kernels_;
  std::vector<std::string> names_;
  std::vector<Contest> contests_;
  std::map<ValueId, std::vector<Reader>> readers_;  // by the output that is computed with them
  double macs_ = 0;                                 // of a frame
  std::vector<float> exact_, rounded_, want_;
  std::vector<int8_t> quantized_;
};

Status Measurement::prepare(const Observer& observer, bool symmetric) {
  if (pool_ == nullptr) return {Code::out_of_memory, "automatic ranges: no memory"};
  const Uses uses(*graph_);
  const std::vector<Int8Form> forms = int8_forms(*graph_);
  std::map<std::string, size_t> contest_of;
  std::vector<const Histogram*> histograms;  // of the contests
  for (size_t i = 0; i < observer.tensors().size(); ++i) {
    const ObservedTensor& tensor = observer.tensors()[i];
    if (!tensor.range) continue;
    contest_of[tensor.name] = names_.size();
    names_.push_back(tensor.name);
    histograms.push_back(&observer.histogram(i));
  }
  contests_.resize(names_.size());
  auto find_candidates = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (histograms[i]->frames() == 0) continue;
      contests_[i].frames = histograms[i]->frames();
      contests_[i].candidates = candidate_ranges(*histograms[i], 8, symmetric);
      for (const Candidate& candidate : contests_[i].candidates)
        contests_[i].rounding.push_back(expected_error(*histograms[i], candidate.range, 8));
    }
  };
  pool_->parallel_for(contests_.size(), 1, find_candidates);
  std::vector<bool> is_read(contests_.size());
  const auto enter = [&](ValueId by, ValueId input, size_t contest, double macs) -> Reader& {
    const size_t candidates = contests_[contest].candidates.size();
    const auto elements = static_cast<double>(graph_->value(input).shape.elements());
    macs_ += (macs + kMacsOfRounding * elements) * static_cast<double>(candidates + 1);
    return readers_[by].emplace_back(Reader{input, contest, nullptr, 0, 0,
                                            std::vector<double>(candidates),
                                            std::vector<double>(candidates)});
  };
  for (size_t n = 0; n < graph_->nodes.size(); ++n) {
    if (forms[n].kind != Int8Form::Kind::weighted) continue;
    const Node& node = graph_->nodes[n];
    const auto contest =
        contest_of.find(graph_->value(source_of(*graph_, uses, forms, node.in[0])).name);
    if (contest == contest_of.end() || contests_[contest->second].candidates.size() < 2) continue;
    enter(node.out[0], node.in[0], contest->second, static_cast<double>(macs(*graph_, node)))
        .layer = &node;
    is_read[contest->second] = true;
  }
  // By name: the session may have planned anew since, for inputs of other shapes.
  for (size_t v = 0; v < graph_->values.size(); ++v)
    if (const auto contest = contest_of.find(graph_->values[v].name);
        contest != contest_of.end() && !is_read[contest->second] &&
        contests_[contest->second].candidates.size() >= 2)
      enter(static_cast<ValueId>(v), static_cast<ValueId>(v), contest->second, 0);
  return {};
}

Result<std::unique_ptr<Program>> Measurement::compile(const Node& layer) {
  CompileOptions options;
  options.isa = kernels::allowed_isas(impl_.isa);
  FIRN_ASSIGN(Graph single, alone(*graph_, layer));
  return Program::compile(std::make_shared<const Graph>(std::move(single)), options, *pool_);
}

Result<std::span<const float>> Measurement::compute(Program* layer,
                                                    const std::vector<float>& input) {
  if (layer == nullptr) return std::span(input);
  layer->bind_input(0, input.data());
  FIRN_TRY(layer->run(*pool_));
  const ValueId id = layer->graph().outputs[0];
  return std::span(static_cast<const float*>(layer->data(id)),
                   layer->graph().value(id).shape.elements());
}

// While what the layer reads is still there.
Status Measurement::measure(const Program& program, Reader& reader) {
  const size_t n = graph_->value(reader.input).shape.elements();
  exact_.resize(n);
  program.read_float(reader.input, exact_);
  std::unique_ptr<Program> layer;
  if (reader.layer != nullptr) {
    FIRN_ASSIGN(layer, compile(*reader.layer));
  }
  FIRN_ASSIGN(const std::span<const float> exact_output, compute(layer.get(), exact_));
  want_.assign(exact_output.begin(), exact_output.end());
  rounded_.assign(want_.size(), 0.0f);
  const double square = squared_distance(want_, rounded_);
  if (square == 0) return {};
  const Contest& contest = contests_[reader.contest];
  ++reader.frames;
  reader.elements += n;
  rounded_.resize(n);
  quantized_.resize(n);
  for (size_t c = 0; c < contest.candidates.size(); ++c) {
    const Quant quant = to_quant(contest.candidates[c].range);
    kernels_.quantize(n, exact_.data(), quantized_.data(), 1 / quant.scale[0], {quant.zero[0]});
    kernels_.dequantize(n, quantized_.data(), rounded_.data(), quant.scale[0], quant.zero[0]);
    FIRN_ASSIGN(const std::span<const float> output, compute(layer.get(), rounded_));
    reader.read_error[c] += squared_distance(exact_, rounded_);
    reader.given_error[c] += squared_distance(want_, output) / square;
  }
  return {};
}

Status Measurement::run(std::span<const std::shared_ptr<const HeldFrame>> frames) {
  if (readers_.empty()) return {};
  FIRN_ASSIGN(const auto program, Program::compile(graph_, impl_.compile_options(*graph_), *pool_));
  Status status;
  const Program::Hook hook = [&](const Program& running, size_t step) {
    for (const ValueId id : running.steps()[step].writes)
      if (const auto found = readers_.find(id); found != readers_.end() && status.ok())
        for (Reader& reader : found->second)
          if (status.ok()) status = measure(running, reader);
  };
  const std::vector<Shape> shapes = input_shapes(*graph_);
  double left = kMostMacs;
  for (const auto& frame : frames) {
    if (frame->shapes != shapes) continue;
    for (size_t i = 0; i < frame->inputs.size(); ++i)
      program->bind_input(i, frame->inputs[i]->bytes().data());
    FIRN_TRY(program->run(*pool_, &hook));
    FIRN_TRY(status);
    left -= macs_;
    if (left < macs_) break;
  }
  return {};
}

// The mean squared error of a candidate over all that was observed: of the frames that were
// measured by all their values, of the others by samples.
double Measurement::error_of_all(const Reader& reader, size_t candidate) const {
  const Contest& contest = contests_[reader.contest];
  const double measured = reader.read_error[candidate] / static_cast<double>(reader.elements);
  const double share =
      std::min(1.0, static_cast<double>(reader.frames) / static_cast<double>(contest.frames));
  return share * measured + (1 - share) * contest.rounding[candidate];
}

void Measurement::decide(ChosenRanges& chosen) const {
  std::vector<std::vector<double>> error;  // of each contest and candidate
  for (const Contest& contest : contests_) error.emplace_back(contest.candidates.size());
  for (const auto& [output, readers] : readers_)
    for (const Reader& reader : readers)
      for (size_t c = 0; c < reader.read_error.size(); ++c)
        if (reader.read_error[c] > 0)
          error[reader.contest][c] +=
              error_of_all(reader, c) * (reader.given_error[c] / reader.read_error[c]);
  for (size_t i = 0; i < contests_.size(); ++i) {
    if (error[i].empty()) continue;
    const double most = std::ranges::max(error[i]);
    if (!(most > 0) || !std::isfinite(most)) error[i] = contests_[i].rounding;  // not measured
    size_t best = 0;
    for (size_t c = 1; c < error[i].size(); ++c)
      if (error[i][c] < error[i][best] * kWorthTightening) best = c;
    chosen.set(names_[i], contests_[i].candidates[best]);
  }
}

}  // namespace

Result<ChosenRanges> choose_ranges(const SessionImpl& impl,
                                   const std::shared_ptr<const Graph>& graph,
                                   const Observer& observer,
                                   std::span<const std::shared_ptr<const HeldFrame>> frames,
                                   Method method, bool symmetric) {
  ChosenRanges chosen;
  if (method == Method::automatic && !frames.empty()) {
    const ReturnFreed afterwards;
    Measurement measurement(impl, graph);
    FIRN_TRY(measurement.prepare(observer, symmetric));
    FIRN_TRY(measurement.run(frames));
    measurement.decide(chosen);
  }
  for (size_t i = 0; i < observer.tensors().size(); ++i) {
    const std::string& name = observer.tensors()[i].name;
    if (observer.histogram(i).frames() > 0 && !chosen.ranges.contains(name))
      chosen.set(name, pick(observer.histogram(i), method, 8, symmetric));
  }
  return chosen;
}

}  // namespace firn
