#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing and builds the given targets (all without any) in build/release.
set -eu
cd "$(dirname "$0")/.."
sh cmake/install.sh
mkdir -p build
cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log >&2; exit 1; }
if [ $# -gt 0 ]; then
  cmake --build build/release --target "$@"
else
  cmake --build build/release
fi
