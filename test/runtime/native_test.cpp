// SPDX-License-Identifier: Apache-2.0
// The .firn format: what is written comes back exactly, in place and fast.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <set>
#include <string_view>

#include "runtime/checksum.h"
#include "test/runtime/native_graphs.h"

using namespace firn;
using namespace firn::native_test;

namespace {

template <size_t... kIndex>
std::vector<Op> default_ops(std::index_sequence<kIndex...>) {
  return {Op(std::variant_alternative_t<kIndex, OpVariant>())...};
}

// Every operator as it is by default.
std::vector<Op> default_ops() {
  return default_ops(std::make_index_sequence<std::variant_size_v<OpVariant>>());
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
