// SPDX-License-Identifier: Apache-2.0
// Decodes pictures.
#ifndef FIRN_EXAMPLES_FIRN_PICTURE_H_
#define FIRN_EXAMPLES_FIRN_PICTURE_H_

#include <string>

#include "firn/status.h"
#include "npy.h"

namespace firn::tool {

// Whether the name ends like a picture's: .jpg, .jpeg or .png, in any case.
bool has_picture_name(const std::string& path);

// The file's pixels as u8 [height, width, channels]: three channels (RGB), or one where the file is
// gray. Transparency is dropped; a camera's orientation tag is not applied. not_found, io_error,
// malformed (also where the file is cut off); unsupported where it is too large.
Result<Array> read_picture(const std::string& path);

}  // namespace firn::tool

#endif  // FIRN_EXAMPLES_FIRN_PICTURE_H_
