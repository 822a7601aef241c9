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
#include "runtime/ops_detection.h"

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
    logical_or,
    mod,   // a - floor(a / b) * b: the sign of b, as Python's
    fmod,  // a - trunc(a / b) * b: the sign of a, as C's
    atan2,
    bitwise_and,  // these on integers only
    bitwise_or,
    bitwise_xor
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
    sign,
    trunc,
    tan,
    asin,
    acos,
    atan,
    sinh,
    cosh,
    asinh,
    acosh,
    atanh,
    is_nan,  // gives boolean
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

// in: x, and the axes (i64, i32; may be negative) where from_input. Over `axes` (sorted, not
// negative); keep: reduced axes stay as 1. From an input that is empty: over all, or none if
// none_if_empty.
struct Reduce {
  enum class Kind : uint8_t { mean, sum, max, min, prod, sum_square, l1, l2, log_sum_exp };
  Kind kind = Kind::mean;
  std::vector<int32_t> axes{};
  bool keep = true;
  bool from_input = false;
  bool none_if_empty = false;
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
// from_input: in: x, begin, end, axes (optional), step (optional), vectors of i64 or i32.
struct Slice {
  std::vector<int32_t> begin{}, end{}, step{};
  bool from_input = false;
  bool operator==(const Slice&) const = default;
};

// in: x. One entry per axis; negative crops. symmetric: reflect that repeats the edge.
// from_input: in: x, the paddings (all before, then all after), value (optional), axes (optional).
struct Pad {
  enum class Mode : uint8_t { constant, reflect, edge, symmetric, wrap };
  Mode mode = Mode::constant;
  std::vector<int32_t> before{}, after{};
  float value = 0;
  bool from_input = false;
  bool operator==(const Pad&) const = default;
};

// in: x, and the shape (i64, i32) where from_input. 0 copies x's dimension at that index, unless it
// is to stand for itself; one -1 takes the rest.
struct Reshape {
  std::vector<int32_t> shape{};
  bool from_input = false;  // the shape is in[1]
  bool plain_zero = false;
  bool operator==(const Reshape&) const = default;
};

// in: x, axes (i64, i32; may be negative). Removes dimensions of 1, or inserts them. For axes that
// are computed; of others, importers make Reshapes.
struct Squeeze {
  bool insert = false;
  bool operator==(const Squeeze&) const = default;
};

// in: x, repeats (i64; one per axis).
struct Tile {
  bool operator==(const Tile&) const = default;
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

// in: x of any rank; where `from` says so, the sizes (i64, i32) or scales (f32) of the `axes`, and
// optionally what `begin` and `end` hold (f32, all begins first). Along each axis by itself, so
// that any rank and layout works; what ONNX's Resize defines. `size` and `scale` have one entry per
// axis in `axes`, or none; a size of 0 is floor(dim * scale). begin, end: the part of the input
// that crop maps from, in fractions of it; outside the input is `extrapolation`.
struct Resize {
  enum class Kind : uint8_t { nearest, linear, cubic };
  enum class Coordinates : uint8_t {
    half_pixel,
    pytorch_half_pixel,
    asymmetric,
    align_corners,
    half_pixel_symmetric,
    crop
  };
  enum class From : uint8_t { attributes, sizes, scales };
  enum class Aspect : uint8_t { stretch, not_larger, not_smaller };
  Kind kind = Kind::nearest;
  Coordinates coordinates = Coordinates::half_pixel;
  Resize2d::Nearest nearest = Resize2d::Nearest::round_prefer_floor;
  From from = From::attributes;
  Aspect aspect = Aspect::stretch;  // of sizes
  std::vector<int32_t> axes{}, size{};
  std::vector<float> scale{}, begin{}, end{};
  float cubic = -0.75f;          // the coefficient a of Keys' kernel
  bool exclude_outside = false;  // weights outside the input are dropped and the rest made 1 again
  bool antialias = false;        // the kernel is widened where it shrinks
  float extrapolation = 0;
  bool operator==(const Resize&) const = default;
};

// in: x [N,H,W,C] or [N,D,H,W,C], grid [N,OH,OW,2] or [N,OD,OH,OW,3] of positions in [-1,1], the
// innermost dimension first. out: [N,OH,OW,C]. As PyTorch's grid_sample and ONNX's GridSample.
struct GridSample {
  enum class Kind : uint8_t { nearest, linear, cubic };
  enum class Padding : uint8_t { zeros, border, reflection };
  Kind kind = Kind::linear;
  Padding padding = Padding::zeros;
  bool align_corners = false;
  bool operator==(const GridSample&) const = default;
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

// in: x, scale [C], bias [C] (both optional); C innermost, over which mean and variance are taken.
// Not centred: the mean counts as 0 (RMSNorm).
struct LayerNorm {
  float epsilon = 1e-5f;
  bool centred = true;
  bool operator==(const LayerNorm&) const = default;
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

// in: x, indices (i32, i64) of x's rank. out[i][j] = x[indices[i][j]][j] for axis 0.
struct GatherElements {
  int32_t axis = 0;
  bool operator==(const GatherElements&) const = default;
};

// in: x, indices [..., n]: each a position in the n dimensions of x behind the batch dimensions.
struct GatherNd {
  int32_t batch = 0;
  bool operator==(const GatherNd&) const = default;
};

// in: x, indices, updates. out: x with the updates at the indices; elements as GatherElements reads
// them (along `axis`), positions as GatherNd does.
struct Scatter {
  enum class Kind : uint8_t { elements, positions };
  enum class Reduction : uint8_t { none, add, mul, max, min };
  Kind kind = Kind::elements;
  Reduction reduction = Reduction::none;
  int32_t axis = 0;
  bool operator==(const Scatter&) const = default;
};

// in: x, k (i64; where `k` is -1). out: values, and their indices (i64) along axis. Sorted, of
// equals the lower index first.
struct TopK {
  int32_t axis = -1;
  int32_t k = -1;
  bool largest = true;
  bool operator==(const TopK&) const = default;
};

// in: x, and the axis (a scalar i64 or i32; may be negative) where it is computed. Sums of all
// elements up to here along the axis; exclusive: before here.
struct CumSum {
  int32_t axis = 0;
  bool exclusive = false, reverse = false;
  bool operator==(const CumSum&) const = default;
};

// in: x. out: the indices of what is not zero, i64 [rank of x, their number], in row-major order.
struct NonZero {
  bool operator==(const NonZero&) const = default;
};

// A recurrent layer as ONNX's LSTM, GRU and RNN define it. T steps, batch B, I inputs, H cells, P
// outputs (H without projection), D directions. in: x [T,B,I], w [D,gates*H,I], r [D,gates*H,P],
// then optional: bias [D,2*gates*H] (of w, then of r), lengths i32 [B], h [D,B,P], c [D,B,H],
// peephole [D,3*H], projection [D,P,H], norm [D,4*H]. Gates: LSTM i,o,f,c; GRU z,r,h. With norm, of
// an LSTM, each gate's sums are brought to mean 0 and variance 1 over its cells and multiplied by
// it before the biases are added (arXiv:1607.06450; as TensorFlow Lite's LSTMs). out: y [T,D,B,P],
// last h [D,B,P], and for LSTM last c [D,B,H].
struct Recurrent {
  enum class Cell : uint8_t { lstm, gru, rnn };
  enum class Direction : uint8_t { forward, reverse, both };
  Cell cell = Cell::lstm;
  Direction direction = Direction::forward;
  bool linear_before_reset = false;  // GRU: the reset gate acts behind r's product
  bool couple_input_forget = false;  // LSTM: f = 1 - i
  float clip = std::numeric_limits<float>::infinity();         // of what activations are fed
  float cell_clip = std::numeric_limits<float>::infinity();    // of c
  float output_clip = std::numeric_limits<float>::infinity();  // of the projection
  std::vector<Unary> activations{};  // per direction: LSTM f,g,h; GRU f,g; RNN f; none: the usual
  bool operator==(const Recurrent&) const = default;
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

// Every operator. FIRN_SINGLE_OUTPUT_OPS are those whose nodes have one output.
#define FIRN_SINGLE_OUTPUT_OPS(X) \
  X(Conv2d)                       \
  X(ConvTranspose2d)              \
  X(Dense)                        \
  X(MatMul)                       \
  X(Binary)                       \
  X(Unary)                        \
  X(PRelu)                        \
  X(Pool2d)                       \
  X(Reduce)                       \
  X(Softmax)                      \
  X(Concat)                       \
  X(Slice)                        \
  X(Pad)                          \
  X(Reshape)                      \
  X(Transpose)                    \
  X(Resize2d)                     \
  X(LocalResponseNorm)            \
  X(InstanceNorm)                 \
  X(DepthToSpace)                 \
  X(Gather)                       \
  X(ShapeOf)                      \
  X(Expand)                       \
  X(Fill)                         \
  X(Range)                        \
  X(Where)                        \
  X(ArgMax)                       \
  X(Convert)                      \
  X(Squeeze)                      \
  X(Tile)                         \
  X(GatherElements)               \
  X(GatherNd)                     \
  X(Scatter)                      \
  X(CumSum)                       \
  X(NonZero)                      \
  X(NonMaxSuppression)            \
  X(GridSample)                   \
  X(Resize)                       \
  X(DetectionOutput)              \
  X(LayerNorm)                    \
  X(RegionPool)
#define FIRN_OPS(X)         \
  FIRN_SINGLE_OUTPUT_OPS(X) \
  X(TopK)                   \
  X(Recurrent)              \
  X(DetectionPostProcess)

#define FIRN_ALTERNATIVE(name) , name
template <typename, typename... Ops>
using VariantOf = std::variant<Ops...>;
using OpVariant = VariantOf<void FIRN_OPS(FIRN_ALTERNATIVE)>;
#undef FIRN_ALTERNATIVE
// The variant, copied, moved and destroyed in ops.cpp alone: made in every file with a graph, that
// was a fifth of the time of compiling it.
class Op : public OpVariant {
 public:
  using OpVariant::OpVariant;
  Op();
  Op(const Op& other);
  Op(Op&& other) noexcept;
  Op& operator=(const Op& other);
  Op& operator=(Op&& other) noexcept;
  ~Op();
};

// "Conv2d", "Add", "HardSwish": what reports and messages call it.
const char* op_name(const Op& op);

}  // namespace firn

#endif  // FIRN_RUNTIME_OPS_H_
