// SPDX-License-Identifier: Apache-2.0
// Sizes that a file computes from the sizes of blobs: "//(0w,2),*(0h,2),0c".
#ifndef FIRN_RUNTIME_IMPORT_NCNN_EXPRESSION_H_
#define FIRN_RUNTIME_IMPORT_NCNN_EXPRESSION_H_

#include <vector>

#include "runtime/import/ncnn_context.h"

namespace firn::ncnn {

// The numbers of the list that parameter `id` is, none where it is missing. An operand is a number
// or a size of the layer's input of that number: w, h, d or c. malformed where it makes no sense;
// unsupported where a size that it needs is open, and for functions that sizes are not made of.
Result<std::vector<int32_t>> sizes_from(const Context& c, int id);

}  // namespace firn::ncnn

#endif  // FIRN_RUNTIME_IMPORT_NCNN_EXPRESSION_H_
