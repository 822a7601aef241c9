// SPDX-License-Identifier: Apache-2.0
// What the shared library exports: what is marked FIRN_API, and nothing else.
#ifndef FIRN_EXPORT_H_
#define FIRN_EXPORT_H_

// In static libraries the marked names stay hidden, so that a library which firn is linked into
// does not export them in turn.
#if defined(FIRN_SHARED_LIBRARY)
#define FIRN_API __attribute__((visibility("default")))
#else
#define FIRN_API
#endif

#endif  // FIRN_EXPORT_H_
