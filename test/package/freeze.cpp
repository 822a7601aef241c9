// SPDX-License-Identifier: Apache-2.0
// An app that calibrates an ONNX model of its own memory and saves it frozen: freeze MODEL.firn.
#include <firn/model.h>
#include <firn/quantize.h>

#include <cstring>
#include <span>
#include <string>

#include "run.h"

namespace {

// Protocol Buffers' wire format, as far as it is needed here; lengths are below 2^14.
std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  out += static_cast<char>((bytes.size() & 127) | 128);
  out += static_cast<char>(bytes.size() >> 7);
  return out + bytes;
}
std::string field(int number, int value) {  // 0 to 127
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}

std::string tensor_type(const std::string& name, int columns) {
  const std::string shape = field(1, field(1, 1)) + field(1, field(1, columns));
  return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)));
}

// y = x * w.
std::string onnx_model() {
  std::string weights(kIn * kOut * sizeof(float), '\0');
  for (size_t i = 0; i < kIn * kOut; ++i) {
    const float w = static_cast<float>(i * 11 % 31) / 31.0f - 0.5f;
    std::memcpy(&weights[i * sizeof w], &w, sizeof w);
  }
  const std::string w =
      field(1, kIn) + field(1, kOut) + field(2, 1) + field(8, "w") + field(9, weights);
  const std::string node =
      field(1, "x") + field(1, "w") + field(2, "y") + field(3, "product") + field(4, "MatMul");
  const std::string graph = field(1, node) + field(2, "graph") + field(5, w) +
                            field(11, tensor_type("x", kIn)) + field(12, tensor_type("y", kOut));
  return field(1, 8) + field(7, graph) + field(8, field(2, 13));
}

firn::Status freeze(const std::string& path, int& exit_status) {
  const std::string bytes = onnx_model();
  FIRN_ASSIGN(const firn::Model model, firn::Model::parse(std::as_bytes(std::span(bytes))));
  FIRN_ASSIGN(firn::Session session, firn::Session::create(model));
  FIRN_TRY(session.calibrate());
  firn::Outputs outputs;
  for (int n = 0; n < 64; ++n) {
    std::array<float, kIn> x = frame(n);
    FIRN_TRY(session.run({{"x", firn::view({1, kIn}, x.data())}}, outputs));
  }
  FIRN_ASSIGN(const firn::FreezeReport report, session.freeze({.timed = false}));
  if (report.layers_int8 != 1) return {firn::Code::internal, "the layer is not in int8"};
  exit_status = print_run(session);
  return session.save(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int exit_status = 1;
  const firn::Status status = freeze(argv[1], exit_status);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok() ? exit_status : 1;
}
