// SPDX-License-Identifier: Apache-2.0
// No damage to a .firn file, however clever, gets further than an error.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "runtime/import/native_format.h"
#include "runtime/model_impl.h"
#include "test/runtime/native_graphs.h"

using namespace firn;
using namespace firn::native_test;

namespace {

void reseal(Bytes& file) {
  const uint64_t checksum = native_checksum(file);
  std::memcpy(file.data() + offsetof(NativeHeader, checksum), &checksum, sizeof(checksum));
}

NativeHeader header_of(const Bytes& file) {
  NativeHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  return header;
}

Bytes with_header(Bytes file, const NativeHeader& header) {
  std::memcpy(file.data(), &header, sizeof(header));
  reseal(file);
  return file;
}

// Reads what may be damaged; if it is accepted, goes on as a load would.
bool survives(Bytes file) {
  Result<Graph> graph = read(std::move(file));
  if (!graph.ok()) {
    CHECK(!graph.status().message().empty());
    return false;
  }
  return make_model("firn", *std::move(graph)).ok();
}

// The little of FlatBuffers that the tests need to reach into a graph.
struct Flat {
  Bytes& file;
  template <typename T>
  T get(size_t at) const {
    T value;
    REQUIRE(at + sizeof(T) <= file.size());
    std::memcpy(&value, file.data() + at, sizeof(T));
    return value;
  }
  void set(size_t at, size_t target) const {
    const auto offset = static_cast<uint32_t>(target - at);
    std::memcpy(file.data() + at, &offset, sizeof(offset));
  }
  size_t follow(size_t at) const { return at + get<uint32_t>(at); }
  size_t root() const { return follow(sizeof(NativeHeader)); }
  // Where field `id` of the table at `table` is stored.
  size_t field(size_t table, int id) const {
    const size_t vtable = table - static_cast<size_t>(get<int32_t>(table));
    return table + get<uint16_t>(vtable + 4 + 2 * static_cast<size_t>(id));
  }
};
constexpr int kGraphValues = 1, kValueType = 1;

}  // namespace

TEST_CASE("every field of the header is checked, the checksum apart") {
  const Bytes file = serialize(sample());
  const NativeHeader good = header_of(file);
  REQUIRE(read(with_header(file, good)).ok());
  const auto code = [&](auto change) {
    NativeHeader header = good;
    change(header);
    return read(with_header(file, header)).status().code();
  };
  CHECK(code([](auto& h) { h.magic[3] = 'M'; }) == Code::malformed);
  CHECK(code([](auto& h) { h.version = 0; }) == Code::malformed);
  CHECK(code([](auto& h) { h.version = kNativeVersion + 1; }) == Code::unsupported);
  CHECK(code([](auto& h) { h.reserved[1] = 1; }) == Code::malformed);
  constexpr uint64_t kHuge[] = {0, 1, 63, UINT32_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 63};
  for (const auto field : {&NativeHeader::file_bytes, &NativeHeader::graph_bytes,
                           &NativeHeader::data_offset, &NativeHeader::data_bytes}) {
    for (uint64_t value : kHuge) CHECK(code([&](auto& h) { h.*field = value; }) == Code::malformed);
    for (uint64_t step : {1, 8, 64}) {
      // The padding behind the graph may count as its own.
      if (field == &NativeHeader::graph_bytes && step < kNativeAlignment) continue;
      CHECK(code([&](auto& h) { h.*field += step; }) == Code::malformed);
      CHECK(code([&](auto& h) { h.*field -= step; }) == Code::malformed);
    }
  }
}

TEST_CASE("a newer version says so") {
  NativeHeader header = header_of(serialize(sample()));
  header.version = 7;
  const Status status = read(with_header(serialize(sample()), header)).status();
  CHECK(status.message() ==
        ".firn format version 7 is newer than this build of firn reads (2): update firn");
}

TEST_CASE("one flipped bit anywhere is noticed") {
  Bytes file = serialize(sample());
  for (size_t i = 0; i < file.size(); ++i) {
    const std::byte mask{static_cast<uint8_t>(1u << (i % 8))};
    file[i] ^= mask;
    CAPTURE(i);
    CHECK(!read(file).ok());
    file[i] ^= mask;
  }
  CHECK(read(file).ok());
}

TEST_CASE("truncated files") {
  const Bytes file = serialize(chain(unusual_ops()));
  for (size_t size = 0; size < file.size(); size += 97) {
    Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    CAPTURE(size);
    CHECK(read(cut).status().code() == Code::malformed);
    if (size < sizeof(NativeHeader)) continue;
    NativeHeader header = header_of(cut);  // and one that hides it
    header.file_bytes = size;
    CHECK(read(with_header(cut, header)).status().code() == Code::malformed);
  }
}

