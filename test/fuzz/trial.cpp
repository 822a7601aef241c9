// SPDX-License-Identifier: Apache-2.0
// Loads and runs one file, and watches time and memory.
#include "test/fuzz/trial.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <span>
#include <vector>

#include "firn/session.h"
#include "runtime/model_impl.h"
#include "test/fuzz/ncnn_pair.h"

namespace firn::fuzz {
namespace {

constexpr size_t kMostMacs = 50'000'000;
constexpr size_t kMostActivationBytes = size_t{64} << 20;

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Linux's resident set: the largest since reset_peak(), or now. 0 where there is no /proc.
size_t resident_bytes(const char* line) {
  std::ifstream status("/proc/self/status");
  for (std::string text; std::getline(status, text);) {
    if (text.starts_with(line)) return std::stoul(text.substr(std::strlen(line))) * 1024;
  }
  return 0;
}

void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

// A message must be there, and be one line.
std::string fault_of(const Status& status) {
  if (status.ok()) return {};
  const std::string& message = status.message();
  if (message.empty()) return std::string("no message with ") + code_name(status.code());
  if (status.code() == Code::internal) return "internal: " + message;
  const bool one_line = std::ranges::all_of(
      message, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
  return one_line ? "" : "a message that is not one line: " + message;
}

bool small(const Model& model) {
  if (model.info().macs > kMostMacs) return false;
  size_t bytes = 0;
  const Result<Graph> graph = model.impl().optimised();
  if (!graph.ok()) return false;
  for (const Value& value : graph->values) {
    bytes += value.shape.elements() * dtype_bytes(value.type);
    if (bytes > kMostActivationBytes) return false;
  }
  return true;
}

// Any bytes: numbers of every kind, and integers that point anywhere.
void fill(std::span<std::byte> bytes, DType type, Random& random) {
  const size_t mode = random.below(3);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto value = static_cast<uint8_t>(random.next());
    bytes[i] = std::byte(type == DType::boolean ? value & 1 : mode == 0 ? 0 : value);
  }
  if (mode == 2 || type != DType::f32) return;
  for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    const auto value = static_cast<float>(static_cast<int>(random.below(2001)) - 1000) / 250;
    std::memcpy(bytes.data() + i, &value, sizeof(value));
  }
}

// The fault, or nothing; `ran` where all went well.
std::string run(const Model& model, Random& random, bool& ran) {
  SessionOptions options;
  options.weights = random.below(2) == 0 ? WeightUse::floats : WeightUse::integers;
  Result<Session> session = Session::create(model, options);
  if (!session.ok()) return fault_of(session.status());
  std::vector<std::vector<std::byte>> memory;
  std::vector<NamedTensor> inputs;
  for (const TensorInfo& info : session->inputs()) {
    const size_t bytes = info.shape.elements() * dtype_bytes(info.type);
    fill(memory.emplace_back(std::max<size_t>(bytes, 1)), info.type, random);
    inputs.push_back({info.name, {info.type, info.shape, memory.back().data()}});
  }
  for (int times = 0; times < 2; ++times) {
    Outputs outputs;
    const Status status = session->run(inputs, outputs);
    if (!status.ok()) return fault_of(status);
  }
  ran = true;
  return {};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

Trial try_file(const std::string& file, const Limits& limits, Random& random) {
  Trial trial;
  reset_peak();
  const size_t before = resident_bytes("VmRSS:");
  const double start = processor_seconds();
  const NcnnPair pair = is_ncnn_pair(file) ? split(file) : NcnnPair{};
  const Result<Model> model = is_ncnn_pair(file)
                                  ? Model::parse_ncnn(bytes_of(pair.param), bytes_of(pair.bin))
                                  : Model::parse(bytes_of(file));
  trial.load_seconds = processor_seconds() - start;
  const size_t peak = resident_bytes("VmHWM:");  // once: reading it may raise it
  trial.peak_bytes = peak - std::min(before, peak);
  trial.loaded = model.ok();
  if (trial.load_seconds > limits.seconds) {
    trial.complaint = "loading took " + std::to_string(trial.load_seconds) + " s";
  } else if (trial.peak_bytes > limits.bytes) {
    trial.complaint = "loading took " + std::to_string(trial.peak_bytes >> 20) + " MiB";
  } else if (!model.ok()) {
    trial.complaint = fault_of(model.status());
  } else if (small(*model)) {
    trial.complaint = run(*model, random, trial.ran);
    trial.run_seconds = processor_seconds() - start - trial.load_seconds;
  }
  return trial;
}

}  // namespace firn::fuzz
