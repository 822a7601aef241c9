// SPDX-License-Identifier: Apache-2.0
// The inputs and sizes of a recurrent layer, and its activations by direction.
#ifndef FIRN_RUNTIME_RECURRENT_H_
#define FIRN_RUNTIME_RECURRENT_H_

#include <array>
#include <cstdint>

#include "runtime/graph.h"

namespace firn {

// Where a Recurrent's inputs are.
namespace recurrent {
inline constexpr size_t kX = 0, kW = 1, kR = 2, kBias = 3, kLengths = 4, kH = 5, kC = 6,
                        kPeephole = 7, kProjection = 8, kNorm = 9, kInputs = 10;
// Added to variances that sums are divided by.
inline constexpr float kNormEpsilon = 1e-8f;
}  // namespace recurrent

constexpr size_t gate_count(Recurrent::Cell cell) {
  return cell == Recurrent::Cell::lstm ? 4 : cell == Recurrent::Cell::gru ? 3 : 1;
}
constexpr size_t activation_count(Recurrent::Cell cell) {
  return cell == Recurrent::Cell::lstm ? 3 : cell == Recurrent::Cell::gru ? 2 : 1;
}

struct RecurrentSizes {
  size_t steps = 0, batch = 0, inputs = 0, cells = 0, outputs = 0, directions = 1, gates = 1;
};
// From the shapes of x and r, which have to be sound.
RecurrentSizes recurrent_sizes(const Recurrent& op, const Shape& x, const Shape& r);

// f, g and h of a direction.
std::array<Unary, 3> recurrent_activations(const Recurrent& op, size_t direction);

inline bool runs_backwards(const Recurrent& op, size_t direction) {
  return op.direction == Recurrent::Direction::reverse || direction == 1;
}

}  // namespace firn

#endif  // FIRN_RUNTIME_RECURRENT_H_
