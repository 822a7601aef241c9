// SPDX-License-Identifier: Apache-2.0
// Pass, when no other fires any more: layers read int8, or 16 bits, even where floats are wanted of
// them.
//
//   a -> Dequantize -> Conv2d, Dense -> y     becomes     a -> Conv2d, Dense -> y f32
#include "runtime/passes/quantized.h"

namespace firn {

Result<int> int8_to_float(Graph& graph, Diag& diag) {
  return rewrite_nodes(graph, diag, "int8_to_float", [](Rewrite& rewrite, int n) -> Result<bool> {
    FIRN_ASSIGN(const bool done, make_int8_layer(rewrite, n, true));
    return done ? true : make_wide_layer(rewrite, n, true);
  });
}

}  // namespace firn
