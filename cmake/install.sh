#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing firn needs and this Debian machine lacks; does nothing where
# nothing is missing.
set -eu

packages="g++ cmake ninja-build flatbuffers-compiler
  libxnnpack-dev libpthreadpool-dev libcpuinfo-dev libprotozero-dev libflatbuffers-dev
  doctest-dev libcli11-dev libstb-dev libbenchmark-dev"

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  # shellcheck disable=SC2086  # one line of words
  fail "no apt-get here: install these by hand, under the names they have on this system: $(echo $packages)"
fi

missing=""
for package in $packages; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=""
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "not root and no sudo: as root, apt-get install$missing"
  as_root=sudo
fi
echo "installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
