// SPDX-License-Identifier: Apache-2.0
// Reads a .firn file. Nothing in it is trusted: a file with a right checksum may still be crafted,
// so every offset, count and enumerator is checked on its own.
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "runtime/file.h"
#include "runtime/half.h"
#include "runtime/import/native.h"
#include "runtime/import/native_format.h"
#include "runtime/import/native_ops.h"
#include "runtime/packed.h"

namespace firn {
namespace {

Status malformed(const std::string& message) {
  return Status(Code::malformed, message);
}

// The header, once the regions it names are known to lie in the file, in order.
Result<NativeHeader> read_header(std::span<const std::byte> bytes) {
  if (!looks_like_native(bytes)) return malformed("not a .firn file");
  NativeHeader header;
  if (bytes.size() < sizeof(header)) {
    return malformed("truncated: " + std::to_string(bytes.size()) + " bytes, a .firn header has " +
                     std::to_string(sizeof(header)));
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.version > kNativeVersion) {
    return Status(Code::unsupported, ".firn format version " + std::to_string(header.version) +
                                         " is newer than this build of firn reads (" +
                                         std::to_string(kNativeVersion) + "): update firn");
  }
  if (header.version == 0) return malformed(".firn format version 0 does not exist");
  if (header.file_bytes != bytes.size()) {
    return malformed((bytes.size() < header.file_bytes ? "truncated: " : "trailing bytes: ") +
                     std::to_string(bytes.size()) + " bytes, its header says " +
                     std::to_string(header.file_bytes));
  }
  const size_t room = bytes.size() - sizeof(header);
  if (header.graph_bytes > room ||
      header.data_offset != align_native(sizeof(header) + header.graph_bytes) ||
      header.data_offset > bytes.size() || header.data_bytes > bytes.size() - header.data_offset ||
      Buffer::kSlack != bytes.size() - header.data_offset - header.data_bytes) {
    return malformed("header: graph and constants do not fill the file");
  }
  if (header.graph_bytes >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return malformed("header: graph too large");
  if (header.reserved != NativeHeader().reserved) return malformed("header: reserved bytes in use");
  return header;
}

class Reader {
 public:
  Reader(std::span<const std::byte> graph, std::span<const std::byte> data,
         std::shared_ptr<const void> owner, const std::string& folder)
      : flat_(graph),
        data_(data),
        owner_(std::move(owner)),
        folder_(folder),
        budget_(graph.size()) {}

  Result<Graph> graph() {
    const wire::Graph* wire = nullptr;
    FIRN_ASSIGN(wire, verified());
    if (wire->data_file() != nullptr) FIRN_TRY(open_data(*wire));
    Graph graph;
    graph.values.reserve(wire->values()->size());
    for (const wire::Value* value : *wire->values()) {
      FIRN_ASSIGN(Value read, this->value(*value));
      graph.values.push_back(std::move(read));
    }
    graph.nodes.reserve(wire->nodes()->size());
    for (const wire::Node* node : *wire->nodes()) {
      FIRN_ASSIGN(Node read, this->node(*node));
      graph.nodes.push_back(std::move(read));
    }
    FIRN_ASSIGN(graph.inputs, ids(wire->inputs()));
    FIRN_ASSIGN(graph.outputs, ids(wire->outputs()));
    graph.states = wire->states();
    graph.dynamic = wire->dynamic();
    FIRN_TRY(check(graph));
    for (const Node& node : graph.nodes) {
      for (const ValueId id : node.out) {
        if (graph.is_constant(id)) {
          return malformed(describe(node) + ": output " + graph.value(id).name +
                           " is also a constant");
        }
      }
    }
    return graph;
  }

 private:
  // The root table. Limits: the schema nests graph, value or node, and its own tables; the
  // smallest table has 4 bytes.
  Result<const wire::Graph*> verified() const {
    flatbuffers::Verifier::Options limits;
    limits.max_depth = 8;
    limits.max_tables = static_cast<flatbuffers::uoffset_t>(flat_.size() / 4);
    const auto* flat = reinterpret_cast<const uint8_t*>(flat_.data());
    flatbuffers::Verifier verifier(flat, flat_.size(), limits);
    if (flat_.size() < 8 || !wire::VerifyGraphBuffer(verifier)) {
      return malformed("its graph is not a valid FlatBuffer");
    }
    return wire::GetGraph(flat);
  }

  // In a file that firn wrote no two strings or vectors share bytes, so what they hold in all is
  // less than the FlatBuffer has: a small file cannot claim more and blow up in memory.
  Status take(size_t bytes) {
    if (bytes > budget_) return malformed("its graph holds one list in many places");
    budget_ -= bytes;
    return {};
  }

  Result<std::string> name(const flatbuffers::String& text) {
    FIRN_TRY(take(text.size()));
    return text.str();
  }

  template <typename T>
  Result<std::vector<T>> list(const flatbuffers::Vector<T>* wire) {
    if (wire == nullptr) return std::vector<T>();
    FIRN_TRY(take(wire->size() * sizeof(T)));
    return std::vector<T>(wire->begin(), wire->end());
  }

  Result<std::vector<ValueId>> ids(const flatbuffers::Vector<uint32_t>* wire) {
    FIRN_ASSIGN(const std::vector<uint32_t> numbers, list(wire));
    std::vector<ValueId> result(numbers.size());
    std::ranges::transform(numbers, result.begin(), [](uint32_t i) { return ValueId(i); });
    return result;
  }

  Result<Value> value(const wire::Value& wire) {
    Value value;
    FIRN_ASSIGN(value.name, name(*wire.name()));
    bool valid = true;
    value.type = DTypes::unpack(wire.type(), valid);
    if (!valid) return malformed(value.name + ": unknown element type");
    FIRN_ASSIGN(const std::vector<int32_t> dims, list(wire.shape()));
    Result<Shape> shape = Shape::from(std::vector<int64_t>(dims.begin(), dims.end()));
    if (!shape.ok()) return malformed(value.name + ": " + shape.status().message());
    value.shape = *shape;
    if (wire.quant() != nullptr) {
      FIRN_ASSIGN(value.quant, quant(*wire.quant()));
    }
    if (wire.constant() != nullptr) {
      FIRN_ASSIGN(value.constant, constant(value, *wire.constant()));
    }
    return value;
  }

  Result<std::optional<Quant>> quant(const wire::Quant& wire) {
    Quant quant;
    quant.axis = wire.axis();
    quant.bits = wire.bits();
    quant.block = wire.block();
    FIRN_ASSIGN(quant.scale, list(wire.scale()));
    FIRN_ASSIGN(quant.zero, list(wire.zero()));
    if (wire.compact()) FIRN_TRY(read_compact(wire, quant));
    return std::optional<Quant>(std::move(quant));
  }

  Status read_compact(const wire::Quant& wire, Quant& quant) {
    if (quant.bits < 2 || quant.bits > 8)
      return malformed("quantization: compact, of " + std::to_string(quant.bits) + " bits");
    FIRN_ASSIGN(const std::vector<uint16_t> halves, list(wire.scale_f16()));
    if (!halves.empty()) {
      quant.scale.resize(halves.size());
      std::ranges::transform(halves, quant.scale.begin(), half_to_float);
    }
    quant.zero.assign(quant.scale.size(), 0);
    if (wire.zero_bits() == nullptr) return {};
    const auto packed =
        std::as_bytes(std::span(wire.zero_bits()->data(), wire.zero_bits()->size()));
    const size_t expected = packed_bytes(quant.zero.size(), quant.bits);
    if (packed.size() != expected)
      return malformed("quantization: zero points in " + std::to_string(packed.size()) +
                       " bytes, " + std::to_string(quant.zero.size()) + " need " +
                       std::to_string(expected));
    std::vector<int8_t> zeros(quant.zero.size());
    unpack_bits(packed, quant.bits, 0, zeros);
    std::ranges::copy(zeros, quant.zero.begin());
    return {};
  }

  // The constants are in a file of their own.
  Status open_data(const wire::Graph& wire) {
    FIRN_ASSIGN(const std::string file_name, name(*wire.data_file()));
    const auto about = [&](const std::string& what) {
      return malformed("weights in '" + file_name + "': " + what);
    };
    if (!data_.empty()) return about("there are others in the model's own file");
    Result<std::string> path = resolve_inside(folder_, file_name);
    if (!path.ok()) return path.status();
    FIRN_ASSIGN(MappedFile file, map_file(*path));
    if (file.bytes.size() < Buffer::kSlack ||
        file.bytes.size() - Buffer::kSlack != wire.data_bytes()) {
      return about(std::to_string(file.bytes.size()) + " bytes, the model needs " +
                   std::to_string(wire.data_bytes()) + " and " + std::to_string(Buffer::kSlack) +
                   " behind them");
    }
    if (xxh64(file.bytes, 0) != wire.data_checksum())
      return about("checksum: damaged, or those of another model");
    data_ = file.bytes.first(wire.data_bytes());
    owner_ = std::move(file.owner);
    return {};
  }

  Result<std::shared_ptr<const Buffer>> constant(const Value& value, const wire::Constant& wire) {
    if (wire.offset() > data_.size() || wire.bytes() > data_.size() - wire.offset() ||
        wire.offset() % kNativeAlignment != 0) {
      return malformed(value.name + ": constant of " + std::to_string(wire.bytes()) + " bytes at " +
                       std::to_string(wire.offset()) + " of " + std::to_string(data_.size()) +
                       " is outside of the data or not aligned");
    }
    const auto bytes = data_.subspan(wire.offset(), wire.bytes());
    if (value.type == DType::boolean &&
        !std::ranges::all_of(bytes, [](std::byte b) { return b <= std::byte{1}; })) {
      return malformed(value.name + ": a bool that is neither 0 nor 1");
    }
    return std::make_shared<const Buffer>(owner_, bytes);
  }

  Result<Node> node(const wire::Node& wire) {
    Node node;
    FIRN_ASSIGN(node.name, name(*wire.name()));
    Result<Op> op = unpack_op(wire);
    if (!op.ok()) return malformed(node.name + ": " + op.status().message());
    node.op = *std::move(op);
    FIRN_ASSIGN(node.in, ids(wire.in()));
    FIRN_ASSIGN(node.out, ids(wire.out()));
    return node;
  }

  std::span<const std::byte> flat_, data_;
  std::shared_ptr<const void> owner_;
  const std::string& folder_;
  size_t budget_;
};

}  // namespace

bool looks_like_native(std::span<const std::byte> bytes) {
  return bytes.size() >= kNativeMagic.size() &&
         std::memcmp(bytes.data(), kNativeMagic.data(), kNativeMagic.size()) == 0;
}

Result<Graph> read_native(std::span<const std::byte> bytes,
                          const std::shared_ptr<const void>& owner, const std::string& folder) {
  FIRN_ASSIGN(const NativeHeader header, read_header(bytes));
  if (native_checksum(bytes) != header.checksum) {
    return malformed("checksum: the file is damaged");
  }
  const auto parse = [&](std::span<const std::byte> file,
                         const std::shared_ptr<const void>& keeper) {
    return Reader(file.subspan(sizeof(header), header.graph_bytes),
                  file.subspan(header.data_offset, header.data_bytes), keeper, folder)
        .graph();
  };
  if (std::bit_cast<uintptr_t>(bytes.data()) % kNativeAlignment == 0) return parse(bytes, owner);
  // A mapped file starts a page; bytes from elsewhere may lie anywhere.
  FIRN_ASSIGN(const auto copy, Buffer::allocate(bytes.size()));
  std::memcpy(copy.second.data(), bytes.data(), bytes.size());
  return parse(copy.second, copy.first);
}

}  // namespace firn
