// SPDX-License-Identifier: Apache-2.0
// Broken and hostile .firn files, class by class, sealed with a right checksum: what each is told.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "firn/session.h"
#include "runtime/import/native_format.h"
#include "runtime/model_impl.h"
#include "test/runtime/native_graphs.h"

using namespace firn;
using namespace firn::native_test;

namespace {

std::string message_of(const Status& status) {
  return status.ok() ? "ok" : std::string(code_name(status.code())) + ": " + status.message();
}

// Why a file is not read.
std::string refusal(const Bytes& file) {
  return message_of(read(file).status());
}

Bytes sealed(Bytes file) {
  const uint64_t checksum = native_checksum(file);
  std::memcpy(file.data() + offsetof(NativeHeader, checksum), &checksum, sizeof(checksum));
  return file;
}

template <typename Change>
std::string with_header(Change&& change) {
  Bytes file = serialize(sample());
  NativeHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  change(header);
  std::memcpy(file.data(), &header, sizeof(header));
  return refusal(sealed(file));
}

// Puts `to` where `from` stands, once, in the bytes of a graph.
template <typename T>
std::string with_bytes(const Graph& graph, const std::vector<T>& from, const std::vector<T>& to) {
  Bytes file = serialize(graph);
  const auto old_bytes = std::as_bytes(std::span(from)), new_bytes = std::as_bytes(std::span(to));
  REQUIRE(old_bytes.size() == new_bytes.size());
  const auto found = std::search(file.begin(), file.end(), old_bytes.begin(), old_bytes.end());
  REQUIRE(found != file.end());
  std::ranges::copy(new_bytes, found);
  return refusal(sealed(file));
}

// One node with that operator and these inputs, the first of which is the graph's; what making a
// model of it says.
std::string node_refusal(Op op, const std::vector<Value>& in) {
  Graph graph;
  Node node{"node", std::move(op), {}, {}};
  for (const Value& value : in) node.in.push_back(graph.add(value));
  node.out = {graph.add({"y", DType::f32, {}, {}, {}})};
  graph.inputs = {node.in[0]};
  graph.outputs = node.out;
  graph.add(std::move(node));
  Result<Graph> back = read(serialize(graph));
  REQUIRE_MESSAGE(back.ok(), back.status().message());
  return message_of(make_model("firn", *std::move(back)).status());
}

Value picture(const Shape& shape = {1, 4, 4, 2}) {
  return {"x", DType::f32, shape, {}, {}};
}
Value weights(const Shape& shape) {
  return {"w", DType::f32, shape, {}, constant(std::vector<float>(shape.elements(), 0.5f))};
}

constexpr uint32_t kMany = 0x7FFFFFFF;

}  // namespace

TEST_CASE(".firn: cut off, empty, of another kind") {
  const Bytes file = serialize(sample());
  CHECK(refusal({}) == "malformed: not a .firn file");
  CHECK(refusal(Bytes(64)) == "malformed: not a .firn file");
  CHECK(refusal(Bytes(file.begin(), file.begin() + 20)) ==
        "malformed: truncated: 20 bytes, a .firn header has 64");
  CHECK(refusal(Bytes(file.begin(), file.end() - 1)) ==
        "malformed: truncated: " + std::to_string(file.size() - 1) + " bytes, its header says " +
            std::to_string(file.size()));
  Bytes longer = file;
  longer.push_back(std::byte{0});
  CHECK(refusal(longer).starts_with("malformed: trailing bytes: "));
  Bytes damaged = file;
  damaged[sizeof(NativeHeader) + 9] ^= std::byte{1};
  CHECK(refusal(damaged) == "malformed: checksum: the file is damaged");
}

TEST_CASE(".firn: offsets and sizes of the header, and a root that is none") {
  const std::string parts = "malformed: header: graph and constants do not fill the file";
  CHECK(with_header([](auto& h) { h.graph_bytes = UINT64_MAX; }) == parts);
  CHECK(with_header([](auto& h) { h.data_offset += 64; }) == parts);
  CHECK(with_header([](auto& h) { h.data_bytes = UINT64_MAX - 63; }) == parts);
  CHECK(with_header([](auto& h) { h.version = 0; }) ==
        "malformed: .firn format version 0 does not exist");
  CHECK(with_header([](auto& h) { h.reserved[0] = 1; }) ==
        "malformed: header: reserved bytes in use");
  Bytes file = serialize(sample());
  std::memcpy(file.data() + sizeof(NativeHeader), &kMany, sizeof(kMany));  // the root's offset
  CHECK(refusal(sealed(file)) == "malformed: its graph is not a valid FlatBuffer");
}

