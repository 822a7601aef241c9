// SPDX-License-Identifier: Apache-2.0
// What a calibration has seen, as a file: to go on with later, and to merge with what was seen
// elsewhere.
#ifndef FIRN_QUANT_CALIBRATION_FILE_H_
#define FIRN_QUANT_CALIBRATION_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/observe.h"

namespace firn {

struct SavedCalibration {
  uint64_t fingerprint = 0;  // of the graph that was observed
  Observer observer;         // its tensors have names, but no ids
};

// Little-endian: "firncal\n", version, length, checksum, and then the observer's fields in order,
// counts as LEB128.
std::vector<std::byte> to_bytes(const SavedCalibration& saved);
// Nothing in the bytes is trusted. malformed, unsupported (another version); `source` stands in
// front of messages.
Result<SavedCalibration> parse_calibration(std::span<const std::byte> bytes,
                                           const std::string& source);

Status write_calibration(const std::string& path, const SavedCalibration& saved);
// not_found, io_error, and what parse_calibration says.
Result<SavedCalibration> read_calibration(const std::string& path);

}  // namespace firn

#endif  // FIRN_QUANT_CALIBRATION_FILE_H_
