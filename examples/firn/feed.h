// SPDX-License-Identifier: Apache-2.0
// Brings the samples of --data, one after another, into the form that a model's inputs take.
#ifndef FIRN_EXAMPLES_FIRN_FEED_H_
#define FIRN_EXAMPLES_FIRN_FEED_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "firn/model.h"
#include "firn/status.h"
#include "firn/tensor.h"
#include "npy.h"
#include "prepare.h"
#include "source.h"

namespace firn::tool {

// The options of the commands that go over samples.
struct DataOptions {
  std::vector<std::string> data;  // [NAME=]SRC
  std::string labels;             // a file; may be empty
  size_t skip = 0;
  size_t limit = 0;  // 0: no limit
  PrepareOptions prepare;
};

// "NAME=FILE" is for the input NAME; without a name, or where no input is called so, the argument
// is a file for the first input without one. Returns a file an input, in the inputs' order.
// invalid_argument where there are too many or too few.
Result<std::vector<std::string>> assign_to_inputs(const std::vector<std::string>& arguments,
                                                  const std::vector<TensorInfo>& inputs);

// One sample at a time is in memory.
class Feed {
 public:
  static Result<Feed> open(const DataOptions& options, const std::vector<TensorInfo>& inputs);

  // The number of samples, after skip and limit.
  size_t size() const { return size_; }
  // Of the source's first sample that counts.
  size_t first() const { return first_; }
  const Source& source() const { return parts_[0].source; }

  // The index-th sample as all inputs of one run; good until the next call. index < size().
  Result<std::vector<NamedTensor>> read(size_t index);

 private:
  struct Part {
    std::string input;
    Source source;
    Preparation preparation;
    Array array;  // the last sample that was read
  };
  std::vector<Part> parts_;
  size_t first_ = 0, size_ = 0;
};

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_FEED_H_
