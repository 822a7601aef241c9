#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What 16-bit activations cost and gain: networks in int8, in 16 bits and in fp32, by kinds of layers.

    python3 bench/precisions.py --firn build/release/firn --data PICTURES --out /tmp/precisions MODELS

Freezes each model twice, once with 16 bits for every layer that has weights, and adds up the times of
those layers as `firn profile` has them, conversions between precisions with them; beside them the
SQNR that the freeze measured on the samples that it held back. Without --data the samples are smooth
noise: good for times, not for SQNR. Only runs the tool; what is in --out is not made again.
"""
import argparse
import collections
import json
import pathlib

import numpy as np

from accuracy import run

MODES = ("int8", "16 bits", "fp32")


def noise_for(firn, model, out):
    shape = run(firn, "info", model, "--json")["inputs"][0]["shape"]
    shape = [max(int(d), 1) for d in shape]
    path = out / f"{model.stem}.npy"
    rng = np.random.default_rng(1)
    coarse = rng.standard_normal((12, *shape[1:-2], *(max(d // 8, 1) for d in shape[-2:])))
    smooth = coarse.repeat(8, -1).repeat(8, -2)[..., :shape[-2], :shape[-1]]
    np.save(path, (smooth + 0.2 * rng.standard_normal((12, *shape[1:]))).astype(np.float32))
    return ["--data", path]


def kind_of(layer):
    if layer["op"] == "Dense" or "dwconv" in layer["kernel"]:
        return "fully connected" if layer["op"] == "Dense" else "depthwise"
    return "convolutions"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--data", help="samples to calibrate on; options of the tool may follow it")
    parser.add_argument("--tool", default="", help="more of the tool's options, for the samples")
    parser.add_argument("--runs", default="30")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    print("| model | layers | int8, ms | 16 bits, ms | fp32, ms | int8 : 16 bits : fp32 |")
    print("|---|---|---|---|---|---|")
    for model in options.models:
        data = (["--data", options.data, *options.tool.split()] if options.data
                else noise_for(options.firn, model, options.out))
        files, sqnr = {"fp32": model}, {}
        for mode, flags in (("int8", []), ("16 bits", ["--keep-i16", "*"])):
            files[mode] = options.out / f"{model.stem}.{mode.replace(' ', '')}.firn"
            report = files[mode].with_suffix(".json")
            if not report.exists():
                report.write_text(json.dumps(run(options.firn, "quantize", model, *data, *flags,
                                                 "--json", "-o", files[mode])))
            sqnr[mode] = min(output["sqnr_db"]
                             for output in json.loads(report.read_text())["outputs"])
        profiles = {mode: run(options.firn, "profile", files[mode], "--runs", options.runs, "--json")
                    for mode in MODES}
        kinds = {layer["name"]: kind_of(layer) for layer in profiles["16 bits"]["layers"]
                 if layer["precision"] == "int16"}
        times = {mode: collections.Counter() for mode in MODES}
        for mode in MODES:
            for layer in profiles[mode]["layers"]:
                kind = kinds.get(layer["name"])
                if kind is None and "quantize" in layer["name"]:
                    kind = "conversions"
                if kind:
                    times[mode][kind] += layer["ms"]
            times[mode]["a run"] = profiles[mode]["total_ms"]
        for kind in ("convolutions", "depthwise", "fully connected", "conversions", "a run"):
            row = [times[mode][kind] for mode in MODES]
            if not any(row):
                continue
            ratio = (" : ".join(f"{ms / row[0]:.2f}" for ms in row)
                     if row[0] and kind != "conversions" else "")
            print(f"| {model.stem} | {kind} | " + " | ".join(f"{ms:.3f}" for ms in row) +
                  f" | {ratio} |", flush=True)
        print(f"| {model.stem} | output SQNR, dB | {sqnr['int8']:.1f} | {sqnr['16 bits']:.1f} | | |",
              flush=True)


if __name__ == "__main__":
    main()
