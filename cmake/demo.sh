#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the main job on the embedded model and frames.
set -eu
cd "$(dirname "$0")/.."
sh cmake/build.sh firn_demo
exec build/release/firn_demo "$@"
