// SPDX-License-Identifier: Apache-2.0
// The canonical operators: every importer ends in these, and every pass, kernel and quantizer
// starts from them. Spatial operators are NHWC; importers of NCHW formats put Transposes around
// them, and the transpose pass removes those again.
#ifndef FIRN_RUNTIME_OPS_H_
#define FIRN_RUNTIME_OPS_H_

#include <array>
#include <cstdint>
#include <limits>
#include <variant>
#include <vector>

#include "firn/tensor.h"

namespace firn {

// A clamp fused onto an operator's output: ReLU is {0, inf}.
struct Clamp {
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();
  bool none() const { return lo == Clamp{}.lo && hi == Clamp{}.hi; }
  bool operator==(const Clamp&) const = default;
};

// A sliding window over height and width. pad: top, left, bottom, right.
struct Window {
  std::array<int32_t, 2> kernel{1, 1}, stride{1, 1}, dilation{1, 1};
  std::array<int32_t, 4> pad{0, 0, 0, 0};
  bool operator==(const Window&) const = default;
};

// in: x [N,H,W,Cin], w [Cout,KH,KW,Cin/groups], bias [Cout] (optional). out: [N,OH,OW,Cout].
struct Conv2d {
  Window window{};
  int32_t groups = 1;
  Clamp clamp{};
  bool operator==(const Conv2d&) const = default;
};

// in: x [N,H,W,Cin], w [Cout,KH,KW,Cin/groups], bias (optional). The gradient of Conv2d: pad crops.
struct ConvTranspose2d {
  Window window{};
  std::array<int32_t, 2> output_pad{0, 0};  // rows, columns added at the bottom, right
  int32_t groups = 1;
  Clamp clamp{};
  bool operator==(const ConvTranspose2d&) const = default;
};

// in: x [..., K], w [N, K], bias [N] (optional). out: [..., N].
struct Dense {
  Clamp clamp{};
  bool operator==(const Dense&) const = default;
};

// in: a [..., M, K], b [..., K, N], batch dimensions broadcast as in NumPy.
struct MatMul {
  bool operator==(const MatMul&) const = default;
};

// in: a, b, broadcast as in NumPy. out: their common shape; comparisons give boolean.
struct Binary {
  enum class Kind : uint8_t {
    add,
    sub,
    mul,
    div,
    max,
    min,
    pow,
    equal,
    less,
    greater,
    logical_and,
    logical_or
  };
  Kind kind = Kind::add;
  Clamp clamp{};
  bool operator==(const Binary&) const = default;
};

// in: x. out: f(x), element by element. alpha and beta as the kind says.
struct Unary {
  enum class Kind : uint8_t {
    clamp,  // alpha <= x <= beta
    sigmoid,
    tanh,
    exp,
    log,
    sqrt,
    reciprocal,
    abs,
    neg,
    floor,
    ceil,
    round,
    erf,
    sin,
    cos,
    hard_sigmoid,  // clamp(alpha x + beta, 0, 1)
    hard_swish,    // x * clamp(x / 6 + 0.5, 0, 1)
    silu,          // x * sigmoid(alpha x)
    mish,
    softplus,
    softsign,
    elu,         // alpha (exp(x) - 1) below 0
    leaky_relu,  // alpha x below 0
    gelu,        // x Phi(x), erf form
    gelu_tanh,   // its tanh approximation
    logical_not,
  };
  Kind kind = Kind::clamp;
  float alpha = 0, beta = 0;
  bool operator==(const Unary&) const = default;
};

// in: x, slope (broadcast to x). out: x, times slope below 0.
struct PRelu {
  bool operator==(const PRelu&) const = default;
};

// in: x [N,H,W,C]. Average: padding counts in the divisor where count_pad is set.
struct Pool2d {
  enum class Kind : uint8_t { max, average };
  Kind kind = Kind::max;
  Window window{};
  bool count_pad = false;
  bool ceil = false;  // output size rounded up; a window must start inside the input or left pad
  bool operator==(const Pool2d&) const = default;
};

// in: x. Over `axes` (sorted, not negative); keep: reduced axes stay as 1.
struct Reduce {
  enum class Kind : uint8_t { mean, sum, max, min, prod, sum_square, l1, l2, log_sum_exp };
  Kind kind = Kind::mean;
  std::vector<int32_t> axes{};
  bool keep = true;
  bool operator==(const Reduce&) const = default;
};

struct Softmax {
  int32_t axis = -1;
  bool log = false;
  bool operator==(const Softmax&) const = default;
};

// in: any number of one rank.
struct Concat {
  int32_t axis = 0;
  bool operator==(const Concat&) const = default;
};

// in: x. One entry per axis of x; end is exclusive, INT32_MAX or INT32_MIN reach the edge.
struct Slice {
  std::vector<int32_t> begin{}, end{}, step{};
  bool operator==(const Slice&) const = default;
};

// in: x. One entry per axis; negative crops.
struct Pad {
  enum class Mode : uint8_t { constant, reflect, edge };
  Mode mode = Mode::constant;
  std::vector<int32_t> before{}, after{};
  float value = 0;
  bool operator==(const Pad&) const = default;
};

// in: x, and the shape (i64, i32) where from_input. 0 copies x's dimension at that index, one -1
// takes the rest.
struct Reshape {
  std::vector<int32_t> shape{};
  bool from_input = false;  // the shape is in[1]
  bool operator==(const Reshape&) const = default;
};

// out dimension i is in dimension perm[i].
struct Transpose {
  std::vector<int32_t> perm{};
  bool operator==(const Transpose&) const = default;
};

// in: x [N,H,W,C]. out: [N,size,C]; where size is 0, floor(dim * scale).
struct Resize2d {
  enum class Kind : uint8_t { nearest, bilinear };
  enum class Coordinates : uint8_t { half_pixel, pytorch_half_pixel, asymmetric, align_corners };
  enum class Nearest : uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };
  Kind kind = Kind::nearest;
  Coordinates coordinates = Coordinates::half_pixel;
  Nearest nearest = Nearest::round_prefer_floor;
  std::array<int32_t, 2> size{0, 0};
  std::array<float, 2> scale{1, 1};
  bool operator==(const Resize2d&) const = default;
};

