#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times firn beside ONNX Runtime on the same models, interleaved in one run.

    pip install onnxruntime numpy
    python3 bench/peers.py --firn build/release/firn --frozen FOLDER MODEL.onnx...

Each round runs every candidate once for a while; printed are medians over the rounds and ratios to
ONNX Runtime's fp32. With --frozen, FOLDER/<model>.firn is timed as well.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import time

import numpy as np
import onnxruntime


def firn_ms(tool, model, threads, runs):
    out = subprocess.run([tool, "bench", str(model), "--threads", str(threads), "--runs", str(runs),
                          "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)["median_ms"]


class Ort:
    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options,
                                                    providers=["CPUExecutionProvider"])
        self.feeds = {}
        for value in self.session.get_inputs():
            shape = [d if isinstance(d, int) else 1 for d in value.shape]
            self.feeds[value.name] = np.zeros(shape, np.float32)

    def ms(self, runs):
        times = []
        for i in range(runs + 5):
            start = time.perf_counter()
            self.session.run(None, self.feeds)
            if i >= 5:
                times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--frozen", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    print(f"ONNX Runtime {onnxruntime.__version__}, {options.threads} thread(s), "
          f"median of {options.rounds} rounds of {options.runs} runs")
    print("| model | ONNX Runtime fp32, ms | firn fp32, ms | ratio | firn int8, ms | fp32 / int8 |")
    print("|---|---|---|---|---|---|")
    for model in options.models:
        ort = Ort(model, options.threads)
        frozen = options.frozen / (model.stem + ".firn") if options.frozen else None
        if frozen is not None and not frozen.exists():
            frozen = None
        rounds = []
        for _ in range(options.rounds):
            rounds.append((ort.ms(options.runs),
                           firn_ms(options.firn, model, options.threads, options.runs),
                           firn_ms(options.firn, frozen, options.threads, options.runs)
                           if frozen else float("nan")))
        peer, fp32, int8 = (statistics.median(r[i] for r in rounds) for i in range(3))
        against_peer = statistics.median(r[1] / r[0] for r in rounds)
        gain = statistics.median(r[1] / r[2] for r in rounds)
        print(f"| {model.stem} | {peer:.3f} | {fp32:.3f} | {against_peer:.2f} | {int8:.3f} "
              f"| {gain:.2f} |")


if __name__ == "__main__":
    main()
