// SPDX-License-Identifier: Apache-2.0
// The pool of threads, and the one door to pthreadpool, which XNNPACK wants.
#include "kernels/parallel.h"

#include <pthreadpool.h>

#include <algorithm>
#include <chrono>
#include <new>

namespace firn::kernels {
namespace {

// How long a thread looks out for another one before it blocks. The system takes about as long to
// wake it up; or milliseconds, where it puts it on the processor of the thread that wakes it, which
// is busy: so a worker waits longer for a step after one that it had no part in.
constexpr int32_t kLookOutUs = 50, kLookOutForStepUs = 500;
// Handing work over and waiting for it takes two threads some hundred nanoseconds. Of less work
// there are smaller pieces, so that a thread that comes late leaves some to others.
constexpr double kPieceNs = 4000, kLeastPieceNs = 1000;
constexpr double kPiecesPerThread = 32, kLeastPiecesPerThread = 2;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

// False where it did not become true for patience() microseconds, which may change meanwhile.
template <typename Condition, typename Patience>
bool look_out_for(const Condition& condition, const Patience& patience) {
  constexpr int kPauses = 64;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < kPauses; ++i) {
      if (condition()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < std::chrono::microseconds(patience()));
  return false;
}

}  // namespace

std::unique_ptr<Pool> Pool::create(int threads) {
  std::unique_ptr<Pool> pool(new (std::nothrow) Pool(std::max(threads, 1)));
  if (pool == nullptr || !pool->start()) return nullptr;
  return pool;
}

// pthread_create and not std::thread, which throws where there are no more threads to be had.
bool Pool::start() {
  workers_.reserve(static_cast<size_t>(threads_ - 1));  // they stay in place
  for (int i = 1; i < threads_; ++i) {
    Worker& worker = workers_.emplace_back(Worker{this, static_cast<size_t>(i), {}});
    const auto main = [](void* argument) -> void* {
      const auto* self = static_cast<const Worker*>(argument);
      self->pool->work(self->number);
      return nullptr;
    };
    if (pthread_create(&worker.thread, nullptr, main, &worker) != 0) {
      workers_.pop_back();
      return false;
    }
  }
  return true;
}

Pool::~Pool() {
  quit_.store(true, std::memory_order_relaxed);
  tell();
  for (const Worker& worker : workers_) pthread_join(worker.thread, nullptr);
  pthreadpool_destroy(xnn_);
}

size_t Pool::grain_for(size_t n, double ns, int threads) {
  if (threads == 1 || ns < kWorthSharingNs) return std::max<size_t>(n, 1);
  const double least = std::min(ns / kLeastPieceNs, kLeastPiecesPerThread * threads);
  const double pieces = std::clamp(ns / kPieceNs, least, kPiecesPerThread * threads);
  return std::max<size_t>(static_cast<size_t>(static_cast<double>(n) / pieces), 1);
}

void Pool::run(size_t n, size_t grain, Function fn, void* context) {
  if (n == 0) return;
  if (workers_.empty() || n <= grain) {
    Units all(0, n);
    return fn(context, all, 0);
  }
  grain = std::max({grain, size_t{1}, (n - 1) / Pieces::kMost + 1});
  together([&] { share({fn, context, n, grain}, (n - 1) / grain + 1); });
}

bool Pool::is_together() const {
  return caller_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

void Pool::begin() {
  one_caller_.lock();
  caller_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  patience_us_.store(kLookOutForStepUs, std::memory_order_relaxed);
  tell();
}

void Pool::tell() {
  news_.fetch_add(1, std::memory_order_release);
  news_.notify_all();
}

void Pool::end(bool others_follow) {
  patience_us_.store(others_follow ? 0 : kLookOutUs, std::memory_order_relaxed);
  caller_.store({}, std::memory_order_relaxed);
  one_caller_.unlock();
}

// What one thread does of a task.
class Pool::Share : public Units {
 public:
  Share(Pool& pool, const Task& task, Taken taken, bool from_front)
      : Units(0, 0, take_more), pool_(pool), task_(task), from_front_(from_front) {
    add(taken);
  }
  uint32_t pieces() const { return pieces_; }

 private:
  static bool take_more(Units& units) {
    auto& share = static_cast<Share&>(units);
    const Taken taken = share.pool_.take(share.from_front_);
    share.add(taken);
    return taken.count > 0;
  }
  void add(Taken taken) {
    begin = taken.first * task_.grain;
    end = std::min(begin + taken.count * task_.grain, task_.n);
    pieces_ += taken.count;
  }

  Pool& pool_;
  const Task& task_;
  const bool from_front_;
  uint32_t pieces_ = 0;
};

// How many pieces were done. None of them counts as done before all are, so that the task stays
// that of whoever is at it.
uint32_t Pool::run_share(const Task& task, Taken first, size_t thread) {
  Share share(*this, task, first, thread == 0);
  task.fn(task.context, share, thread);
  return share.pieces();
}

// The caller takes from the front and workers from the back: with two threads each keeps to its
// half, whose data are in its cache from the layer before. Many pieces at first, neighbours, and
// fewer the fewer are left, so that all end together (guided self-scheduling: Polychronopoulos and
// Kuck, IEEE Transactions on Computers, 1987). None where none are left.
Pool::Taken Pool::take(bool from_front) {
  Pieces left = pieces_.load(std::memory_order_acquire);
  while (left.front < left.back) {
    const int all = left.back - left.front;
    const auto count = static_cast<uint16_t>(std::max(all / (2 * threads_), 1));
    Pieces then = left;
    if (from_front)
      then.front = static_cast<uint16_t>(left.front + count);
    else
      then.back = static_cast<uint16_t>(left.back - count);
    if (pieces_.compare_exchange_weak(left, then, std::memory_order_acq_rel,
                                      std::memory_order_acquire))
      return {from_front ? left.front : then.back, count};
  }
  return {};
}

void Pool::share(const Task& task, size_t pieces) {
  // Nobody reads these: all pieces of the task before were done.
  task_ = task;
  done_.store(0, std::memory_order_relaxed);
  const uint32_t number = pieces_.load(std::memory_order_relaxed).task + 1;
  pieces_.store({number, 0, static_cast<uint16_t>(pieces)}, std::memory_order_release);
  tell();
  auto others = static_cast<uint32_t>(pieces);
  for (Taken taken; (taken = take(true)).count > 0;) others -= run_share(task, taken, 0);
  const auto all_done = [&] { return done_.load(std::memory_order_acquire) == others; };
  if (look_out_for(all_done, [] { return kLookOutUs; })) return;
  for (uint32_t done; (done = done_.load(std::memory_order_acquire)) != others;)
    done_.wait(done, std::memory_order_acquire);
}

void Pool::work(size_t thread) {
  while (true) {
    const uint32_t news = news_.load(std::memory_order_acquire);
    for (Taken taken; (taken = take(false)).count > 0;) {
      done_.fetch_add(run_share(task_, taken, thread), std::memory_order_release);
      done_.notify_one();
    }
    if (quit_.load(std::memory_order_relaxed)) return;
    const auto any_news = [&] { return news_.load(std::memory_order_acquire) != news; };
    const auto patience = [&] { return patience_us_.load(std::memory_order_relaxed); };
    if (!look_out_for(any_news, patience)) news_.wait(news, std::memory_order_acquire);
  }
}

pthreadpool* Pool::xnn() const {
  if (threads_ == 1) return nullptr;
  const std::lock_guard lock(xnn_mutex_);
  if (xnn_ == nullptr) xnn_ = pthreadpool_create(static_cast<size_t>(threads_));
  return xnn_;
}

void Pool::rest() const {
  const std::lock_guard lock(xnn_mutex_);
  if (xnn_ == nullptr) return;
  pthreadpool_parallelize_1d(
      xnn_, [](void*, size_t) {}, nullptr, static_cast<size_t>(threads_),
      PTHREADPOOL_FLAG_YIELD_WORKERS);
}

}  // namespace firn::kernels
