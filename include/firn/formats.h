// SPDX-License-Identifier: Apache-2.0
// The operators that firn reads of each model format.
#ifndef FIRN_FORMATS_H_
#define FIRN_FORMATS_H_

#include <string>
#include <vector>

#include "firn/export.h"

namespace firn {

struct FormatOperators {
  std::string format;                  // "onnx"
  std::vector<std::string> operators;  // by the format's own names, sorted
};

// Of every format that Model::load reads but .firn, whose operators are firn's own.
FIRN_API std::vector<FormatOperators> supported_operators();

}  // namespace firn

#endif  // FIRN_FORMATS_H_
