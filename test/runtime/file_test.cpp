// SPDX-License-Identifier: Apache-2.0
// Files: whatever goes wrong while writing, the old file stays whole and nothing is left behind.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/file.h"

using namespace firn;
namespace fs = std::filesystem;

namespace {

using Bytes = std::vector<std::byte>;

// A folder that goes with the test.
struct Folder {
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "firn_file_XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path), {}));
  }
  fs::path path;
};

Bytes filled(size_t size, int value) {
  return Bytes(size, static_cast<std::byte>(value));
}

// The one byte value that the whole file has, or -1; checks its size.
int content(const std::string& path, size_t size) {
  const auto file = map_file(path);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  if (file->bytes.size() != size) return -1;
  const std::byte first = file->bytes[0];
  const bool same = std::ranges::all_of(file->bytes, [&](std::byte b) { return b == first; });
  return same ? std::to_integer<int>(first) : -1;
}

unsigned mode_of(const std::string& path) {
  struct stat info;
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

// Runs `body` in a child process, which ends with its result.
template <typename Body>
pid_t spawn(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body());
  return child;
}

int exit_code(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("what was written is mapped") {
  const Folder folder;
  for (size_t size : {size_t{1}, size_t{4096}, size_t{100001}}) {
    REQUIRE(write_file(folder / "f", filled(size, 7)).ok());
    CHECK(content(folder / "f", size) == 7);
  }
  CHECK(folder.files() == 1);
}

TEST_CASE("a mapping stays as it was when the file is replaced") {
  const Folder folder;
  REQUIRE(write_file(folder / "f", filled(5000, 1)).ok());
  const auto mapped = map_file(folder / "f");
  REQUIRE(mapped.ok());
  REQUIRE(write_file(folder / "f", filled(10, 2)).ok());
  CHECK(mapped->bytes.size() == 5000);
  CHECK(std::ranges::count(mapped->bytes, std::byte{1}) == 5000);
  CHECK(content(folder / "f", 10) == 2);
}

TEST_CASE("what cannot be mapped says why") {
  const Folder folder;
  CHECK(map_file(folder / "none").status().code() == Code::not_found);
  CHECK(map_file(folder.path.string()).status().code() == Code::io_error);
  CHECK(map_file(folder.path.string()).status().message() ==
        folder.path.string() + ": is a folder");
  REQUIRE(write_file(folder / "empty", {}).ok());
  CHECK(map_file(folder / "empty").status().code() == Code::malformed);
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(map_file(folder / "pipe").status().code() == Code::io_error);  // and does not hang
  CHECK(map_file("/dev/zero").status().code() == Code::io_error);
}

TEST_CASE("devices, folders and pipes are not replaced") {
  const Folder folder;
  CHECK(write_file("/dev/full", filled(10, 1)).code() == Code::io_error);
  CHECK(fs::is_character_file("/dev/full"));
  CHECK(write_file(folder.path.string(), filled(10, 1)).code() == Code::io_error);
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(write_file(folder / "pipe", filled(10, 1)).code() == Code::io_error);
  CHECK(fs::is_fifo(folder / "pipe"));
  CHECK(write_file(folder / "none/f", filled(10, 1)).code() == Code::not_found);
}

TEST_CASE("permissions: the umask's for a new file, the old ones for a replaced one") {
  const Folder folder;
  const mode_t before = ::umask(027);
  REQUIRE(write_file(folder / "f", filled(10, 1)).ok());
  ::umask(before);
  CHECK(mode_of(folder / "f") == 0640);
  REQUIRE(::chmod((folder / "f").c_str(), 0604) == 0);
  REQUIRE(write_file(folder / "f", filled(10, 2)).ok());
  CHECK(mode_of(folder / "f") == 0604);
}

TEST_CASE("a symbolic link stays, the file behind it is replaced") {
  const Folder folder;
  fs::create_directory(folder.path / "sub");
  REQUIRE(write_file(folder / "sub/f", filled(10, 1)).ok());
  fs::create_symlink("sub/f", folder.path / "link");
  REQUIRE(write_file(folder / "link", filled(20, 2)).ok());
  CHECK(fs::is_symlink(folder.path / "link"));
  CHECK(content(folder / "sub/f", 20) == 2);
}

TEST_CASE("a full disk leaves the old file and no other") {
  const Folder folder;
  REQUIRE(write_file(folder / "f", filled(1000, 1)).ok());
  // A limit on file sizes fails a write half way, as a full disk does.
  const pid_t child = spawn([&] {
    const rlimit limit{50000, 50000};
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    const Status status = write_file(folder / "f", filled(100000, 2));
    return status.code() == Code::io_error ? 0 : 1;
  });
  CHECK(exit_code(child) == 0);
  CHECK(content(folder / "f", 1000) == 1);
  CHECK(folder.files() == 1);
}

TEST_CASE("killed at any moment, there is a whole file") {
  const Folder folder;
  constexpr size_t kSize = 1 << 20;
  REQUIRE(write_file(folder / "f", filled(kSize, 1)).ok());
  for (int round = 0; round < 20; ++round) {
    const pid_t child = spawn([&] {
      for (int value = 2;; value = value % 100 + 1) {
        if (!write_file(folder / "f", filled(kSize, value)).ok()) return 1;
      }
    });
    ::usleep(static_cast<useconds_t>(1000 + 700 * round));
    ::kill(child, SIGKILL);
    CHECK(exit_code(child) == -1);
    CHECK(content(folder / "f", kSize) > 0);
  }
  // What a killed writer left behind does not stop the next one.
  CHECK(write_file(folder / "f", filled(10, 9)).ok());
  CHECK(content(folder / "f", 10) == 9);
}

TEST_CASE("many writers at once: the last whole file wins") {
  const Folder folder;
  std::vector<pid_t> children;
  for (int value = 1; value <= 4; ++value) {
    children.push_back(spawn([&] {
      for (int i = 0; i < 10; ++i) {
        if (!write_file(folder / "f", filled(30000, value)).ok()) return 1;
      }
      return 0;
    }));
  }
  for (pid_t child : children) CHECK(exit_code(child) == 0);
  CHECK(content(folder / "f", 30000) > 0);
  CHECK(folder.files() == 1);
}
