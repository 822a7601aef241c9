// SPDX-License-Identifier: Apache-2.0
// Reads a model of any format, told by its content.
#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "firn/formats.h"
#include "firn/model.h"
#include "runtime/file.h"
#include "runtime/import/native.h"
#include "runtime/import/ncnn.h"
#include "runtime/import/onnx.h"
#include "runtime/import/tflite.h"
#include "runtime/model_impl.h"

namespace firn {
namespace {

using namespace std::string_view_literals;

struct Signature {
  size_t offset;
  std::string_view bytes;
  Code code;
  const char* message;
};

// What people hand over by mistake. Models of other formats are unsupported, the rest malformed.
constexpr auto kSignatures = std::to_array<Signature>({
    {0, "\x89HDF\r\n\x1a\n"sv, Code::unsupported,
     "an HDF5 file (Keras), which firn does not read: convert it to ONNX (tf2onnx)"},
    {0, "PK\x03\x04"sv, Code::unsupported,
     "a ZIP archive (a PyTorch checkpoint?), which firn does not read: export it to ONNX"},
    {0, "\x80\x02"sv, Code::unsupported,
     "a Python pickle (a PyTorch checkpoint?), which firn does not read: export it to ONNX"},
    {0, "GGUF"sv, Code::unsupported, "a GGUF model, which firn does not read"},
    {4, "ORTM"sv, Code::unsupported,
     "an ONNX Runtime (.ort) model, which firn does not read: use the ONNX model it was made from"},
    {0, "\x1f\x8b"sv, Code::malformed, "a gzip archive, not a model: unpack it first"},
    {0, "\x89PNG"sv, Code::malformed, "a PNG picture, not a model"},
    {0, "\xff\xd8\xff"sv, Code::malformed, "a JPEG picture, not a model"},
    {0, "GIF8"sv, Code::malformed, "a GIF picture, not a model"},
    {0, "%PDF"sv, Code::malformed, "a PDF document, not a model"},
    {0,
     "\x7f"
     "ELF"sv,
     Code::malformed, "a program or library, not a model"},
    {0, "version https://git-lfs"sv, Code::malformed,
     "a Git LFS pointer, not the model itself: run git lfs pull"},
    {0, "<?xml"sv, Code::malformed, "an XML file, not a model"},
    {0, "<!DOCTYPE"sv, Code::malformed, "a web page, not a model"},
    {0, "<html"sv, Code::malformed, "a web page, not a model"},
});

// "begins with 1f 3a ...": of bytes that are no format that firn has heard of.
std::string first_bytes(std::span<const std::byte> bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text = "begins with";
  for (std::byte b : bytes.first(std::min<size_t>(bytes.size(), 8))) {
    const auto value = std::to_integer<size_t>(b);
    text += {' ', kHex[value >> 4], kHex[value & 15]};
  }
  return text;
}

const Signature* known_mistake(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto* const found = std::ranges::find_if(kSignatures, [&](const Signature& s) {
    return text.size() >= s.offset && text.substr(s.offset).starts_with(s.bytes);
  });
  return found == kSignatures.end() ? nullptr : found;
}

Result<Model> parse_ncnn_parts(NcnnSource source, const LoadOptions& options) {
  if (options.random_weights) source.bin.reset();
  source.input_shapes = options.input_shapes;
  // It is small, and read again where the model is.
  const auto param =
      std::make_shared<const std::vector<std::byte>>(source.param.begin(), source.param.end());
  source.param = *param;
  source.param_owner = param;
  const MappedFile bin{source.bin_owner, source.bin.value_or(std::span<const std::byte>())};
  return make_model(
      "ncnn", [source = std::move(source)] { return read_ncnn(source); }, bin);
}

Result<Model> parse_any(const MappedFile& file, const std::string& folder,
                        const LoadOptions& options) {
  const std::span<const std::byte> bytes = file.bytes;
  if (bytes.empty()) return Status(Code::malformed, "no bytes");
  if (looks_like_native(bytes)) {
    return make_model(
        "firn", [=] { return read_native(file.bytes, file.owner, folder); }, file);
  }
  if (looks_like_tflite(bytes)) {
    return make_model(
        "tflite", [=] { return read_tflite(file.bytes, file.owner); }, file);
  }
  if (looks_like_ncnn(bytes)) {
    if (options.random_weights) return parse_ncnn_parts({.param = bytes}, options);
    return Status(Code::invalid_argument,
                  "an ncnn .param without its .bin: parse_ncnn() takes both");
  }
  // Before ONNX, whose loose wire format makes much else look plausible.
  if (const Signature* mistake = known_mistake(bytes)) {
    return Status(mistake->code, mistake->message);
  }
  if (!looks_like_onnx(bytes)) {
    return Status(Code::malformed,
                  "neither ONNX, TensorFlow Lite, ncnn nor .firn: " + first_bytes(bytes));
  }
  const auto read = [file, files = std::make_shared<DataFiles>(folder)] {
    Result<Graph> graph = read_onnx(file.bytes, file.owner, *files);
    files->forget();
    return graph;
  };
  return make_model("onnx", read, file);
}

Status about(const std::string& path, const Status& status) {
  return {status.code(), path + ": " + status.message()};
}

// The weights of `param`: x.bin for x.param and x.param.bin.
std::string bin_beside(const std::string& param) {
  std::filesystem::path path(param);
  if (path.extension() == ".bin") path.replace_extension();
  return path.replace_extension(".bin").string();
}

// A .bin of a model without weights may be empty.
Result<MappedFile> map_bin(const std::string& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) == 0 && !error) return MappedFile{};
  return map_file(path);
}

