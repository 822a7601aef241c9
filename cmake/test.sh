#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything, and runs all tests.
set -eu
cd "$(dirname "$0")/.."
sh cmake/build.sh
ctest --test-dir build/release --output-on-failure
