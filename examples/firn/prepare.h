// SPDX-License-Identifier: Apache-2.0
// Turns pictures and arrays into what a model's input takes.
#ifndef FIRN_EXAMPLES_FIRN_PREPARE_H_
#define FIRN_EXAMPLES_FIRN_PREPARE_H_

#include <string>
#include <vector>

#include "firn/image.h"
#include "firn/model.h"
#include "firn/status.h"
#include "npy.h"

namespace firn::tool {

// The preprocessing options as they stand on the command line; empty or 0 where not given.
struct PrepareOptions {
  std::string mean{}, std_dev{}, norm{};  // "a,b,c", or one number for all channels
  std::string pixel{};                    // RGB, BGR, GRAY
  std::string resize{};                   // crop, stretch
  int short_side = 0;
};

// What a u8 array of shape [height, width], [height, width, channels] or [count, height, width,
// channels] holds; channels: 1, 3 or 4.
struct Pictures {
  int32_t count = 1, height = 0, width = 0, channels = 1;
};

// One input of a model, and how samples become it.
class Preparation {
 public:
  // invalid_argument where an option is wrong, or does not fit the input.
  static Result<Preparation> make(const PrepareOptions& options, const TensorInfo& input);

  // Pictures, for an input of rank 4 or 3 with 1 or 3 channels, get the input's size and layout and
  // become (pixel - mean) / std; an 8-bit input without mean and std gets the pixels themselves
  // (i8: less 128).
  // Other arrays must have the input's shape, dimensions of 1 aside, and are fed as they are; to
  // integers mean and std apply where they are given.
  // `name` is for messages.
  Result<Array> apply(Array sample, const std::string& name) const;

 private:
  Result<Array> from_pictures(const Array& sample, const Pictures& pictures,
                              const std::string& name) const;
  Result<Array> from_array(Array sample, const std::string& name) const;
  // An error where the channels have different means or divisors, and there is but one.
  Status check_uniform() const;
  Result<Array> normalized(Array sample) const;

  TensorInfo input_;
  bool is_picture_ = false;  // whether the input has a layout that pictures fit
  bool normalizes_ = false;  // whether mean, std or norm was given
  bool reorders_ = false;    // whether BGR was asked for
  Preprocess preprocess_;
};

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_PREPARE_H_
