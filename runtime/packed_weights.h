// SPDX-License-Identifier: Apache-2.0
// Weights as the kernels read them, once for all who read the same constant: the sessions of a
// model, their plans for other input shapes, the programs that a freeze times and verifies.
#ifndef FIRN_RUNTIME_PACKED_WEIGHTS_H_
#define FIRN_RUNTIME_PACKED_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/gemm_s8.h"
#include "runtime/file.h"
#include "runtime/graph.h"

namespace firn {

// What a step's kernel reads of a constant.
struct PackedLayer {
  std::shared_ptr<const Buffer> bytes;
  uint64_t constant = 0;                // its id
  std::function<void(int8_t*)> unpack;  // the int8 weights it was; empty where it was others
};

// What packed bytes follow from. Image sizes are not part of it: see GemmS8::packed_bytes.
struct PackedKey {
  uint64_t weights = 0, bias = 0;  // ids of the constants; no bias: 0
  std::string kernel;              // the variant's name
  kernels::ConvShape shape;
  int32_t input_zero = 0;
};

// Thread-safe. Holds nothing alive: what is packed goes with the last who uses it.
class PackedWeights {
 public:
  // `file` is the mapped one that constants may lie in; no bytes where there is none.
  explicit PackedWeights(MappedFile file = {}) : file_(file.owner), bytes_(file.bytes) {}

  using Pack = std::function<Result<std::shared_ptr<const Buffer>>()>;
  // What `pack` made for that key and somebody still uses; otherwise what it makes now.
  Result<std::shared_ptr<const Buffer>> get(const PackedKey& key, const Pack& pack);
  // The same without making it: null where nobody uses such.
  std::shared_ptr<const Buffer> find(const PackedKey& key);

  // Gives the memory back that a mapped file's constant takes: it is packed now, and will be read
  // from the file again where somebody asks for it. Nothing happens to other constants.
  void forget(const Buffer& constant) const;
  // The same for all of the file.
  void forget_all() const;

 private:
  struct Entry {
    uint64_t weights, bias;
    std::string kernel;
    std::vector<int32_t> numbers;
    std::weak_ptr<const Buffer> packed;
  };
  std::shared_ptr<const Buffer> find_locked(const PackedKey& key) const;

  std::weak_ptr<const void> file_;
  std::span<const std::byte> bytes_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace firn

#endif  // FIRN_RUNTIME_PACKED_WEIGHTS_H_
