// SPDX-License-Identifier: Apache-2.0
// Reads .param.bin: the same as the text in 32-bit words, types and blobs by number.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "runtime/import/ncnn_param.h"

namespace firn::ncnn {
namespace {

// In the order of ncnn's build, which numbers them from 0 and never renumbers.
constexpr auto kTypes = std::to_array<std::string_view>({
    "AbsVal",
    "ArgMax",
    "BatchNorm",
    "Bias",
    "BNLL",
    "Concat",
    "Convolution",
    "Crop",
    "Deconvolution",
    "Dropout",
    "Eltwise",
    "ELU",
    "Embed",
    "Exp",
    "Flatten",
    "InnerProduct",
    "Input",
    "Log",
    "LRN",
    "MemoryData",
    "MVN",
    "Pooling",
    "Power",
    "PReLU",
    "Proposal",
    "Reduction",
    "ReLU",
    "Reshape",
    "ROIPooling",
    "Scale",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "SPP",
    "TanH",
    "Threshold",
    "Tile",
    "RNN",
    "LSTM",
    "BinaryOp",
    "UnaryOp",
    "ConvolutionDepthWise",
    "Padding",
    "Squeeze",
    "ExpandDims",
    "Normalize",
    "Permute",
    "PriorBox",
    "DetectionOutput",
    "Interp",
    "DeconvolutionDepthWise",
    "ShuffleChannel",
    "InstanceNorm",
    "Clip",
    "Reorg",
    "YoloDetectionOutput",
    "Quantize",
    "Dequantize",
    "Yolov3DetectionOutput",
    "PSROIPooling",
    "ROIAlign",
    "Packing",
    "Requantize",
    "Cast",
    "HardSigmoid",
    "SELU",
    "HardSwish",
    "Noop",
    "PixelShuffle",
    "DeepCopy",
    "Mish",
    "StatisticsPooling",
    "Swish",
    "Gemm",
    "GroupNorm",
    "LayerNorm",
    "Softplus",
    "GRU",
    "MultiHeadAttention",
    "GELU",
    "Convolution1D",
    "Pooling1D",
    "ConvolutionDepthWise1D",
    "Convolution3D",
    "ConvolutionDepthWise3D",
    "Pooling3D",
    "MatMul",
    "Deconvolution1D",
    "DeconvolutionDepthWise1D",
    "Deconvolution3D",
    "DeconvolutionDepthWise3D",
    "Einsum",
    "DeformableConv2D",
    "GLU",
    "Fold",
    "Unfold",
    "GridSample",
    "CumulativeSum",
    "CopyTo",
    "Erf",
    "Diag",
    "CELU",
    "Shrink",
    "RMSNorm",
    "Spectrogram",
    "InverseSpectrogram",
    "Flip",
    "SDPA",
    "RotaryEmbed",
});

constexpr int32_t kEndOfParams = -233;
constexpr int64_t kArray = -23300, kString = -23400;

class BinaryReader {
 public:
  explicit BinaryReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  Result<std::vector<Layer>> run();

 private:
  Status malformed(const std::string& what) const {
    return {Code::malformed, "ncnn: layer " + std::to_string(layer_) + ": " + what};
  }
  Result<int32_t> next_word(const char* what);
  Result<int32_t> next_count(const char* what);
  Status read_blobs(int32_t count, std::vector<std::string>& blobs);
  Result<Param> read_param(int32_t key);
  Result<Layer> read_layer();

