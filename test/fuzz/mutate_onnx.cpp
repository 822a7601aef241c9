// SPDX-License-Identifier: Apache-2.0
// Damage to ONNX files field by field: a file is taken apart into the tree of its protobuf
// messages, edited, and put together again with lengths that agree.
#include <algorithm>
#include <list>
#include <optional>
#include <string_view>
#include <vector>

#include "test/fuzz/mutations.h"

namespace firn::fuzz {
namespace {

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field;
using Message = std::list<Field>;  // whose elements stay where they are when others come and go

// What is length-delimited is a message where it can be read as one, a string otherwise: without
// the schema a guess, good enough to know where to strike.
struct Field {
  uint32_t number = 0;
  Wire wire = kVarint;
  uint64_t varint = 0;
  std::string bytes;  // fixed numbers, strings
  std::optional<Message> message{};
};

std::optional<uint64_t> read_varint(std::string_view& from) {
  uint64_t value = 0;
  for (size_t i = 0; i < std::min<size_t>(from.size(), 10); ++i) {
    const auto byte = static_cast<uint8_t>(from[i]);
    value |= uint64_t{byte & 0x7Fu} << (7 * i);
    if (byte < 0x80) {
      from.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

std::optional<Message> take_apart(std::string_view from, int depth) {
  if (depth > 10) return std::nullopt;
  Message message;
  while (!from.empty()) {
    const auto tag = read_varint(from);
    if (!tag || *tag < 8 || *tag > 1000) return std::nullopt;
    Field field{static_cast<uint32_t>(*tag >> 3), static_cast<Wire>(*tag & 7), 0, {}, {}};
    size_t bytes = field.wire == kFixed64 ? 8 : 4;
    if (field.wire == kVarint || field.wire == kBytes) {
      const auto number = read_varint(from);
      if (!number) return std::nullopt;
      field.varint = *number;
      bytes = field.wire == kBytes ? *number : 0;
    } else if (field.wire != kFixed32 && field.wire != kFixed64) {
      return std::nullopt;
    }
    if (bytes > from.size()) return std::nullopt;
    field.bytes = from.substr(0, bytes);
    from.remove_prefix(bytes);
    if (field.wire == kBytes && !field.bytes.empty()) {
      field.message = take_apart(field.bytes, depth + 1);
    }
    message.push_back(std::move(field));
  }
  return message;
}

void write_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::string put_together(const Message& message) {
  std::string out;
  for (const Field& field : message) {
    write_varint(out, field.number << 3 | field.wire);
    if (field.wire == kVarint) write_varint(out, field.varint);
    const std::string bytes = field.message ? put_together(*field.message) : field.bytes;
    if (field.wire == kBytes) write_varint(out, bytes.size());
    if (field.wire != kVarint) out += bytes;
  }
  return out;
}

// A field and the message that it is in.
struct Place {
  Message* in;
  Message::iterator at;
};

void collect(Message& message, std::vector<Place>& places) {
  for (auto at = message.begin(); at != message.end(); ++at) {
    places.push_back({&message, at});
    if (at->message) collect(*at->message, places);
  }
}

// Another field of the same number: a node for a node, a name for a name. Any other in vain.
const Field& kin(const Field& field, const std::vector<Place>& places, Random& random) {
  for (int tries = 0; tries < 16; ++tries) {
    const Field& other = *places[random.below(places.size())].at;
    if (other.number == field.number && other.wire == field.wire) return other;
  }
  return *places[random.below(places.size())].at;
}

void edit_string(std::string& bytes, const std::string& other, Random& random) {
  switch (random.below(6)) {
    case 0:
      bytes.resize(random.below(bytes.size() + 1));
      break;
    case 1:
      bytes.append(1 + random.below(16), static_cast<char>(random.next()));
      break;
    case 2:
      write_varint(bytes, edge_integer(random));  // one more of a packed list
      break;
    case 3:
      bytes = mutate_bytes(std::move(bytes), other, random);
      break;
    default:
      for (size_t n = 1 + random.below(4); n > 0; --n) set_element(bytes, 0, bytes.size(), random);
  }
}

void edit_structure(const Place& place, const std::vector<Place>& donors, Random& random) {
  switch (random.below(6)) {
    case 0:
      place.in->erase(place.at);
      break;
    case 1: {
      size_t copies = random.one_in(20) ? random.below(1000) : 1;
      copies = std::min(copies, 1 + (size_t{1} << 17) / (place.at->bytes.size() + 1));
      for (size_t i = 0; i < copies; ++i) place.in->insert(place.at, *place.at);
      break;
    }
    case 2:
      std::swap(*place.at,
                *std::next(place.in->begin(), static_cast<long>(random.below(place.in->size()))));
      break;
    case 3:
      place.in->insert(place.at, Field(kin(*place.at, donors, random)));
      break;
    case 4:
      place.at->number = static_cast<uint32_t>(1 + random.below(31));
      break;
    default:
      *place.at = Field(kin(*place.at, donors, random));
  }
}

void edit(Message& model, Message& other, Random& random) {
  std::vector<Place> places, donors;
  collect(model, places);
  if (places.empty()) return;
  if (random.one_in(3)) collect(other, donors);
  const std::vector<Place>& from = donors.empty() ? places : donors;
  const Place place = places[random.below(places.size())];
  Field& field = *place.at;
  if (field.message || random.one_in(3)) {
    edit_structure(place, from, random);
  } else if (field.wire == kVarint) {
    const uint64_t old = field.varint;
    const uint64_t choices[]{old + 1, old - 1, kin(field, from, random).varint,
                             edge_integer(random), edge_integer(random)};
    field.varint = choices[random.below(5)];
  } else if (field.wire == kBytes && random.one_in(3)) {
    field.bytes = std::string(kin(field, from, random).bytes);
  } else if (field.wire == kBytes) {
    edit_string(field.bytes, kin(field, from, random).bytes, random);
  } else {
    set_element(field.bytes, 0, field.bytes.size(), random);
  }
}

}  // namespace

std::string mutate_onnx(std::string file, const std::string& other, Random& random) {
  if (random.one_in(8)) return mutate_bytes(file, other, random);
  std::optional<Message> model = take_apart(file, 0), donor = take_apart(other, 0);
  if (!model || !donor) return mutate_bytes(file, other, random);
  size_t edits = random.one_in(2) ? 1 : 1 + random.below(5);
  for (; edits > 0; --edits) edit(*model, *donor, random);
  std::string out = put_together(*model);
  out.resize(std::min(out.size(), kMaxBytes));
  return random.one_in(16) ? mutate_bytes(std::move(out), other, random) : out;
}

}  // namespace firn::fuzz
