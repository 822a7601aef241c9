// SPDX-License-Identifier: Apache-2.0
// Reads an ncnn model: its layers one after another, each with its weights.
#include "runtime/import/ncnn.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "runtime/import/graph_builder.h"
#include "runtime/import/ncnn_context.h"
#include "runtime/import/ncnn_ops.h"
#include "runtime/import/ncnn_param.h"
#include "runtime/import/ncnn_weights.h"

namespace firn {
namespace ncnn {
namespace {

constexpr std::string_view kInput = "Input", kNoop = "Noop";

Status malformed(const std::string& what) {
  return {Code::malformed, "ncnn: " + what};
}

std::string called(const Layer& layer) {
  return "layer '" + layer.name + "' (" + layer.type + ")";
}

class Importer {
 public:
  Importer(std::vector<Layer> layers, WeightReader weights, const NcnnSource& source)
      : layers_(std::move(layers)), weights_(std::move(weights)), source_(source) {}

  Result<Graph> run() {
    FIRN_TRY(check_blobs());
    FIRN_TRY(read_inputs());
    for (const Layer& layer : layers_) {
      if (layer.type != kInput) FIRN_TRY(translate(layer));
    }
    FIRN_TRY(weights_.finish());
    FIRN_ASSIGN(const std::vector<ValueId> outputs, read_outputs());
    return builder_.finish(outputs);
  }

 private:
  // Every blob is written once, before it is read.
  Status check_blobs() {
    std::unordered_set<std::string_view> written;
    for (const Layer& layer : layers_) {
      for (const std::string& blob : layer.bottoms) {
        if (!written.contains(blob)) {
          return malformed(called(layer) + ": blob '" + blob +
                           "' is not written by any layer before it");
        }
        // A Noop at the end only keeps blobs alive: they are outputs.
        if (layer.type != kNoop) read_.insert(blob);
      }
      for (const std::string& blob : layer.tops) {
        if (!written.insert(blob).second) {
          return malformed(called(layer) + ": blob '" + blob + "' is also written elsewhere");
        }
        builder_.reserve(blob);
      }
    }
    return {};
  }

  // What an Input layer states, or the caller; else three dimensions, all open or all but the
  // channels.
  Result<Shape> input_shape(const Layer& layer, const std::string& blob) {
    const Context context(builder_, weights_, names_, layer, layer.name);
    Shape shape;
    for (const int id : {2, 11, 1, 0}) {  // c, d, h, w
      FIRN_ASSIGN(const int32_t size, context.at_least(0, id, "a size", 0));
      if (size == 0 && shape.rank > 0 && id != 11) return context.malformed("a size is 0");
      if (size > 0) shape.dim[shape.rank++] = size;
    }
    if (shape.rank > 0) return shape;
    for (const auto& [name, given] : source_.input_shapes) {
      if (name != blob && !name.empty()) continue;
      if (given.rank < 1 || given.rank > 4) {
        return Status(Code::invalid_argument, "ncnn: input '" + blob + "' is given the shape " +
                                                  to_string(given) +
                                                  ", expected 1 to 4 dimensions");
      }
      return given;
    }
    return Shape{channels_read(blob), -1, -1};
  }

  // How many channels the convolution takes that reads an input, perhaps by way of Splits; -1: not
  // known.
  int32_t channels_read(const std::string& blob) {
    std::unordered_set<std::string_view> same{blob};
    for (const Layer& layer : layers_) {
      const bool reads = !layer.bottoms.empty() && same.contains(layer.bottoms[0]);
      if (!reads) continue;
      if (layer.type == "Split") same.insert(layer.tops.begin(), layer.tops.end());
      if (layer.type != "Convolution") continue;
      const Context c(builder_, weights_, names_, layer, layer.name);
      const auto outputs = c.param(0, 0), width = c.param(1, 0), size = c.param(6, 0);
      if (!outputs.ok() || !width.ok() || !size.ok()) return -1;
      const auto height = c.param(11, *width);
      if (!height.ok() || *outputs < 1 || *width < 1 || *height < 1) return -1;
      const int64_t channels = int64_t{*size} / *outputs / *width / *height;
      return channels < 1 ? -1 : static_cast<int32_t>(channels);
    }
    return -1;
  }

  // Words for an embedding are integers, everything else is f32.
  std::unordered_set<std::string_view> words() const {
    std::unordered_set<std::string_view> result;
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
      const bool embeds = layer->type == "Embed";
      const bool hands_on =
          layer->type == "Split" && std::ranges::any_of(layer->tops, [&](const std::string& top) {
            return result.contains(top);
          });
      if (embeds || hands_on) result.insert(layer->bottoms.begin(), layer->bottoms.end());
    }
    return result;
  }

  Status read_inputs() {
    const std::unordered_set<std::string_view> integers = words();
    std::vector<imports::InputInfo> inputs;
    for (const Layer& layer : layers_) {
      if (layer.type != kInput) continue;
      if (!layer.bottoms.empty()) return malformed(called(layer) + ": it reads a blob");
      for (const std::string& blob : layer.tops) {
        FIRN_ASSIGN(const Shape shape, input_shape(layer, blob));
        imports::InputInfo info;
        info.name = blob;
        info.type = integers.contains(blob) ? DType::i32 : DType::f32;
        info.shape = shape;
        inputs.push_back(info);
      }
    }
    if (inputs.empty()) return malformed("the model has no Input layer");
    FIRN_TRY(builder_.add_inputs(inputs));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto id = static_cast<ValueId>(i);
      const std::string blob(inputs[i].name);
      imports::Emitter emitter(builder_, "ncnn: input '" + blob + "'", blob);
      std::vector<TargetDim> to{TargetDim::of(1)};
      for (int d = 0; d < inputs[i].shape.rank; ++d) to.push_back(TargetDim::copy(d));
      FIRN_ASSIGN(const ValueId batched, emitter.reshape("batch", id, to));
      names_[inputs[i].name] = batched;
    }
    return {};
  }

