#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds firn for 64-bit or 32-bit Arm on this Debian machine and runs tests under qemu, on CPUs
# with and without dot product and matrix product. What is installed stays in build/, but for the
# compiler and qemu. The test `frozen` compares the answers of a model with those of this machine.
#   sh cmake/test_arm.sh [aarch64|armhf] [TEST...]   (default: aarch64, kernels, frozen)
set -eu
cd "$(dirname "$0")/.."
architecture=${1:-aarch64}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- kernels frozen
case $architecture in
  aarch64) triplet=aarch64-linux-gnu debian=arm64 cpus="cortex-a53 cortex-a76 max" ;;
  armhf) triplet=arm-linux-gnueabihf debian=armhf cpus="max" ;;
  *) echo "test_arm.sh: $architecture is neither aarch64 nor armhf" >&2 && exit 2 ;;
esac

sh cmake/install.sh
for package in g++-$triplet qemu-user; do
  dpkg-query -W "$package" >/dev/null 2>&1 ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
done

# The libraries cannot be installed beside those of this machine: they are unpacked.
build=$PWD/build/$architecture
sysroot=$build/sysroot
if [ ! -e "$sysroot/done" ]; then
  mkdir -p "$sysroot/packages"
  dpkg --add-architecture $debian
  apt-get update -qq || true  # what is needed may be known all the same
  (
    cd "$sysroot/packages"
    for name in libxnnpack0 libxnnpack-dev libpthreadpool0 libpthreadpool-dev libcpuinfo0 \
      libcpuinfo-dev; do
      apt-get download -q "$name:$debian"
    done
    for package in *.deb; do dpkg -x "$package" "$sysroot"; done
  )
  # Headers alone are the same everywhere.
  for name in protozero flatbuffers doctest stb CLI; do
    ln -sfn /usr/include/$name "$sysroot/usr/include/$name"
  done
  touch "$sysroot/done"
fi

case " $* " in
  *" frozen "*) sh cmake/build.sh firn_tool ;;
esac

for cpu in $cpus; do
  echo "== $architecture, $cpu"
  cmake -G Ninja -S . -B "$build" -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/arm.cmake" \
    -DCMAKE_BUILD_TYPE=Release -DFIRN_BUILD_BENCH=OFF -DFIRN_ARM_TRIPLET=$triplet \
    -DFIRN_ARM_SYSROOT="$sysroot" -DFIRN_ARM_CPU=$cpu \
    -DFIRN_HOST_TOOL="$PWD/build/release/firn" >"$build/configure.log" 2>&1 ||
    { cat "$build/configure.log" >&2; exit 1; }
  for test in "$@"; do
    target=test_$test
    [ "$test" != frozen ] || target=firn_tool
    cmake --build "$build" --target "$target"
    ctest --test-dir "$build" --output-on-failure -R "^$test\$"
  done
done
