// SPDX-License-Identifier: Apache-2.0
// The samples behind a --data argument, read one at a time.
#ifndef FIRN_EXAMPLES_FIRN_SOURCE_H_
#define FIRN_EXAMPLES_FIRN_SOURCE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "firn/status.h"
#include "npy.h"

namespace firn::tool {

// A folder, a list file, a CSV, an .npy or a single picture.
class Source {
 public:
  // folder     its pictures, sorted by name; with `labels` a CSV: the pictures of its rows, in
  //            their order
  // .csv       the files of its column "file", relative to its folder, in the order of its rows
  // .npy       its first axis is the sample
  // a picture  one sample
  // any other  a list: one path a line, relative to the list's folder; blank lines do not count
  // A file of a folder, list or CSV is a picture, or an .npy that is one sample.
  // An error where there is no sample at all.
  static Result<Source> open(const std::string& path, const std::string& labels = {});

  const std::string& path() const { return path_; }
  size_t size() const { return npy_ ? npy_->samples() : files_.size(); }
  bool is_npy() const { return npy_.has_value(); }
  // As the folder, list or CSV names it: the key of a label.
  const std::string& file(size_t index) const { return files_[index]; }
  // For messages: the file's path, or "x.npy[3]".
  std::string name(size_t index) const;

  // index < size().
  Result<Array> read(size_t index);

 private:
  std::string file_path(size_t index) const;

  std::string path_;
  std::optional<NpyFile> npy_;
  std::string folder_;              // that files_ are relative to
  std::vector<std::string> files_;  // of what is not an .npy
};

// The pixels of a picture, or the whole of an .npy.
Result<Array> read_array(const std::string& path);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_SOURCE_H_
