#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libfirn exports its public interface only, in segments fit for 16 KB pages:
# shared_symbols.sh NM READELF LIBRARY.
set -eu
nm=$1 readelf=$2 library=$3
exported=$("$nm" -D -C --defined-only "$library" | cut -d' ' -f3-)
for name in 'firn::Model::load(' 'firn::Session::run(' 'firn::preprocess('; do
  echo "$exported" | grep -qF "$name" || { echo "not exported: $name"; exit 1; }
done
if echo "$exported" | grep -vE '^(firn::|firn_)' || echo "$exported" | grep -E '^firn::kernels::'; then
  echo "exported, but not public"
  exit 1
fi
if "$readelf" -lW "$library" | grep -E '^ *LOAD' | grep -v '0x[48]000$'; then
  echo "not aligned to 16 KB"
  exit 1
fi
