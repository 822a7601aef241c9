// SPDX-License-Identifier: Apache-2.0
// The one pool of threads of a session.
#ifndef FIRN_KERNELS_PARALLEL_H_
#define FIRN_KERNELS_PARALLEL_H_

#include <cstddef>
#include <memory>
#include <type_traits>

struct pthreadpool;

namespace firn::kernels {

// Runs ranges of independent work on up to `threads` threads, the caller among them. Workers block
// when idle. Calls from several threads follow one another.
class Pool {
 public:
  // nullptr where the threads cannot be had. threads <= 1 makes none: the caller does all.
  static std::unique_ptr<Pool> create(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }
  // Calls fn(context, begin, end) over [0, n) in pieces of at most `grain`; returns when all are
  // done.
  void run(size_t n, size_t grain, void (*fn)(void* context, size_t begin, size_t end),
           void* context);
  template <typename F>
  void parallel_for(size_t n, size_t grain, F&& fn) {
    run(
        n, grain,
        [](void* f, size_t begin, size_t end) {
          (*static_cast<std::remove_reference_t<F>*>(f))(begin, end);
        },
        &fn);
  }
  // For XNNPACK; null with one thread.
  pthreadpool* handle() const { return pool_; }

 private:
  Pool(pthreadpool* pool, int threads) : pool_(pool), threads_(threads) {}
  pthreadpool* pool_;
  int threads_;
};

}  // namespace firn::kernels

#endif  // FIRN_KERNELS_PARALLEL_H_
