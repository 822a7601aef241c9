// SPDX-License-Identifier: Apache-2.0
// The true classes of samples, and the classes that outputs name.
#ifndef FIRN_EXAMPLES_FIRN_LABELS_H_
#define FIRN_EXAMPLES_FIRN_LABELS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "firn/status.h"
#include "source.h"

namespace firn::tool {

// The class of every sample of the source: from a CSV, by its columns "file" and "class"; from an
// .npy of integers, by position. An error names the sample that has none.
Result<std::vector<int64_t>> read_labels(const std::string& path, const Source& source);

// The indices of the `count` greatest scores, the greatest first; of equal ones the first.
std::vector<size_t> top_classes(std::span<const float> scores, size_t count);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_LABELS_H_
