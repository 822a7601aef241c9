#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No file of kernels for one instruction set defines a weak symbol, which the linker could take for
# every CPU: kernel_symbols.sh NM OBJECTS...
set -eu
nm=$1
shift
weak=$(for object in "$@"; do
  case $object in
    */kernels/x86/* | */kernels/arm/*)
      "$nm" -C --defined-only "$object" | grep -E ' [WVu] ' | sed "s|^|${object##*/}:|" || true ;;
  esac
done)
[ -z "$weak" ] || { echo "$weak"; exit 1; }
