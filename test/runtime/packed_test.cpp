// SPDX-License-Identifier: Apache-2.0
// Weights in fewer bits than a byte and in half precision: the stream, the layout of scales, what
// the operators make of them, the file, and what is malformed.
#include "runtime/packed.h"

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "runtime/file.h"
#include "runtime/half.h"
#include "runtime/import/native.h"
#include "runtime/import/native_format.h"
#include "runtime/model_impl.h"
#include "runtime/quant_check.h"
#include "test/runtime/random_graph.h"
#include "test/runtime/tiny_graph.h"

using namespace firn;
using namespace firn::test;

namespace {

Value packed(const Shape& shape, const std::vector<int8_t>& q, Quant quant) {
  const std::vector<std::byte> stream = pack_bits(q, quant.bits);
  auto memory = Buffer::allocate(stream.size());
  REQUIRE(memory.ok());
  std::ranges::copy(stream, memory->second.begin());
  return {"w", DType::i8, shape, std::move(quant), memory->first};
}

Value halves(const Shape& shape, const std::vector<float>& values) {
  std::vector<uint16_t> h;
  for (const float v : values) h.push_back(float_to_half(v));
  auto memory = Buffer::allocate(h.size() * 2);
  REQUIRE(memory.ok());
  std::memcpy(memory->second.data(), h.data(), h.size() * 2);
  return {"w", DType::f16, shape, std::nullopt, memory->first};
}

// Weights of a layer with 2 outputs of 6 inputs: 4 bits, blocks of 4, the last of 2.
Value weights() {
  return packed({2, 6}, {1, 2, 3, 4, 5, 6, -8, 7, 0, -1, 2, -3},
                {0, 4, 4, {1, 0.5f, 2, 4}, {0, 1, 2, -1}});
}
const std::vector<float> kAsFloats{1, 2, 3, 4, 2, 2.5f, -20, 10, -4, -6, 12, -8};

Graph dense_graph(Value w) {
  Graph graph;
  const ValueId x = graph.add(open("x", {3, 6}));
  const ValueId id = graph.add(std::move(w));
  const ValueId y = graph.add(open("y", {3, 2}));
  graph.add({"dense", Dense{}, {x, id}, {y}});
  graph.inputs = {x};
  graph.outputs = {y};
  return graph;
}

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "firn_packed_test";
  Folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const char* name) const { return (path / name).string(); }
};

