// SPDX-License-Identifier: Apache-2.0
// Packed weights exist once for who wants the same, and no longer than somebody uses them.
#include "runtime/packed_weights.h"

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace firn::test {
namespace {

std::shared_ptr<const Buffer> buffer(size_t bytes) {
  return Buffer::allocate(bytes)->first;
}

// Bytes of this process's memory that are backed by files; 0 where the system does not say.
size_t file_rss() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "RssFile:") {
      size_t kib = 0;
      status >> kib;
      return kib * 1024;
    }
  return 0;
}

}  // namespace

TEST_CASE("weights are packed once for the same key while somebody uses them") {
  PackedWeights packed;
  int made = 0;
  const auto get = [&](const PackedKey& key) {
    auto result = packed.get(key, [&]() -> Result<std::shared_ptr<const Buffer>> {
      ++made;
      return buffer(64);
    });
    REQUIRE(result.ok());
    return *result;
  };
  PackedKey key{1, 2, "gemm", {}, 3};
  auto first = get(key);
  key.shape.in_h = key.shape.out_w = 77;  // of images
  key.shape.batch = 2;
  CHECK(get(key) == first);
  CHECK(made == 1);

  const auto differs = [&](PackedKey other) {
    const int before = made;
    CHECK(get(other) != first);
    CHECK(made == before + 1);
  };
  for (const auto edit :
       {+[](PackedKey& k) { k.weights = 3; }, +[](PackedKey& k) { k.bias = 3; },
        +[](PackedKey& k) { k.bias = 0; }, +[](PackedKey& k) { k.kernel = "gemm2"; },
        +[](PackedKey& k) { k.input_zero = 4; }, +[](PackedKey& k) { k.shape.in_c = 2; },
        +[](PackedKey& k) { k.shape.dilation_w = 2; }, +[](PackedKey& k) { k.shape.repeat = 2; },
        +[](PackedKey& k) { k.shape.in_pixel_stride = 9; }}) {
    PackedKey other = key;
    edit(other);
    differs(other);
  }

  CHECK(get(key) == first);
  CHECK(packed.find(key) == first);
  const std::weak_ptr<const Buffer> gone = first;
  first = nullptr;
  CHECK(gone.expired());  // nothing else holds it
  CHECK(packed.find(key) == nullptr);
  const int before = made;
  first = get(key);
  CHECK(made == before + 1);
}

TEST_CASE("weights that could not be packed are tried again") {
  PackedWeights packed;
  const PackedKey key{1, 0, "gemm", {}, 0};
  const auto failed = packed.get(key, []() -> Result<std::shared_ptr<const Buffer>> {
    return Status(Code::out_of_memory, "none");
  });
  CHECK(failed.status().code() == Code::out_of_memory);
  CHECK(packed.get(key, []() -> Result<std::shared_ptr<const Buffer>> { return buffer(1); }).ok());
}

TEST_CASE("constants of a mapped file give their memory back, and stay readable") {
  const std::string path =
      (std::filesystem::temp_directory_path() / "firn_packed_weights_test").string();
  std::string text(size_t{8} << 20, 'x');
  for (size_t i = 0; i < text.size(); i += 97) text[i] = static_cast<char>('a' + i % 26);
  {
    std::ofstream file(path, std::ios::binary);
    file << text;
  }
  const auto mapped = map_file(path);
  std::filesystem::remove(path);  // the mapping stays
  REQUIRE(mapped.ok());
  const auto equal = [&] {
    return std::memcmp(mapped->bytes.data(), text.data(), text.size()) == 0;
  };
  CHECK(equal());
  const PackedWeights packed(*mapped);
  const size_t read = file_rss();
  const size_t part = size_t{3} << 20;
  packed.forget(Buffer(mapped->owner, mapped->bytes.subspan(1000, part)));
  const size_t without_part = file_rss();
  packed.forget_all();
  const size_t without = file_rss();
  if (read == 0) {
    MESSAGE("skipped: this system does not say how much memory files take");
  } else {
    CHECK(read >= without_part + part * 9 / 10);
    CHECK(read >= without + text.size() * 9 / 10);
  }
  CHECK(equal());

  // Not of the file: left alone.
  auto other = Buffer::allocate(part);
  REQUIRE(other.ok());
  std::memset(other->second.data(), 7, part);
  packed.forget(*other->first);
  CHECK(other->second[part / 2] == std::byte{7});
}

}  // namespace firn::test
