// SPDX-License-Identifier: Apache-2.0
// Whole networks: fp32 and int8, on one thread and on several, timed in turn in one process, beside
// the peak of the machine's dot instruction that the same run measures. A float model is calibrated
// on noise and frozen first; what is int8 already is timed as it is.
// bench_models [--threads N] MODEL...
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/noise.h"
#include "bench/peak.h"
#include "firn/model.h"
#include "firn/session.h"

namespace {

using namespace firn;
using bench::Noise;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;            // in each of them every session gets its turn
constexpr double kTurnSeconds = 0.1;  // how long that is, about

// One way of running a model, and how long its runs took.
struct Way {
  std::string name;
  Session session;
  std::vector<double> ms;

  double median() {
    const auto middle = ms.begin() + static_cast<std::ptrdiff_t>(ms.size() / 2);
    std::nth_element(ms.begin(), middle, ms.end());
    return *middle;
  }
};

Status take_turn(Way& way, const Noise& noise) {
  Outputs outputs;
  FIRN_TRY(way.session.run(noise.tensors, outputs));  // what the last one left in the caches
  const Clock::time_point begin = Clock::now();
  Clock::time_point now = begin;
  do {
    const Clock::time_point start = now;
    FIRN_TRY(way.session.run(noise.tensors, outputs));
    now = Clock::now();
    way.ms.push_back(std::chrono::duration<double, std::milli>(now - start).count());
  } while (std::chrono::duration<double>(now - begin).count() < kTurnSeconds);
  return {};
}

// The int8 model that a float one freezes to, on noise: times do not depend on the values.
Result<Model> frozen(const Model& model) {
  Result<Session> session = Session::create(model);
  if (!session.ok()) return session.status();
  FIRN_TRY(session->calibrate({.method = Method::minmax}));
  Outputs outputs;
  constexpr uint32_t kFrames = 10;
  for (uint32_t seed = 1; seed <= kFrames; ++seed)
    FIRN_TRY(session->run(Noise(session->inputs(), seed).tensors, outputs));
  const Result<FreezeReport> report =
      session->freeze({.equalize = false, .rounding = Rounding::nearest});
  if (!report.ok()) return report.status();
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() /
      ("firn_bench_models_" + std::to_string(Clock::now().time_since_epoch().count()) + ".firn");
  FIRN_TRY(session->save(file.string()));
  Result<Model> loaded = Model::load_firn(file.string());
  std::error_code ignored;
  std::filesystem::remove(file, ignored);  // mapped: its bytes stay until the model goes
  return loaded;
}

Status measure(const std::string& path, int threads, kernels::Isa isa) {
  Result<Model> model = Model::load(path);
  if (!model.ok()) return model.status();
  std::vector<std::pair<std::string, Model>> models;
  if (model->info().layers_int8 == 0) {
    models.emplace_back("fp32", *model);
    Result<Model> int8 = frozen(*model);
    if (!int8.ok()) return int8.status();
    models.emplace_back("int8", *std::move(int8));
  } else {
    models.emplace_back("int8", *model);
  }
  std::vector<Way> ways;
  for (const auto& [name, each] : models)
    for (const int n : {1, threads}) {
      Result<Session> session =
          Session::create(each, {.threads = n, .isa = kernels::isa_name(isa)});
      if (!session.ok()) return session.status();
      ways.push_back({name, *std::move(session), {}});
      if (threads == 1) break;
    }
  const Noise noise(ways[0].session.inputs(), 1);
  for (int round = 0; round < kRounds; ++round)
    for (Way& way : ways) FIRN_TRY(take_turn(way, noise));

  const auto macs = static_cast<double>(model->info().macs);
  const double peak = bench::peak(isa);
  const double slowest = ways[0].median();
  for (Way& way : ways) {
    const double median = way.median(), fastest = *std::ranges::min_element(way.ms);
    std::printf("%-28s %s %7d %9.3f %9.3f %9.0f", path.substr(path.rfind('/') + 1).c_str(),
                way.name.c_str(), way.session.threads(), median, fastest, macs / median / 1e6);
    if (peak > 0 && way.name == "int8")
      std::printf(" %7.1f %%", 100 * macs / (median * 1e-3) / peak / way.session.threads());
    else
      std::printf(" %9s", "");
    std::printf(" %9.2f\n", slowest / median);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 2;
  std::optional<kernels::Isa> isa = kernels::best_isa();
  std::vector<std::string> models;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
      threads = std::atoi(argv[++i]);
    else if (std::strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
      isa = kernels::isa_from_name(argv[++i]);
    else
      models.emplace_back(argv[i]);
  }
  if (models.empty() || threads < 1 || !isa) {
    std::fprintf(stderr, "usage: bench_models [--threads N] [--isa NAME] MODEL...\n");
    return 2;
  }
  std::printf("%s, dot instruction's peak %.0f GMAC/s on one thread\n", kernels::isa_name(*isa),
              bench::peak(*isa) / 1e9);
  std::printf("%-28s      threads median ms   fastest    GMAC/s   of peak   x first\n", "");
  bool ok = true;
  for (const std::string& model : models)
    if (const Status status = measure(model, threads, *isa); !status.ok()) {
      std::fprintf(stderr, "%s: %s\n", model.c_str(), status.message().c_str());
      ok = false;
    }
  return ok ? 0 : 1;
}
