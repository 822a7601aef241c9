// SPDX-License-Identifier: Apache-2.0
// What must hold of a JPEG file before stb_image may see it.
#ifndef FIRN_EXAMPLES_FIRN_JPEG_CHECK_H_
#define FIRN_EXAMPLES_FIRN_JPEG_CHECK_H_

#include <string_view>

namespace firn::tool {

// Whether the file begins as stb_image takes a JPEG to begin.
bool is_jpeg(std::string_view file);

// What is wrong with such a file; null where nothing is. stb_image 2.27 writes Huffman tables of
// more than 256 codes past its arrays; later versions paint gray what is missing of a cut-off file.
const char* jpeg_problem(std::string_view file);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_JPEG_CHECK_H_
