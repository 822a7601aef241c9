// SPDX-License-Identifier: Apache-2.0
// Decodes pictures with stb_image: the one file that knows it.
#include "picture.h"

#include <algorithm>
#include <cctype>
#include <climits>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "text.h"

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
// Of its formats those whose truncated files it notices.
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#include <stb/stb_image.h>

namespace firn::tool {
namespace {

// A larger picture is a mistake or an attack: 2^28 pixels are 768 MB.
constexpr size_t kMaxPixels = size_t{1} << 28;

// Whether the picture of a JPEG file ends; stb_image paints the missing part gray since 2.28.
// Segments carry their length up to the start of the scan (FF DA), behind which the first FF D9 is
// the end: a pixel's FF is always followed by 00.
bool jpeg_ends(std::string_view file) {
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(file[i])); };
  for (size_t at = 2; at + 4 <= file.size() && byte(at) == 0xff;) {
    if (byte(at + 1) == 0xda) return file.find("\xff\xd9", at) != std::string_view::npos;
    at += byte(at + 1) == 0xff ? 1 : 2 + (byte(at + 2) << 8 | byte(at + 3));
  }
  return false;
}

}  // namespace

bool has_picture_name(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  static constexpr const char* kKnown[] = {".jpg", ".jpeg", ".png"};
  return std::find(std::begin(kKnown), std::end(kKnown), extension) != std::end(kKnown);
}

Result<Array> read_picture(const std::string& path) {
  FIRN_ASSIGN(const std::string file, read_file(path));
  if (file.size() > INT_MAX) return Status(Code::unsupported, path + ": larger than 2 GB");
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const int size = static_cast<int>(file.size());
  const auto broken = [&] {
    return Status(Code::malformed, path + ": not a readable picture: " + stbi_failure_reason());
  };

  int width = 0, height = 0, stored_channels = 0;
  if (stbi_info_from_memory(bytes, size, &width, &height, &stored_channels) == 0) return broken();
  if (width <= 0 || height <= 0 ||
      static_cast<size_t>(width) * static_cast<size_t>(height) > kMaxPixels) {
    return Status(Code::unsupported, format("%s: a picture of %d x %d pixels, expected up to %zu",
                                            path.c_str(), width, height, kMaxPixels));
  }
  const int channels = stored_channels <= 2 ? 1 : 3;  // 2 and 4 are with transparency
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, size, &width, &height, &stored_channels, channels),
      stbi_image_free);
  if (pixels == nullptr) return broken();
  if (file.starts_with("\xff\xd8") && !jpeg_ends(file)) {
    return Status(Code::malformed, path + ": not a readable picture: it is cut off");
  }
  Array picture(DType::u8, {height, width, channels});
  std::memcpy(picture.data.data(), pixels.get(), picture.data.size());
  return picture;
}

}  // namespace firn::tool
