// SPDX-License-Identifier: Apache-2.0
// The true classes of samples, and the classes that outputs name.
#include "labels.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "csv.h"
#include "npy.h"
#include "text.h"

namespace firn::tool {
namespace {

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

Result<std::vector<int64_t>> labels_of_csv(const std::string& path, const Source& source) {
  if (source.is_npy()) {
    return Status(Code::invalid_argument, path + ": names files, but " + source.path() +
                                              " has none: give an .npy of labels");
  }
  FIRN_ASSIGN(const Csv csv, read_csv(path));
  FIRN_ASSIGN(const size_t file_column, csv.column("file"));
  FIRN_ASSIGN(const size_t class_column, csv.column("class"));
  std::unordered_map<std::string, int64_t> class_of;
  for (const Csv::Row& row : csv.rows) {
    const Result<int> label = parse_number<int>(row.cells[class_column]);
    if (!label) {
      return Status(Code::malformed, format("%s:%d: class %s", path.c_str(), row.line,
                                            label.status().message().c_str()));
    }
    const auto [entry, is_new] = class_of.emplace(row.cells[file_column], *label);
    if (!is_new && entry->second != *label) {
      return Status(Code::malformed, format("%s:%d: a second class for %s", path.c_str(), row.line,
                                            row.cells[file_column].c_str()));
    }
  }
  std::vector<int64_t> labels;
  for (size_t i = 0; i < source.size(); ++i) {
    // As the list says, or by its bare name where the list and the CSV lie in different folders.
    auto found = class_of.find(source.file(i));
    if (found == class_of.end()) found = class_of.find(file_name(source.file(i)));
    if (found == class_of.end()) {
      return Status(Code::not_found, path + ": no row for " + source.file(i));
    }
    labels.push_back(found->second);
  }
  return labels;
}

template <typename T>
std::vector<int64_t> widened(const Array& array) {
  return {array.as<T>(), array.as<T>() + array.shape.elements()};
}

Result<std::vector<int64_t>> labels_of_npy(const std::string& path, const Source& source) {
  FIRN_ASSIGN(NpyFile npy, NpyFile::open(path));
  if (npy.shape().elements() != source.size()) {
    return Status(Code::invalid_argument,
                  format("%s: %zu labels, expected %zu as %s has samples", path.c_str(),
                         npy.shape().elements(), source.size(), source.path().c_str()));
  }
  FIRN_ASSIGN(const Array array, npy.read());
  switch (array.type) {
    case DType::i8:
      return widened<int8_t>(array);
    case DType::u8:
      return widened<uint8_t>(array);
    case DType::i16:
      return widened<int16_t>(array);
    case DType::i32:
      return widened<int32_t>(array);
    case DType::i64:
      return widened<int64_t>(array);
    default:
      return Status(Code::invalid_argument,
                    path + ": labels of type " + dtype_name(array.type) + ", expected integers");
  }
}

}  // namespace

Result<std::vector<int64_t>> read_labels(const std::string& path, const Source& source) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".csv") return labels_of_csv(path, source);
  if (extension == ".npy") return labels_of_npy(path, source);
  return Status(Code::invalid_argument, path + ": expected labels as .csv or .npy");
}

std::vector<size_t> top_classes(std::span<const float> scores, size_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  count = std::min(count, order.size());
  // NaN counts as the least, so that the order stays a strict weak one.
  const auto key = [&](size_t i) {
    return std::isnan(scores[i]) ? -std::numeric_limits<float>::infinity() : scores[i];
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](size_t a, size_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  order.resize(count);
  return order;
}

}  // namespace firn::tool
