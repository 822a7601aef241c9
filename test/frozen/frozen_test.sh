#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A frozen MobileNetV2 answers with the same bytes whatever computes it: HOST, the firn of this
# machine, freezes it and answers in scalar code; COMMAND, the firn to be tested (of this machine, or
# of another under an emulator), must answer so with every instruction set that it has.
#   frozen_test.sh SHARED FOLDER HOST COMMAND...
# Exits with 77 where what it needs is missing.
set -eu
shared=$1 folder=$2 host=$3
shift 3
model=$shared/models/imagenet/mobilenet_v2_1.0_224.onnx pictures=$shared/data/imagenet500
for needed in "$model" "$pictures" "$host"; do
  [ -e "$needed" ] || { echo "skipped: there is no $needed"; exit 77; }
done
rm -rf "$folder"
mkdir -p "$folder"
"$host" quantize "$model" --data "$pictures" --limit 16 --mean 127.5 --std 127.5 \
  -o "$folder/frozen.firn" >"$folder/quantize.txt"

# Pictures that the ranges have not seen; their preprocessing is part of what is compared.
compared=0
for picture in "$pictures"/n021*0_*.JPEG; do
  answer() {
    out=$1
    shift
    "$@" run "$folder/frozen.firn" --input "$picture" --mean 127.5 --std 127.5 --isa "$isa" \
      --output "$folder/$out" >"$folder/$out.txt" 2>&1
  }
  isa=scalar
  answer want "$host"
  for isa in scalar avx2 avxvnni avx512vnni amxint8 neon neondot neoni8mm; do
    if ! answer got "$@"; then
      grep -q 'is not one this machine has' "$folder/got.txt" && continue
      cat "$folder/got.txt"
      exit 1
    fi
    cmp "$folder/want/prob.npy" "$folder/got/prob.npy" || { echo "$isa: $picture"; exit 1; }
    echo "$isa: ${picture##*/}: the same bytes"
    [ "$isa" = scalar ] || compared=$((compared + 1))
  done
done
[ "$compared" -gt 0 ] || { echo "skipped: there is only scalar code to compare"; exit 77; }
