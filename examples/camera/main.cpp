// SPDX-License-Identifier: Apache-2.0
// The main job on an embedded network and a made-up camera: fp32 at once, calibrating on the frames
// that are there anyway, freezing in the background, int8 from the next frame on; then both
// compared.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "firn/session.h"
#include "pipeline.h"

// shapes.onnx, put into the program by CMake.
extern "C" const unsigned char shapes_onnx[];
extern "C" const size_t shapes_onnx_size;

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

[[noreturn]] void fail(const firn::Status& status) {
  std::fprintf(stderr, "firn_demo: %s\n", status.message().c_str());
  std::exit(1);
}

void check(const firn::Status& status) {
  if (!status.ok()) fail(status);
}

template <typename T>
T check(firn::Result<T> result) {
  if (!result) fail(result.status());
  return *std::move(result);
}

// One frame through one session.
class Classifier {
 public:
  explicit Classifier(firn::Session& session)
      : session_(session), input_(pipeline::input_shape().elements()) {}

  int operator()(const scenes::Frame& frame) {
    const firn::Tensor input = firn::view(pipeline::input_shape(), input_.data());
    check(firn::preprocess(frame.image(), pipeline::preprocessing(), input));
    const Clock::time_point start = Clock::now();
    check(session_.run({{"frame", input}}, outputs_));
    ms.push_back(ms_since(start));
    const std::span<float> logits = outputs_["logits"].as<float>();
    return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }

  std::vector<double> ms;  // of run() alone

 private:
  firn::Session& session_;
  std::vector<float> input_;
  firn::Outputs outputs_;
};

// Frames until the session has frozen itself. Returns the report of the freeze.
firn::FreezeReport calibrate(firn::Session& session, scenes::Camera& camera) {
  std::mutex mutex;
  std::optional<firn::Result<firn::FreezeReport>> frozen;
  firn::CalibrateOptions options;
  options.automatic_freeze = true;
  options.on_freeze = [&](const firn::Result<firn::FreezeReport>& report) {
    const std::lock_guard lock(mutex);
    frozen = report;
  };
  check(session.calibrate(options));

  Classifier classify(session);
  constexpr int kMaxFrames = 2000;
  int answered = 0, while_freezing = 0;
  for (; answered < kMaxFrames; ++answered) {
    const firn::State before = session.state();
    (void)classify(camera.next());
    while_freezing += before == firn::State::freezing;
    {
      const std::lock_guard lock(mutex);
      if (frozen.has_value()) break;
    }
    if (before == firn::State::calibrating && answered % 16 == 15) {
      const firn::CalibrationStatus status = session.calibration();
      std::printf("  frame %4d: observed %zu, held back %zu, ranges moved %.2f %% (most: %s)\n",
                  answered + 1, status.frames, status.held_back, 100 * status.movement,
                  status.moves_most.c_str());
    }
  }
  const std::lock_guard lock(mutex);
  if (!frozen.has_value()) {
    std::fprintf(stderr, "firn_demo: the ranges did not converge in %d frames\n", kMaxFrames);
    std::exit(1);
  }
  std::printf(
      "  frozen after %d frames; %d of them were answered while it froze; "
      "longest answer %.2f ms\n",
      answered + 1, while_freezing, *std::max_element(classify.ms.begin(), classify.ms.end()));
  return check(*std::move(frozen));
}

void print_report(const firn::FreezeReport& report) {
  std::printf("  %d layers int8, %d float; output SQNR %.1f dB on %zu held-back frames; %.0f ms\n",
              report.layers_int8, report.layers_float, report.outputs.at(0).sqnr_db,
              report.verified_frames, 1000 * report.seconds);
  const auto worst =
      std::min_element(report.layers.begin(), report.layers.end(),
                       [](const auto& a, const auto& b) { return a.sqnr_db < b.sqnr_db; });
  std::printf("  worst layer: %s (%s), %.1f dB\n", worst->name.c_str(), worst->op.c_str(),
              worst->sqnr_db);
  for (const std::string& warning : report.warnings)
    std::printf("  warning: %s\n", warning.c_str());
}

size_t file_size(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<size_t>(size);
}

}  // namespace

int main() {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(shapes_onnx, shapes_onnx_size));
  const firn::Model model = check(firn::Model::parse(bytes));
  firn::Session session = check(firn::Session::create(model));
  const firn::ModelInfo info = model.info();
  std::printf("network: %zu parameters, %.1f million multiply-adds; kernels: %s\n", info.parameters,
              static_cast<double>(info.macs) / 1e6, session.isa().c_str());

  std::printf("fp32, at once:\n");
  scenes::Camera camera(7, pipeline::kFrameWidth, pipeline::kFrameHeight);
  {
    Classifier classify(session);
    for (int i = 0; i < 3; ++i) {
      const scenes::Frame frame = camera.next();
      const int answer = classify(frame);
      std::printf("  frame %d shows a %s, the answer is %s (%.2f ms)\n", i + 1,
                  scenes::kClassNames[static_cast<size_t>(frame.label)],
                  scenes::kClassNames[static_cast<size_t>(answer)], classify.ms.back());
    }
  }

  std::printf("calibrating on the camera's frames, freezing by itself:\n");
  print_report(calibrate(session, camera));

  // The frozen file is what the next start loads.
  const std::string folder = std::filesystem::temp_directory_path();
  const std::string stem = folder + "/firn_demo_" + std::to_string(getpid());
  check(session.save(stem + ".int8.firn"));
  check(model.save(stem + ".fp32.firn"));
  const size_t bytes_f32 = file_size(stem + ".fp32.firn"),
               bytes_i8 = file_size(stem + ".int8.firn");
  const firn::Model frozen = check(firn::Model::load(stem + ".int8.firn"));
  firn::Session int8 = check(firn::Session::create(frozen));
  firn::Session fp32 = check(firn::Session::create(model));

  constexpr int kFrames = 600;
  std::printf("comparing on %d frames that neither has seen:\n", kFrames);
  scenes::Camera other(8, pipeline::kFrameWidth, pipeline::kFrameHeight);
  Classifier classify_f32(fp32), classify_i8(int8), classify_live(session);
  int right_f32 = 0, right_i8 = 0, agree = 0, same_as_live = 0;
  for (int i = 0; i < kFrames; ++i) {
    const scenes::Frame frame = other.next();
    const int a = classify_f32(frame), b = classify_i8(frame);
    right_f32 += a == frame.label;
    right_i8 += b == frame.label;
    agree += a == b;
    same_as_live += b == classify_live(frame);
  }
  const auto percent = [](int n) { return 100.0 * n / kFrames; };
  const double ms_f32 = median(classify_f32.ms), ms_i8 = median(classify_i8.ms);
  std::printf("  %-22s %10s %10s\n", "", "fp32", "int8");
  std::printf("  %-22s %9.1f%% %9.1f%%   they agree on %.1f %%\n", "accuracy", percent(right_f32),
              percent(right_i8), percent(agree));
  std::printf("  %-22s %10.3f %10.3f   %.1f times faster\n", "median latency, ms", ms_f32, ms_i8,
              ms_f32 / ms_i8);
  std::printf("  %-22s %10zu %10zu   %.1f times smaller\n", "file, bytes", bytes_f32, bytes_i8,
              static_cast<double>(bytes_f32) / static_cast<double>(bytes_i8));
  std::printf("the saved file answers like the session that made it on %d of %d frames\n",
              same_as_live, kFrames);
  std::remove((stem + ".int8.firn").c_str());
  std::remove((stem + ".fp32.firn").c_str());
  return same_as_live == kFrames ? 0 : 1;
}