// in: x [N,H,W,C]. Across channels: x / (bias + alpha / size * sum of squares)^beta.
struct LocalResponseNorm {
  int32_t size = 5;
  float alpha = 1e-4f, beta = 0.75f, bias = 1;
  bool operator==(const LocalResponseNorm&) const = default;
};

// in: x, scale [C], bias [C]; C innermost. Mean and variance over H, W of each sample and channel.
struct InstanceNorm {
  float epsilon = 1e-5f;
  bool operator==(const InstanceNorm&) const = default;
};

// in: x [N,H,W,C] with C = block^2 * out channels; depth-column-row as ONNX's DCR, or CRD.
struct DepthToSpace {
  int32_t block = 2;
  bool crd = false;
  bool operator==(const DepthToSpace&) const = default;
};

// in: x, indices (i32 or i64; negative from the end).
struct Gather {
  int32_t axis = 0;
  bool operator==(const Gather&) const = default;
};

// out: i64 vector of x's dimensions [begin, end).
struct ShapeOf {
  int32_t begin = 0, end = kMaxRank;
  bool operator==(const ShapeOf&) const = default;
};

// in: x, shape (i64).
struct Expand {
  bool operator==(const Expand&) const = default;
};

// in: shape (i64). out: filled with `value`, of type `type`.
struct Fill {
  DType type = DType::f32;
  double value = 0;
  bool operator==(const Fill&) const = default;
};

// in: start, limit, delta (scalars). The length is known only where all are constant.
struct Range {
  bool operator==(const Range&) const = default;
};

// in: condition (boolean), a, b, broadcast.
struct Where {
  bool operator==(const Where&) const = default;
};

// in: x. out: index of the largest (smallest) along axis, i64; the first of equals.
struct ArgMax {
  int32_t axis = 0;
  bool keep = true;
  bool min = false;
  bool operator==(const ArgMax&) const = default;
};

// in: x. Changes the type: Quantize, Dequantize, requantize and plain casts, as the types and
// quantization of the input and output values say.
struct Convert {
  DType to = DType::f32;
  bool operator==(const Convert&) const = default;
};

using Op = std::variant<Conv2d, ConvTranspose2d, Dense, MatMul, Binary, Unary, PRelu, Pool2d,
                        Reduce, Softmax, Concat, Slice, Pad, Reshape, Transpose, Resize2d,
                        LocalResponseNorm, InstanceNorm, DepthToSpace, Gather, ShapeOf, Expand,
                        Fill, Range, Where, ArgMax, Convert>;

// "Conv2d", "Add", "HardSwish": what reports and messages call it.
const char* op_name(const Op& op);

}  // namespace firn

#endif  // FIRN_RUNTIME_OPS_H_