TEST_CASE("crafted files with a right checksum never crash") {
  const Bytes files[] = {serialize(sample()), serialize(chain(unusual_ops())),
                         serialize(runnable())};
  REQUIRE(survives(files[2]));
  int accepted = 0, refused = 0;
  for (unsigned seed = 0; seed < 9000; ++seed) {
    std::mt19937 random(seed);
    Bytes file = files[seed % std::size(files)];
    const NativeHeader header = header_of(file);
    // In the FlatBuffer mostly: bits, whole bytes, and words like offsets and counts.
    const size_t end = sizeof(header) + header.graph_bytes;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int c = 0; c < changes; ++c) {
      const size_t at = sizeof(header) + random() % (end - sizeof(header) - 4);
      switch (random() % 3) {
        case 0:
          file[at] ^= std::byte{static_cast<uint8_t>(1u << random() % 8)};
          break;
        case 1:
          file[at] = static_cast<std::byte>(random());
          break;
        default: {
          constexpr uint32_t kWords[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000};
          const uint32_t word = kWords[random() % std::size(kWords)];
          std::memcpy(file.data() + at / 4 * 4, &word, sizeof(word));
        }
      }
    }
    reseal(file);
    CAPTURE(seed);
    ++(survives(std::move(file)) ? accepted : refused);
  }
  // Both ways were taken, or the test would test nothing.
  CHECK(accepted > 100);
  CHECK(refused > 1000);
}

TEST_CASE("one list in many places does not blow up") {
  Graph graph = chain(std::vector<Op>(2000, Op(MatMul{})));
  graph.values[0].name = std::string(50000, 'x');
  Bytes file = serialize(graph);
  const Flat flat{file};
  const size_t values = flat.follow(flat.field(flat.root(), kGraphValues));
  const uint32_t count = flat.get<uint32_t>(values);
  REQUIRE(count == 2001);
  const size_t first = flat.follow(values + 4);
  for (size_t i = 0; i < count; ++i) {
    const size_t slot = values + 4 + 4 * i;
    if (first > slot) flat.set(slot, first);
  }
  reseal(file);
  const Status status = read(file).status();
  CHECK(status.code() == Code::malformed);
  CHECK(status.message() == "its graph holds one list in many places");
}

TEST_CASE("values that no reader may trust") {
  const auto refused = [](auto change) {
    Bytes file = serialize(sample());
    const Flat flat{file};
    const size_t values = flat.follow(flat.field(flat.root(), kGraphValues));
    change(file, flat, [&](size_t i) { return flat.follow(values + 4 + 4 * i); });
    reseal(file);
    return read(file).status();
  };
  const Status type = refused([](Bytes& file, const Flat& flat, auto value) {
    file[flat.field(value(3), kValueType)] = std::byte{8};
  });
  CHECK(type.message() == "y: unknown element type");
  const Status boolean = refused([](Bytes& file, const Flat&, auto) {
    const NativeHeader header = header_of(file);
    const auto data = std::span(file).subspan(header.data_offset, header.data_bytes);
    // w, bias, block_w, flag: each has 64 bytes.
    REQUIRE(data[3 * 64 + 1] == std::byte{1});
    data[3 * 64 + 1] = std::byte{2};
  });
  CHECK(boolean.message() == "flag: a bool that is neither 0 nor 1");
}

TEST_CASE("quantization that makes no sense is refused") {
  const auto refused = [](DType type, const Quant& quant) {
    Graph graph = sample();
    graph.values[1].quant = quant;
    graph.values[1].type = type;
    return serialize_native(graph).status().code() == Code::malformed;
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  CHECK(!refused(DType::i8, {0, 8, 0, {1, 1}, {0, 0}}));
  CHECK(!refused(DType::i8, {-1, 8, 0, {1}, {0}}));
  CHECK(!refused(DType::i8, {-1, 8, 1, {1, 1, 1, 1}, {0, 0, 0, 0}}));
  for (float bad : {0.0f, -1.0f, 1e-40f, kNan, kInf}) {
    CHECK(refused(DType::i8, {0, 8, 0, {1, bad}, {0, 0}}));
  }
  CHECK(refused(DType::i8, {0, 8, 0, {1}, {0}}));
  CHECK(refused(DType::i8, {0, 8, 0, {1, 1}, {0}}));
  CHECK(refused(DType::i8, {0, 8, 0, {}, {}}));
  CHECK(refused(DType::i8, {4, 8, 0, {1, 1}, {0, 0}}));
  CHECK(refused(DType::i8, {-2, 8, 0, {1}, {0}}));
  CHECK(refused(DType::i8, {0, 1, 0, {1, 1}, {0, 0}}));
  CHECK(refused(DType::i8, {0, 9, 0, {1, 1}, {0, 0}}));
  CHECK(refused(DType::i8, {0, 8, 0, {1, 1}, {0, 128}}));
  CHECK(refused(DType::u8, {0, 8, 0, {1, 1}, {0, -1}}));
  CHECK(refused(DType::i8, {-1, 4, -2, {1, 1}, {0, 0}}));
  CHECK(refused(DType::i8, {-1, 4, 2, {1, 1, 1}, {0, 0, 0}}));
  CHECK(refused(DType::boolean, {-1, 8, 0, {1}, {0}}));
}
