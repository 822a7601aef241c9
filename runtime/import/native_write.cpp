// SPDX-License-Identifier: Apache-2.0
// Serializes a graph as a .firn file.
#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "runtime/half.h"
#include "runtime/import/native.h"
#include "runtime/import/native_format.h"
#include "runtime/import/native_ops.h"
#include "runtime/packed.h"

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

// Whether a value is of what version 1 does not know.
bool is_newer(const Value& value) {
  return is_packed(value) || value.type == DType::f16 || (value.quant && value.quant->block > 0);
}

bool all_halves(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return half_to_float(float_to_half(v)) == v; });
}

class Writer {
 public:
  explicit Writer(const Graph& graph, std::string data_file = "")
      : graph_(graph), data_file_(std::move(data_file)) {
    builder_.ForceDefaults(true);  // or -0.0 would come back as 0.0
  }

  NativeFiles files() {
    const bool split = !data_file_.empty();
    NativeFiles files;
    std::vector<Offset<wire::Value>> values = pack_values();
    files.data.resize(split ? layout_.bytes() + Buffer::kSlack : 0);
    if (split) layout_.copy_to(files.data.data());
    finish_graph(values, files.data);

    NativeHeader header;
    header.version = version_;
    header.graph_bytes = builder_.GetSize();
    header.data_offset = align_native(sizeof(header) + header.graph_bytes);
    header.data_bytes = split ? 0 : layout_.bytes();
    header.file_bytes = header.data_offset + header.data_bytes + Buffer::kSlack;

    std::vector<std::byte>& file = files.model;
    file.resize(header.file_bytes);
    std::memcpy(file.data(), &header, sizeof(header));
    std::memcpy(file.data() + sizeof(header), builder_.GetBufferPointer(), header.graph_bytes);
    if (!split) layout_.copy_to(file.data() + header.data_offset);
    header.checksum = native_checksum(file);
    std::memcpy(file.data(), &header, sizeof(header));
    return files;
  }

 private:
  std::vector<Offset<wire::Value>> pack_values() {
    std::vector<Offset<wire::Value>> values;
    // What a node makes is no constant, though inference may know it for the shapes of the moment.
    std::vector<bool> made(graph_.values.size());
    for (const Node& node : graph_.nodes)
      for (const ValueId id : node.out) made[index(id)] = true;
    for (size_t v = 0; v < made.size(); ++v) values.push_back(pack(graph_.values[v], !made[v]));
    return values;
  }

  void finish_graph(const std::vector<Offset<wire::Value>>& values,
                    std::span<const std::byte> data) {
    if (graph_.dynamic || !data.empty()) version_ = 2;
    std::vector<Offset<wire::Node>> nodes;
    for (const Node& node : graph_.nodes) nodes.push_back(pack(node));
    const auto producer = builder_.CreateString("firn " FIRN_VERSION);
    const auto all_values = builder_.CreateVector(values);
    const auto all_nodes = builder_.CreateVector(nodes);
    const auto inputs = pack(graph_.inputs);
    const auto outputs = pack(graph_.outputs);
    const auto data_file =
        data.empty() ? Offset<flatbuffers::String>() : builder_.CreateString(data_file_);
    wire::FinishGraphBuffer(
        builder_, wire::CreateGraph(builder_, producer, all_values, all_nodes, inputs, outputs,
                                    static_cast<uint32_t>(graph_.states), data_file,
                                    data.empty() ? 0 : layout_.bytes(),
                                    data.empty() ? 0 : xxh64(data, 0), graph_.dynamic));
  }

  Offset<wire::Value> pack(const Value& value, bool with_constant) {
    const auto name = builder_.CreateString(value.name);
    const auto shape = builder_.CreateVector(value.shape.dim.data(), value.shape.rank);
    with_constant = with_constant && value.constant != nullptr;
    if (with_constant && is_newer(value)) version_ = 2;
    const bool compact = with_constant && value.type == DType::i8 && is_newer(value);
    const auto quant = value.quant ? pack(*value.quant, compact) : Offset<wire::Quant>();
    wire::Constant constant;
    if (with_constant) constant = layout_.place(value.constant->bytes());
    return wire::CreateValue(builder_, name, DTypes::pack(value.type), shape, quant,
                             with_constant ? &constant : nullptr);
  }

  Offset<wire::Quant> pack(const Quant& quant, bool compact) {
    if (compact) return pack_compact(quant);
    const auto scale = builder_.CreateVector(quant.scale);
    const auto zero = builder_.CreateVector(quant.zero);
    return wire::CreateQuant(builder_, quant.axis, quant.bits, quant.block, scale, zero);
  }

  Offset<wire::Quant> pack_compact(const Quant& quant) {
    Offset<flatbuffers::Vector<float>> scale;
    Offset<flatbuffers::Vector<uint16_t>> scale_f16;
    if (all_halves(quant.scale)) {
      scale_f16 = builder_.CreateVector<uint16_t>(
          quant.scale.size(), [&](size_t i) { return float_to_half(quant.scale[i]); });
    } else {
      scale = builder_.CreateVector(quant.scale);
    }
    Offset<flatbuffers::Vector<uint8_t>> zero_bits;
    if (!std::ranges::all_of(quant.zero, [](int32_t z) { return z == 0; })) {
      const std::vector<std::byte> packed =
          pack_bits(std::vector<int8_t>(quant.zero.begin(), quant.zero.end()), quant.bits);
      zero_bits =
          builder_.CreateVector(reinterpret_cast<const uint8_t*>(packed.data()), packed.size());
    }
    return wire::CreateQuant(builder_, quant.axis, quant.bits, quant.block, scale, 0, true,
                             scale_f16, zero_bits);
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
  const std::string data_file_;
  uint32_t version_ = 1;
  flatbuffers::FlatBufferBuilder builder_;
  DataLayout layout_;
};

}  // namespace

Result<std::vector<std::byte>> serialize_native(const Graph& graph) {
  FIRN_TRY(check(graph));
  return Writer(graph).files().model;
}

Result<NativeFiles> serialize_native_split(const Graph& graph, const std::string& data_file) {
  FIRN_TRY(check(graph));
  return Writer(graph, data_file).files();
}

}  // namespace firn
