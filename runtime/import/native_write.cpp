// SPDX-License-Identifier: Apache-2.0
// Serializes a graph as a .firn file.
#include <cstring>
#include <map>
#include <utility>

#include "runtime/import/native.h"
#include "runtime/import/native_format.h"
#include "runtime/import/native_ops.h"

namespace firn {
namespace {

using flatbuffers::Offset;

// Where constants go in the data region. Values that share their bytes share the place.
class DataLayout {
 public:
  wire::Constant place(std::span<const std::byte> bytes) {
    const auto [it, fresh] = offsets_.try_emplace({bytes.data(), bytes.size()}, 0);
    if (fresh) {
      it->second = align_native(bytes_);
      bytes_ = it->second + bytes.size();
    }
    return {it->second, bytes.size()};
  }
  size_t bytes() const { return bytes_; }
  void copy_to(std::byte* region) const {
    for (const auto& [source, offset] : offsets_) {
      if (source.second != 0) std::memcpy(region + offset, source.first, source.second);
    }
  }

 private:
  std::map<std::pair<const std::byte*, size_t>, size_t> offsets_;
  size_t bytes_ = 0;
};

class Writer {
 public:
  explicit Writer(const Graph& graph) : graph_(graph) {
    builder_.ForceDefaults(true);  // or -0.0 would come back as 0.0
  }

  std::vector<std::byte> file() {
    finish_graph();
    NativeHeader header;
    header.graph_bytes = builder_.GetSize();
    header.data_offset = align_native(sizeof(header) + header.graph_bytes);
    header.data_bytes = layout_.bytes();
    header.file_bytes = header.data_offset + header.data_bytes + Buffer::kSlack;

    std::vector<std::byte> file(header.file_bytes);
    std::memcpy(file.data(), &header, sizeof(header));
    std::memcpy(file.data() + sizeof(header), builder_.GetBufferPointer(), header.graph_bytes);
    layout_.copy_to(file.data() + header.data_offset);
    header.checksum = native_checksum(file);
    std::memcpy(file.data(), &header, sizeof(header));
    return file;
  }

 private:
  void finish_graph() {
    std::vector<Offset<wire::Value>> values;
    // What a node makes is no constant, though inference may know it for the shapes of the moment.
    std::vector<bool> made(graph_.values.size());
    std::vector<Offset<wire::Node>> nodes;
    for (const Node& node : graph_.nodes) {
      nodes.push_back(pack(node));
      for (const ValueId id : node.out) made[index(id)] = true;
    }
    for (size_t v = 0; v < made.size(); ++v) values.push_back(pack(graph_.values[v], !made[v]));
    const auto producer = builder_.CreateString("firn " FIRN_VERSION);
    const auto all_values = builder_.CreateVector(values);
    const auto all_nodes = builder_.CreateVector(nodes);
    const auto inputs = pack(graph_.inputs);
    const auto outputs = pack(graph_.outputs);
    wire::FinishGraphBuffer(
        builder_, wire::CreateGraph(builder_, producer, all_values, all_nodes, inputs, outputs,
                                    static_cast<uint32_t>(graph_.states)));
  }

  Offset<wire::Value> pack(const Value& value, bool with_constant) {
    const auto name = builder_.CreateString(value.name);
    const auto shape = builder_.CreateVector(value.shape.dim.data(), value.shape.rank);
    const auto quant = value.quant ? pack(*value.quant) : Offset<wire::Quant>();
    wire::Constant constant;
    with_constant = with_constant && value.constant != nullptr;
    if (with_constant) constant = layout_.place(value.constant->bytes());
    return wire::CreateValue(builder_, name, DTypes::pack(value.type), shape, quant,
                             with_constant ? &constant : nullptr);
  }

  Offset<wire::Quant> pack(const Quant& quant) {
    const auto scale = builder_.CreateVector(quant.scale);
    const auto zero = builder_.CreateVector(quant.zero);
    return wire::CreateQuant(builder_, quant.axis, quant.bits, quant.block, scale, zero);
  }

  Offset<wire::Node> pack(const Node& node) {
    const auto name = builder_.CreateString(node.name);
    const WireOp op = pack_op(builder_, node.op);
    const auto in = pack(node.in);
    const auto out = pack(node.out);
    return wire::CreateNode(builder_, name, op.type, op.table, in, out);
  }

  Offset<flatbuffers::Vector<uint32_t>> pack(const std::vector<ValueId>& ids) {
    return builder_.CreateVector<uint32_t>(ids.size(),
                                           [&](size_t i) { return static_cast<uint32_t>(ids[i]); });
  }

  const Graph& graph_;
  flatbuffers::FlatBufferBuilder builder_;
  DataLayout layout_;
};

}  // namespace

Result<std::vector<std::byte>> serialize_native(const Graph& graph) {
  FIRN_TRY(check(graph));
  return Writer(graph).file();
}

}  // namespace firn
