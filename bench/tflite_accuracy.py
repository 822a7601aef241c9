#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of trained TensorFlow Lite models on real data, and their agreement with stored results.

    python3 bench/tflite_accuracy.py --firn build/release/firn --shared ../shared

Only runs the tool. Exits with 1 where a figure is further from the expected one than --tolerance
points, 0.1 for float models and 0.5 for quantized ones unless stated.

The expected figures are those of LiteRT on the same samples, decoded and cropped alike; a float
emulation of tf2_mobilenet_v2 gives two points more.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

CROP = ["--short-side", "256", "--resize", "crop"]


def cases(shared, scratch):
    """Model, samples, labels, further options, expected top-1 in percent, stored results."""
    models, data, reference = (shared / p for p in ("models", "data", "data/reference"))
    cifar = [data / "cifar10/test_images.npy", data / "cifar10/test_labels.npy"]
    features = np.load(data / "kws01/kws01.npy").astype(np.float32)
    np.save(scratch / "kws.npy", (features - 83) * np.float32(0.584702909))
    kws_labels = data / "kws01/kws01_labels.npy"
    digits = np.load(data / "mnist/mnist_test_images.npy")
    np.save(scratch / "mnist.npy", digits.astype(np.float32) / 255)
    mnist_labels = data / "mnist/mnist_test_labels.npy"
    tiny, coral = models / "mlperf_tiny", models / "coral"
    yield (tiny / "pretrainedResnet.tflite", *cifar, [], 87.27,
           reference / "pretrainedResnet_float_200images.npy")
    yield tiny / "pretrainedResnet_quant.tflite", *cifar, [], 86.93, None
    yield (tiny / "kws_ref_model_float32.tflite", scratch / "kws.npy", kws_labels, [], 89.8,
           reference / "kws_ref_model_float32_500.npy")
    yield tiny / "kws_ref_model.tflite", data / "kws01/kws01.npy", kws_labels, [], 89.8, None
    pictures = data / "imagenet500/labels.csv"
    background = ["--label-offset", "1"]
    for name, expected in (("tf2_mobilenet_v2_1.0_224_ptq", 86.0),
                           ("mobilenet_v2_1.0_224_quant", 87.6)):
        yield coral / f"{name}.tflite", pictures, pictures, background + CROP, expected, None
    # The middle 224 of 256, for a smaller input.
    yield (coral / "mobilenet_v1_0.25_128_quant.tflite", pictures, pictures,
           background + ["--short-side", "146"], 44.6, None)
    yield (coral / "keras_lstm_mnist_ptq.tflite", data / "mnist/mnist_test_images.npy", mnist_labels,
           [], 97.6, None)
    yield (models / "tflm/trained_lstm.tflite", scratch / "mnist.npy", mnist_labels, [], 97.8, None)


def run(*command):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip())
    return result.stdout


def difference(firn, model, samples, expected, scratch):
    """The largest one from stored results, relative to the largest of those."""
    expected = np.load(expected)
    np.save(scratch / "first.npy", np.load(samples)[:len(expected)])
    run(firn, "run", model, "--input", scratch / "first.npy", "--output", scratch / model.stem)
    ours = np.load(next((scratch / model.stem).glob("*.npy")))
    return np.abs(ours - expected).max() / np.abs(expected).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    parser.add_argument("--tolerance", type=float)
    options = parser.parse_args()
    failed = False
    print("| model | top-1 | expected | largest difference from stored results |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for model, samples, labels, extra, expected, stored in cases(options.shared, scratch):
            result = json.loads(run(options.firn, "compare", model, model, "--data", samples,
                                    "--labels", labels, *extra, "--json"))
            top1 = 100 * result["top1_a"]
            error = difference(options.firn, model, samples, stored, scratch) if stored else 0
            quantized = "float" not in model.stem and stored is None
            tolerance = options.tolerance or (0.5 if quantized else 0.1)
            failed |= error > 1e-4 or (expected is not None and abs(top1 - expected) > tolerance)
            print(f"| {model.stem} | {top1:.2f} | {expected or ''} "
                  f"| {f'{error:.1e}' if stored else ''} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