TEST_CASE(".firn: counts and offsets inside the graph") {
  // The list of outputs, its length first.
  Graph graph = chain({MatMul{}});
  graph.outputs = {graph.nodes[0].out[0]};
  CHECK(with_bytes<uint32_t>(graph, {1, 1}, {kMany, 1}) ==
        "malformed: its graph is not a valid FlatBuffer");
  CHECK(with_bytes<int32_t>(graph, {4, -1, 8, 8, 3}, {-1, -1, 8, 8, 3}) ==
        "malformed: its graph is not a valid FlatBuffer");
  // A constant's place in the data: the offset 64, four bytes.
  const Graph good = sample();
  CHECK(with_bytes<uint64_t>(good, {64, 8}, {uint64_t{1} << 62, 8})
            .starts_with("malformed: bias: constant of 8 bytes at 4611686018427387904 of "));
  CHECK(with_bytes<uint64_t>(good, {64, 8}, {64, UINT64_MAX})
            .starts_with("malformed: bias: constant of 18446744073709551615 bytes at 64 of "));
  CHECK(with_bytes<uint64_t>(good, {64, 8}, {72, 8})
            .ends_with("is outside of the data or not aligned"));
  CHECK(with_bytes<uint64_t>(good, {64, 8}, {64, 4}) ==
        "malformed: constant bias: i32 2 needs 8 bytes, has 4");
}

TEST_CASE(".firn: values by number, and what makes them") {
  const Graph good = chain({MatMul{}, Softmax{}});  // x 0, v0 1, v1 2
  const auto broken = [&](auto change) {
    Graph graph = good;
    change(graph);
    return message_of(serialize_native(graph).status());
  };
  // Nothing writes such graphs; what reads them checks the same.
  CHECK(with_bytes<uint32_t>(good, {1, 2}, {1, 3}) == "malformed: graph output 3 of 3 values");
  CHECK(broken([](Graph& g) { g.nodes[0].in = {ValueId(9)}; }) ==
        "malformed: n0 (MatMul): input value 9 of 3");
  CHECK(broken([](Graph& g) { g.nodes[1].out = {ValueId(9)}; }) ==
        "malformed: n1 (Softmax): output value 9 of 3");
  CHECK(broken([](Graph& g) { g.inputs = {ValueId(7)}; }) ==
        "malformed: graph input 7 of 3 values");
  CHECK(broken([](Graph& g) {
          g.inputs = {ValueId(0), ValueId(0)};
        }) == "malformed: input x: listed twice");
  CHECK(broken([](Graph& g) { g.nodes[1].out = {ValueId(1)}; }) ==
        "malformed: n1 (Softmax): output v0 is made elsewhere, too");
  CHECK(broken([](Graph& g) { g.nodes[0].in = {ValueId(2)}; }) ==
        "malformed: n0 (MatMul): input v1 is not made before it");  // a cycle
  CHECK(broken([](Graph& g) { g.nodes[0].in = {ValueId(1)}; }) ==
        "malformed: n0 (MatMul): input v0 is not made before it");  // its own output
  CHECK(broken([](Graph& g) { g.nodes.pop_back(); }) == "malformed: output v1: nothing makes it");
  CHECK(broken([](Graph& g) { g.nodes[0].out.clear(); }) == "malformed: n0 (MatMul): no output");
  CHECK(broken([](Graph& g) { g.states = 5; }) == "malformed: 5 states, 1 inputs and 1 outputs");
}

TEST_CASE(".firn: operators and enumerators that are not known") {
  // The kind of a Unary is stored as its one byte that is not 0; the operator's number as one, too.
  const Bytes plain = serialize(chain({Unary{Unary::Kind::is_nan, 0, 0}}));
  int unknown_operator = 0, invalid_attribute = 0;
  for (size_t i = sizeof(NativeHeader); i < plain.size(); ++i) {
    Bytes file = plain;
    file[i] = std::byte{200};
    const std::string why = refusal(sealed(file));
    if (why == "malformed: n0: operator 200 is unknown") ++unknown_operator;
    if (why == "malformed: n0: Clip: invalid attribute" ||
        why == "malformed: n0: IsNan: invalid attribute" ||
        (why.starts_with("malformed: n0: ") && why.ends_with(": invalid attribute")))
      ++invalid_attribute;
  }
  CHECK(unknown_operator == 1);
  CHECK(invalid_attribute == 1);
}

TEST_CASE(".firn: ranks, dimensions and products that cannot be") {
  const Graph graph = chain({MatMul{}});
  CHECK(with_bytes<int32_t>(graph, {-1, 8, 8, 3}, {-2, 8, 8, 3}) ==
        "malformed: x: dimension 0 is -2");
  CHECK(with_bytes<int32_t>(sample(), {2, 1, 1, 2}, {1 << 30, 1 << 30, 1 << 30, 1 << 30})
            .starts_with("malformed: constant w: "));
  Graph constants;
  constants.inputs = {constants.add(picture())};
  constants.outputs = {constants.add({"y", DType::f32, {}, {}, {}})};
  const ValueId w = constants.add(weights({1, 2, 3, 5}));
  constants.add({"node", Concat{0}, {constants.inputs[0], w}, {constants.outputs[0]}});
  CHECK(with_bytes<int32_t>(constants, {1, 2, 3, 5}, {1 << 30, 1 << 30, 1 << 30, 5})
            .starts_with("malformed: constant w: "));
  CHECK(with_bytes<int32_t>(constants, {1, 2, 3, 5}, {1, 2, 3, 6}) ==
        "malformed: constant w: f32 1x2x3x6 needs 144 bytes, has 120");
  CHECK(node_refusal(Conv2d{}, {picture({4, 2}), weights({1, 1, 1, 2})}) ==
        "malformed: node: input x is 4x2, expected 4 dimensions");
  CHECK(node_refusal(Conv2d{}, {picture({}), weights({1, 1, 1, 2})}) ==
        "malformed: node: input x is scalar, expected 4 dimensions");
  CHECK(node_refusal(Conv2d{{{3, 3}}}, {picture({1, 0, 4, 2}), weights({1, 3, 3, 2})})
            .starts_with("malformed: node: "));
}

