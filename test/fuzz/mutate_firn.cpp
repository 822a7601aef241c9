// SPDX-License-Identifier: Apache-2.0
// Damage to .firn files that gets past the header and the checksum.
#include <algorithm>
#include <cstring>
#include <span>

#include "runtime/import/native_format.h"
#include "test/fuzz/mutations.h"

namespace firn::fuzz {
namespace {

NativeHeader header_of(const std::string& file) {
  NativeHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  return header;
}

void seal(std::string& file) {
  const uint64_t checksum = native_checksum(std::as_bytes(std::span(file.data(), file.size())));
  std::memcpy(file.data() + offsetof(NativeHeader, checksum), &checksum, sizeof(checksum));
}

// Another word of the graph: an offset, a length or an id of something else.
void copy_word(std::string& file, size_t begin, size_t words, Random& random) {
  if (words == 0) return;
  char* const graph = file.data() + begin;
  std::memmove(graph + 4 * random.below(words), graph + 4 * random.below(words), 4);
}

// Where a file that shrank or grew says so, what stands behind the header is looked at.
void fit_header(std::string& file, Random& random) {
  NativeHeader header = header_of(file);
  if (header.file_bytes == file.size() || random.one_in(4)) return;
  header.file_bytes = file.size();
  const size_t room = file.size() - sizeof(header);
  header.graph_bytes = std::min<uint64_t>(header.graph_bytes, room);
  header.data_offset = align_native(sizeof(header) + header.graph_bytes);
  const size_t before = header.data_offset + 64;
  header.data_bytes = file.size() > before ? file.size() - before : 0;
  std::memcpy(file.data(), &header, sizeof(header));
}

}  // namespace

std::string mutate_firn(std::string file, const std::string& other, Random& random) {
  const size_t header_bytes = sizeof(NativeHeader);
  size_t edits = random.one_in(2) ? 1 : 1 + random.below(4);
  for (; edits > 0 && file.size() > header_bytes; --edits) {
    const size_t graph_end =
        std::min<size_t>(file.size(), header_bytes + header_of(file).graph_bytes % file.size());
    switch (random.below(12)) {
      case 0:
        set_element(file, 0, header_bytes, random);
        break;
      case 1:
        set_element(file, graph_end, file.size(), random);
        break;
      case 2:
        file = mutate_bytes(std::move(file), other, random);
        break;
      case 3:
      case 4:
        copy_word(file, header_bytes, (graph_end - header_bytes) / 4, random);
        break;
      default:
        set_element(file, header_bytes, graph_end, random);
    }
  }
  if (file.size() >= header_bytes) {
    fit_header(file, random);
    if (random.one_in(2)) seal(file);
  }
  return file;
}

}  // namespace firn::fuzz
