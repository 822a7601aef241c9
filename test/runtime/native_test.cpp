// SPDX-License-Identifier: Apache-2.0
// The .firn format: what is written comes back exactly, and no damage to a file, however clever,
// gets further than an error.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "runtime/graph.h"
#include "runtime/import/native.h"
#include "runtime/import/native_format.h"

using namespace firn;

namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
std::shared_ptr<const Buffer> constant(const std::vector<T>& data) {
  auto memory = Buffer::allocate(data.size() * sizeof(T));
  REQUIRE(memory.ok());
  std::ranges::copy(std::as_bytes(std::span(data)), memory->second.begin());
  return memory->first;
}

template <size_t... kIndex>
std::vector<Op> default_ops(std::index_sequence<kIndex...>) {
  return {Op(std::variant_alternative_t<kIndex, Op>())...};
}

// Every operator as it is by default.
std::vector<Op> default_ops() {
  return default_ops(std::make_index_sequence<std::variant_size_v<Op>>());
}

template <typename Kind, typename Make>
void add_each(std::vector<Op>& ops, Kind last, Make make) {
  for (int k = 0; k <= static_cast<int>(last); ++k) ops.push_back(make(static_cast<Kind>(k)));
}

// Every operator with no attribute at its default, and every enumerator.
std::vector<Op> unusual_ops() {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Window window{{3, 5}, {2, 1}, {4, 7}, {1, 2, 3, -4}};
  const Clamp relu6{0, 6};
  std::vector<Op> ops{
      Conv2d{window, 6, relu6},
      ConvTranspose2d{window, {1, 2}, 3, {0, kInf}},
      Dense{relu6},
      MatMul{},
      PRelu{},
      Softmax{2, true},
      Concat{-1},
      Slice{{0, 1, -3}, {INT32_MAX, INT32_MIN, 7}, {1, -1, 2}},
      Reshape{{-1, 0, 24}, true},
      Transpose{{0, 2, 3, 1}},
      LocalResponseNorm{3, 0.5f, 0.25f, 2},
      InstanceNorm{0.125f},
      DepthToSpace{3, true},
      Gather{-2},
      ShapeOf{1, -1},
      Expand{},
      Range{},
      Where{},
      ArgMax{3, false, true},
  };
  add_each(ops, Binary::Kind::logical_or, [&](auto k) { return Binary{k, relu6}; });
  add_each(ops, Unary::Kind::logical_not, [&](auto k) { return Unary{k, -kInf, 1e-38f}; });
  add_each(ops, Pool2d::Kind::average, [&](auto k) { return Pool2d{k, window, true, true}; });
  add_each(ops, Reduce::Kind::log_sum_exp, [&](auto k) { return Reduce{k, {1, 2}, false}; });
  add_each(ops, Pad::Mode::edge, [&](auto k) { return Pad{k, {0, 1}, {-2, 3}, -kInf}; });
  add_each(ops, Resize2d::Coordinates::align_corners, [](auto k) {
    return Resize2d{Resize2d::Kind::bilinear, k, Resize2d::Nearest::floor, {5, 9}, {0.5f, 3}};
  });
  add_each(ops, Resize2d::Nearest::ceil, [](auto k) {
    return Resize2d{Resize2d::Kind::nearest, Resize2d::Coordinates::asymmetric, k, {0, 0}, {2, 2}};
  });
  add_each(ops, DType::boolean, [](auto k) { return Fill{k, -0.0}; });
  add_each(ops, DType::boolean, [](auto k) { return Convert{k}; });
  return ops;
}

// A chain of nodes with those operators. It need not make sense: the format does not ask.
Graph chain(const std::vector<Op>& ops) {
  Graph graph;
  graph.inputs.push_back(graph.add({"x", DType::f32, {-1, 8, 8, 3}, {}, {}}));
  ValueId last = graph.inputs[0];
  for (size_t i = 0; i < ops.size(); ++i) {
    const ValueId out = graph.add({"v" + std::to_string(i), DType::f32, {}, {}, {}});
    graph.add({"n" + std::to_string(i), ops[i], {last}, {out}});
    last = out;
  }
  graph.outputs.push_back(last);
  return graph;
}

