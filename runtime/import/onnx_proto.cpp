// SPDX-License-Identifier: Apache-2.0
// Decodes ONNX's protobuf wire format. protozero throws on truncated input; nothing it throws
// leaves this file.
#include "runtime/import/onnx_proto.h"

#include <limits>
#include <protozero/pbf_reader.hpp>
#include <string>

#include "runtime/utf8.h"

namespace firn::onnx {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;

// What a decoder throws for input that protozero itself would accept.
struct Malformed {
  std::string what;
};

// Asked before every typed read: protozero only asserts that the wire type fits.
void expect(const pbf_reader& in, pbf_wire_type type) {
  if (in.wire_type() != type) {
    throw Malformed{"field " + std::to_string(in.tag()) + " has wire type " +
                    std::to_string(static_cast<uint32_t>(in.wire_type())) + ", expected " +
                    std::to_string(static_cast<uint32_t>(type))};
  }
}

std::string_view bytes_of(pbf_reader& in) {
  expect(in, pbf_wire_type::length_delimited);
  const protozero::data_view view = in.get_view();
  return {view.data(), view.size()};
}

pbf_reader message_of(pbf_reader& in) {
  expect(in, pbf_wire_type::length_delimited);
  return in.get_message();
}

int64_t int_of(pbf_reader& in) {
  expect(in, pbf_wire_type::varint);
  return in.get_int64();
}

int32_t enum_of(pbf_reader& in) {
  const int64_t value = int_of(in);
  if (value < 0 || value > std::numeric_limits<int32_t>::max()) {
    throw Malformed{"an enumeration has the value " + std::to_string(value)};
  }
  return static_cast<int32_t>(value);
}

float float_of(pbf_reader& in) {
  expect(in, pbf_wire_type::fixed32);
  return in.get_float();
}

double double_of(pbf_reader& in) {
  expect(in, pbf_wire_type::fixed64);
  return in.get_double();
}

std::string_view name_of(pbf_reader& in) {
  const std::string_view name = bytes_of(in);
  if (!is_utf8(name)) throw Malformed{"a name is not valid UTF-8"};
  return name;
}

// A repeated number, packed or not.
template <typename T, typename Packed>
void append(pbf_reader& in, std::vector<T>& to, T (*one)(pbf_reader&),
            Packed (pbf_reader::*packed)()) {
  if (in.wire_type() != pbf_wire_type::length_delimited) {
    to.push_back(one(in));
    return;
  }
  for (const auto value : (in.*packed)()) to.push_back(static_cast<T>(value));
}

void append_ints(pbf_reader& in, std::vector<int64_t>& to) {
  append(in, to, int_of, &pbf_reader::get_packed_int64);
}

void append_floats(pbf_reader& in, std::vector<float>& to) {
  append(in, to, float_of, &pbf_reader::get_packed_float);
}

std::pair<std::string_view, std::string_view> string_entry(pbf_reader in) {
  std::pair<std::string_view, std::string_view> entry;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        entry.first = name_of(in);
        break;
      case 2:
        entry.second = name_of(in);
        break;
      default:
        in.skip();
    }
  }
  return entry;
}

TensorProto tensor(pbf_reader in) {
  TensorProto t;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        append_ints(in, t.dims);
        break;
      case 2:
        t.type = static_cast<ElementType>(enum_of(in));
        break;
      case 3:
        throw Malformed{"a tensor in segments"};
      case 4:
        append_floats(in, t.floats);
        break;
      case 5:
        append<int32_t>(
            in, t.int32s, [](pbf_reader& r) { return static_cast<int32_t>(int_of(r)); },
            &pbf_reader::get_packed_int32);
        break;
      case 7:
        append_ints(in, t.int64s);
        break;
      case 8:
        t.name = name_of(in);
        break;
      case 9:
        t.raw = bytes_of(in);
        break;
      case 10:
        append(in, t.doubles, double_of, &pbf_reader::get_packed_double);
        break;
      case 13:
        t.external_data.push_back(string_entry(message_of(in)));
        break;
      case 14:
        t.external = enum_of(in) == 1;
        break;
      default:
        in.skip();
    }
  }
  return t;
}

AttributeProto attribute(pbf_reader in) {
  using Type = AttributeProto::Type;
  AttributeProto a;
  Type guessed = Type::undefined;  // files of IR version 1 leave the type out
  const auto guess = [&](Type type) {
    if (guessed == Type::undefined) guessed = type;
  };
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        a.name = name_of(in);
        break;
      case 2:
        a.f = float_of(in), guess(Type::f);
        break;
      case 3:
        a.i = int_of(in), guess(Type::i);
        break;
      case 4:
        a.s = bytes_of(in), guess(Type::s);
        break;
      case 5:
        a.tensor = tensor(message_of(in)), guess(Type::tensor);
        break;
      case 6:
        in.skip(), guess(Type::graph);
        break;
      case 7:
        append_floats(in, a.floats), guess(Type::floats);
        break;
      case 8:
        append_ints(in, a.ints), guess(Type::ints);
        break;
      case 9:
        a.strings.push_back(bytes_of(in)), guess(Type::strings);
        break;
      case 20:
        a.type = static_cast<Type>(enum_of(in));
        break;
      default:
        in.skip();
    }
  }
  if (a.type == Type::undefined) a.type = guessed;
  return a;
}

