// SPDX-License-Identifier: Apache-2.0
// Decodes pictures with stb_image: the one file that knows it.
#include "picture.h"

#include <algorithm>
#include <cctype>
#include <climits>
#include <cstring>
#include <filesystem>
#include <memory>

#include "jpeg_check.h"
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
  const auto broken = [&](const char* why) {
    return Status(Code::malformed, path + ": not a readable picture: " + why);
  };
  if (is_jpeg(file)) {
    if (const char* problem = jpeg_problem(file); problem != nullptr) return broken(problem);
  }

  int width = 0, height = 0, stored_channels = 0;
  if (stbi_info_from_memory(bytes, size, &width, &height, &stored_channels) == 0)
    return broken(stbi_failure_reason());
  if (width <= 0 || height <= 0 ||
      static_cast<size_t>(width) * static_cast<size_t>(height) > kMaxPixels) {
    return Status(Code::unsupported, format("%s: a picture of %d x %d pixels, expected up to %zu",
                                            path.c_str(), width, height, kMaxPixels));
  }
  const int channels = stored_channels <= 2 ? 1 : 3;  // 2 and 4 are with transparency
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, size, &width, &height, &stored_channels, channels),
      stbi_image_free);
  if (pixels == nullptr) return broken(stbi_failure_reason());
  Array picture(DType::u8, {height, width, channels});
  std::memcpy(picture.data.data(), pixels.get(), picture.data.size());
  return picture;
}

}  // namespace firn::tool
