#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the build into a folder of its own and builds and runs an app on that:
# package_test.sh BUILD_FOLDER CMAKE GENERATOR CXX NM.
set -eu
build=$1 cmake=$2 generator=$3 cxx=$4 nm=$5
source=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quietly() {
  "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
quietly "$cmake" --install "$build" --prefix "$work/prefix"
quietly "$cmake" -G "$generator" -S "$source" -B "$work/app" -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$work/prefix"
quietly "$cmake" --build "$work/app"

"$work/app/freeze" "$work/little.firn" >"$work/freeze.txt"
"$work/app/frozen" "$work/little.firn" >"$work/frozen.txt"
[ "$(wc -l <"$work/freeze.txt")" = 8 ]
cmp "$work/freeze.txt" "$work/frozen.txt"

# Nothing that only the quantizer or the ONNX parser define is in the app that needs neither.
quant=$(find "$work/prefix" -name libfirn_quant.a)
if [ -n "$quant" ]; then
  for archive in "$quant" "${quant%quant.a}onnx.a"; do
    "$nm" -g --defined-only "$archive" | awk '$2 == "T" { print $3 }'
  done | sort >"$work/unwanted"
  [ -s "$work/unwanted" ]
  "$nm" --defined-only "$work/app/frozen" | awk '{ print $3 }' | sort >"$work/linked"
  comm -12 "$work/unwanted" "$work/linked" >"$work/found"
  [ ! -s "$work/found" ] || { cat "$work/found"; echo "linked, but not needed"; exit 1; }
fi
