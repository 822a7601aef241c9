// SPDX-License-Identifier: Apache-2.0
// Memory that ends anywhere between the first byte of loading and the last of a run: every format
// says so, and nothing else happens.
#include <doctest/doctest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <new>
#include <set>

#include "firn/session.h"
#include "runtime/import/native.h"
#include "runtime/model_impl.h"
#include "test/runtime/ncnn_builder.h"
#include "test/runtime/onnx_builder.h"
#include "test/runtime/onnx_run.h"
#include "test/runtime/tflite_run.h"

// Sanitizers reserve more memory than there is.
#if !defined(FIRN_SANITIZED) && defined(__GLIBC__)

namespace firn::test {
namespace {

// Two fully connected layers with some megabytes of weights.
constexpr int32_t kIn = 512, kBetween = 1536, kOut = 768;

std::vector<float> weights(int32_t in, int32_t out) {
  std::vector<float> w(static_cast<size_t>(in) * static_cast<size_t>(out));
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 7) - 3;
  return w;
}

std::string onnx_file() {
  return OnnxModel()
      .input("x", {4, kIn})
      .initializer(onnx_floats("v", {kIn, kBetween}, weights(kIn, kBetween)))
      .initializer(onnx_floats("w", {kBetween, kOut}, weights(kBetween, kOut)))
      .node("MatMul", {"x", "v"}, {"h"})
      .node("MatMul", {"h", "w"}, {"y"})
      .output("y")
      .bytes();
}

std::vector<uint8_t> tflite_file() {
  tflite::TestModel m;
  int32_t in = m.add_input({"x", tflite::TensorType::float32, {4, kIn}});
  for (const auto& [from, to] : {std::pair(kIn, kBetween), std::pair(kBetween, kOut)}) {
    const int32_t w = m.add({"w" + std::to_string(to),
                             tflite::TensorType::float32,
                             {to, from},
                             tflite::bytes_of(weights(from, to))});
    const int32_t out = m.add({"h" + std::to_string(to), tflite::TensorType::float32, {4, to}});
    m.ops.push_back(
        {tflite::BuiltinOperator::FULLY_CONNECTED,
         {in, w, -1},
         {out},
         tflite::BuiltinOptions::FullyConnected,
         tflite::options([](auto& b) { return tflite::wire::CreateFullyConnectedOptions(b); })});
    in = out;
  }
  m.outputs = {in};
  return m.bytes();
}

NcnnModel ncnn_files() {
  NcnnModel m;
  m.layer("Input data 0 1 data 0=" + std::to_string(kIn));
  const auto product = [&](const std::string& blobs, int32_t from, int32_t to) {
    m.layer("InnerProduct " + blobs + " 0=" + std::to_string(to) +
            " 2=" + std::to_string(from * to));
    m.tagged(weights(from, to));
  };
  product("v 1 1 data h", kIn, kBetween);
  product("w 1 1 h out", kBetween, kOut);
  return m;
}

// Loads, makes a session, runs it.
Status use(const std::function<Result<Model>()>& load) {
  const Result<Model> model = load();
  if (!model.ok()) return model.status();
  Result<Session> session = Session::create(*model);
  if (!session.ok()) return session.status();
  const TensorInfo info = session->inputs()[0];
  std::vector<float> data(info.shape.elements(), 1.0f);
  Outputs outputs;
  return session->run({{info.name, view(info.shape, data.data())}}, outputs);
}

size_t address_space() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long pages = 0;
  const bool read = std::fscanf(file, "%lu", &pages) == 1;
  std::fclose(file);
  return read ? pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

// Compilers may leave a plain malloc() out whose memory nobody uses, as clang does.
void* take(size_t bytes) {
  void* volatile memory = std::malloc(bytes);
  return memory;
}

// From here on what is large comes from the system, and can fail: memory that was given back before
// is taken. What is small, which does not depend on a model's size, is set aside.
void leave_small_memory_alone() {
  constexpr size_t kLarge = size_t{1} << 16;
  ::mallopt(M_MMAP_THRESHOLD, kLarge);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  for (size_t size = size_t{8} << 20; size >= kLarge; size /= 2) {
    const size_t before = ::mallinfo2().hblks;
    while (::mallinfo2().hblks == before)
      if (take(size) == nullptr) return;
  }
  std::array<void*, 64> small{};
  for (void*& p : small) p = take(kLarge / 2);
  for (void* p : small) std::free(p);
}

struct Ending {
  bool exited = false;
  Code code = Code::ok;
  std::string message;
};

// What becomes of it in a process that may grow by so many bytes.
Ending with_memory(size_t bytes, const std::function<Result<Model>()>& load) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    leave_small_memory_alone();
    const rlimit limit{address_space() + bytes, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) ::_exit(1);
    Status status;
    try {
      status = use(load);
    } catch (const std::bad_alloc&) {
      status = {Code::internal, "std::bad_alloc"};
    }
    const auto code = static_cast<char>(status.code());
    const bool told = ::write(ends[1], &code, 1) == 1 &&
                      ::write(ends[1], status.message().data(), status.message().size()) ==
                          static_cast<ssize_t>(status.message().size());
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  std::array<char, 512> text{};
  size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<size_t>(got))
    got = ::read(ends[0], text.data() + size, text.size() - size);
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  Ending ending;
  ending.exited = WIFEXITED(status) && WEXITSTATUS(status) == 0 && size > 0;
  if (ending.exited) ending.code = static_cast<Code>(text[0]);
  if (ending.exited) ending.message.assign(text.data() + 1, size - 1);
  return ending;
}

}  // namespace

TEST_CASE("memory that ends anywhere is an error of every format") {
  const std::string onnx = onnx_file();
  const std::vector<uint8_t> tflite = tflite_file();
  const NcnnModel ncnn = ncnn_files();
  const std::string param = ncnn.param();
  const Model model = [&] {
    Result<Model> made = Model::parse(as_bytes(onnx));
    REQUIRE(made.ok());
    return *std::move(made);
  }();
  const Result<std::vector<std::byte>> native = serialize_native(*model.impl().imported());
  REQUIRE(native.ok());
  const std::map<std::string, std::function<Result<Model>()>> formats = {
      {"onnx", [&] { return Model::parse(as_bytes(onnx)); }},
      {"tflite", [&] { return Model::parse(std::as_bytes(std::span(tflite))); }},
      {"ncnn", [&] { return Model::parse_ncnn(as_bytes(param), as_bytes(ncnn.bin())); }},
      {"firn", [&] { return Model::parse_firn(*native); }}};
  for (const auto& [name, load] : formats) {
    const std::string& format = name;  // clang 14 captures no bindings
    CAPTURE(format);
    std::set<std::string> messages;
    bool enough = false;
    for (size_t bytes = 0; bytes < (size_t{40} << 20); bytes += size_t{1} << 20) {
      CAPTURE(bytes);
      const Ending ending = with_memory(bytes, load);
      CAPTURE(ending.message);
      REQUIRE(ending.exited);
      if (ending.code == Code::ok) {
        enough = true;
        continue;
      }
      CHECK(ending.code == Code::out_of_memory);
      CHECK(ending.message.find("no memory for ") != std::string::npos);
      messages.insert(ending.message);
    }
    CHECK(enough);
    CHECK(messages.size() >= 2);
  }
}

}  // namespace firn::test

#endif
