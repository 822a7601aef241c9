// SPDX-License-Identifier: Apache-2.0
// The pool: every piece of work is done once, whoever takes it, and nobody is busy when idle.
#include "kernels/parallel.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <numeric>
#include <thread>
#include <vector>

namespace firn::kernels {
namespace {

using std::chrono::milliseconds;

// How often each of n was done, given a grain, in two ways.
std::vector<int> counts(Pool& pool, size_t n, size_t grain) {
  std::vector<int> done(n, 0);  // plain: two threads at one place would be a race
  std::vector<size_t> by_thread(static_cast<size_t>(pool.threads()));  // and so would be two here
  auto work = [&](size_t begin, size_t end, size_t thread) {
    for (size_t i = begin; i < end; ++i) ++done[i];
    by_thread[thread] += end - begin;
  };
  pool.parallel_for(n, grain, work);
  CHECK(std::accumulate(by_thread.begin(), by_thread.end(), size_t{0}) == n);
  // The same in range after range of one call.
  pool.parallel_for(n, grain, [&](Units& units, size_t thread) {
    do work(units.begin, units.end, thread);
    while (units.next());
  });
  CHECK(std::accumulate(by_thread.begin(), by_thread.end(), size_t{0}) == 2 * n);
  return done;
}

double processor_ms() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return 1e3 * static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_nsec);
}

TEST_CASE("parallel: everything is done once") {
  for (const int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    const auto pool = Pool::create(threads);
    REQUIRE(pool != nullptr);
    for (const size_t n : {0, 1, 2, 3, 7, 64, 65, 1000, 200000}) {
      for (const size_t grain : {size_t{0}, size_t{1}, size_t{2}, size_t{63}, n}) {
        CAPTURE(n);
        CAPTURE(grain);
        const std::vector<int> twice(n, 2);
        CHECK(counts(*pool, n, grain) == twice);
        pool->together([&] { CHECK(counts(*pool, n, grain) == twice); });
      }
    }
  }
}

TEST_CASE("parallel: one piece of work after another, each on what the last one left") {
  const auto pool = Pool::create(3);
  REQUIRE(pool != nullptr);
  constexpr size_t kSize = 500;
  std::vector<int64_t> from(kSize), to(kSize);
  for (size_t i = 0; i < kSize; ++i) from[i] = static_cast<int64_t>(i);
  std::vector<int64_t> expected = from;
  constexpr int kSteps = 2000;
  pool->together([&] {
    for (int step = 0; step < kSteps; ++step) {
      // Reads what other threads wrote.
      pool->parallel_for(kSize, 1 + static_cast<size_t>(step) % 90, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) to[i] = from[(i + 7) % kSize] + 1;
      });
      std::swap(from, to);
      // Long enough that workers block, and are woken.
      if (step % 500 == 0) std::this_thread::sleep_for(milliseconds(2));
    }
  });
  std::rotate(expected.begin(), expected.begin() + 7 * kSteps % kSize, expected.end());
  for (int64_t& x : expected) x += kSteps;
  CHECK(from == expected);
}

TEST_CASE("parallel: callers on several threads follow one another") {
  const auto pool = Pool::create(2);
  REQUIRE(pool != nullptr);
  std::atomic<int> failures = 0;
  int inside = 0;  // plain, as they follow one another
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i)
        pool->together([&] {
          if (++inside != 1) ++failures;
          std::vector<int> done(100, 0);
          pool->parallel_for(100, 3, [&](size_t begin, size_t end) {
            for (size_t k = begin; k < end; ++k) ++done[k];
          });
          if (std::ranges::count(done, 1) != 100) ++failures;
          --inside;
        });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(failures == 0);
}

TEST_CASE("parallel: nobody is busy when idle") {
  const auto pool = Pool::create(4);
  REQUIRE(pool != nullptr);
  const auto busy_while_asleep = [&] {
    std::this_thread::sleep_for(milliseconds(5));
    const double before = processor_ms();
    std::this_thread::sleep_for(milliseconds(100));
    return processor_ms() - before;
  };
  // One that spins takes 100.
  counts(*pool, 1000, 1);
  CHECK(busy_while_asleep() < 20);
  pool->together([&] {
    counts(*pool, 1000, 1);
    CHECK(busy_while_asleep() < 20);
  });
  REQUIRE(pool->xnn() != nullptr);
  pool->rest();
  CHECK(busy_while_asleep() < 20);
}

TEST_CASE("parallel: small work is not shared, large work is in pieces that take a while") {
  CHECK(Pool::grain_for(1000, 1e3, 4) == 1000);
  CHECK(Pool::grain_for(1000, 1e9, 1) == 1000);
  CHECK(Pool::grain_for(1000, 80e3, 2) == 50);   // 4 us each
  CHECK(Pool::grain_for(1000, 12e3, 2) == 250);  // two for each thread
  CHECK(Pool::grain_for(1000, 5e3, 4) == 200);   // or as many as take 1 us
  CHECK(Pool::grain_for(3, 1e9, 2) == 1);
  // No more pieces than keep the threads even.
  CHECK(Pool::grain_for(100'000, 1e9, 2) >= 100'000 / 128);
  CHECK(Pool::grain_for(0, 1e9, 2) > 0);
}

}  // namespace
}  // namespace firn::kernels
