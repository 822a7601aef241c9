// SPDX-License-Identifier: Apache-2.0
// From nodes to steps: which kernel computes a node, with what weights packed how.
#ifndef FIRN_RUNTIME_LOWER_LOWER_H_
#define FIRN_RUNTIME_LOWER_LOWER_H_

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/gemm_s8.h"
#include "kernels/vec_f32.h"
#include "kernels/vec_s8.h"
#include "kernels/xnn.h"
#include "runtime/int8_ops.h"
#include "runtime/program.h"

namespace firn {

// Gives constants back that nobody reads any more.
class Releases {
 public:
  // `own`: of which they are; null where they are others' as well and stay.
  Releases(Graph* own, const Uses& uses) : own_(own), uses_(uses) {}
  // One of those who read it has packed it.
  void release(ValueId id);

 private:
  Graph* own_;
  const Uses& uses_;
  std::map<ValueId, size_t> packed_;  // by how many
};

struct LowerContext {
  const Graph& graph;
  const Uses& uses;
  const std::vector<Placement>& placement;
  kernels::IsaMask isa;
  kernels::Pool& pool;
  PackedWeights& packed;
  Releases& releases;
  const std::vector<bool>& is_unsigned;  // per value, as find_unsigned()
  bool integer_weights = false;          // as CompileOptions

