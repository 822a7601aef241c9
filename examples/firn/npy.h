// SPDX-License-Identifier: Apache-2.0
// Arrays that own their elements, and NumPy's .npy files (format versions 1 to 3) for them.
#ifndef FIRN_EXAMPLES_FIRN_NPY_H_
#define FIRN_EXAMPLES_FIRN_NPY_H_

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include "firn/status.h"
#include "firn/tensor.h"

namespace firn::tool {

// Dense, row-major elements.
struct Array {
  DType type = DType::f32;
  Shape shape;
  std::vector<std::byte> data;

  Array() = default;
  // Zeros.
  Array(DType element, const Shape& extent)
      : type(element), shape(extent), data(extent.elements() * dtype_bytes(element)) {}
  Tensor view() { return {type, shape, data.data()}; }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data.data());
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(data.data());
  }
};

// An open file, of which one sample at a time is in memory. Little-endian, C order, elements
// f4 f8 i1 u1 i2 i4 i8 b1; f8 is read as f32.
class NpyFile {
 public:
  // not_found, io_error, malformed (breaks the format, or does not have the bytes its shape needs),
  // unsupported (other elements or orders).
  static Result<NpyFile> open(const std::string& path);

  const std::string& path() const { return path_; }
  DType type() const { return type_; }
  const Shape& shape() const { return shape_; }
  // How many samples there are along the first axis; 0 for a scalar.
  size_t samples() const { return shape_.rank == 0 ? 0 : static_cast<size_t>(shape_[0]); }

  Result<Array> read() { return read_elements(shape_, 0); }
  // The index-th sample, without the first axis. index < samples().
  Result<Array> read_sample(size_t index);

 private:
  Result<Array> read_elements(const Shape& shape, size_t first);

  std::string path_;
  std::ifstream file_;
  DType type_ = DType::f32;
  bool f64_ = false;
  Shape shape_;
  size_t data_offset_ = 0;
};

// Writes aside and renames, so that no reader sees half a file. unsupported for f16.
Status write_npy(const std::string& path, const Tensor& tensor);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_NPY_H_
