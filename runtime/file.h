// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading, written aside, synced and renamed.
#ifndef FIRN_RUNTIME_FILE_H_
#define FIRN_RUNTIME_FILE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

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

// The folder of a file; "." where the path names none.
std::string folder_of(const std::string& path);
// Where `location`, relative, is inside `folder`: a model from elsewhere must not name other files
// of this machine. malformed: it is absolute, or leaves the folder by .. or a link; unsupported:
// there is no folder, "", as the model came from memory; not_found.
Result<std::string> resolve_inside(const std::string& folder, std::string_view location);

// Replaces the file or leaves the old one as it was, whatever happens: written to a temporary file
// in the same folder, fsynced, renamed, folder fsynced. io_error says what failed.
Status write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace firn

#endif  // FIRN_RUNTIME_FILE_H_
