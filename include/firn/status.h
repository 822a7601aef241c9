// SPDX-License-Identifier: Apache-2.0
// The result of everything that can fail: a Status, or a Result<T> that holds a T or a Status.
#ifndef FIRN_STATUS_H_
#define FIRN_STATUS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "firn/export.h"

namespace firn {

enum class Code : uint8_t {
  ok,
  invalid_argument,     // the caller's own argument is wrong
  failed_precondition,  // the call does not fit the object's state (freeze before calibrate, ...)
  not_found,            // no such file, input, layer
  malformed,            // a file breaks its own format's rules
  unsupported,          // valid, but nothing here can run it; the message names node and operator
  refused,              // freeze: the error limit does not hold; the session is unchanged
  out_of_memory,
  io_error,
  internal,  // a bug in firn
};

// The name of a code, as it stands in messages: "malformed".
FIRN_API const char* code_name(Code code);

// Success, or a code with one line that names node, value, expected and got.
class [[nodiscard]] Status {
 public:
  Status() = default;
  // Control characters and bytes that are no UTF-8, as names in models may have, are spelled out:
  // "\x0a".
  FIRN_API Status(Code code, std::string message);

  bool ok() const { return code_ == Code::ok; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

// A T, or the Status that says why there is none. Dereferencing one without a T ends the program
// with its message: test it first.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  Status status() const { return ok() ? Status() : *std::get_if<1>(&state_); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return const_cast<Result*>(this)->value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &const_cast<Result*>(this)->value(); }

 private:
  T& value();
  std::variant<T, Status> state_;
};

// Prints the message and aborts. For the misuse of a Result, never for bad input.
[[noreturn]] FIRN_API void fatal(const char* file, int line, const std::string& message);

template <typename T>
T& Result<T>::value() {
  T* held = std::get_if<0>(&state_);
  if (held == nullptr) fatal(__FILE__, __LINE__, "empty Result: " + status().message());
  return *held;
}

}  // namespace firn

// Returns the Status of `expr` from the enclosing function unless it is ok.
#define FIRN_TRY(expr)                                                                 \
  do {                                                                                 \
    if (::firn::Status firn_status_ = (expr); !firn_status_.ok()) return firn_status_; \
  } while (false)

#define FIRN_CONCAT_INNER_(a, b) a##b
#define FIRN_CONCAT_(a, b) FIRN_CONCAT_INNER_(a, b)

// FIRN_ASSIGN(auto x, expr): x = the value of the Result `expr`, or returns its Status.
#define FIRN_ASSIGN(lhs, expr) FIRN_ASSIGN_(FIRN_CONCAT_(firn_result_, __LINE__), lhs, expr)
#define FIRN_ASSIGN_(tmp, lhs, expr)  \
  auto tmp = (expr);                  \
  if (!tmp.ok()) return tmp.status(); \
  lhs = *std::move(tmp)

#endif  // FIRN_STATUS_H_
