// SPDX-License-Identifier: Apache-2.0
// Brings the samples of --data, one after another, into the form that a model's inputs take.
#include "feed.h"

#include <algorithm>
#include <optional>

#include "text.h"

namespace firn::tool {

Result<std::vector<std::string>> assign_to_inputs(const std::vector<std::string>& arguments,
                                                  const std::vector<TensorInfo>& inputs) {
  std::vector<std::optional<std::string>> files(inputs.size());
  std::vector<std::string> unnamed;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const auto input = std::find_if(inputs.begin(), inputs.end(),
                                    [&](const TensorInfo& each) { return each.name == name; });
    if (equals == std::string::npos || input == inputs.end()) {
      unnamed.push_back(argument);
      continue;
    }
    std::optional<std::string>& file = files[static_cast<size_t>(input - inputs.begin())];
    if (file) return Status(Code::invalid_argument, "input '" + name + "' is given twice");
    file = argument.substr(equals + 1);
  }
  auto next = files.begin();
  for (std::string& file : unnamed) {
    next = std::find(next, files.end(), std::nullopt);
    if (next == files.end()) {
      return Status(Code::invalid_argument, format("'%s' is one too many: the model has %zu inputs",
                                                   file.c_str(), inputs.size()));
    }
    *next = std::move(file);
  }
  std::vector<std::string> assigned;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!files[i]) {
      return Status(Code::invalid_argument, "input '" + inputs[i].name + "' (" +
                                                dtype_name(inputs[i].type) + " " +
                                                to_string(inputs[i].shape) + ") is not given");
    }
    assigned.push_back(*std::move(files[i]));
  }
  return assigned;
}

Result<Feed> Feed::open(const DataOptions& options, const std::vector<TensorInfo>& inputs) {
  FIRN_ASSIGN(const std::vector<std::string> paths, assign_to_inputs(options.data, inputs));
  Feed feed;
  for (size_t i = 0; i < inputs.size(); ++i) {
    FIRN_ASSIGN(Preparation preparation, Preparation::make(options.prepare, inputs[i]));
    // Labels are of the first input's samples.
    FIRN_ASSIGN(Source source, Source::open(paths[i], i == 0 ? options.labels : ""));
    if (i > 0 && source.size() != feed.source().size()) {
      return Status(Code::invalid_argument,
                    format("%s has %zu samples, %s has %zu", paths[0].c_str(), feed.source().size(),
                           paths[i].c_str(), source.size()));
    }
    feed.parts_.push_back({inputs[i].name, std::move(source), std::move(preparation), {}});
  }
  if (feed.parts_.empty()) return Status(Code::invalid_argument, "the model has no input to feed");
  const size_t all = feed.source().size();
  if (options.skip >= all) {
    return Status(Code::invalid_argument,
                  format("%s: no samples are left: it has %zu, --skip leaves out %zu",
                         paths[0].c_str(), all, options.skip));
  }
  feed.first_ = options.skip;
  feed.size_ = all - options.skip;
  if (options.limit > 0) feed.size_ = std::min(feed.size_, options.limit);
  return feed;
}

Result<std::vector<NamedTensor>> Feed::read(size_t index) {
  std::vector<NamedTensor> tensors;
  for (Part& part : parts_) {
    const size_t sample = first_ + index;
    FIRN_ASSIGN(Array raw, part.source.read(sample));
    FIRN_ASSIGN(part.array, part.preparation.apply(std::move(raw), part.source.name(sample)));
    tensors.push_back({part.input, part.array.view()});
  }
  return tensors;
}

}  // namespace firn::tool
