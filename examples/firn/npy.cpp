// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy files: a magic word, a version, the length of a header, the header as a literal of
// a Python dict, the elements.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include "npy.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "text.h"

namespace firn::tool {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeaderBytes = 1 << 16;

struct ElementType {
  const char* code;
  DType type;
};
constexpr ElementType kElementTypes[] = {
    {"f4", DType::f32}, {"i1", DType::i8},  {"u1", DType::u8},      {"i2", DType::i16},
    {"i4", DType::i32}, {"i8", DType::i64}, {"b1", DType::boolean},
};
constexpr std::string_view kF64 = "f8";

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Takes the header's dict literal apart; every function says whether it found what it is named for.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  bool parse(Header& header) {
    bool have_descr = false, have_order = false, have_shape = false;
    if (!take('{')) return false;
    while (!take('}')) {
      std::string key;
      if (!string(key) || !take(':')) return false;
      if (key == "descr" && !have_descr) {
        have_descr = string(header.descr);
        if (!have_descr) return false;
      } else if (key == "fortran_order" && !have_order) {
        have_order = boolean(header.fortran_order);
        if (!have_order) return false;
      } else if (key == "shape" && !have_shape) {
        have_shape = tuple(header.shape);
        if (!have_shape) return false;
      } else {
        return false;
      }
      if (!take(',') && !next_is('}')) return false;
    }
    skip_space();
    return text_.empty() && have_descr && have_order && have_shape;
  }

 private:
  void skip_space() {
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_[0]))) {
      text_.remove_prefix(1);
    }
  }
  bool next_is(char c) {
    skip_space();
    return !text_.empty() && text_[0] == c;
  }
  bool take(char c) {
    if (!next_is(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view expected) {
    skip_space();
    if (!text_.starts_with(expected)) return false;
    text_.remove_prefix(expected.size());
    return true;
  }
  bool string(std::string& out) {
    const char quote = next_is('"') ? '"' : '\'';
    if (!take(quote)) return false;
    const size_t end = text_.find(quote);
    if (end == std::string_view::npos) return false;
    out = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return true;
  }
  bool boolean(bool& out) {
    out = word("True");
    return out || word("False");
  }
  bool tuple(std::vector<int64_t>& out) {
    if (!take('(')) return false;
    while (!take(')')) {
      skip_space();
      const size_t length = std::min(text_.find_first_not_of("0123456789"), text_.size());
      const Result<size_t> dim = parse_number<size_t>(text_.substr(0, length));
      if (!dim || *dim > static_cast<size_t>(INT64_MAX)) return false;
      out.push_back(static_cast<int64_t>(*dim));
      text_.remove_prefix(length);
      if (!take(',') && !next_is(')')) return false;
    }
    return true;
  }

  std::string_view text_;
};

// The code without its byte order, as in "f4"; none where the order is not ours.
std::optional<std::string_view> element_code(const std::string& descr) {
  if (descr.size() < 2 || descr[0] == '[') return std::nullopt;
  const std::string_view code = std::string_view(descr).substr(1);
  const bool one_byte = code.ends_with('1');
  if (descr[0] != '<' && descr[0] != '|' && !(one_byte && (descr[0] == '>' || descr[0] == '='))) {
    return std::nullopt;
  }
  return code;
}

}  // namespace