NodeProto node(pbf_reader in) {
  NodeProto n;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        n.inputs.push_back(name_of(in));
        break;
      case 2:
        n.outputs.push_back(name_of(in));
        break;
      case 3:
        n.name = name_of(in);
        break;
      case 4:
        n.op_type = name_of(in);
        break;
      case 5:
        n.attributes.push_back(attribute(message_of(in)));
        break;
      case 7:
        n.domain = name_of(in);
        break;
      default:
        in.skip();
    }
  }
  return n;
}

Dimension dimension(pbf_reader in) {
  Dimension d;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        d.value = int_of(in);
        break;
      case 2:
        d.name = name_of(in);
        break;
      default:
        in.skip();
    }
  }
  return d;
}

void tensor_type(pbf_reader in, ValueInfo& info) {
  info.is_tensor = true;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        info.type = static_cast<ElementType>(enum_of(in));
        break;
      case 2: {
        info.shape.emplace();
        pbf_reader shape = message_of(in);
        while (shape.next()) {
          if (shape.tag() == 1) {
            info.shape->push_back(dimension(message_of(shape)));
          } else {
            shape.skip();
          }
        }
        break;
      }
      default:
        in.skip();
    }
  }
}

ValueInfo value_info(pbf_reader in) {
  ValueInfo info;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        info.name = name_of(in);
        break;
      case 2: {
        pbf_reader type = message_of(in);
        while (type.next()) {
          if (type.tag() == 1) {
            tensor_type(message_of(type), info);
          } else {
            type.skip();
          }
        }
        break;
      }
      default:
        in.skip();
    }
  }
  return info;
}

// Appends: protobuf merges a singular message that occurs twice.
void graph(pbf_reader in, GraphProto& g) {
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        g.nodes.push_back(node(message_of(in)));
        break;
      case 5:
        g.initializers.push_back(tensor(message_of(in)));
        break;
      case 11:
        g.inputs.push_back(value_info(message_of(in)));
        break;
      case 12:
        g.outputs.push_back(value_info(message_of(in)));
        break;
      case 15:
        in.skip(), g.has_sparse_initializers = true;
        break;
      default:
        in.skip();
    }
  }
}

std::pair<std::string_view, int64_t> opset(pbf_reader in) {
  std::pair<std::string_view, int64_t> id{"", 0};
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        id.first = name_of(in);
        break;
      case 2:
        id.second = int_of(in);
        break;
      default:
        in.skip();
    }
  }
  return id;
}

ModelProto model(pbf_reader in) {
  ModelProto m;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        m.ir_version = int_of(in);
        break;
      case 7:
        if (!m.graph) m.graph.emplace();
        graph(message_of(in), *m.graph);
        break;
      case 8:
        m.opsets.push_back(opset(message_of(in)));
        break;
      default:
        in.skip();
    }
  }
  return m;
}

pbf_reader reader(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
Result<T> guarded(T (*decode)(pbf_reader), std::span<const std::byte> bytes) {
  try {
    return decode(reader(bytes));
  } catch (const Malformed& error) {
    return Status(Code::malformed, "onnx: " + error.what);
  } catch (const protozero::exception& error) {
    return Status(Code::malformed, std::string("onnx: not a protobuf message: ") + error.what());
  }
}

}  // namespace

Result<ModelProto> decode_model(std::span<const std::byte> bytes) {
  return guarded(model, bytes);
}

Result<TensorProto> decode_tensor(std::span<const std::byte> bytes) {
  return guarded(tensor, bytes);
}

bool plausible_model(std::span<const std::byte> bytes) {
  // Fields 1 to 8 of ModelProto, each with its wire type, until the graph begins: a file that is
  // cut off later is still a (broken) model.
  try {
    pbf_reader in = reader(bytes);
    while (in.next()) {
      const bool number = in.tag() == 1 || in.tag() == 5;
      if (in.tag() > 8) return false;
      if (in.wire_type() != (number ? pbf_wire_type::varint : pbf_wire_type::length_delimited)) {
        return false;
      }
      if (in.tag() == 7) return true;
      in.skip();
    }
  } catch (const protozero::exception&) {
    return false;
  }
  return false;
}

}  // namespace firn::onnx
