// SPDX-License-Identifier: Apache-2.0
// ncnn's layers that are made of others: sizes by expressions, sums by equations, windows as
// columns.
#include <doctest/doctest.h>

#include <numeric>

#include "test/runtime/ncnn_builder.h"

using namespace firn;
using namespace firn::test;
using Floats = std::vector<float>;

namespace {

// The shape that a layer gives to a blob of 2, 3, 4, and another one of 6, 5.
std::string shape_of(const std::string& type, const std::string& params) {
  NcnnModel model;
  model.layer("Input data 0 1 data 0=4 1=3 2=2")
      .layer("Input other 0 1 other 0=5 1=6")
      .layer(type + " r 2 1 data other out " + params);
  const Result<Graph> graph = read(model);
  if (!graph.ok()) return graph.status().message();
  return to_string(graph->value(graph->outputs.back()).shape);
}

std::string reshaped(const std::string& expression) {
  return shape_of("Reshape", "6=\"" + expression + "\"");
}

Floats count_up(size_t count) {
  Floats values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

}  // namespace

TEST_CASE("ncnn: shapes that are expressions of sizes") {
  CHECK(reshaped("*(0w,0h),0c") == "2x12");
  CHECK(reshaped("+(0w,2),-1") == "4x6");
  CHECK(reshaped("//(1w,2),-(1h,3),-1") == "4x3x2");
  CHECK(reshaped("trunc(/(0w,3)),-1") == "24x1");
  CHECK(reshaped("ceil(/(0w,3)),-1") == "12x2");
  CHECK(reshaped("round(sqrt(square(0h))),-1") == "8x3");
  CHECK(reshaped("neg(neg(0w)),min(0h,100),0c,1d") == "1x2x3x4");
  const std::string where = "ncnn: layer 'r' (Reshape): expression '";
  CHECK(reshaped("+(0w") == where + "+(0w': '+' lacks an operand");
  CHECK(reshaped("//(0w,0)") == where + "//(0w,0)': '//' gives no number");
  CHECK(reshaped("/(0w,0)") == where + "/(0w,0)': '/' gives no number");
  CHECK(reshaped(",") == where + ",': it has no numbers");
  CHECK(reshaped("*(100000,100000)") == where + "*(100000,100000)': a size is 10000000000.000000");
  CHECK(reshaped("foo(0w)") == where + "foo(0w)' with 'foo'");
  CHECK(reshaped("7w") == "ncnn: layer 'r' (Reshape): input 7 is missing");
  CHECK(reshaped("1,2,3,4,5") == "ncnn: layer 'r' (Reshape): 5 sizes, at most 4");
  CHECK(shape_of("Interp", "0=1 9=\"1w,*(0h,2)\"") == "2x6x5");
  CHECK(shape_of("Interp", "0=1 9=\"*(0w,3)\"") == "2x3x12");
  CHECK(shape_of("Interp", "0=1 9=\"0\"") ==
        "ncnn: layer 'r' (Interp): its size is computed as 1 numbers, the first 0");
  CHECK(shape_of("Crop", "19=\"1,1\" 20=\"-233,-(0h,1)\" 21=\"0,1\"") == "1x1x4");
  CHECK(shape_of("Crop", "19=\"1,1\" 20=\"2\" 21=\"0,1\"") ==
        "ncnn: layer 'r' (Crop): 2 starts and 1 ends for 2 axes");
}

TEST_CASE("ncnn: Einsum by the letters of its equation") {
  const auto einsum = [](const std::string& equation) {
    std::string list = "-23300=" + std::to_string(equation.size());
    for (const char letter : equation) list += "," + std::to_string(static_cast<int>(letter));
    return list;
  };
  NcnnModel trace;
  trace.layer("Input data 0 1 data 0=3 1=3").layer("Einsum e 1 1 data out " + einsum("ii"));
  CHECK(run_floats(trace, {3, 3}, count_up(9)) == Floats{15});
  NcnnModel square;
  square.layer("Input data 0 1 data 0=2 1=2")
      .layer("Einsum e 2 1 data data out " + einsum("ij,jk->ik"));
  CHECK(run_floats(square, {2, 2}, count_up(4)) == Floats{7, 10, 15, 22});
  NcnnModel wrong;
  wrong.layer("Input data 0 1 data 0=2 1=2").layer("Einsum e 1 1 data out " + einsum("ijk->i"));
  CHECK(refusal(wrong) == "malformed: ncnn: layer 'e' (Einsum): term 'ijk' for an input 2x2");
  NcnnModel garbage;
  garbage.layer("Input data 0 1 data 0=2").layer("Einsum e 1 1 data out -23300=2,105,-7");
  CHECK(refusal(garbage) == "malformed: ncnn: layer 'e' (Einsum): its equation has the letter -7");
}

TEST_CASE("ncnn: Unfold and Fold") {
  NcnnModel unfold;
  unfold.layer("Input data 0 1 data 0=3 1=2 2=1")
      .layer("Unfold u 1 1 data out 1=2 11=1 4=1 14=0 18=9");
  // Columns: pairs side by side, four places in each of two rows.
  CHECK(run_floats(unfold, {1, 2, 3}, count_up(6)) ==
        Floats{9, 1, 2, 3, 9, 4, 5, 6, 1, 2, 3, 9, 4, 5, 6, 9});
  NcnnModel both;
  both.layer("Input data 0 1 data 0=4 1=4 2=2")
      .layer("Unfold u 1 1 data columns 1=3 4=1")
      .layer("Fold f 1 1 columns out 1=3 4=1 20=4");
  const Floats x = count_up(32), y = run_floats(both, {2, 4, 4}, x);
  REQUIRE(y.size() == x.size());
  // As often as a pixel lies in a window: 2 windows at an edge, 3 inside, along each axis.
  for (size_t i = 0; i < x.size(); ++i) {
    const auto times = [](size_t at) { return at == 0 || at == 3 ? 2.0f : 3.0f; };
    CHECK(y[i] == x[i] * times(i % 4) * times(i / 4 % 4));
  }
  const auto refused = [](const std::string& line) {
    NcnnModel model;
    model.layer("Input data 0 1 data 0=4 1=6")
        .layer("Reshape r 1 1 data x 0=2 1=2 2=6")
        .layer(line);
    return refusal(model);
  };
  CHECK(refused("Unfold u 1 1 x out 1=3") ==
        "malformed: ncnn: layer 'u' (Unfold): windows that reach 3 in 2");
  CHECK(refused("Unfold u 1 1 x out 1=100") ==
        "unsupported: ncnn: layer 'u' (Unfold): a window of 10000 elements");
  CHECK(refused("Fold f 1 1 data out 1=2 20=3 21=3") ==
        "malformed: ncnn: layer 'f' (Fold): input 1x6x4 for windows of 4 at 2 by 2 places");
}