  std::span<const std::byte> rest_;
  size_t layer_ = 0;
  int32_t blob_count_ = 0;
};

Result<int32_t> BinaryReader::next_word(const char* what) {
  int32_t word = 0;
  if (rest_.size() < sizeof(word)) return malformed(std::string("the file ends before ") + what);
  std::memcpy(&word, rest_.data(), sizeof(word));
  rest_ = rest_.subspan(sizeof(word));
  return word;
}

// Of things that take a word each: no more than are left.
Result<int32_t> BinaryReader::next_count(const char* what) {
  FIRN_ASSIGN(const int32_t count, next_word(what));
  if (count < 0 || static_cast<size_t>(count) > rest_.size() / sizeof(int32_t)) {
    return malformed(std::string(what) + " is " + std::to_string(count) + ", " +
                     std::to_string(rest_.size()) + " bytes are left");
  }
  return count;
}

Status BinaryReader::read_blobs(int32_t count, std::vector<std::string>& blobs) {
  for (int32_t i = 0; i < count; ++i) {
    FIRN_ASSIGN(const int32_t blob, next_word("its blobs"));
    if (blob < 0 || blob >= blob_count_) {
      return malformed("blob " + std::to_string(blob) + " of " + std::to_string(blob_count_));
    }
    blobs.push_back(std::to_string(blob));
  }
  return {};
}

Result<Param> BinaryReader::read_param(int32_t key) {
  Param param;
  param.text = key <= kString;
  param.array = !param.text && key <= kArray;
  const int64_t id = param.text ? kString - key : param.array ? kArray - key : key;
  if (id < 0 || id >= kMaxParams) {
    return malformed("parameter " + std::to_string(key) + ": its number is out of range");
  }
  param.id = static_cast<int>(id);
  if (param.text) {
    FIRN_ASSIGN(const int32_t length, next_word("a text"));
    const size_t padded = (static_cast<size_t>(std::max(length, 0)) + 3) / 4 * 4;
    if (length < 0 || padded > rest_.size()) {
      return malformed("a text of " + std::to_string(length) + " bytes, " +
                       std::to_string(rest_.size()) + " are left");
    }
    param.string.assign(reinterpret_cast<const char*>(rest_.data()), static_cast<size_t>(length));
    rest_ = rest_.subspan(padded);
    return param;
  }
  int32_t count = 1;
  if (param.array) {
    FIRN_ASSIGN(count, next_count("the length of a list"));
  }
  for (int32_t i = 0; i < count; ++i) {
    FIRN_ASSIGN(const int32_t word, next_word("the value of a parameter"));
    param.numbers.push_back(Number::of_bits(static_cast<uint32_t>(word)));
  }
  return param;
}

Result<Layer> BinaryReader::read_layer() {
  Layer layer;
  FIRN_ASSIGN(const int32_t type, next_word("its type"));
  layer.type = layer_type(type);
  if (layer.type.empty()) {
    return Status(Code::unsupported, "ncnn: layer " + std::to_string(layer_) + ": type number " +
                                         std::to_string(type) + " is not known");
  }
  layer.name = layer.type + "_" + std::to_string(layer_);
  FIRN_ASSIGN(const int32_t bottoms, next_count("the number of inputs"));
  FIRN_ASSIGN(const int32_t tops, next_count("the number of outputs"));
  FIRN_TRY(read_blobs(bottoms, layer.bottoms));
  FIRN_TRY(read_blobs(tops, layer.tops));
  std::array<bool, kMaxParams> seen{};
  while (true) {
    FIRN_ASSIGN(const int32_t key, next_word("its parameters' end"));
    if (key == kEndOfParams) return layer;
    FIRN_ASSIGN(Param param, read_param(key));
    if (std::exchange(seen[static_cast<size_t>(param.id)], true)) {
      return malformed("parameter " + std::to_string(param.id) + " is given twice");
    }
    layer.params.push_back(std::move(param));
  }
}

Result<std::vector<Layer>> BinaryReader::run() {
  FIRN_ASSIGN(const int32_t magic, next_word("the magic number"));
  if (magic != kMagic) return malformed("expected 7767517");
  FIRN_ASSIGN(const int32_t layer_count, next_count("the number of layers"));
  FIRN_ASSIGN(blob_count_, next_word("the number of blobs"));
  if (layer_count == 0) return malformed("the number of layers is 0");
  std::vector<Layer> layers;
  for (; layer_ < static_cast<size_t>(layer_count); ++layer_) {
    FIRN_ASSIGN(Layer layer, read_layer());
    layers.push_back(std::move(layer));
  }
  if (!rest_.empty()) {
    return malformed(std::to_string(rest_.size()) + " bytes behind the last layer");
  }
  return layers;
}

}  // namespace

std::string_view layer_type(int32_t number) {
  if (number < 0 || static_cast<size_t>(number) >= kTypes.size()) return {};
  return kTypes[static_cast<size_t>(number)];
}

Result<std::vector<Layer>> parse_binary_param(std::span<const std::byte> bytes) {
  return BinaryReader(bytes).run();
}

}  // namespace firn::ncnn
