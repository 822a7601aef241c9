// SPDX-License-Identifier: Apache-2.0
// Tests of the translations of ONNX operators that the standard's own node tests leave out: Einsum,
// searches whose results have open shapes, the fusions of com.microsoft, old opsets.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "firn/formats.h"
#include "firn/session.h"
#include "test/runtime/onnx_run.h"

namespace firn {
namespace {

using namespace test;
using Floats = std::vector<float>;

// The one output for float inputs called a, b, ..., by the public interface.
Value run_session(const OnnxModel& model, const std::vector<std::pair<Shape, Floats>>& inputs) {
  const std::string bytes = model.bytes();
  const Result<Model> read = Model::parse(as_bytes(bytes));
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  Result<Session> session = Session::create(*read);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  std::vector<NamedTensor> named;
  for (size_t i = 0; i < inputs.size(); ++i)
    named.push_back({std::string(1, static_cast<char>('a' + i)),
                     view(inputs[i].first, inputs[i].second.data())});
  Outputs outputs;
  const Status status = session->run(named, outputs);
  REQUIRE_MESSAGE(status.ok(), status.message());
  const Tensor y = outputs.all()[0].tensor;
  auto memory = Buffer::allocate(y.bytes());
  REQUIRE(memory.ok());
  std::copy_n(static_cast<const std::byte*>(y.data), y.bytes(), memory->second.data());
  return {"y", y.type, y.shape, {}, memory->first};
}

OnnxModel einsum(const std::string& equation, const std::vector<std::vector<OnnxDim>>& inputs) {
  OnnxModel model;
  std::vector<std::string> names;
  for (const std::vector<OnnxDim>& dims : inputs) {
    names.emplace_back(1, static_cast<char>('a' + names.size()));
    model.input(names.back(), dims);
  }
  model.node("Einsum", names, {"y"}, {attr("equation", equation.c_str())}, "e");
  return model.output("y");
}

}  // namespace

TEST_CASE("onnx: Einsum is transposes, sums and matrix products") {
  const std::pair<Shape, Floats> a{{2, 2}, {1, 2, 3, 4}}, b{{2, 2}, {5, 6, 7, 8}};
  const std::pair<Shape, Floats> v{{2}, {10, 1}};
  CHECK(floats_of(run_session(einsum("ij,jk->ik", {{2, 2}, {2, 2}}), {a, b})) ==
        Floats{19, 22, 43, 50});
  CHECK(floats_of(run_session(einsum("ij, kj -> ki", {{2, 2}, {2, 2}}), {a, b})) ==
        Floats{17, 39, 23, 53});
  CHECK(floats_of(run_session(einsum("ij->ji", {{2, 2}}), {a})) == Floats{1, 3, 2, 4});
  CHECK(floats_of(run_session(einsum("ij->j", {{2, 2}}), {a})) == Floats{4, 6});
  CHECK(floats_of(run_session(einsum("ij,ij->i", {{2, 2}, {2, 2}}), {a, b})) == Floats{17, 53});
  CHECK(floats_of(run_session(einsum("i,j", {{2}, {2}}), {v, v})) == Floats{100, 10, 10, 1});
  CHECK(floats_of(run_session(einsum("ij,jk,k->i", {{2, 2}, {2, 2}, {2}}), {a, b, v})) ==
        Floats{212, 480});
  // Attention's: batch, heads, queries and keys, the length open.
  const std::pair<Shape, Floats> q{{1, 2, 2, 1}, {1, 2, 3, 4}};
  CHECK(floats_of(run_session(einsum("bqhd,bkhd->bhqk", {{1, "L", 2, 1}, {1, "L", 2, 1}}),
                              {q, q})) == Floats{1, 3, 3, 9, 4, 8, 8, 16});
  // Diagonals, and dimensions that nobody names.
  CHECK(floats_of(run_session(einsum("ii->i", {{2, 2}}), {a})) == Floats{1, 4});
  CHECK(floats_of(run_session(einsum("ii", {{2, 2}}), {a})) == Floats{5});
  CHECK(floats_of(run_session(einsum("...ij,jk->...ik", {{1, 2, 2}, {2, 2}}),
                              {{{1, 2, 2}, a.second}, b})) == Floats{19, 22, 43, 50});
  CHECK(floats_of(run_session(einsum("i...->...", {{2, 2}}), {a})) == Floats{4, 6});
  CHECK(refusal(einsum("ii->i", {{2, 3}})) ==
        "unsupported: onnx: node 'e' (Einsum): a diagonal of 2x3");
  CHECK(refusal(einsum("ij,j", {{2, 3}})) ==
        "malformed: onnx: node 'e' (Einsum): equation with 2 terms, inputs 1");
  CHECK(refusal(einsum("ijk", {{2, 3}})) ==
        "malformed: onnx: node 'e' (Einsum): term 'ijk' for an input 2x3");
  CHECK(refusal(einsum("ij->k", {{2, 2}})) ==
        "malformed: onnx: node 'e' (Einsum): equation 'ij->k'");
}

TEST_CASE("onnx: where the maxima of a pool come from") {
  const auto indices = [](const std::vector<OnnxDim>& dims, const std::vector<std::string>& how) {
    return OnnxModel().input("a", dims).node("MaxPool", {"a"}, {"y", "i"}, how, "p").output("i");
  };
  const auto of = [](const Value& value) {
    return std::vector<int64_t>(value.as<int64_t>().begin(), value.as<int64_t>().end());
  };
  const auto kernel = attr("kernel_shape", std::vector<int64_t>{2, 2});
  const std::pair<Shape, Floats> x{{2, 1, 2, 3}, {1, 7, 3, 7, 2, 9, 0, 0, 0, 0, 0, -1}};
  CHECK(of(run_session(indices({2, 1, 2, 3}, {kernel}), {x})) == std::vector<int64_t>{1, 5, 6, 7});
  CHECK(of(run_session(indices({2, 1, 2, 3}, {kernel, attr("storage_order", int64_t{1})}), {x})) ==
        std::vector<int64_t>{2, 5, 6, 8});
  // Padding is no place that a maximum comes from, whatever it is.
  CHECK(of(run_session(indices({1, 1, 3}, {attr("kernel_shape", std::vector<int64_t>{2}),
                                           attr("pads", std::vector<int64_t>{1, 1})}),
                       {{{1, 1, 3}, {-5, -6, -7}}})) == std::vector<int64_t>{0, 0, 1, 2});
  CHECK(refusal(indices({1, 1, 99, 99}, {attr("kernel_shape", std::vector<int64_t>{20, 20})})) ==
        "unsupported: onnx: node 'p' (MaxPool): its Indices output for windows of 400");
  CHECK(
      refusal(indices({1, 1, "H", 4}, {kernel}))
          .starts_with(
              "unsupported: onnx: node 'p' (MaxPool): its Indices output for an input of shape "));
}

TEST_CASE("onnx: convolutions over three dimensions") {
  const auto conv = [](const char* op, const std::vector<std::string>& how) {
    return OnnxModel()
        .input("a", {1, 1, 3, 1, 2})
        .initializer(onnx_floats("w", {1, 1, 2, 1, 1}, {1, 10}))
        .initializer(onnx_floats("b", {1}, {0.5f}))
        .node(op, {"a", "w", "b"}, {"y"}, how, "c")
        .output("y");
  };
  const std::pair<Shape, Floats> x{{1, 1, 3, 1, 2}, {1, 2, 3, 4, 5, 6}};
  const Value y = run_session(conv("Conv", {}), {x});
  CHECK(y.shape == Shape{1, 1, 2, 1, 2});
  CHECK(floats_of(y) == Floats{31.5f, 42.5f, 53.5f, 64.5f});
  const auto strides = attr("strides", std::vector<int64_t>{2, 1, 1});
  const auto pads = attr("pads", std::vector<int64_t>{1, 0, 0, 0, 0, 0});
  CHECK(floats_of(run_session(conv("Conv", {strides, pads}), {x})) ==
        Floats{10.5f, 20.5f, 53.5f, 64.5f});
  CHECK(floats_of(run_session(conv("ConvTranspose", {}), {x})) ==
        Floats{1.5f, 2.5f, 13.5f, 24.5f, 35.5f, 46.5f, 50.5f, 60.5f});
  CHECK(floats_of(run_session(conv("ConvTranspose", {strides, pads}), {x})) ==
        Floats{10.5f, 20.5f, 3.5f, 4.5f, 30.5f, 40.5f, 5.5f, 6.5f, 50.5f, 60.5f});
  CHECK(refusal(conv("Conv", {attr("pads", std::vector<int64_t>{-1, 0, 0, 0, 0, 0})})) ==
        "malformed: onnx: node 'c' (Conv): a pad is -1");
  CHECK(refusal(conv("Conv", {attr("kernel_shape", std::vector<int64_t>{1, 1, 1})})) ==
        "malformed: onnx: node 'c' (Conv): kernel_shape differs from the weights' shape");
  CHECK(refusal(conv("Conv", {attr("strides", std::vector<int64_t>{0, 1, 1})})) ==
        "malformed: onnx: node 'c' (Conv): a kernel, stride or dilation is 0");
  CHECK(refusal(conv("ConvTranspose", {attr("auto_pad", "SAME_UPPER")})) ==
        "unsupported: onnx: node 'c' (ConvTranspose): auto_pad 'SAME_UPPER' of three dimensions");
  CHECK(refusal(conv("ConvTranspose", {attr("group", int64_t{3})}))
            .starts_with("malformed: onnx: node 'c' (ConvTranspose): "));
}

TEST_CASE("onnx: FusedConv of com.microsoft") {
  const auto fused = [](const std::vector<std::string>& how) {
    return OnnxModel()
        .input("a", {1, 1, 1, 3})
        .input("b", {1, 1, 1, 3})
        .initializer(onnx_floats("w", {1, 1, 1, 1}, {2}))
        .node("FusedConv", {"a", "w", "", "b"}, {"y"}, how, "f", "com.microsoft")
        .output("y");
  };
  const std::pair<Shape, Floats> x{{1, 1, 1, 3}, {1, -2, 3}}, z{{1, 1, 1, 3}, {1, 1, 1}};
  CHECK(floats_of(run_session(fused({}), {x, z})) == Floats{3, -3, 7});
  CHECK(floats_of(run_session(fused({attr("activation", "Relu")}), {x, z})) == Floats{3, 0, 7});
  CHECK(floats_of(run_session(fused({attr("activation", "LeakyRelu")}), {x, z})) ==
        Floats{3, -0.03f, 7});
  CHECK(refusal(fused({attr("activation", "Swish")})) ==
        "unsupported: onnx: node 'f' (FusedConv): activation 'Swish'");
}

TEST_CASE("onnx: NonZero and Compress give as much as the data hold") {
  const OnnxModel found = OnnxModel().input("a", {4}).node("NonZero", {"a"}, {"y"}).output("y");
  const Value positions = run_session(found, {{{4}, {0, 5, 0, -1}}});
  CHECK(positions.shape == Shape{1, 2});
  CHECK(positions.as<int64_t>()[1] == 3);
  const OnnxModel kept = OnnxModel()
                             .input("a", {3, 2})
                             .input("b", {3})
                             .node("Cast", {"b"}, {"c"}, {attr("to", int64_t{kBool})})
                             .node("Compress", {"a", "c"}, {"y"}, {attr("axis", int64_t{0})})
                             .output("y");
  CHECK(floats_of(run_session(kept, {{{3, 2}, {1, 2, 3, 4, 5, 6}}, {{3}, {1, 0, 1}}})) ==
        Floats{1, 2, 5, 6});
  // x[mask], as PyTorch exports it.
  const OnnxModel masked =
      OnnxModel()
          .input("a", {2, 2})
          .input("b", {2, 2})
          .node("NonZero", {"b"}, {"n"})
          .node("Transpose", {"n"}, {"t"}, {attr("perm", std::vector<int64_t>{1, 0})})
          .node("GatherND", {"a", "t"}, {"y"})
          .output("y");
  CHECK(floats_of(run_session(masked, {{{2, 2}, {1, 2, 3, 4}}, {{2, 2}, {1, 0, 1, 1}}})) ==
        Floats{1, 3, 4});
}

TEST_CASE("onnx: fusions of com.microsoft") {
  const auto fused = [](const std::string& op, const std::vector<std::string>& attributes = {}) {
    return OnnxModel()
        .input("a", {2, 2})
        .input("b", {2, 2})
        .node(op, {"a", "b"}, {"y"}, attributes, "f", "com.microsoft")
        .output("y");
  };
  const std::pair<Shape, Floats> a{{2, 2}, {1, 2, 3, 4}}, b{{2, 2}, {5, 6, 7, 8}};
  CHECK(floats_of(run_session(
            fused("FusedMatMul", {attr("transB", int64_t{1}), attr("alpha", 2.0f)}), {a, b})) ==
        Floats{34, 46, 78, 106});
  const Floats gelu = floats_of(run_session(fused("BiasGelu"), {a, b}));
  CHECK(gelu[0] == doctest::Approx(6));
  const OnnxModel norm =
      OnnxModel()
          .input("a", {1, 2})
          .input("b", {1, 2})
          .initializer(onnx_floats("g", {2}, {1, 10}))
          .initializer(onnx_floats("beta", {2}, {0, 100}))
          .node("SkipLayerNormalization", {"a", "b", "g", "beta"}, {"y"}, {}, "n", "com.microsoft")
          .output("y");
  const Floats normal = floats_of(run_session(norm, {{{1, 2}, {1, 2}}, {{1, 2}, {1, 4}}}));
  CHECK(normal[0] == doctest::Approx(-1));
  CHECK(normal[1] == doctest::Approx(110));
  CHECK(refusal(fused("Attention")) ==
        "unsupported: onnx: node 'f': operator 'Attention' (domain 'com.microsoft', opset 13) is "
        "not supported");
}

TEST_CASE("onnx: opsets before 7 for what was the same then") {
  const OnnxModel same =
      OnnxModel(1).input("a", {2}).node("Tanh", {"a"}, {"y"}, {}, "t").output("y");
  CHECK(floats_of(run_session(same, {{{2}, {0, 1}}}))[1] == doctest::Approx(std::tanh(1.0f)));
  CHECK(refusal(OnnxModel(6).input("a", {2}).node("Add", {"a", "a"}, {"y"}, {}, "s").output("y")) ==
        "unsupported: onnx: node 's': operator 'Add' (domain '', opset 6) is not supported");
}

TEST_CASE("the operators of every format are listed") {
  const std::vector<FormatOperators> formats = supported_operators();
  REQUIRE_FALSE(formats.empty());
  CHECK(formats[0].format == "onnx");
  for (const FormatOperators& format : formats) {
    CHECK_FALSE(format.operators.empty());
    CHECK(std::ranges::is_sorted(format.operators));
  }
}

}  // namespace firn