TEST_CASE(".firn: windows, groups and channels that do not fit") {
  const auto conv = [](const Window& window, int32_t groups = 1, const Shape& w = {2, 1, 1, 2}) {
    return node_refusal(Conv2d{window, groups}, {picture(), weights(w)});
  };
  CHECK(conv({}) == "ok");
  for (const std::string& why :
       {conv({{1, 1}, {0, 1}}), conv({{1, 1}, {1, 1}, {1, 0}}), conv({{0, 1}}),
        conv({{1, 1}, {1, 1}, {1, 1}, {-1, 0, 0, 0}}), conv({}, 0), conv({}, -1), conv({}, 3),
        conv({}, 1, {2, 1, 1, 3}), conv({{9, 9}}, 1, {2, 9, 9, 2})})
    CHECK_MESSAGE(why.starts_with("malformed: node: "), why);
  CHECK(conv({}, 1, {2, 1, 1, 3}) == "malformed: node: weight channels 3, input has 2");
}

TEST_CASE(".firn: scales and zero points that make no sense") {
  const auto refused = [](const Quant& quant) {
    Graph graph = sample();
    graph.values[1].quant = quant;
    return message_of(serialize_native(graph).status());
  };
  CHECK(refused(Quant{0, 8, 0, {1, 0}, {0, 0}}) ==
        "malformed: w: quantization: scale 1 is 0.000000");
  CHECK(refused(Quant{0, 8, 0, {1, -1}, {0, 0}}) ==
        "malformed: w: quantization: scale 1 is -1.000000");
  CHECK(refused(Quant{0, 8, 0, {1, 1e-40f}, {0, 0}})
            .starts_with("malformed: w: quantization: scale 1"));
  CHECK(refused(Quant{0, 8, 0, {1, NAN}, {0, 0}})
            .starts_with("malformed: w: quantization: scale 1 is"));
  CHECK(refused(Quant{0, 8, 0, {1, INFINITY}, {0, 0}}) ==
        "malformed: w: quantization: scale 1 is inf");
  CHECK(refused(Quant{0, 8, 0, {1}, {0}}) ==
        "malformed: w: quantization: 1 scales, shape 2x1x1x2 needs 2");
  CHECK(refused(Quant{0, 8, 0, {1, 1}, {0}}) ==
        "malformed: w: quantization: 1 zero points, 2 scales");
  CHECK(refused(Quant{0, 8, 0, {1, 1}, {0, 128}}) ==
        "malformed: w: quantization: zero point 128 of i8");
  CHECK(refused(Quant{4, 8, 0, {1, 1}, {0, 0}}) ==
        "malformed: w: quantization: axis 4 of shape 2x1x1x2");
  CHECK(refused(Quant{0, 9, 0, {1, 1}, {0, 0}}) == "malformed: w: quantization: 9 bits of i8");
  CHECK(refused(Quant{-1, 8, -2, {1, 1}, {0, 0}}) == "malformed: w: quantization: block of -2");
}

TEST_CASE(".firn: a small file does not ask for much memory") {
  Graph graph;
  graph.inputs = {graph.add({"x", DType::f32, {1}, {}, {}})};
  const ValueId to =
      graph.add({"to", DType::i64, {3}, {}, constant<int64_t>({1 << 30, 1 << 30, 1 << 30})});
  graph.outputs = {graph.add({"y", DType::f32, {}, {}, {}})};
  graph.add({"node", Expand{}, {graph.inputs[0], to}, graph.outputs});
  Result<Graph> back = read(serialize(graph));
  REQUIRE(back.ok());
  CHECK(message_of(make_model("firn", *std::move(back)).status())
            .starts_with("malformed: node: output: "));
}

TEST_CASE(".firn: names that are twice there, or no text") {
  Graph graph = chain({MatMul{}, Softmax{}});
  graph.outputs = {ValueId(1), ValueId(2)};
  graph.values[2].name = "v0";
  CHECK(message_of(serialize_native(graph).status()) ==
        "malformed: two inputs or two outputs are called v0");
  const Bytes plain = serialize(chain({MatMul{}}));
  Bytes file = plain;
  const std::string name = "v0";
  const auto at = std::search(file.begin(), file.end(), std::as_bytes(std::span(name)).begin(),
                              std::as_bytes(std::span(name)).end());
  REQUIRE(at != file.end());
  *at = std::byte{0xFF};
  file = sealed(file);
  const Status status = Model::parse_firn(file).status();
  CHECK(message_of(status) == "malformed: the name of value 1 is not UTF-8");
}
