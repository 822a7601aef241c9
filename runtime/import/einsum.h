// SPDX-License-Identifier: Apache-2.0
// Einsum, as NumPy defines it, by reductions, transposes and batched matrix products.
#ifndef FIRN_RUNTIME_IMPORT_EINSUM_H_
#define FIRN_RUNTIME_IMPORT_EINSUM_H_

#include <string>
#include <vector>

#include "runtime/import/emitter.h"

namespace firn::imports {

// "bij,bjk->bik" of the inputs, at least one. malformed: an equation that makes no sense for them;
// unsupported: dimensions of 1 that one label broadcasts, open ones where their product matters.
Result<ValueId> einsum(Emitter& c, const std::string& equation, const std::vector<ValueId>& in);

}  // namespace firn::imports

#endif  // FIRN_RUNTIME_IMPORT_EINSUM_H_