// A small quantized net with all kinds of values.
Graph sample() {
  Graph graph;
  const Quant per_tensor{-1, 8, 0, {0.02f}, {-3}};
  const auto shared = constant<float>({1, 2, 3, 4});
  const ValueId x = graph.add({"x", DType::i8, {1, 4, 4, 2}, per_tensor, {}});
  const ValueId w = graph.add({"w",
                               DType::i8,
                               {2, 1, 1, 2},
                               Quant{0, 8, 0, {0.5f, 0.25f}, {0, 0}},
                               constant<int8_t>({-127, 1, 2, 127})});
  const ValueId bias = graph.add({"bias",
                                  DType::i32,
                                  {2},
                                  Quant{0, 8, 0, {0.01f, 0.005f}, {0, 0}},
                                  constant<int32_t>({-70000, 70000})});
  const ValueId y = graph.add({"y", DType::i8, {1, 4, 4, 2}, per_tensor, {}});
  graph.add({"conv", Conv2d{{}, 1, {0, 6}}, {x, w, bias}, {y}});
  const ValueId block_w = graph.add({"block_w",
                                     DType::i8,
                                     {1, 5},
                                     Quant{-1, 4, 2, {1, 2, 3}, {0, 0, 0}},
                                     constant<int8_t>({-7, 7, 0, 1, 2})});
  const ValueId flag = graph.add({"flag", DType::boolean, {2}, {}, constant<uint8_t>({0, 1})});
  const ValueId empty = graph.add({"empty", DType::f32, {0, 3}, {}, constant<float>({})});
  const ValueId index = graph.add({"größe", DType::i64, {}, {}, constant<int64_t>({-5})});
  const ValueId a = graph.add({"a", DType::f32, {4}, {}, shared});
  const ValueId b = graph.add({"b", DType::f32, {2, 2}, {}, shared});
  const ValueId z = graph.add({"z", DType::f32, {-1, 3}, {}, {}});
  graph.add({"odd", Concat{1}, {block_w, ValueId::none, flag, empty, index, a, b}, {z}});
  graph.inputs = {x};
  graph.outputs = {z, y};
  return graph;
}

Bytes serialize(const Graph& graph) {
  auto bytes = serialize_native(graph);
  REQUIRE_MESSAGE(bytes.ok(), bytes.status().message());
  return *bytes;
}

// The graph keeps the file.
Result<Graph> read(Bytes file) {
  const auto owner = std::make_shared<const Bytes>(std::move(file));
  return read_native(*owner, owner);
}

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

void check_equal(const Graph& got, const Graph& want) {
  REQUIRE(got.values.size() == want.values.size());
  for (size_t i = 0; i < want.values.size(); ++i) {
    const Value &g = got.values[i], &w = want.values[i];
    CAPTURE(w.name);
    CHECK(g.name == w.name);
    CHECK(g.type == w.type);
    CHECK(g.shape == w.shape);
    CHECK(g.quant == w.quant);
    REQUIRE((g.constant == nullptr) == (w.constant == nullptr));
    if (g.constant) CHECK(std::ranges::equal(g.constant->bytes(), w.constant->bytes()));
  }
  REQUIRE(got.nodes.size() == want.nodes.size());
  for (size_t i = 0; i < want.nodes.size(); ++i) {
    const Node &g = got.nodes[i], &w = want.nodes[i];
    CAPTURE(describe(w));
    CHECK(g.name == w.name);
    CHECK(g.op == w.op);
    CHECK(g.in == w.in);
    CHECK(g.out == w.out);
  }
  CHECK(got.inputs == want.inputs);
  CHECK(got.outputs == want.outputs);
}

