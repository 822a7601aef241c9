#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weights alone in few bits: accuracy, size and time of real classifiers beside fp32.

    python3 bench/weights.py --firn build/release/firn --shared ../shared --out /tmp/weights

Weights need no samples; where the table says so, biases are corrected by the first 100 pictures. All
is evaluated on the other ones, as in bench/accuracy.py. Times are medians of `firn bench`, one thread, once with the weights made floats
of (floats) and once multiplied as they are (integers). Only runs the tool; the files stay in --out.
"""
import argparse
import pathlib
import subprocess

import accuracy

# Name, flags, and whether the first 100 pictures are given: they correct the biases, and tell how
# many bits each layer needs.
FORMATS = (
    ("fp16", ["--weights", "16"], False),
    ("8 bits, channel", ["--weights", "8", "--block", "0", "--symmetric"], False),
    ("6 bits, 64, HQQ", ["--weights", "6", "--block", "64"], False),
    ("4 bits, 32, max-abs", ["--weights", "4", "--block-scale", "max-abs"], False),
    ("4 bits, 32, MSE", ["--weights", "4", "--block-scale", "mse"], False),
    ("4 bits, 32, HQQ", ["--weights", "4"], False),
    ("4 bits, 32, max-abs", ["--weights", "4", "--block-scale", "max-abs"], True),
    ("4 bits, 32, MSE", ["--weights", "4", "--block-scale", "mse"], True),
    ("4 bits, 32, HQQ", ["--weights", "4"], True),
    ("4 bits, 32, HQQ, short filters too", ["--weights", "4", "--short-filter", "0"], True),
    ("4 bits, 32, HQQ, symmetric", ["--weights", "4", "--symmetric"], True),
    ("3 bits, 32, HQQ", ["--weights", "3"], True),
    ("8 bits, 32, HQQ", ["--weights", "8"], True),
    ("by layer, 15 dB", ["--weights", "auto", "--min-sqnr", "15"], True),
    ("by layer, 20 dB", ["--weights", "auto", "--min-sqnr", "20"], True),
    ("by layer, 23 dB", ["--weights", "auto", "--min-sqnr", "23"], True),
    ("by layer, 25 dB", ["--weights", "auto", "--min-sqnr", "25"], True),
)


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

    print("| model | weights | pictures | MB | top-1 | top-1, integers | agreement | output SQNR, dB "
          "| ms, floats | ms, integers |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model, prepare, calibrate, evaluate in accuracy.all_cases(options.shared):
        if not wanted(model.stem, options.models):
            continue
        fp32 = options.out / (model.stem + ".fp32.firn")
        subprocess.run([options.firn, "convert", str(model), str(fp32)], check=True,
                       capture_output=True)
        first = True
        for name, flags, pictures in FORMATS:
            if not wanted(name, options.formats):
                continue
            made = options.out / (model.stem + "." + "".join(c for c in name if c.isalnum()) +
                                  (".data" if pictures else "") + ".firn")
            data = calibrate + prepare if pictures else []
            accuracy.run(options.firn, "quantize", str(model), *flags, *data, "-o", str(made),
                         "--json")

            def compared(use):
                return accuracy.run(options.firn, "compare", str(model), str(made), *evaluate, *prepare,
                           "--weight-use", use, "--json")
            floats, integers = compared("floats"), None
            if "fp16" not in name:
                integers = compared("integers")
            if first:
                print(f"| {model.stem} | fp32 | - | {fp32.stat().st_size / 1e6:.2f} "
                      f"| {100 * floats['top1_a']:.2f} | - | - | - "
                      f"| {milliseconds(fp32, 'floats')} | - |", flush=True)
                first = False
            top1 = f"{100 * integers['top1_b']:.2f}" if integers else "-"
            time = milliseconds(made, "integers") if integers else "-"
            print(f"| {model.stem} | {name} | {100 if pictures else 0} | {made.stat().st_size / 1e6:.2f} "
                  f"| {100 * floats['top1_b']:.2f} | {top1} | {100 * floats['agreement']:.2f} "
                  f"| {floats['outputs'][0]['sqnr_db']:.1f} | {milliseconds(made, 'floats')} "
                  f"| {time} |", flush=True)


if __name__ == "__main__":
    main()
