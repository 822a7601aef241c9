// SPDX-License-Identifier: Apache-2.0
// Damage to model files: of their bytes, of ONNX's protobuf fields, of TensorFlow
// Lite's tables, of .firn's regions.
#ifndef FIRN_TEST_FUZZ_MUTATIONS_H_
#define FIRN_TEST_FUZZ_MUTATIONS_H_

#include <cstdint>
#include <string>

#include "test/fuzz/random.h"

namespace firn::fuzz {

// Bits, bytes, words, blocks; truncated, or spliced with `other`. Never larger than kMaxBytes.
std::string mutate_bytes(std::string file, const std::string& other, Random& random);

// Fields of the protobuf messages, mostly with lengths that agree, so that the damage is read.
std::string mutate_onnx(std::string file, const std::string& other, Random& random);

// Numbers in a TensorFlow Lite file's tables and vectors, in place, so that it still verifies.
std::string mutate_tflite(std::string file, const std::string& other, Random& random);

// Numbers, words and lines of the .param, or its binary form; bytes of the .bin. Both are pairs as
// in ncnn_pair.h.
std::string mutate_ncnn(std::string file, const std::string& other, Random& random);

// Words of the header, the graph and the data; sealed with the right checksum in half of the cases.
std::string mutate_firn(std::string file, const std::string& other, Random& random);

// Numbers at the edges of what integer fields can hold, or small ones.
uint64_t edge_integer(Random& random);
// Overwrites one element of 1, 2, 4 or 8 bytes at a multiple of its size in [begin, end).
void set_element(std::string& bytes, size_t begin, size_t end, Random& random);

inline constexpr size_t kMaxBytes = size_t{4} << 20;

}  // namespace firn::fuzz

#endif  // FIRN_TEST_FUZZ_MUTATIONS_H_
