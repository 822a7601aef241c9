// SPDX-License-Identifier: Apache-2.0
// The pool of threads: the one door to pthreadpool.
#include "kernels/parallel.h"

#include <pthreadpool.h>

#include <algorithm>
#include <new>

namespace firn::kernels {
namespace {

struct Task {
  void (*fn)(void*, size_t, size_t);
  void* context;
};

void call(Task* task, size_t begin, size_t size) {
  task->fn(task->context, begin, begin + size);
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
  pthreadpool_parallelize_1d_tile_1d(pool_, reinterpret_cast<pthreadpool_task_1d_tile_1d_t>(call),
                                     &task, n, std::max<size_t>(grain, 1),
                                     PTHREADPOOL_FLAG_YIELD_WORKERS);
}

}  // namespace firn::kernels