void write(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

TEST_CASE("packed: every width comes back from every position") {
  std::mt19937 random(1);
  for (unsigned bits = 2; bits <= 8; ++bits) {
    const int half = 1 << (bits - 1);
    for (const size_t count : {1, 7, 8, 9, 64, 129}) {
      std::vector<int8_t> q(count);
      for (int8_t& v : q) v = static_cast<int8_t>(static_cast<int>(random() % (2 * half)) - half);
      q[0] = static_cast<int8_t>(-half);
      q[count - 1] = static_cast<int8_t>(half - 1);
      const std::vector<std::byte> stream = pack_bits(q, bits);
      CHECK(stream.size() == packed_bytes(count, bits));
      CHECK(stream.size() == (count * bits + 7) / 8);
      for (size_t first = 0; first < count; ++first) {
        CHECK(unpack_one(stream, bits, first) == q[first]);
        std::vector<int8_t> back(count - first);
        unpack_bits(stream, bits, first, back);
        CHECK(std::equal(back.begin(), back.end(), q.begin() + static_cast<ptrdiff_t>(first)));
      }
    }
  }
}

TEST_CASE("packed: the stream is what the format says") {
  // Lowest bits first: 1, -1, 2 of 3 bits are 001, 111, 010.
  CHECK(pack_bits(std::vector<int8_t>{1, -1, 2}, 3) ==
        std::vector<std::byte>{std::byte{0b10111001}, std::byte{0}});
}

TEST_CASE("packed: blocks lie behind their axis, shorter at the end") {
  const Value w = weights();
  must(check_quant(w, true));
  std::vector<float> floats(12);
  read_weights(w, 0, floats);
  CHECK(floats == kAsFloats);
  for (size_t first = 0; first < 12; ++first) {
    std::vector<float> rest(12 - first);
    read_weights(w, first, rest);
    CHECK(std::ranges::equal(rest, std::span(kAsFloats).subspan(first)));
  }
  // Of a filter, blocks go on over its rows: 2 outputs, 2x2x3 behind each.
  const Quant quant{0, 4, 8, {1, 2, 3, 4}, {0, 0, 0, 0}};
  const ScaleLayout layout = scale_layout(quant, {2, 2, 2, 3});
  CHECK(layout.length == 12);
  CHECK(layout.scales() == 4);
  CHECK(layout.scale_of(1, 7) == 2);
  CHECK(layout.scale_of(1, 8) == 3);
}

TEST_CASE("packed: layers compute what they would with the floats") {
  const Value x = floats({3, 6}, {1, 2, 3, 4, 5, 6, 0, 1, 0, 1, 0, 1, -1, 2, -3, 4, -5, 6});
  CHECK(run(Dense{}, {x, weights()}) == run(Dense{}, {x, floats({2, 6}, kAsFloats)}));
  Value filter = weights();
  filter.shape = {2, 1, 3, 2};
  Conv2d conv;
  conv.window.kernel = {1, 3};
  const Value image = floats({1, 1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(run(conv, {image, filter}) == run(conv, {image, floats({2, 1, 3, 2}, kAsFloats)}));
  const Value which = longs({2}, {1, -2});
  CHECK(run(Gather{0}, {weights(), which}) == run(Gather{0}, {floats({2, 6}, kAsFloats), which}));
  CHECK(run(Convert{DType::f32}, {weights()}) == kAsFloats);
  // f16 holds these exactly.
  CHECK(run(Dense{}, {x, halves({2, 6}, kAsFloats)}) == run(Dense{}, {x, weights()}));
  CHECK(run(Gather{0}, {halves({2, 6}, kAsFloats), which}) == run(Gather{0}, {weights(), which}));
}

TEST_CASE("packed: what is no weight may not be") {
  const auto message = [](const Graph& graph) { return text(check(graph)); };
  Graph good = dense_graph(weights());
  CHECK(message(good) == "ok");
  Graph graph = good;
  graph.nodes[0].op = Concat{0};
  CHECK(message(graph) ==
        "malformed: dense (Concat): input w is of 4 bits, which only weights may be");
  graph = good;
  std::swap(graph.nodes[0].in[0], graph.nodes[0].in[1]);
  CHECK(message(graph) ==
        "malformed: dense (Dense): input w is of 4 bits, which only weights may be");
  graph = good;
  graph.values[1].constant = graph.values[2].constant;
  CHECK(message(graph) == "malformed: w: 4 bits, and no constant");
  graph = good;
  graph.outputs = {graph.nodes[0].in[1]};
  CHECK(message(graph) == "malformed: output w: is of fewer bits than a byte");
  graph = good;
  graph.values[1].quant->bits = 5;
  CHECK(message(graph) == "malformed: constant w: i8 2x6 needs 8 bytes, has 6");
  graph = good;
  graph.values[1].quant->zero[2] = 8;
  CHECK(message(graph) == "malformed: w: quantization: zero point 8 of i8");
  graph = good;
  graph.values[1].quant->block = 2;
  CHECK(message(graph) == "malformed: w: quantization: 4 scales, shape 2x6 needs 6");
}

TEST_CASE("packed: a file has the bits, and all comes back") {
  for (const bool symmetric : {false, true}) {
    Graph graph = dense_graph(weights());
    graph.dynamic = true;
    if (symmetric) graph.values[1].quant->zero.assign(4, 0);
    const std::vector<std::byte> file = must(serialize_native(graph));
    NativeHeader header;
    std::memcpy(&header, file.data(), sizeof(header));
    CHECK(header.version == 2);
    CHECK(header.data_bytes == 6);
    const Graph back = must(read_native(file, nullptr));
    CHECK(back.dynamic);
    CHECK(back.values[1].quant == graph.values[1].quant);
    CHECK(std::ranges::equal(back.values[1].constant->bytes(), graph.values[1].constant->bytes()));
    CHECK(fingerprint(back) == fingerprint(graph));
    graph.dynamic = false;
    CHECK(fingerprint(back) != fingerprint(graph));
  }
  // Scales that are no halves stay as they are.
  Graph graph = dense_graph(weights());
  graph.values[1].quant->scale[1] = 0.1f;
  const auto exact = must(serialize_native(graph));
  CHECK(must(read_native(exact, nullptr)).values[1].quant == graph.values[1].quant);
  const auto plain = must(serialize_native(dense_graph(floats({2, 6}, kAsFloats))));
  NativeHeader header;
  std::memcpy(&header, plain.data(), sizeof(header));
  CHECK(header.version == 1);
  const auto f16 = must(serialize_native(dense_graph(halves({2, 6}, kAsFloats))));
  CHECK(must(read_native(f16, nullptr)).values[1].type == DType::f16);
}

TEST_CASE("packed: weights in a file of their own") {
  const Folder folder;
  const Model model = must(make_model("test", dense_graph(weights())));
  must(model.save(folder / "m.firn", "m.weights"));
  const auto loaded = must(Model::load_firn(folder / "m.firn"));
  const Graph got = must(loaded.impl().imported()), want = must(model.impl().imported());
  CHECK(std::ranges::equal(got.values[1].constant->bytes(), want.values[1].constant->bytes()));
  const auto bytes = must(map_file(folder / "m.firn"));
  const auto refused = [&](const Result<Model>& result) { return text(result.status()); };
  CHECK(refused(Model::parse_firn(bytes.bytes)) ==
        "unsupported: external data 'm.weights' in a model that was not loaded from a file");
  for (const char* name : {"../m.weights", "/m.weights", "a/b", "..", ".", "m.firn", "a\\b"})
    CHECK(model.save(folder / "m.firn", name).code() == Code::invalid_argument);

  const auto data = must(map_file(folder / "m.weights"));
  std::vector<std::byte> damaged(data.bytes.begin(), data.bytes.end());
  damaged[0] ^= std::byte{1};
  write(folder / "m.weights", damaged);
  CHECK(refused(Model::load_firn(folder / "m.firn"))
            .ends_with("weights in 'm.weights': checksum: damaged, or those of another model"));
  damaged.pop_back();
  write(folder / "m.weights", damaged);
  CHECK(refused(Model::load_firn(folder / "m.firn"))
            .ends_with("weights in 'm.weights': 69 bytes, the model needs 6 and 64 behind them"));
  std::filesystem::remove(folder / "m.weights");
  CHECK(Model::load_firn(folder / "m.firn").status().code() == Code::not_found);
  // A link, or a name, that leaves the folder.
  std::filesystem::create_directories(folder.path / "inner");
  must(model.save(folder / "inner/m.firn", "m.weights"));
  std::filesystem::rename(folder / "inner/m.weights", folder / "m.weights");
  std::filesystem::create_symlink(folder / "m.weights", folder / "inner/m.weights");
  CHECK(refused(Model::load_firn(folder / "inner/m.firn"))
            .ends_with("external data 'm.weights' leaves the model's folder"));
  for (const std::string& name :
       {std::string("../m.weights"), std::string("inner/../../m.weights"), folder / "m.weights"}) {
    const NativeFiles files = must(serialize_native_split(dense_graph(weights()), name));
    CHECK(text(read_native(files.model, nullptr, folder / "inner").status()) ==
          "malformed: external data '" + name + "' leaves the model's folder");
  }
  // Constants that lie past the end of the other file: the place, then the size, of the weights.
  NativeFiles files = must(serialize_native_split(dense_graph(weights()), "m.data"));
  write(folder / "inner/m.data", files.data);
  CHECK(read_native(files.model, nullptr, folder / "inner").ok());
  const uint64_t place[] = {0, 6}, past[] = {64, 6};
  const auto old = std::as_bytes(std::span(place));
  // Not by ranges, whose subrange clang 14 does not compile.
  const auto found = std::search(files.model.begin(), files.model.end(), old.begin(), old.end());
  REQUIRE(found != files.model.end());
  std::ranges::copy(std::as_bytes(std::span(past)), found);
  const uint64_t checksum = native_checksum(files.model);
  std::memcpy(files.model.data() + offsetof(NativeHeader, checksum), &checksum, sizeof(checksum));
  CHECK(text(read_native(files.model, nullptr, folder / "inner").status()) ==
        "malformed: w: constant of 6 bytes at 64 of 6 is outside of the data or not aligned");
}
