// SPDX-License-Identifier: Apache-2.0
// Files: mapped for reading, written aside, synced and renamed.
#ifndef FIRN_RUNTIME_FILE_H_
#define FIRN_RUNTIME_FILE_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

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

// The files beside a model that it names, mapped when they are first asked for and kept so. They
// stay readable whatever becomes of their names. Thread-safe.
class DataFiles {
 public:
  explicit DataFiles(std::string folder) : folder_(std::move(folder)) {}
  // As resolve_inside() and map_file().
  Result<MappedFile> open(std::string_view location);
  // Gives the memory of all of them back.
  void forget();

 private:
  std::string folder_;
  std::mutex mutex_;
  std::map<std::string, MappedFile, std::less<>> files_;  // by location
};

// Replaces the file or leaves the old one as it was, whatever happens: written to a temporary file
// in the same folder, fsynced, renamed, folder fsynced. io_error says what failed.
Status write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace firn

#endif  // FIRN_RUNTIME_FILE_H_
