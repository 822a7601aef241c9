// SPDX-License-Identifier: Apache-2.0
// Gathers seeds and makes .firn files of them.
#include "test/fuzz/seeds.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>

#include "firn/model.h"
#include "firn/quantize.h"
#include "quant/observe.h"
#include "quant/quantize_graph.h"
#include "runtime/import/native.h"
#include "runtime/model_impl.h"
#include "test/fuzz/ncnn_pair.h"

namespace firn::fuzz {
namespace {

Status add_native(const Graph& graph, std::vector<std::string>& files) {
  FIRN_ASSIGN(const std::vector<std::byte> bytes, serialize_native(graph));
  files.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return {};
}

// The int8 graph that calibration frames with values from -4 to 4 would lead to.
Result<Graph> quantized(const Graph& graph) {
  std::map<std::string, Interval> ranges;
  for (const ObservedTensor& tensor : tensors_to_observe(graph)) ranges[tensor.name] = {-4, 4};
  FIRN_ASSIGN(QuantizedGraph result, quantize_graph(graph, ranges));
  return std::move(result.graph);
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Status add(std::string file, Seeds& seeds) {
  const NcnnPair pair = is_ncnn_pair(file) ? split(file) : NcnnPair{};
  FIRN_ASSIGN(const Model model, is_ncnn_pair(file)
                                     ? Model::parse_ncnn(bytes_of(pair.param), bytes_of(pair.bin))
                                     : Model::parse(bytes_of(file)));
  const ModelImpl& impl = model.impl();
  FIRN_ASSIGN(const Graph imported, impl.imported());
  FIRN_ASSIGN(const Graph optimised, impl.optimised());
  FIRN_TRY(add_native(imported, seeds.firn));
  FIRN_TRY(add_native(optimised, seeds.firn));
  if (const auto int8 = quantized(optimised); int8.ok()) {
    FIRN_TRY(add_native(*int8, seeds.firn));
  }
  // Weights of few bits, in blocks with zero points, and of 16.
  for (const int bits : {3, 16}) {
    const auto made = quantize_weights(model, {.bits = bits, .short_row_bits = 2});
    if (!made.ok()) continue;
    FIRN_ASSIGN(const Graph stored, made->model.impl().imported());
    FIRN_TRY(add_native(stored, seeds.firn));
  }
  std::vector<std::string>& kind = impl.info.format == "onnx"     ? seeds.onnx
                                   : impl.info.format == "tflite" ? seeds.tflite
                                   : impl.info.format == "ncnn"   ? seeds.ncnn
                                                             : seeds.firn;
  kind.push_back(std::move(file));
  return {};
}

}  // namespace

Result<Seeds> make_seeds(std::span<const std::string> paths) {
  Seeds seeds;
  std::vector<std::string> files = built_in_onnx();
  std::ranges::move(built_in_tflite(), std::back_inserter(files));
  for (size_t number = 0; number < files.size(); ++number) {
    if (const Status status = add(std::move(files[number]), seeds); !status.ok()) {
      return Status(status.code(),
                    "built-in model " + std::to_string(number) + ": " + status.message());
    }
  }
  for (std::string& file : built_in_ncnn()) {
    const size_t number = seeds.ncnn.size();
    if (const Status status = add(std::move(file), seeds); !status.ok()) {
      return Status(status.code(),
                    "built-in ncnn model " + std::to_string(number) + ": " + status.message());
    }
  }
  for (const std::string& path : paths) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return Status(Code::io_error, path + ": cannot be read");
    std::string file{std::istreambuf_iterator<char>(in), {}};
    // One that firn does not run makes a seed still.
    if (!add(file, seeds).ok()) seeds.onnx.push_back(std::move(file));
  }
  return seeds;
}

}  // namespace firn::fuzz
