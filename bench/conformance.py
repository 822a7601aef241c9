#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares firn's fp32 outputs with those of ONNX Runtime that lie beside the real models.

    pip install numpy pillow
    python3 bench/conformance.py --firn build/release/firn --shared ../shared

Pictures are decoded here by libjpeg-turbo, as for the reference, so that only the networks differ.
Prints the largest difference as a part of the output's range; fails above 1e-4.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

TORCH_MEAN, TORCH_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def normalize(pixels, mean, std):
    """NHWC bytes to NCHW floats."""
    x = (pixels.astype(np.float32) - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def pictures(shared):
    """Of the classes 0, 50, ..., 950, the middle 224 x 224."""
    folder = shared / "data/imagenet500"
    rows = [line.split(",")[:2] for line in (folder / "labels.csv").read_text().splitlines()[1:]]
    out = []
    for name, label in rows:
        if int(label) % 50 == 0:
            image = np.asarray(Image.open(folder / name).convert("RGB"))
            top, left = (image.shape[0] - 224) // 2, (image.shape[1] - 224) // 2
            out.append(image[top:top + 224, left:left + 224])
    return np.stack(out)


def cases(shared):
    images = pictures(shared)
    for name, mean, std in (("mobilenet_v2_1.0_224", 127.5, 127.5),
                            ("mobilenet_v1_0.75_224", 127.5, 127.5),
                            ("squeezenet1.1", TORCH_MEAN, TORCH_STD)):
        yield f"models/imagenet/{name}.onnx", normalize(images, mean, std), [f"{name}_20images"]
    cifar = np.load(shared / "data/cifar10/test_images.npy")[:200]
    yield "models/cifar10/resnet20.onnx", normalize(cifar, TORCH_MEAN, TORCH_STD), \
        ["resnet20_200images"]
    count = 3 * 240 * 320
    synthetic = (np.arange(count) * 7919 % 256 / 255).astype(np.float32).reshape(1, 3, 240, 320)
    face = "ultraface_version-RFB-320"
    yield f"models/onnx/{face}.onnx", synthetic, [f"{face}_synthetic_scores",
                                                  f"{face}_synthetic_boxes"]
    sound = (np.arange(576) * 7919 % 256 / 255 - 0.5).astype(np.float32).reshape(1, 576)
    yield "models/onnx/silero_vad_openvino_16k.onnx", \
        {"input": sound, "state": np.zeros((2, 1, 128), np.float32)}, \
        ["silero_vad_synthetic_output", "silero_vad_synthetic_stateN"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    options = parser.parse_args()
    worst = 0.0
    for model, data, references in cases(options.shared):
        with tempfile.TemporaryDirectory() as folder:
            sources = []
            for name, values in (data if isinstance(data, dict) else {"": data}).items():
                source = pathlib.Path(folder) / "inputs" / f"{name or 'input'}.npy"
                source.parent.mkdir(exist_ok=True)
                np.save(source, values)
                sources += ["--input", f"{name}={source}" if name else str(source)]
            subprocess.run([options.firn, "run", str(options.shared / model), *sources,
                            "--output", folder], check=True, capture_output=True)
            for name in references:
                want = np.load(options.shared / "data/reference" / f"{name}.npy")
                output = name.split("_")[-1] if "_synthetic_" in name else None
                files = [f for f in pathlib.Path(folder).glob("*.npy")
                         if output is None or f.stem == output]
                got = np.load(files[0]).reshape(want.shape)
                span = float(want.max() - want.min()) or 1.0  # a lone probability has no range
                error = float(np.abs(got - want).max()) / span
                worst = max(worst, error)
                print(f"{name}: {error:.1e} of the range")
    sys.exit(0 if worst <= 1e-4 else "above 1e-4")


if __name__ == "__main__":
    main()
