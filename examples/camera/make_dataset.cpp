// SPDX-License-Identifier: Apache-2.0
// Writes frames of the camera, preprocessed as the demo does it, for train.py.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "pipeline.h"

namespace {

// A .npy file of version 1.0; `shape` as in Python: "(3, 4)".
bool write_npy(const std::string& path, const std::string& type, const std::string& shape,
               const void* data, size_t bytes) {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  while ((header.size() + 11) % 64 != 0) header += ' ';
  header += '\n';
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const unsigned char magic[10] = {0x93,
                                   'N',
                                   'U',
                                   'M',
                                   'P',
                                   'Y',
                                   1,
                                   0,
                                   static_cast<unsigned char>(header.size() & 255),
                                   static_cast<unsigned char>(header.size() >> 8)};
  const bool ok = std::fwrite(magic, 1, sizeof magic, file) == sizeof magic &&
                  std::fwrite(header.data(), 1, header.size(), file) == header.size() &&
                  std::fwrite(data, 1, bytes, file) == bytes;
  return std::fclose(file) == 0 && ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: make_dataset SEED FRAMES PREFIX\n");
    return 2;
  }
  const int frames = std::atoi(argv[2]);
  scenes::Camera camera(std::strtoull(argv[1], nullptr, 10), pipeline::kFrameWidth,
                        pipeline::kFrameHeight);
  constexpr size_t kPixels = size_t{3} * pipeline::kInputSize * pipeline::kInputSize;
  std::vector<uint8_t> pictures(static_cast<size_t>(frames) * kPixels);
  std::vector<int32_t> labels;
  for (int i = 0; i < frames; ++i) {
    const scenes::Frame frame = camera.next();
    uint8_t* to = pictures.data() + static_cast<size_t>(i) * kPixels;
    firn::Preprocess how = pipeline::preprocessing();
    how.mean = {0, 0, 0};  // train.py normalizes
    how.std = {1, 1, 1};
    const firn::Status status =
        firn::preprocess(frame.image(), how, firn::view(pipeline::input_shape(), to));
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.message().c_str());
      return 1;
    }
    labels.push_back(frame.label);
  }
  const std::string prefix = argv[3], n = std::to_string(frames);
  const std::string side = std::to_string(pipeline::kInputSize);
  const bool ok =
      write_npy(prefix + "_images.npy", "|u1", "(" + n + ", 3, " + side + ", " + side + ")",
                pictures.data(), pictures.size()) &&
      write_npy(prefix + "_labels.npy", "<i4", "(" + n + ",)", labels.data(),
                labels.size() * sizeof(int32_t));
  if (!ok) std::fprintf(stderr, "cannot write %s_*.npy\n", prefix.c_str());
  return ok ? 0 : 1;
}
