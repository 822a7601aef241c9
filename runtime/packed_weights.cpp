// SPDX-License-Identifier: Apache-2.0
// The packed weights of a model's constants, found by what they were made of.
#include "runtime/packed_weights.h"

#include <algorithm>

namespace firn {
namespace {

std::vector<int32_t> numbers_of(const PackedKey& key) {
  const kernels::ConvShape& s = key.shape;
  return {key.input_zero, s.in_c,     s.out_c,      s.groups,     s.kernel_h, s.kernel_w,
          s.stride_h,     s.stride_w, s.dilation_h, s.dilation_w, s.repeat,   s.in_pixel_stride};
}

}  // namespace

Result<std::shared_ptr<const Buffer>> PackedWeights::get(const PackedKey& key, const Pack& pack) {
  const std::vector<int32_t> numbers = numbers_of(key);
  // Held while packing, so that whoever wants the same waits for it and does not pack it again.
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    // A constant that is gone compares unequal, even if another one lies at its address.
    if (entry.weights.lock() != key.weights || entry.has_bias != (key.bias != nullptr) ||
        (entry.has_bias && entry.bias.lock() != key.bias) || entry.kernel != key.kernel ||
        entry.numbers != numbers)
      continue;
    if (auto packed = entry.packed.lock()) return packed;
  }
  FIRN_ASSIGN(auto packed, pack());
  std::erase_if(entries_, [](const Entry& entry) { return entry.packed.expired(); });
  entries_.push_back({key.weights, key.bias, key.bias != nullptr, key.kernel, numbers, packed});
  return packed;
}

void PackedWeights::forget(const Buffer& constant) const {
  const std::span<const std::byte> bytes = constant.bytes();
  const bool inside = !bytes.empty() && bytes.data() >= bytes_.data() &&
                      bytes.data() + bytes.size() <= bytes_.data() + bytes_.size();
  if (const auto file = file_.lock(); file != nullptr && inside) forget_pages({file, bytes});
}

void PackedWeights::forget_all() const {
  if (auto file = file_.lock()) forget_pages({std::move(file), bytes_});
}

}  // namespace firn