  const Value& value(ValueId id) const { return graph.value(id); }
  // A layer has packed these weights and does not read them again: their memory is given back, that
  // of a mapped file at once, that of the graph's own when all who read them have said so.
  void release(ValueId weights) const;
  // Elements between the pixels of an NHWC value.
  int32_t pixel_stride(ValueId id) const;
  const kernels::VecS8& vec() const { return kernels::pick(kernels::vec_s8_table(), isa); }
  const kernels::VecF32& vec_f32() const { return kernels::pick(kernels::vec_f32_table(), isa); }
};

// Views and in-place concatenations, found before anything is lowered: per value where it lies.
std::vector<Placement> find_placements(const Graph& graph, const Uses& uses);

// int8 values whose bytes are to be values + 128: what int8 layers alone write and read, with
// kernels that multiply uint8. Nothing is unsigned in the context yet.
std::vector<bool> find_unsigned(const LowerContext& context);

// What is said where bytes are needed that were given back: the whole graph is to be lowered.
Status released_error(const Value& constant);

// Appends the step (or none, where its output is a view) that computes the node.
Status lower_node(const LowerContext& context, const Node& node, std::vector<LoweredStep>& steps);

// Whether a Conv2d or Dense is one that the int8 kernels compute: constant weights with a scale per
// channel, or one; int32 bias; the rest of one scale, or a float output.
bool is_int8_layer(const Graph& graph, const Node& node);

// Whether it is one whose input has 16 bits: int8 weights as above without zero points, a float
// bias; the output is float, or of 8 or 16 bits.
bool is_wide_layer(const Graph& graph, const Node& node);

// What every kernel relies on: tensors with elements, and few enough to count in 32 bits; int8 of
// one scale. Weights are their layers' to look at.
bool kernels_take(const Graph& graph, const Node& node);

// Numbers of a type that stand for themselves.
inline bool is_plain(const Value& value, DType type) {
  return value.type == type && !value.quant.has_value();
}

// Whether elements move from one to the other as they are.
inline bool moves_as_is(const Value& a, const Value& b) {
  return a.type == b.type && a.quant == b.quant;
}

// A step from a function of a Frame.
template <typename F>
std::unique_ptr<Step> make_step(F f) {
  struct FunctionStep final : Step {
    explicit FunctionStep(F f) : f(std::move(f)) {}
    Status run(const Frame& frame) override { return f(frame); }
    F f;
  };
  return std::make_unique<FunctionStep>(std::move(f));
}

// The step with the names of its node filled in.
LoweredStep describe_step(const LowerContext& context, const Node& node, std::unique_ptr<Step> step,
                          std::string kernel);

// Lowering of one kind of node. No tensor of it is empty; int8 ones are of one scale, but weights
// may be anything. false where it has no kernel of that kind, and the reference is to compute it.
using Lowered = Result<bool>;
Lowered lower_conv(const LowerContext&, const Node&, const Conv2d&, std::vector<LoweredStep>&);
Lowered lower_dense(const LowerContext&, const Node&, const Dense&, std::vector<LoweredStep>&);
// An fp32 one of few input channels, by our own product.
Lowered lower_conv_by_rows(const LowerContext&, const Node&, const Conv2d&,
                           std::vector<LoweredStep>&);
// A layer that is_wide_layer(), of that shape; a plain matrix product has batch, in_h and out_h
// of 1.
Status lower_wide(const LowerContext&, const Node&, const kernels::ConvShape&, const Clamp&,
                  std::vector<LoweredStep>&);
// Weights of few bits multiplied as they are, where the session wants that of them.
Lowered lower_conv_in_integers(const LowerContext&, const Node&, const Conv2d&,
                               std::vector<LoweredStep>&);
Lowered lower_dense_in_integers(const LowerContext&, const Node&, const Dense&,
                                std::vector<LoweredStep>&);
// Weights that are no constants.
Lowered lower_dense_of_values(const LowerContext&, const Node&, const Dense&,
                              std::vector<LoweredStep>&);
Lowered lower_matmul(const LowerContext&, const Node&, const MatMul&, std::vector<LoweredStep>&);
// Whether the node is a Transpose that only matrix products read, which do without it.
bool folds_into_products(const LowerContext& context, const Node& node);
Lowered lower_conv_transpose(const LowerContext&, const Node&, const ConvTranspose2d&,
                             std::vector<LoweredStep>&);
Lowered lower_binary(const LowerContext&, const Node&, const Binary&, std::vector<LoweredStep>&);
Lowered lower_unary(const LowerContext&, const Node&, const Unary&, std::vector<LoweredStep>&);
// What neither int8 kernels nor XNNPACK take.
Lowered lower_binary_plain(const LowerContext&, const Node&, const Binary&,
                           std::vector<LoweredStep>&);
Lowered lower_unary_plain(const LowerContext&, const Node&, const Unary&,
                          std::vector<LoweredStep>&);
Lowered lower_where(const LowerContext&, const Node&, const Where&, std::vector<LoweredStep>&);
Lowered lower_prelu(const LowerContext&, const Node&, const PRelu&, std::vector<LoweredStep>&);
Lowered lower_arg_max(const LowerContext&, const Node&, const ArgMax&, std::vector<LoweredStep>&);
Lowered lower_instance_norm(const LowerContext&, const Node&, const InstanceNorm&,
                            std::vector<LoweredStep>&);
Lowered lower_layer_norm(const LowerContext&, const Node&, const LayerNorm&,
                         std::vector<LoweredStep>&);
Lowered lower_response_norm(const LowerContext&, const Node&, const LocalResponseNorm&,
                            std::vector<LoweredStep>&);
Lowered lower_gather(const LowerContext&, const Node&, const Gather&, std::vector<LoweredStep>&);
Lowered lower_expand(const LowerContext&, const Node&, const Expand&, std::vector<LoweredStep>&);
Lowered lower_tile(const LowerContext&, const Node&, const Tile&, std::vector<LoweredStep>&);
Lowered lower_depth_to_space(const LowerContext&, const Node&, const DepthToSpace&,
                             std::vector<LoweredStep>&);
Lowered lower_pool(const LowerContext&, const Node&, const Pool2d&, std::vector<LoweredStep>&);
// Pools in float that XNNPACK does not take.
Lowered lower_pool_plain(const LowerContext&, const Node&, const Pool2d&,
                         std::vector<LoweredStep>&);
Lowered lower_reduce_plain(const LowerContext&, const Node&, const Reduce&,
                           std::vector<LoweredStep>&);
Lowered lower_resize_nearest(const LowerContext&, const Node&, const Resize2d&,
                             std::vector<LoweredStep>&);
Lowered lower_resize_bilinear(const LowerContext&, const Node&, const Resize2d&,
                              std::vector<LoweredStep>&);
Lowered lower_convert_plain(const LowerContext&, const Node&, std::vector<LoweredStep>&);
Lowered lower_reduce(const LowerContext&, const Node&, const Reduce&, std::vector<LoweredStep>&);
Lowered lower_softmax(const LowerContext&, const Node&, const Softmax&, std::vector<LoweredStep>&);
Lowered lower_resize(const LowerContext&, const Node&, const Resize2d&, std::vector<LoweredStep>&);
Lowered lower_convert(const LowerContext&, const Node&, const Convert&, std::vector<LoweredStep>&);
// The Transpose to NHWC that alone reads what `convert` quantizes, and is computed along with it.
const Node* planar_transpose(const LowerContext& context, const Node& convert);
Lowered lower_concat(const LowerContext&, const Node&, const Concat&, std::vector<LoweredStep>&);
Lowered lower_transpose(const LowerContext&, const Node&, const Transpose&,
                        std::vector<LoweredStep>&);
Lowered lower_slice(const LowerContext&, const Node&, const Slice&, std::vector<LoweredStep>&);
Lowered lower_pad(const LowerContext&, const Node&, const Pad&, std::vector<LoweredStep>&);
Lowered lower_recurrent(const LowerContext&, const Node&, const Recurrent&,
                        std::vector<LoweredStep>&);
Status lower_reference(const LowerContext&, const Node&, std::vector<LoweredStep>&);

// Appends a step that XNNPACK computes from the values `reads` (one or two); false where `op` is
// null, that is, XNNPACK does not take the node in its form, or a value is not f32. out_of_memory.
Lowered push_xnn(const LowerContext& context, const Node& node, std::unique_ptr<kernels::XnnOp> op,
                 std::vector<ValueId> reads, std::vector<LoweredStep>& steps);

// Geometry of a sliding window from x to y, NHWC; per-group channels from the number of groups.
kernels::ConvShape window_shape(const LowerContext& context, const Window& window, int32_t groups,
                                ValueId x, ValueId y);
// The bottom and right padding that the output's size implies, never negative.
std::pair<int32_t, int32_t> pad_bottom_right(const kernels::ConvShape& shape);

// About what a rung multiplies, to tell layers that are worth sharing from those that are not.
double macs_per_ns(kernels::Isa isa, const kernels::ConvShape& shape);

// The int8 bounds of `clamp` in the units of a quantized value.
kernels::Clamp8 clamp8(const Clamp& clamp, const Quant& quant);

// y = table[x + 128] for f computed on dequantized values.
struct Table8 {
  std::array<int8_t, 256> entry;
};
Table8 make_table(const Quant& in, const Quant& out, const std::function<double(double)>& f);
LoweredStep table_step(const LowerContext& context, const Node& node, ValueId x,
                       const Table8& table);

// That many elements of simple work are worth another thread's while; far fewer where it is a
// thread's share, which it has in its cache from the layer before.
inline constexpr size_t kElementsWorthSharing = size_t{1} << 15, kLeastShare = 3072;
template <typename F>
void parallel_elements(kernels::Pool& pool, size_t n, F&& f) {
  const size_t share = (n / static_cast<size_t>(pool.threads()) + 63) / 64 * 64;
  pool.parallel_for(n, std::clamp(share, kLeastShare, kElementsWorthSharing), std::forward<F>(f));
}

}  // namespace firn

#endif  // FIRN_RUNTIME_LOWER_LOWER_H_
