#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs TensorFlow Lite models through LiteRT and through firn, on the same inputs.

    pip install ai-edge-litert
    python3 bench/litert_compare.py --firn build/release/firn ../shared/models/coral

For each model: the largest difference of its outputs, in steps of the output's scale where it is
quantized, else relative to the largest output; and how often the greatest score is the same. Inputs
are uniform noise over the range of their type. Exits with 1 where a model differs by more than
--steps or --relative, or does not run.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# The plain kernels: XNNPACK computes some operators in another way than TensorFlow Lite defines.
RESOLVER = {"reference": OpResolverType.BUILTIN_REF,
            "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def noise(detail, rng):
    shape, kind = detail["shape"], detail["dtype"]
    if kind == np.float32:
        return rng.uniform(-1, 1, shape).astype(kind)
    if kind == np.bool_:
        return rng.integers(0, 2, shape).astype(kind)
    if kind in (np.int8, np.uint8, np.int16):
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max + 1, shape).astype(kind)
    return rng.integers(-4, 5, shape).astype(kind)


def run_litert(interpreter, inputs):
    interpreter.reset_all_variables()
    for detail, data in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(detail["index"], data)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def run_firn(firn, model, inputs):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [firn, "run", str(model), "--output", str(folder / "out"), "--input"]
        for i, data in enumerate(inputs):
            np.save(folder / f"in{i}.npy", data)
            command.append(str(folder / f"in{i}.npy"))
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(result.stderr.strip().splitlines()[-1])
        return {f.stem: np.load(f) for f in (folder / "out").glob("*.npy")}


def file_stem(name):
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def find_output(outputs, name):
    for stem, data in outputs.items():
        if stem in (name, file_stem(name)):
            return data
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    raise RuntimeError(f"no output {name} among {sorted(outputs)}")


class Agreement:
    def __init__(self):
        self.steps = self.relative = 0.0
        self.same = self.all = 0

    def add(self, theirs, ours, detail):
        if theirs.size != ours.size:
            raise RuntimeError(f"{detail['name']} is {ours.shape}, expected {theirs.shape}")
        theirs, ours = theirs.astype(np.float64).ravel(), ours.astype(np.float64).ravel()
        if theirs.size == 0:
            return
        difference = np.abs(theirs - ours)
        difference[(theirs == ours) | (np.isnan(theirs) & np.isnan(ours))] = 0
        scale = detail["quantization"][0]
        if scale > 0 and detail["dtype"] != np.float32:
            # Floats are dequantized outputs.
            step = scale if not np.array_equal(ours, np.round(ours)) else 1
            self.steps = max(self.steps, difference.max() / step)
        else:
            self.relative = max(self.relative, difference.max() / (np.abs(theirs).max() + 1e-9))
        self.all += 1
        self.same += int(theirs.argmax() == ours.argmax() or theirs[ours.argmax()] == theirs.max())


def compare(firn, path, samples, resolver):
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(1)
    agreement = Agreement()
    for _ in range(samples):
        inputs = [noise(d, rng) for d in interpreter.get_input_details()]
        theirs = run_litert(interpreter, inputs)
        ours = run_firn(firn, path, inputs)
        for detail, data in zip(interpreter.get_output_details(), theirs):
            agreement.add(data, find_output(ours, detail["name"]), detail)
    return agreement


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--kernels", choices=RESOLVER, default="reference")
    parser.add_argument("--steps", type=float, default=1)
    parser.add_argument("--relative", type=float, default=1e-4)
    options = parser.parse_args()
    failed = False
    print("| model | largest difference | same top-1 | |")
    print("|---|---|---|---|")
    for path in sorted(options.folder.rglob("*.tflite")):
        try:
            a = compare(options.firn, path, options.samples, RESOLVER[options.kernels])
        except (RuntimeError, ValueError) as error:
            print(f"| {path.stem} | {str(error).splitlines()[0]} | | FAILED |", flush=True)
            failed = True
            continue
        bad = a.steps > options.steps or a.relative > options.relative
        failed = failed or bad
        parts = ([f"{a.steps:.3g} steps"] if a.steps else []) + \
                ([f"{a.relative:.2g} relative"] if a.relative else [])
        print(f"| {path.stem} | {', '.join(parts) or 'none'} | {a.same}/{a.all} "
              f"| {'DIFFERS' if bad else ''} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
