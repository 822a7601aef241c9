// SPDX-License-Identifier: Apache-2.0
// The one pool of threads of a session.
#ifndef FIRN_KERNELS_PARALLEL_H_
#define FIRN_KERNELS_PARALLEL_H_

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/units.h"

struct pthreadpool;

namespace firn::kernels {

// Runs ranges of independent work on up to `threads` threads, the caller among them. Calls from
// several threads follow one another.
//
// Workers block when idle. To wake one takes longer than a small layer does, so that a run is put
// in together(): within it workers look out for its next layer, for some 50 us, before they block.
// A worker that comes late, or that the system gives no time, is not waited for: who has time takes
// the next piece. (pthreadpool waits for every worker after each piece of work, and knows but two
// ways of waiting for more: not at all, or spinning for milliseconds.)
class Pool {
 public:
  // nullptr where the threads cannot be had. threads <= 1 makes none: the caller does all.
  static std::unique_ptr<Pool> create(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }
  // Calls fn(context, units, thread) over units [0, n) in pieces of `grain`, or more where that
  // would be too many, or several pieces at once; returns when all are done. A thread is given
  // range after range by next(), as long as there are any. `thread` is below threads(), and another
  // one for each of the calls at a time.
  using Function = void (*)(void* context, Units&, size_t thread);
  void run(size_t n, size_t grain, Function fn, void* context);
  // fn takes (Units&, thread), or one range: (begin, end) or (begin, end, thread).
  template <typename F>
  void parallel_for(size_t n, size_t grain, F&& fn) {
    run(
        n, grain,
        [](void* f, Units& units, size_t thread) {
          auto& call = *static_cast<std::remove_reference_t<F>*>(f);
          if constexpr (std::is_invocable_v<F, Units&, size_t>)
            call(units, thread);
          else if constexpr (std::is_invocable_v<F, size_t, size_t, size_t>)
            call(units.begin, units.end, thread);
          else
            call(units.begin, units.end);
        },
        &fn);
  }
  // The same for work that takes one thread about `ns` nanoseconds in all.
  template <typename F>
  void parallel_work(size_t n, double ns, F&& fn) {
    parallel_for(n, grain_for(n, ns, threads_), std::forward<F>(fn));
  }
  // Less takes two threads no less time than one.
  static constexpr double kWorthSharingNs = 4000;
  // Pieces that are worth handing over, and small enough that no thread waits long for the last;
  // all of it where none are.
  static size_t grain_for(size_t n, double ns, int threads);

  // Calls body(), which works with this pool many times over. Workers look out for a next call like
  // it, unless other threads are to have their processors at once.
  template <typename F>
  void together(F&& body, bool others_follow = false) {
    if (workers_.empty() || is_together()) return body();
    begin();
    body();
    end(others_follow);
  }

  // XNNPACK's pool, made when it is first asked for; null with one thread, or where there are no
  // threads to be had. Its workers spin for more work, until rest().
  pthreadpool* xnn() const;
  void rest() const;

 private:
  // Pieces of a task, one after the other.
  struct Taken {
    uint16_t first = 0, count = 0;
  };
  struct Task {
    Function fn = nullptr;
    void* context = nullptr;
    size_t n = 0, grain = 1;
  };
  // The pieces [front, back) of a task that nobody has taken yet. The number tells tasks apart, so
  // that nobody takes a piece of a task for one of another. Aligned, or clang calls libatomic.
  struct alignas(8) Pieces {
    static constexpr size_t kMost = UINT16_MAX;
    uint32_t task = 0;
    uint16_t front = 0, back = 0;
  };

  explicit Pool(int threads) : threads_(threads) {}
  bool start();
  void begin();
  void tell();
  void end(bool others_follow);
  bool is_together() const;
  void share(const Task& task, size_t pieces);
  Taken take(bool from_front);
  class Share;
  uint32_t run_share(const Task& task, Taken first, size_t thread);
  void work(size_t thread);

  int threads_;
  struct Worker {
    Pool* pool;
    size_t number;  // from 1; 0 is the caller
    pthread_t thread;
  };
  std::vector<Worker> workers_;
  std::mutex one_caller_;
  std::atomic<std::thread::id> caller_{};  // the one within together()

  // What the caller writes and the workers look at.
  alignas(64) std::atomic<Pieces> pieces_{};
  std::atomic<uint32_t> news_{0};        // counts what workers should look at, and block on
  std::atomic<int32_t> patience_us_{0};  // how long workers look out for more
  std::atomic<bool> quit_{false};
  Task task_;
  // What the workers write and the caller waits for.
  alignas(64) std::atomic<uint32_t> done_{0};  // pieces of the task

  mutable std::mutex xnn_mutex_;
  mutable pthreadpool* xnn_ = nullptr;
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_PARALLEL_H_