Result<NpyFile> NpyFile::open(const std::string& path) {
  const auto malformed = [&](const std::string& why) {
    return Status(Code::malformed, path + ": not an .npy file: " + why);
  };
  FIRN_ASSIGN(const size_t file_size, file_bytes(path));
  NpyFile npy;
  npy.path_ = path;
  npy.file_.open(path, std::ios::binary);
  if (!npy.file_) return Status(Code::io_error, path + ": cannot be opened");

  // The magic word, two bytes of version, then two or four bytes of the header's length.
  std::string start(12, '\0');
  npy.file_.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(npy.file_.gcount()));
  npy.file_.clear();
  if (!start.starts_with(kMagic)) return malformed("the magic word is missing");
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(start[i])); };
  if (start.size() < 10) return malformed("it ends in the header");
  const size_t version = byte(6);
  if (version < 1 || version > 3) {
    return Status(Code::unsupported,
                  format("%s: .npy version %zu, expected 1 to 3", path.c_str(), version));
  }
  const size_t prefix = version == 1 ? 10 : 12;
  if (start.size() < prefix) return malformed("it ends in the header");
  size_t header_bytes = byte(8) | byte(9) << 8;
  if (version > 1) header_bytes |= byte(10) << 16 | byte(11) << 24;
  if (header_bytes > kMaxHeaderBytes) {
    return malformed(format("a header of %zu bytes", header_bytes));
  }
  if (file_size < prefix + header_bytes) return malformed("it ends in the header");
  npy.data_offset_ = prefix + header_bytes;

  std::string text(header_bytes, '\0');
  npy.file_.seekg(static_cast<std::streamoff>(prefix));
  if (!npy.file_.read(text.data(), static_cast<std::streamsize>(header_bytes))) {
    return Status(Code::io_error, path + ": cannot be read");
  }
  Header header;
  if (!HeaderParser(text).parse(header)) {
    return malformed("its header does not say descr, fortran_order and shape");
  }

  if (header.fortran_order) {
    return Status(Code::unsupported, path + ": in Fortran order, expected C order");
  }
  const std::optional<std::string_view> code = element_code(header.descr);
  npy.f64_ = code == kF64;
  const auto known = std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                                  [&](const ElementType& each) { return code == each.code; });
  if (!npy.f64_ && known == std::end(kElementTypes)) {
    return Status(Code::unsupported,
                  path + ": elements '" + header.descr +
                      "', expected little-endian f4, f8, i1, u1, i2, i4, i8 or b1");
  }
  npy.type_ = npy.f64_ ? DType::f32 : known->type;

  Result<Shape> shape = Shape::from(header.shape);
  const Result<size_t> elements = shape ? checked_elements(*shape) : Result<size_t>(shape.status());
  if (!elements) return malformed(elements.status().message());
  npy.shape_ = *shape;
  const size_t expected = *elements * (npy.f64_ ? sizeof(double) : dtype_bytes(npy.type_));
  if (file_size - npy.data_offset_ != expected) {
    return malformed(format("%zu bytes of data, expected %zu for the shape %s",
                            file_size - npy.data_offset_, expected, to_string(npy.shape_).c_str()));
  }
  return npy;
}

Result<Array> NpyFile::read_sample(size_t index) {
  Shape sample;
  sample.rank = static_cast<uint8_t>(shape_.rank - 1);
  std::copy_n(shape_.dim.begin() + 1, sample.rank, sample.dim.begin());
  return read_elements(sample, index * sample.elements());
}

Result<Array> NpyFile::read_elements(const Shape& shape, size_t first) {
  const size_t stored = f64_ ? sizeof(double) : dtype_bytes(type_);
  Array array(type_, shape);
  std::vector<std::byte> doubles(f64_ ? shape.elements() * stored : 0);
  std::vector<std::byte>& target = f64_ ? doubles : array.data;
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(data_offset_ + first * stored));
  if (!file_.read(reinterpret_cast<char*>(target.data()),
                  static_cast<std::streamsize>(target.size()))) {
    return Status(Code::io_error, path_ + ": cannot be read");
  }
  if (f64_) {
    const double* from = reinterpret_cast<const double*>(doubles.data());
    std::transform(from, from + shape.elements(), array.as<float>(),
                   [](double value) { return static_cast<float>(value); });
  }
  if (type_ == DType::boolean) {
    // Any byte but 0 is true; a bool that holds another byte than 0 or 1 is undefined behaviour.
    for (std::byte& flag : array.data) flag = std::byte{flag != std::byte{0}};
  }
  return array;
}

Status write_npy(const std::string& path, const Tensor& tensor) {
  const auto known =
      std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                   [&](const ElementType& each) { return each.type == tensor.type; });
  if (known == std::end(kElementTypes)) {
    return {Code::unsupported, path + ": cannot hold elements of " + dtype_name(tensor.type)};
  }
  std::string shape;
  for (const int32_t dim : tensor.shape.dims()) shape += std::to_string(dim) + ", ";
  if (tensor.shape.rank > 1) shape.resize(shape.size() - 2);  // "(5, )", but "(5, 4)"
  std::string header =
      format("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }",
             dtype_bytes(tensor.type) == 1 ? "|" : "<", known->code, shape.c_str());
  // The data start on a multiple of 64 bytes.
  constexpr size_t kPrefix = 10;
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';

  const std::string aside = path + ".part";
  std::ofstream file(aside, std::ios::binary | std::ios::trunc);
  if (!file) return {Code::io_error, path + ": cannot be written"};
  file << kMagic << '\1' << '\0' << static_cast<char>(header.size() & 0xff)
       << static_cast<char>(header.size() >> 8) << header;
  file.write(static_cast<const char*>(tensor.data), static_cast<std::streamsize>(tensor.bytes()));
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(aside, path, error);
  if (!file || error) {
    std::filesystem::remove(aside, error);
    return {Code::io_error, path + ": cannot be written"};
  }
  return {};
}

}  // namespace firn::tool
