// SPDX-License-Identifier: Apache-2.0
// Calibration files: written, checked field by field, merged.
#include "quant/calibration_file.h"

#include <cmath>
#include <cstring>
#include <set>

#include "quant/byte_stream.h"
#include "runtime/checksum.h"
#include "runtime/file.h"

namespace firn {
namespace {

constexpr char kMagic[8] = {'f', 'i', 'r', 'n', 'c', 'a', 'l', '\n'};
constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t reserved;
  uint64_t checksum;  // of what follows
};

// Sums of so many frames' means and extremes fit their integers.
constexpr uint64_t kMaxFrames = 1 << 22;
constexpr int64_t kLargestMean = int64_t{1} << 40;
// A small file must not make a large one of the memory.
constexpr size_t kMaxTensors = 1 << 14;
constexpr size_t kLeastSlotBytes = 2 * ExactSum::kDigits * sizeof(int64_t);

}  // namespace

// The members of Histogram and Observer that turn them into bytes and back.

void Histogram::write(ByteWriter& to) const {
  to.plain(static_cast<int32_t>(exponent_));
  to.count(frames_);
  to.count(samples_);
  to.count(zeros_);
  to.plain(min_);
  to.plain(max_);
  for (const ExactSum* sum : {&sum_min_, &sum_max_})
    for (int64_t digit : sum->digits()) to.plain(digit);
  to.plain(static_cast<int32_t>(first()));
  to.plain(static_cast<int32_t>(last()));
  for (int i = first(), end = last(); i < end; ++i) to.count((*this)[i]);
}

bool Histogram::read(ByteReader& from) {
  exponent_ = from.plain<int32_t>();
  frames_ = static_cast<size_t>(from.count());
  samples_ = from.count();
  zeros_ = from.count();
  min_ = from.plain<float>();
  max_ = from.plain<float>();
  for (ExactSum* sum : {&sum_min_, &sum_max_}) {
    std::array<int64_t, ExactSum::kDigits> digits;
    for (int64_t& digit : digits) {
      digit = from.plain<int64_t>();
      if (digit > int64_t{1} << 54 || digit < -(int64_t{1} << 54)) return false;
    }
    *sum = ExactSum::of(digits);
  }
  const auto begin = from.plain<int32_t>(), end = from.plain<int32_t>();
  if (from.failed() || exponent_ < kMinExponent || exponent_ > kMaxExponent ||
      frames_ > kMaxFrames || begin < -kSide || begin > end || end > kSide)
    return false;
  if (frames_ == 0) return *this == Histogram() && begin == end;
  if (!std::isfinite(min_) || !std::isfinite(max_) || min_ > max_) return false;
  if (samples_ > 0) bins_.resize(size_t{2} * kSide);
  if (samples_ == 0 && begin != end) return false;
  uint64_t counted = zeros_;
  for (int i = begin; i < end; ++i) {
    const uint64_t count = from.count();
    if (count > samples_) return false;
    bins_[static_cast<size_t>(kSide + i)] = count;
    counted += count;
  }
  // Of all widths only the least is right, or merging would not be exact.
  const bool least = exponent_ == kMinExponent || last() > kSide / 2 || first() < -kSide / 2;
  return !from.failed() && counted == samples_ && first() == begin && last() == end && least;
}

void Observer::write(ByteWriter& to) const {
  to.count(tensors_.size());
  for (const ObservedTensor& tensor : tensors_) {
    to.text(tensor.name);
    to.plain(static_cast<uint8_t>(tensor.range));
    to.count(tensor.channels);
  }
  to.count(frames_);
  to.count(rejected_);
  to.text(last_rejected_);
  for (const Slot& slot : slots_) {
    to.count(slot.frames);
    slot.histogram.write(to);
    for (int64_t sum : slot.channel_sums) to.plain(sum);
  }
  for (const Snapshot& snapshot : snapshots_) {
    to.count(snapshot.frames);
    for (const Interval& range : snapshot.ranges) {
      to.plain(range.lo);
      to.plain(range.hi);
    }
  }
}

