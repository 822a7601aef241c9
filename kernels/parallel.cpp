// SPDX-License-Identifier: Apache-2.0
// The pool of threads: the one door to pthreadpool.
#include "kernels/parallel.h"

#include <pthreadpool.h>

#include <algorithm>
#include <new>

// pthreadpool is not built with ThreadSanitizer, which therefore does not see that it orders a
// task's hand-over and its end: said here in its place.
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#define FIRN_ACQUIRE(address) __tsan_acquire(address)
#define FIRN_RELEASE(address) __tsan_release(address)
#else
#define FIRN_ACQUIRE(address)
#define FIRN_RELEASE(address)
#endif

namespace firn::kernels {
namespace {

struct Task {
  void (*fn)(void*, size_t, size_t);
  void* context;
};

void call(Task* task, size_t begin, size_t size) {
  FIRN_ACQUIRE(task);
  task->fn(task->context, begin, begin + size);
  FIRN_RELEASE(task);
}

}  // namespace

std::unique_ptr<Pool> Pool::create(int threads) {
  pthreadpool* pool = nullptr;
  if (threads > 1) {
    pool = pthreadpool_create(static_cast<size_t>(threads));
    if (pool == nullptr) return nullptr;
  }
  return std::unique_ptr<Pool>(new (std::nothrow) Pool(pool, std::max(threads, 1)));
}

Pool::~Pool() {
  pthreadpool_destroy(pool_);
}

void Pool::run(size_t n, size_t grain, void (*fn)(void*, size_t, size_t), void* context) {
  if (n == 0) return;
  if (pool_ == nullptr || n <= grain) return fn(context, 0, n);
  Task task{fn, context};
  FIRN_RELEASE(&task);
  pthreadpool_parallelize_1d_tile_1d(pool_, reinterpret_cast<pthreadpool_task_1d_tile_1d_t>(call),
                                     &task, n, std::max<size_t>(grain, 1),
                                     PTHREADPOOL_FLAG_YIELD_WORKERS);
  FIRN_ACQUIRE(&task);
}

}  // namespace firn::kernels