Result<Model> load_ncnn_parts(std::span<const std::byte> param, const std::string& param_path,
                              const std::string& bin_path, const LoadOptions& options) {
  NcnnSource source{.param = param};
  if (!options.random_weights) {
    Result<MappedFile> bin = map_bin(bin_path);
    if (!bin.ok()) {
      return about(param_path, {bin.status().code(),
                                "its weights are not there (" + bin.status().message() + ")"});
    }
    source.bin = bin->bytes;
    source.bin_owner = bin->owner;
  }
  Result<Model> model = parse_ncnn_parts(std::move(source), options);
  if (!model.ok()) return about(param_path, model.status());
  return model;
}

// Of the weights alone, handed over in place of the .param.
bool is_ncnn_bin(const std::filesystem::path& path) {
  std::error_code error;
  return path.extension() == ".bin" &&
         std::filesystem::exists(std::filesystem::path(path).replace_extension(".param"), error);
}

}  // namespace

Result<Model> Model::load(const std::string& path, const LoadOptions& options) {
  FIRN_ASSIGN(const MappedFile file, map_file(path));
  if (looks_like_ncnn(file.bytes)) {
    return load_ncnn_parts(file.bytes, path, bin_beside(path), options);
  }
  if (is_ncnn_bin(path)) {
    return about(path,
                 {Code::malformed, "the weights of an ncnn model: load the .param beside it"});
  }
  Result<Model> model = parse_any(file, folder_of(path), options);
  if (!model.ok()) return about(path, model.status());
  return model;
}

Result<Model> Model::parse(std::span<const std::byte> bytes, const LoadOptions& options) {
  return parse_any({nullptr, bytes}, "", options);
}

Result<Model> Model::load_ncnn(const std::string& param, const std::string& bin,
                               const LoadOptions& options) {
  FIRN_ASSIGN(const MappedFile file, map_file(param));
  if (!looks_like_ncnn(file.bytes)) {
    return about(param, {Code::malformed, "no ncnn .param: " + first_bytes(file.bytes)});
  }
  return load_ncnn_parts(file.bytes, param, bin, options);
}

Result<Model> Model::parse_ncnn(std::span<const std::byte> param, std::span<const std::byte> bin,
                                const LoadOptions& options) {
  if (!looks_like_ncnn(param)) {
    return Status(Code::malformed, "no ncnn .param: " + first_bytes(param));
  }
  return parse_ncnn_parts({.param = param, .bin = bin}, options);
}

std::vector<FormatOperators> supported_operators() {
  return {{"onnx", onnx_operators()}, {"tflite", tflite_operators()}, {"ncnn", ncnn_layers()}};
}

}  // namespace firn
