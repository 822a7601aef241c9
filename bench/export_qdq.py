#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs what `firn export-qdq` writes in ONNX Runtime, beside the frozen model in firn.

    pip install onnx onnxruntime numpy pillow
    python3 bench/export_qdq.py --firn build/release/firn --shared ../shared --out /tmp/exported

Each network is quantized by firn on 100 pictures (or calibration images of CIFAR-10), exported with
int8 and with uint8 activations, and run on --samples others. `reference` is ONNX Runtime without
graph optimization: floats, rounded where the file says so; `int8` is what it runs by default. `steps`
is the largest difference to firn's answers in units of the output's range / 255. `read back` is the
same for the exported file in firn. Files stay in --out.
"""
import argparse
import pathlib
import subprocess

import numpy as np
import onnx

from qdq import networks, run_firn, run_json, run_ort


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| network | activations | firn top-1 | reference top-1 | agreement | steps "
          "| int8 top-1 | agreement | steps | read back, steps |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for source, load in networks(options.shared):
        calibration, samples, labels = load(options.samples)
        frozen = options.out / (source.stem + ".firn")
        np.save(options.out / "calibration.npy", calibration)
        run_json(options.firn, "quantize", str(source), "--data",
                 str(options.out / "calibration.npy"), "-o", str(frozen), "--json")
        own = run_firn(options.firn, frozen, samples)
        step = (own.max() - own.min()) / 255
        best = np.argmax(own.reshape(len(labels), -1), axis=1)
        for activations, flags in (("int8", []), ("uint8", ["--uint8"])):
            exported = options.out / f"{source.stem}.{activations}.onnx"
            subprocess.run([options.firn, "export-qdq", str(frozen), "-o", str(exported), *flags],
                           check=True)
            onnx.checker.check_model(str(exported), full_check=True)
            row = f"| {source.stem} | {activations} | {100 * np.mean(best == labels):.2f} "
            for optimised in (False, True):
                other = run_ort(exported, samples, optimised)
                theirs = np.argmax(other.reshape(len(labels), -1), axis=1)
                row += (f"| {100 * np.mean(theirs == labels):.2f} "
                        f"| {100 * np.mean(theirs == best):.2f} "
                        f"| {np.abs(own - other).max() / step:.2f} ")
            back = run_firn(options.firn, exported, samples)
            print(row + f"| {np.abs(own - back).max() / step:.2f} |", flush=True)


if __name__ == "__main__":
    main()
