#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weights alone in few bits: accuracy, size and time of real classifiers beside fp32.

    python3 bench/weights.py --firn build/release/firn --shared ../shared --out /tmp/weights

No samples are seen by the quantizer; all are evaluated on the pictures behind the first 100, as in
bench/accuracy.py. Times are medians of `firn bench`, one thread, once with the weights made floats
of (floats) and once multiplied as they are (integers). Only runs the tool; the files stay in --out.
"""
import argparse
import pathlib
import subprocess

import accuracy

FORMATS = {
    "fp16": ["--weights", "16"],
    "8 bits, channel": ["--weights", "8", "--block", "0", "--symmetric"],
    "6 bits, 64, HQQ": ["--weights", "6", "--block", "64"],
    "4 bits, 32, HQQ": ["--weights", "4"],
    "4 bits, 32, HQQ, symmetric": ["--weights", "4", "--symmetric"],
    "4 bits, 32, MSE": ["--weights", "4", "--rounding", "mse"],
    "4 bits, 32, max-abs": ["--weights", "4", "--rounding", "max-abs"],
    "3 bits, 32, HQQ": ["--weights", "3"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--models", nargs="*", help="those whose name has one of these")
    parser.add_argument("--formats", nargs="*", help="those whose name has one of these")
    parser.add_argument("--no-time", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    def wanted(name, parts):
        return not parts or any(part in name for part in parts)

    def milliseconds(model, use):
        if options.no_time:
            return "-"
        found = accuracy.run(options.firn, "bench", str(model), "--weight-use", use, "--json")
        return f"{found['median_ms']:.2f}"

    print("| model | weights | MB | top-1 | top-1, integers | agreement | output SQNR, dB "
          "| ms, floats | ms, integers |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model, prepare, _, evaluate in accuracy.cases(options.shared):
        if not wanted(model.stem, options.models):
            continue
        fp32 = options.out / (model.stem + ".fp32.firn")
        subprocess.run([options.firn, "convert", str(model), str(fp32)], check=True,
                       capture_output=True)
        first = True
        for name, flags in FORMATS.items():
            if not wanted(name, options.formats):
                continue
            made = options.out / (model.stem + "." + "".join(c for c in name if c.isalnum()) +
                                  ".firn")
            accuracy.run(options.firn, "quantize", str(model), *flags, "-o", str(made), "--json")

            def compared(use):
                return accuracy.run(options.firn, "compare", str(model), str(made), *evaluate, *prepare,
                           "--weight-use", use, "--json")
            floats, integers = compared("floats"), None
            if "fp16" not in name:
                integers = compared("integers")
            if first:
                print(f"| {model.stem} | fp32 | {fp32.stat().st_size / 1e6:.2f} "
                      f"| {100 * floats['top1_a']:.2f} | - | - | - "
                      f"| {milliseconds(fp32, 'floats')} | - |", flush=True)
                first = False
            top1 = f"{100 * integers['top1_b']:.2f}" if integers else "-"
            time = milliseconds(made, "integers") if integers else "-"
            print(f"| {model.stem} | {name} | {made.stat().st_size / 1e6:.2f} "
                  f"| {100 * floats['top1_b']:.2f} | {top1} | {100 * floats['agreement']:.2f} "
                  f"| {floats['outputs'][0]['sqnr_db']:.1f} | {milliseconds(made, 'floats')} "
                  f"| {time} |", flush=True)


if __name__ == "__main__":
    main()
