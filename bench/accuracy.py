#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizes real classifiers with default options and compares them with fp32 on other samples.

    python3 bench/accuracy.py --firn build/release/firn --shared ../shared --out /tmp/frozen

Calibrates on the first 100 pictures (or the calibration images of CIFAR-10), evaluates on the rest.
Only runs the tool: the figures are those of `firn quantize` and `firn compare`. The int8 files stay
in --out.
"""
import argparse
import json
import pathlib
import subprocess

UNIT = ["--mean", "127.5", "--std", "127.5"]
TORCH = ["--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"]
CROP = ["--short-side", "256", "--resize", "crop"]


def cases(shared):
    pictures = str(shared / "data/imagenet500/labels.csv")
    cifar = shared / "data/cifar10"
    for name, prepare, offset in (("mobilenet_v2_1.0_224", UNIT, "1"),
                                  ("mobilenet_v1_0.75_224", UNIT, "0"),
                                  ("squeezenet1.1", TORCH, "0")):
        yield (shared / f"models/imagenet/{name}.onnx", prepare + CROP,
               ["--data", pictures, "--limit", "100"],
               ["--data", pictures, "--skip", "100", "--labels", pictures, "--label-offset", offset])
    yield (shared / "models/ncnn/squeezenet_v1.1.param",
           ["--pixel", "BGR", "--mean", "104,117,123"] + CROP,
           ["--data", pictures, "--limit", "100"],
           ["--data", pictures, "--skip", "100", "--labels", pictures, "--label-offset", "0"])
    yield (shared / "models/cifar10/resnet20.onnx", TORCH,
           ["--data", str(cifar / "calib_images.npy")],
           ["--data", str(cifar / "test_images.npy"), "--labels", str(cifar / "test_labels.npy")])


def run(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--method", default="automatic")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| model | fp32 top-1 | int8 top-1 | agreement | output SQNR, dB |")
    print("|---|---|---|---|---|")
    for model, prepare, calibrate, evaluate in cases(options.shared):
        frozen = options.out / (model.stem + ".firn")
        run(options.firn, "quantize", str(model), *calibrate, *prepare, "--method", options.method,
            "-o", str(frozen), "--json")
        result = run(options.firn, "compare", str(model), str(frozen), *evaluate, *prepare, "--json")
        print(f"| {model.stem} | {100 * result['top1_a']:.2f} | {100 * result['top1_b']:.2f} "
              f"| {100 * result['agreement']:.2f} | {result['outputs'][0]['sqnr_db']:.1f} |",
              flush=True)


if __name__ == "__main__":
    main()