Result<Observer> Observer::read(ByteReader& from) {
  const auto malformed = [](const std::string& what) { return Status(Code::malformed, what); };
  const size_t count = from.length();
  if (count > kMaxTensors) return malformed(std::to_string(count) + " tensors are too many");
  std::vector<ObservedTensor> tensors(count);
  std::set<std::string> names;
  size_t sums = 0;
  for (ObservedTensor& tensor : tensors) {
    tensor.name = from.text();
    tensor.range = from.plain<uint8_t>() != 0;
    tensor.channels = from.length();
    sums += tensor.channels;
    if (!names.insert(tensor.name).second)
      return malformed("tensor \"" + tensor.name + "\" is there twice");
  }
  if (from.failed() || !from.has(sums * sizeof(int64_t) + count * kLeastSlotBytes))
    return malformed("the list of tensors is longer than the file");
  Observer observer(std::move(tensors));
  observer.frames_ = static_cast<size_t>(from.count());
  observer.rejected_ = static_cast<size_t>(from.count());
  observer.last_rejected_ = from.text();
  if (observer.frames_ > kMaxFrames)
    return malformed(std::to_string(observer.frames_) + " frames, at most " +
                     std::to_string(kMaxFrames) + " can be");
  for (size_t i = 0; i < observer.slots_.size(); ++i) {
    Slot& slot = observer.slots_[i];
    const std::string& name = observer.tensors_[i].name;
    slot.frames = static_cast<size_t>(from.count());
    const bool sound = slot.histogram.read(from);
    const size_t counted = observer.tensors_[i].range ? slot.frames : 0;
    if (!sound || slot.frames > observer.frames_ || slot.histogram.frames() != counted)
      return malformed("the histogram of \"" + name + "\" does not add up");
    for (int64_t& sum : slot.channel_sums) {
      sum = from.plain<int64_t>();
      if (sum > kLargestMean * static_cast<int64_t>(slot.frames) ||
          sum < -kLargestMean * static_cast<int64_t>(slot.frames))
        return malformed("a channel mean of \"" + name + "\" is out of range");
    }
  }
  for (Snapshot& snapshot : observer.snapshots_) {
    snapshot.frames = static_cast<size_t>(from.count());
    if (snapshot.frames > observer.frames_) return malformed("a snapshot has too many frames");
    for (Interval& range : snapshot.ranges) {
      range = {from.plain<float>(), from.plain<float>()};
      if (!std::isfinite(range.lo) || !std::isfinite(range.hi) || range.lo > range.hi)
        return malformed("a snapshot has a range that is none");
    }
  }
  if (from.failed()) return malformed("the file ends too early");
  return observer;
}

std::vector<std::byte> to_bytes(const SavedCalibration& saved) {
  ByteWriter body;
  body.plain(saved.fingerprint);
  saved.observer.write(body);
  Header header{{}, kVersion, 0, xxh64(body.bytes(), 0)};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  ByteWriter file;
  file.plain(header);
  file.bytes().insert(file.bytes().end(), body.bytes().begin(), body.bytes().end());
  return std::move(file.bytes());
}

Result<SavedCalibration> parse_calibration(std::span<const std::byte> bytes,
                                           const std::string& source) {
  const auto malformed = [&](const std::string& what) {
    return Status(Code::malformed, source + ": " + what);
  };
  ByteReader front(bytes);
  const auto header = front.plain<Header>();
  if (front.failed() || std::memcmp(header.magic, kMagic, sizeof kMagic) != 0)
    return malformed("not a calibration file");
  if (header.version != kVersion)
    return Status(Code::unsupported, source + ": version " + std::to_string(header.version) +
                                         ", expected " + std::to_string(kVersion));
  const std::span<const std::byte> body = bytes.subspan(sizeof header);
  if (header.reserved != 0 || xxh64(body, 0) != header.checksum)
    return malformed("checksum: the file is damaged");
  ByteReader from(body);
  const auto fingerprint = from.plain<uint64_t>();
  Result<Observer> observer = Observer::read(from);
  if (!observer.ok()) return malformed(observer.status().message());
  if (!from.at_end()) return malformed("bytes behind the end");
  return SavedCalibration{fingerprint, *std::move(observer)};
}

Status write_calibration(const std::string& path, const SavedCalibration& saved) {
  return write_file(path, to_bytes(saved));
}

Result<SavedCalibration> read_calibration(const std::string& path) {
  FIRN_ASSIGN(const MappedFile file, map_file(path));
  return parse_calibration(file.bytes, path);
}

Status merge_calibrations(std::span<const std::string> paths, const std::string& output) {
  if (paths.empty()) return {Code::invalid_argument, "merging calibrations: no file is given"};
  FIRN_ASSIGN(SavedCalibration merged, read_calibration(paths[0]));
  for (const std::string& path : paths.subspan(1)) {
    FIRN_ASSIGN(const SavedCalibration next, read_calibration(path));
    if (next.fingerprint != merged.fingerprint)
      return {Code::failed_precondition,
              path + ": of another model, or of other input shapes, than " + paths[0]};
    if (next.observer.frames() + merged.observer.frames() > kMaxFrames)
      return {Code::invalid_argument, path + ": more than " + std::to_string(kMaxFrames) +
                                          " frames in all cannot be merged"};
    FIRN_TRY(merged.observer.merge(next.observer));
  }
  return write_calibration(output, merged);
}

}  // namespace firn
