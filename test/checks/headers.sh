#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone and without warnings: headers.sh INCLUDE_FOLDER CXX CC.
set -eu
include=$1 cxx=$2 cc=$3
warnings="-Wall -Wextra -Wconversion -Wpedantic -Werror -fsyntax-only"
for header in "$include"/firn/*.h; do
  # As the first include of a file, so that a main file's #pragma once or guard is tried as well.
  # shellcheck disable=SC2086  # a list of flags
  echo "#include <firn/${header##*/}>" |
    "$cxx" -std=c++20 $warnings -I "$include" -x c++ - || exit 1
done
if [ -e "$include/firn/c_api.h" ]; then
  # shellcheck disable=SC2086
  echo '#include <firn/c_api.h>' | "$cc" -std=c11 $warnings -I "$include" -x c -
fi
