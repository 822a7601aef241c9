#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds everything with clang, where warnings are errors, and runs the kernels' tests. Without
# optimization or debug information, as that takes half the time: what is asked is whether clang
# compiles and links. That each file includes what it needs is for the build without clang to tell.
# Installs clang where the machine lacks it.
set -eu
cd "$(dirname "$0")/.."
sh cmake/install.sh
dpkg-query -W clang >/dev/null 2>&1 || {
  as_root=""
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang
}
mkdir -p build
cmake --preset clang -B build/clang-check -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DFIRN_PRECOMPILE=ON >build/configure.log 2>&1 ||
  { cat build/configure.log >&2; exit 1; }
cmake --build build/clang-check
ctest --test-dir build/clang-check --output-on-failure -R '^kernels$'
