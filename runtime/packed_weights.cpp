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
  // Held while packing, so that whoever wants the same waits for it and does not pack it again.
  const std::lock_guard lock(mutex_);
  if (auto found = find_locked(key)) return found;
  FIRN_ASSIGN(auto packed, pack());
  std::erase_if(entries_, [](const Entry& entry) { return entry.packed.expired(); });
  entries_.push_back({key.weights, key.bias, key.kernel, numbers_of(key), packed});
  return packed;
}

std::shared_ptr<const Buffer> PackedWeights::find(const PackedKey& key) {
  const std::lock_guard lock(mutex_);
  return find_locked(key);
}

std::shared_ptr<const Buffer> PackedWeights::find_locked(const PackedKey& key) const {
  const std::vector<int32_t> numbers = numbers_of(key);
  for (const Entry& entry : entries_) {
    if (entry.weights != key.weights || entry.bias != key.bias || entry.kernel != key.kernel ||
        entry.numbers != numbers)
      continue;
    if (auto packed = entry.packed.lock()) return packed;
  }
  return nullptr;
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
