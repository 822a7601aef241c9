// SPDX-License-Identifier: Apache-2.0
// A thread whose failure to start is a value, not an exception.
#ifndef FIRN_QUANT_WORKER_H_
#define FIRN_QUANT_WORKER_H_

#include <pthread.h>

#include <functional>
#include <utility>

namespace firn {

// Runs one function on a thread of its own; the destructor waits for its end.
class Worker {
 public:
  Worker() = default;
  ~Worker() {
    if (started_) pthread_join(thread_, nullptr);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Once. False where the system has no thread to give; the function is then not called.
  bool start(std::function<void()> work) {
    work_ = std::move(work);
    const auto enter = [](void* self) -> void* {
      static_cast<Worker*>(self)->work_();
      return nullptr;
    };
    started_ = pthread_create(&thread_, nullptr, enter, this) == 0;
    return started_;
  }
  bool started() const { return started_; }

 private:
  std::function<void()> work_;
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace firn

#endif  // FIRN_QUANT_WORKER_H_
