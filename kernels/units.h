// SPDX-License-Identifier: Apache-2.0
// The independent units of work that one call of a kernel does.
#ifndef FIRN_KERNELS_UNITS_H_
#define FIRN_KERNELS_UNITS_H_

#include <cstddef>

namespace firn::kernels {

// Ranges of units, one after the other, so that what a kernel makes for one serves the next:
//   do {
//     for (size_t unit = units.begin; unit < units.end; ++unit) ...
//   } while (units.next());
class Units {
 public:
  // [begin, end) alone.
  Units(size_t from, size_t to) : begin(from), end(to) {}

  // Goes on to the next range; false where there is none.
  bool next() { return more_ != nullptr && more_(*this); }

  size_t begin, end;

 protected:
  using More = bool (*)(Units&);
  Units(size_t from, size_t to, More more) : begin(from), end(to), more_(more) {}

 private:
  More more_ = nullptr;
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_UNITS_H_