  // Layers may share a name; reports and patterns speak of one at a time.
  std::string layer_name(const Layer& layer) {
    std::string name = layer.name;
    for (int n = 2; !layer_names_.insert(name).second; ++n) {
      name = layer.name + "_" + std::to_string(n);
    }
    return name;
  }

  Status translate(const Layer& layer) {
    const Operator* op = find_operator(layer.type);
    if (op == nullptr) {
      return {Code::unsupported,
              "ncnn: layer '" + layer.name + "': type '" + layer.type + "' is not supported"};
    }
    Context context(builder_, weights_, names_, layer, layer_name(layer));
    FIRN_TRY(op->translate(context));
    bool per_region = std::ranges::any_of(
        layer.bottoms, [&](const std::string& blob) { return per_region_.contains(blob); });
    for (const std::string& blob : layer.tops) {
      const auto found = names_.find(blob);
      if (found == names_.end()) {
        return context.unsupported("output '" + blob + "' is not supported");
      }
      // The first blob of a value gives it its name, but for outputs, whose name the value without
      // the batch has.
      per_region = per_region || (pools_regions(layer) && builder_.shape(found->second)[0] != 1);
      if (per_region) per_region_.insert(blob);
      if (!is_output(layer, blob) && named_.insert(index(found->second)).second) {
        builder_.rename(found->second, blob);
      }
    }
    return {};
  }

  // Blobs that nobody reads; and regions, without which what is said of them is worth little.
  bool is_output(const Layer& layer, const std::string& blob) const {
    return !read_.contains(blob) || layer.type == "Proposal";
  }
  static bool pools_regions(const Layer& layer) {
    return layer.type == "ROIPooling" || layer.type == "PSROIPooling" || layer.type == "ROIAlign";
  }

  // Without the batch, unless that is of regions.
  Result<std::vector<ValueId>> read_outputs() {
    std::vector<ValueId> outputs;
    for (const Layer& layer : layers_) {
      if (layer.type == kNoop) continue;
      for (const std::string& blob : layer.tops) {
        if (!is_output(layer, blob)) continue;
        const ValueId batched = names_.at(blob);
        imports::Emitter emitter(builder_, "ncnn: output '" + blob + "'", blob);
        FIRN_ASSIGN(ValueId real, as_real(emitter, batched));
        const bool keeps = per_region_.contains(blob);
        FIRN_ASSIGN(const ValueId output,
                    keeps ? builder_.add_copy(blob, real) : without_batch(emitter, real));
        builder_.rename(output, blob);
        outputs.push_back(output);
      }
    }
    if (outputs.empty()) return malformed("every blob is read by some layer: there is no output");
    return outputs;
  }

  Result<ValueId> without_batch(imports::Emitter& emitter, ValueId id) {
    const Shape& shape = builder_.shape(id);
    if (std::ranges::count(shape.dims(), -1) > 1) {  // sizes may follow from data
      const int64_t batch = 0;
      FIRN_ASSIGN(const ValueId axes, emitter.constant<int64_t>("axes", {1}, std::span(&batch, 1)));
      return emitter.emit("blob", Squeeze{false}, {id, axes});
    }
    std::vector<TargetDim> to;
    for (int d = 1; d < shape.rank; ++d) to.push_back(TargetDim::copy(d));
    return emitter.reshape("blob", id, to);
  }

  Result<ValueId> as_real(imports::Emitter& emitter, ValueId id) {
    if (!builder_.value(id).quant) return id;
    return emitter.convert("real", id, DType::f32);
  }

  std::vector<Layer> layers_;
  WeightReader weights_;
  const NcnnSource& source_;
  imports::GraphBuilder builder_{"ncnn"};
  Context::Names names_;
  std::unordered_set<std::string_view> read_;
  std::unordered_set<std::string_view> per_region_;  // blobs whose batch is of several regions
  std::unordered_set<size_t> named_;
  std::unordered_set<std::string> layer_names_;
};

}  // namespace
}  // namespace ncnn

bool looks_like_ncnn(std::span<const std::byte> bytes) {
  return ncnn::is_text_param(bytes) || ncnn::is_binary_param(bytes);
}

Result<Graph> read_ncnn(const NcnnSource& source) {
  std::vector<ncnn::Layer> layers;
  if (ncnn::is_binary_param(source.param)) {
    FIRN_ASSIGN(layers, ncnn::parse_binary_param(source.param));
  } else {
    const auto* text = reinterpret_cast<const char*>(source.param.data());
    FIRN_ASSIGN(layers, ncnn::parse_text_param({text, source.param.size()}));
  }
  auto weights = source.bin ? ncnn::WeightReader(*source.bin, source.bin_owner)
                            : ncnn::WeightReader::made_up();
  return ncnn::Importer(std::move(layers), std::move(weights), source).run();
}

}  // namespace firn