// Reads what may be damaged; if it is accepted, goes on as a load would.
bool survives(Bytes file) {
  Result<Graph> graph = read(std::move(file));
  if (!graph.ok()) {
    CHECK(!graph.status().message().empty());
    return false;
  }
  return infer_shapes(*graph).ok();
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

TEST_CASE("xxh64: published values, every tail length and lane") {
  const auto hash = [](std::string_view text) { return xxh64(std::as_bytes(std::span(text)), 0); };
  CHECK(hash("") == 0xEF46DB3751D8E999u);
  CHECK(hash("a") == 0xD24EC4F1A98C6E5Bu);
  CHECK(hash("abc") == 0x44BC2CF5AD770999u);
  CHECK(hash("Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1u);
  // A change of any byte, and of the length, changes the hash.
  std::set<uint64_t> seen;
  Bytes bytes(100);
  for (size_t size = 0; size <= bytes.size(); ++size) {
    seen.insert(xxh64(std::span(bytes).first(size), 0));
    seen.insert(xxh64(std::span(bytes).first(size), 1));
  }
  for (std::byte& b : bytes) {
    b = std::byte{1};
    seen.insert(xxh64(bytes, 0));
    b = std::byte{0};
  }
  CHECK(seen.size() == 2 * 101 + 100);
}

TEST_CASE("every operator comes back as it was") {
  const std::vector<Op> unusual = unusual_ops();
  const std::vector<Op> plain = default_ops();
  for (const Op& op : plain) {
    CAPTURE(op_name(op));
    CHECK(std::ranges::any_of(unusual, [&](const Op& o) { return o.index() == op.index(); }));
  }
  for (const std::vector<Op>& ops : {plain, unusual}) {
    const Graph graph = chain(ops);
    const auto back = read(serialize(graph));
    REQUIRE_MESSAGE(back.ok(), back.status().message());
    check_equal(*back, graph);
  }
}

TEST_CASE("minus zero stays minus zero") {
  const auto back = read(serialize(chain({Fill{DType::f32, -0.0}})));
  REQUIRE(back.ok());
  CHECK(std::signbit(std::get<Fill>(back->nodes[0].op).value));
}

TEST_CASE("values, quantization and constants come back as they were") {
  const Graph graph = sample();
  const auto back = read(serialize(graph));
  REQUIRE_MESSAGE(back.ok(), back.status().message());
  check_equal(*back, graph);
}

TEST_CASE("writing what was read gives the same file") {
  const Bytes file = serialize(sample());
  const auto graph = read(file);
  REQUIRE(graph.ok());
  CHECK(serialize(*graph) == file);
}

TEST_CASE("constants are used in place, aligned, shared and with slack behind them") {
  const Bytes file = serialize(sample());
  auto memory = Buffer::allocate(file.size());
  REQUIRE(memory.ok());
  std::ranges::copy(file, memory->second.begin());
  const std::span<const std::byte> mapped = memory->second;
  const auto graph = read_native(mapped, memory->first);
  REQUIRE(graph.ok());
  const std::byte* shared = nullptr;
  for (const Value& value : graph->values) {
    if (!value.constant) continue;
    CAPTURE(value.name);
    const auto bytes = value.constant->bytes();
    CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % 64 == 0);
    CHECK(bytes.data() >= mapped.data());
    CHECK(bytes.data() + bytes.size() + Buffer::kSlack <= mapped.data() + mapped.size());
    if (value.name == "a") shared = bytes.data();
    if (value.name == "b") CHECK(bytes.data() == shared);
  }
}

TEST_CASE("bytes that are not aligned are copied, and need not outlive the reading") {
  const Bytes file = serialize(sample());
  Result<Graph> graph = Status(Code::internal, "");
  {
    Bytes shifted(file.size() + 64);
    for (size_t shift = 1; shift < 64; shift += 13) {
      std::ranges::copy(file, shifted.begin() + static_cast<std::ptrdiff_t>(shift));
      if (reinterpret_cast<uintptr_t>(shifted.data() + shift) % 64 == 0) continue;
      graph = read_native(std::span(shifted).subspan(shift, file.size()), nullptr);
      REQUIRE_MESSAGE(graph.ok(), graph.status().message());
    }
  }
  check_equal(*graph, sample());
}

TEST_CASE("a graph that is not whole is not written") {
  Graph graph = sample();
  graph.outputs = {ValueId(1000)};
  CHECK(serialize_native(graph).status().code() == Code::malformed);
}

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
        ".firn format version 7 is newer than this build of firn reads (1): update firn");
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
  const Bytes files[] = {serialize(sample()), serialize(chain(unusual_ops()))};
  int accepted = 0, refused = 0;
  for (unsigned seed = 0; seed < 6000; ++seed) {
    std::mt19937 random(seed);
    Bytes file = files[seed % 2];
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
  CHECK(accepted + refused == 6000);
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
  CHECK(!refused(DType::i8, {-1, 4, 1, {1, 1, 1, 1}, {0, 0, 0, 0}}));
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

TEST_CASE("a MobileNet's 4 MB are verified and read in a few milliseconds") {
  Graph graph = chain({MatMul{}});
  graph.add({"w", DType::i8, {4 << 20}, {}, constant<int8_t>(std::vector<int8_t>(4 << 20, 3))});
  const Bytes file = serialize(graph);
  auto memory = Buffer::allocate(file.size());
  REQUIRE(memory.ok());
  std::ranges::copy(file, memory->second.begin());
  double best_ms = 1e9;
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    CHECK(read_native(memory->second, memory->first).ok());
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    best_ms = std::min(best_ms, took.count());
  }
  MESSAGE("read 4 MB in " << best_ms << " ms");
  CHECK(best_ms < 50);  // loose: sanitizers, emulators and busy machines
}
