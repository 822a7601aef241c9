// SPDX-License-Identifier: Apache-2.0
// Files through POSIX calls: what they do on errors, and when data is on disk, is specified there.
#include "runtime/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace firn {
namespace {

// A file descriptor, closed when it goes.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Some file systems report a failed write only here.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

// Removes a file unless it is kept.
class Temporary {
 public:
  explicit Temporary(std::string path) : path_(std::move(path)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  const std::string& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// For the errno of the call that just failed.
Status failed(const std::string& path, const char* what) {
  const int error = errno;
  return Status(error == ENOENT || error == ENOTDIR ? Code::not_found : Code::io_error,
                path + ": cannot " + what + ": " + std::strerror(error));
}

const char* kind_of(mode_t mode) {
  return S_ISDIR(mode) ? "is a folder" : "is not a regular file";
}

// A new file beside `path`, and its name. The kernel applies the umask.
Result<std::pair<int, std::string>> create_beside(const std::string& path) {
  constexpr int kAttempts = 100;
  const std::string stem = path + ".tmp" + std::to_string(::getpid()) + "-";
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string name = stem + std::to_string(attempt);
    const int fd =
        retry([&] { return ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644); });
    if (fd >= 0) return std::pair{fd, std::move(name)};
    if (errno != EEXIST) return failed(name, "create");
  }
  return Status(Code::io_error, path + ": its folder is full of temporary files");
}

Status write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  constexpr size_t kMaxWrite = size_t{1} << 30;  // the kernel writes no more at once
  while (!bytes.empty()) {
    const ssize_t n =
        retry([&] { return ::write(fd, bytes.data(), std::min(bytes.size(), kMaxWrite)); });
    if (n < 0) return failed(path, "write");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

// So that the rename, too, survives a power cut. Some file systems cannot sync folders (EINVAL).
Status sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Fd fd(retry([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return failed(folder, "open");
  if (retry([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL) {
    return failed(folder, "sync");
  }
  return {};
}

// Where a symbolic link leads, so that the file behind it is replaced, not the link.
std::string resolved(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string result = real;
  std::free(real);
  return result;
}

}  // namespace

Result<MappedFile> map_file(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  const Fd fd(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!fd.valid()) return failed(path, "open");
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return failed(path, "stat");
  if (!S_ISREG(info.st_mode)) return Status(Code::io_error, path + ": " + kind_of(info.st_mode));
  if (info.st_size == 0) return Status(Code::malformed, path + ": the file is empty");
  if (std::cmp_greater(info.st_size, PTRDIFF_MAX)) {
    return Status(Code::out_of_memory, path + ": larger than the address space");
  }
  const size_t size = static_cast<size_t>(info.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (memory == MAP_FAILED) return failed(path, "map");
  return MappedFile{
      std::shared_ptr<const void>(memory, [size](void* mapped) { ::munmap(mapped, size); }),
      {static_cast<const std::byte*>(memory), size}};
}

void forget_pages(const MappedFile& part) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.bytes.data());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + part.bytes.size()) / page * page;
  // Whole pages inside it. That the mapping is private and never written to makes this harmless;
  // advice that is not taken harms nobody either.
  if (first < last) (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

std::string folder_of(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Result<std::string> resolve_inside(const std::string& folder, std::string_view location) {
  namespace fs = std::filesystem;
  const auto outside = [&] {
    return Status(Code::malformed,
                  "external data '" + std::string(location) + "' leaves the model's folder");
  };
  if (folder.empty()) {
    return Status(Code::unsupported, "external data '" + std::string(location) +
                                         "' in a model that was not loaded from a file");
  }
  const fs::path relative{location};
  if (location.empty() || relative.is_absolute() || relative.has_root_name() ||
      location.find('\\') != std::string_view::npos) {
    return outside();
  }
  for (const fs::path& part : relative) {
    if (part == "..") return outside();
  }
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  const fs::path full = error ? fs::path() : fs::canonical(root / relative, error);
  if (error) {
    return Status(Code::not_found, "external data '" + std::string(location) + "' in '" + folder +
                                       "': " + error.message());
  }
  const auto at = std::mismatch(root.begin(), root.end(), full.begin(), full.end());
  if (at.first != root.end()) return outside();  // a symlink led away
  return full.string();
}

Result<MappedFile> DataFiles::open(std::string_view location) {
  const std::lock_guard lock(mutex_);
  if (const auto found = files_.find(location); found != files_.end()) return found->second;
  FIRN_ASSIGN(const std::string path, resolve_inside(folder_, location));
  FIRN_ASSIGN(MappedFile file, map_file(path));
  return files_.emplace(location, std::move(file)).first->second;
}

void DataFiles::forget() {
  const std::lock_guard lock(mutex_);
  for (const auto& [location, file] : files_) forget_pages(file);
}

Status write_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string target = resolved(path);
  struct stat old;
  const bool replaces = ::stat(target.c_str(), &old) == 0;
  if (replaces && !S_ISREG(old.st_mode)) {
    return Status(Code::io_error, path + ": " + kind_of(old.st_mode));
  }
  FIRN_ASSIGN(const auto created, create_beside(target));
  Fd fd(created.first);
  Temporary temporary(created.second);
  FIRN_TRY(write_all(fd.get(), bytes, path));
  if (replaces && ::fchmod(fd.get(), old.st_mode & 07777) != 0) return failed(path, "set mode of");
  if (retry([&] { return ::fsync(fd.get()); }) != 0) return failed(path, "sync");
  if (!fd.close()) return failed(path, "close");
  if (std::rename(temporary.path().c_str(), target.c_str()) != 0) return failed(path, "replace");
  temporary.keep();
  return sync_folder_of(target);
}

}  // namespace firn
