// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading, written aside, synced and renamed.
#ifndef FIRN_RUNTIME_FILE_H_
#define FIRN_RUNTIME_FILE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "firn/status.h"

namespace firn {

struct MappedFile {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};

// Maps a regular file read-only. not_found, io_error (a folder, no permission); malformed: empty.
Result<MappedFile> map_file(const std::string& path);

// Gives the memory of these bytes of a mapped file back; they stay readable, and take it again once
// they are read.
void forget_pages(const MappedFile& part);

// Replaces the file or leaves the old one as it was, whatever happens: written to a temporary file
// in the same folder, fsynced, renamed, folder fsynced. io_error says what failed.
Status write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace firn

#endif  // FIRN_RUNTIME_FILE_H_
