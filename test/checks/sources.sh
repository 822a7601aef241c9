#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The laws of the house that sources can break: sources.sh ROOT. Names every breach; fails on any.
set -eu
cd "$1"
library="include kernels runtime quant"
breaches=$(mktemp)
trap 'rm -f "$breaches"' EXIT

breach() {
  while read -r where; do echo "$where: $1"; done >>"$breaches"
}

# "file header" for each #include under the given folders.
includes() {
  grep -rE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' "$@" |
    sed 's/^\([^:]*\):[^<"]*[<"]\([^>"]*\)[>"].*/\1 \2/'
}

# arrow FOLDER ALLOWED...: of our own folders, FOLDER includes no others.
arrow() {
  from=$1
  shift
  includes "$from" | awk -v allowed=" $* " '
    { split($2, part, "/") }
    part[1] ~ /^(firn|kernels|runtime|quant|examples|test|bench)$/ &&
      index(allowed, " " part[1] " ") == 0' | breach "$from may include only: $*"
}
arrow include firn
arrow kernels kernels
arrow runtime firn kernels runtime
arrow quant firn kernels runtime quant
arrow examples firn

# door HEADERS FILES: only the files that match include headers that match.
door() {
  # shellcheck disable=SC2086  # a list of folders
  includes $library examples |
    awk -v headers="$1" -v files="$2" '$2 ~ headers && $1 !~ files' |
    breach "only $2 may include it"
}
door '^cpuinfo\.h$' '^kernels/isa\.cpp$'
door '^pthreadpool\.h$' '^kernels/parallel\.'
door '^xnnpack' '^kernels/xnn\.'
door '^protozero/' '^runtime/import/onnx'
door '^flatbuffers/|_generated\.h$' '^runtime/import/(native|tflite)'
door '^CLI/|^stb' '^examples/'
door '^doctest|^benchmark/' '^(test|bench)/'

# Options are arguments.
# shellcheck disable=SC2086
grep -rnE '\bgetenv\b' $library | breach "the library reads no environment" || true

sources() {
  # shellcheck disable=SC2086
  find $library examples test bench cmake .ci CMakeLists.txt -type f \( -name '*.h' -o -name '*.cpp' \
    -o -name '*.c' -o -name '*.inc' -o -name '*.mm' -o -name '*.fbs' -o -name '*.sh' -o -name '*.py' \
    -o -name '*.java' -o -name '*.kt' -o -name '*.swift' -o -name '*.js' -o -name '*.cmake' \
    -o -name '*.in' -o -name '*.map' -o -name 'CMakeLists.txt' -o -path '.ci/*' \)
}
sources | while read -r file; do
  head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
done | breach "no SPDX line on top"
sources | while read -r file; do
  [ "$(wc -l <"$file")" -le 500 ] || echo "$file"
done | breach "longer than 500 lines"

cat "$breaches"
[ ! -s "$breaches" ]
