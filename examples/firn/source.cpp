// SPDX-License-Identifier: Apache-2.0
// The samples behind a --data argument, read one at a time.
#include "source.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "csv.h"
#include "picture.h"
#include "text.h"

namespace firn::tool {
namespace {

namespace fs = std::filesystem;

bool ends_with(const std::string& path, const char* extension) {
  return fs::path(path).extension() == extension;
}

Result<std::vector<std::string>> pictures_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (has_picture_name(name)) names.push_back(name);
  }
  if (error) return Status(Code::io_error, folder + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::string>> files_of_csv(const std::string& path) {
  FIRN_ASSIGN(const Csv csv, read_csv(path));
  FIRN_ASSIGN(const size_t column, csv.column("file"));
  std::vector<std::string> files;
  for (const Csv::Row& row : csv.rows) files.push_back(row.cells[column]);
  return files;
}

Result<std::vector<std::string>> files_of_list(const std::string& path) {
  FIRN_ASSIGN(const std::string text, read_file(path));
  if (text.find('\0') != std::string::npos) {
    return Status(Code::malformed,
                  path + ": expected a folder, an .npy, a .csv, a picture or a list of files");
  }
  std::vector<std::string> files;
  for (std::string& line : split(text, '\n')) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) files.push_back(std::move(line));
  }
  return files;
}

}  // namespace

Result<Source> Source::open(const std::string& path, const std::string& labels) {
  Source source;
  source.path_ = path;
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  if (!is_folder) FIRN_TRY(file_bytes(path).status());
  source.folder_ = is_folder ? path : fs::path(path).parent_path().string();

  if (is_folder && ends_with(labels, ".csv")) {
    FIRN_ASSIGN(source.files_, files_of_csv(labels));
  } else if (is_folder) {
    FIRN_ASSIGN(source.files_, pictures_in(path));
  } else if (ends_with(path, ".npy")) {
    FIRN_ASSIGN(source.npy_, NpyFile::open(path));
    if (source.npy_->shape().rank == 0) {
      return Status(Code::invalid_argument,
                    path + ": a scalar, expected samples as the first axis");
    }
  } else if (ends_with(path, ".csv")) {
    FIRN_ASSIGN(source.files_, files_of_csv(path));
  } else if (has_picture_name(path)) {
    source.files_ = {fs::path(path).filename().string()};
  } else {
    FIRN_ASSIGN(source.files_, files_of_list(path));
  }
  if (source.size() == 0) {
    return Status(Code::invalid_argument, path + (is_folder ? ": no pictures" : ": no samples"));
  }
  return source;
}

std::string Source::file_path(size_t index) const {
  return (fs::path(folder_) / files_[index]).string();
}

std::string Source::name(size_t index) const {
  return npy_ ? format("%s[%zu]", path_.c_str(), index) : file_path(index);
}

Result<Array> Source::read(size_t index) {
  return npy_ ? npy_->read_sample(index) : read_array(file_path(index));
}

Result<Array> read_array(const std::string& path) {
  if (!ends_with(path, ".npy")) return read_picture(path);
  FIRN_ASSIGN(NpyFile npy, NpyFile::open(path));
  return npy.read();
}

}  // namespace firn::tool
