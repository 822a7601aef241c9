// SPDX-License-Identifier: Apache-2.0
// Writes small ncnn models, .param as text or binary and .bin, and runs them, for tests.
#ifndef FIRN_TEST_RUNTIME_NCNN_BUILDER_H_
#define FIRN_TEST_RUNTIME_NCNN_BUILDER_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/import/ncnn.h"
#include "test/runtime/ncnn_binary.h"
#include "test/runtime/onnx_run.h"

namespace firn::test {

class NcnnModel {
 public:
  // "Convolution conv 1 1 data out 0=8 1=3".
  NcnnModel& layer(const std::string& line) {
    lines_.push_back(line);
    return *this;
  }
  // Blobs of the .bin: without a tag, or with one and padded to 4 bytes.
  NcnnModel& raw(const std::vector<float>& data) { return append(data); }
  NcnnModel& tagged(const std::vector<float>& data) { return word(0).append(data); }
  NcnnModel& halves(const std::vector<uint16_t>& data) {
    return word(0x01306B47).append(data).pad();
  }
  NcnnModel& integers(const std::vector<int8_t>& data) {
    return word(0x000D4B38).append(data).pad();
  }
  NcnnModel& table(const std::vector<float>& entries, const std::vector<uint8_t>& indices) {
    return word(1).append(entries).append(indices).pad();
  }

  std::string param() const {
    std::string text =
        "7767517\n" + std::to_string(lines_.size()) + " " + std::to_string(kBlobs) + "\n";
    for (const std::string& line : lines_) text += line + "\n";
    return text;
  }
  std::string binary_param() const { return test::binary_param(param()); }
  const std::string& bin() const { return bin_; }
  std::string& bin() { return bin_; }

 private:
  static constexpr int32_t kBlobs = 100;

  template <typename T>
  NcnnModel& append(const std::vector<T>& data) {
    bin_.append(reinterpret_cast<const char*>(data.data()), data.size() * sizeof(T));
    return *this;
  }
  NcnnModel& word(uint32_t value) { return append(std::vector<uint32_t>{value}); }
  NcnnModel& pad() {
    bin_.resize((bin_.size() + 3) / 4 * 4);
    return *this;
  }
  std::vector<std::string> lines_;
  std::string bin_;
};

inline Result<Graph> read(const NcnnModel& model) {
  const std::string param = model.param();
  return read_ncnn({.param = as_bytes(param), .bin = as_bytes(model.bin())});
}

// `model` must live as long.
inline Graph import(const NcnnModel& model) {
  Result<Graph> graph = read(model);
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  const Status status = check(*graph);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return *std::move(graph);
}

inline std::vector<float> run_floats(const NcnnModel& model, const Shape& shape,
                                     const std::vector<float>& input) {
  return floats_of(run(import(model), {view(shape, input.data())})[0]);
}

// Why a model is not read: "malformed: ncnn: layer ...".
inline std::string refusal(const NcnnModel& model) {
  const Result<Graph> graph = read(model);
  if (graph.ok()) return "ok";
  return std::string(code_name(graph.status().code())) + ": " + graph.status().message();
}

}  // namespace firn::test

#endif  // FIRN_TEST_RUNTIME_NCNN_BUILDER_H_
