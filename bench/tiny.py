#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny's float models, frozen by firn, beside the reference int8 files of the same networks.

    python3 bench/tiny.py --firn build/release/firn --shared ../shared

Each pair is compared with the float model on samples that no calibration has seen: CIFAR-10 and
keyword features with labels; for the person detector, pictures of ImageNet; for the anomaly
detector, which comes without data, log-mel frames of four recordings of speech, noise and silence.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import wave

import numpy as np


def log_mel(path):
    """Windows of 5 frames by 128 mels (n_fft 1024, hop 512, dB), as the anomaly detector takes."""
    with wave.open(str(path)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), np.int16) / 32768.0
        rate = recording.getframerate()
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)
    edges = 700 * (10 ** (np.linspace(0, mel(rate / 2), 130) / 2595) - 1)
    bins = np.linspace(0, rate / 2, 513)
    rising = (bins - edges[:-2, None]) / np.maximum(edges[1:-1] - edges[:-2], 1e-9)[:, None]
    falling = (edges[2:, None] - bins) / np.maximum(edges[2:] - edges[1:-1], 1e-9)[:, None]
    bank = np.maximum(0, np.minimum(rising, falling))
    frames = np.stack([samples[i:i + 1024] * np.hanning(1024)
                       for i in range(0, len(samples) - 1024, 64)])
    power = np.abs(np.fft.rfft(frames)) ** 2 @ bank.T
    levels = 20 / 2 * np.log10(power + 1e-10)
    return np.stack([levels[i:i + 40:8].ravel() for i in range(0, len(levels) - 40, 2)])


def cases(shared, scratch):
    """Name, float model, reference int8 model, samples to calibrate on, to compare on."""
    tiny, data = shared / "models/mlperf_tiny", shared / "data"
    cifar = data / "cifar10"
    yield ("resnet8", tiny / "pretrainedResnet.tflite", tiny / "pretrainedResnet_quant.tflite",
           ["--data", cifar / "calib_images.npy"],
           ["--data", cifar / "test_images.npy", "--labels", cifar / "test_labels.npy"])
    features = np.load(data / "kws01/kws01.npy").astype(np.float32)
    np.save(scratch / "kws.npy", (features - 83) * np.float32(0.584702909))
    yield ("kws", tiny / "kws_ref_model_float32.tflite", tiny / "kws_ref_model.tflite",
           ["--data", scratch / "kws.npy", "--limit", "100"],
           ["--data", scratch / "kws.npy", "--labels", data / "kws01/kws01_labels.npy",
            "--skip", "100"])
    pictures = ["--data", data / "imagenet500", "--mean", "0", "--std", "255"]
    yield ("vww", tiny / "vww_96_float.tflite", tiny / "vww_96_int8.tflite",
           [*pictures, "--limit", "100"], [*pictures, "--skip", "100"])
    windows = np.concatenate([log_mel(p) for p in sorted((data / "tflm_samples").glob("*.wav"))])
    windows = windows[np.random.default_rng(1).permutation(len(windows))].astype(np.float32)
    np.save(scratch / "ad.npy", windows[:, None, :])
    yield ("ad", tiny / "ad01_fp32.tflite", tiny / "ad01_int8.tflite",
           ["--data", scratch / "ad.npy", "--limit", "100"],
           ["--data", scratch / "ad.npy", "--skip", "100"])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", required=True, type=pathlib.Path)
    parser.add_argument("--shared", required=True, type=pathlib.Path)
    arguments = parser.parse_args()

    def run(*words):
        done = subprocess.run([arguments.firn, *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return done.stdout

    print("| network | float top-1 | reference int8: top-1 | SQNR | frozen by firn: top-1 | SQNR |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        for name, floats, reference, calibration, evaluation in cases(arguments.shared, scratch):
            frozen = scratch / f"{name}.firn"
            run("quantize", floats, *calibration, "-o", frozen)
            row = [name]
            for i, other in enumerate((reference, frozen)):
                result = json.loads(run("compare", floats, other, *evaluation, "--json"))
                share = lambda key: "" if result.get(key) is None else f"{100 * result[key]:.2f}"
                if i == 0:
                    row.append(share("top1_a"))
                row += [share("top1_b"), f"{result['outputs'][0]['sqnr_db']:.1f} dB"]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
