#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs models that other tools quantized in firn and in ONNX Runtime, and compares the answers.

    pip install onnx onnxruntime numpy pillow
    python3 bench/qdq.py --firn build/release/firn --shared ../shared --out /tmp/qdq

Each network is quantized by onnxruntime.quantization.quantize_static in several ways, and once as
training leaves it: float weights and biases, and a QuantizeLinear, DequantizeLinear pair behind
every operator. Calibrated on the first 100 pictures (or 100 calibration images of CIFAR-10),
compared on --samples others. Measured by are ONNX Runtime's answers without graph optimization, that
is, floats between the pairs. `steps` is the largest difference of an output to those in units of the
output's range / 255; in brackets, that of ONNX Runtime's own int8. The last column is the time over
that of firn's own frozen int8. Models stay in --out, and are used again.
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

UNIT = (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)
TORCH = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# name: format, activations, weights, per channel, options
WAYS = {
    "QDQ u8 per channel": (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8, True, {}),
    "QDQ i8 per tensor": (QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8, False, {}),
    "QDQ i8 symmetric": (QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8, True,
                         {"ActivationSymmetric": True}),
    "QDQ u8 weights": (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QUInt8, False,
                       {"WeightSymmetric": True}),
    "QOperator u8": (QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8, True, {}),
}
TRAINED = "as trained"


def networks(shared):
    pictures = shared / "data/imagenet500"
    for name, (mean, std), offset in (("mobilenet_v2_1.0_224", UNIT, 1),
                                      ("mobilenet_v1_0.75_224", UNIT, 0),
                                      ("squeezenet1.1", TORCH, 0)):
        yield shared / f"models/imagenet/{name}.onnx", lambda n, m=mean, s=std, o=offset: photos(
            pictures, n, m, s, o)
    yield (shared / "models/cifar10/resnet20.onnx",
           lambda n: images(shared / "data/cifar10", n, *TORCH))


def normalized(pixels, mean, std):
    real = (pixels.astype(np.float32) - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(real.transpose(0, 3, 1, 2))


def photos(folder, samples, mean, std, offset):
    """100 calibration pictures, `samples` others and their classes."""
    rows = list(csv.DictReader(open(folder / "labels.csv")))[:100 + samples]
    pixels = []
    for row in rows:
        path = folder / row["file"]
        if not path.exists():
            path = next(folder.rglob(pathlib.Path(row["file"]).name))
        picture = Image.open(path).convert("RGB")
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        pixels.append(np.asarray(picture.crop((left, top, left + 224, top + 224))))
    real = normalized(np.stack(pixels), mean, std)
    labels = np.array([int(row["class"]) + offset for row in rows])
    return real[:100], real[100:], labels[100:]


def images(folder, samples, mean, std):
    calibration = np.load(folder / "calib_images.npy")[::5]
    return (normalized(calibration, mean, std),
            normalized(np.load(folder / "test_images.npy")[:samples], mean, std),
            np.load(folder / "test_labels.npy")[:samples].astype(int))


class Reader(CalibrationDataReader):
    def __init__(self, name, data):
        self.batches = iter([{name: sample[None]} for sample in data])

    def get_next(self):
        return next(self.batches, None)


def ranges_of(model, data):
    """Least and greatest element of every value, over all samples."""
    probe = onnx.shape_inference.infer_shapes(model)
    taken = {value.name for value in probe.graph.output}
    for value in list(probe.graph.value_info):
        if value.name not in taken and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            probe.graph.output.append(value)
    session = onnxruntime.InferenceSession(probe.SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    given = session.get_inputs()[0].name
    found = {given: (float(data.min()), float(data.max()))}
    for sample in data[:20]:
        for name, value in zip(names, session.run(None, {given: sample[None]})):
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(value.min())), max(high, float(value.max()))
    return found


def as_trained(source, target, data):
    """A pair behind every operator, one quantizer a value; weights quantized at run time."""
    model = onnx.load(source)
    ranges = ranges_of(model, data)
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes, renamed = [], {}

    def pair(name, scale, zero, axis=None):
        if name in renamed:
            return renamed[name]
        graph.initializer.append(numpy_helper.from_array(scale, name + "_scale"))
        graph.initializer.append(numpy_helper.from_array(zero, name + "_zero"))
        by = [name + "_scale", name + "_zero"]
        along = {} if axis is None else {"axis": axis}
        nodes.append(helper.make_node("QuantizeLinear", [name] + by, [name + "_q"], **along))
        nodes.append(helper.make_node("DequantizeLinear", [name + "_q"] + by, [name + "_dq"],
                                      **along))
        renamed[name] = name + "_dq"
        return renamed[name]

    def activation(name):
        low, high = min(ranges[name][0], 0.0), max(ranges[name][1], 1e-3)
        scale = np.float32((high - low) / 255)
        return pair(name, scale, np.int8(np.clip(round(-128 - low / scale), -128, 127)))

    def weights(name, axis):
        array = constants[name]
        others = tuple(d for d in range(array.ndim) if d != axis)
        scale = np.maximum(np.abs(array).max(axis=others), 1e-6).astype(np.float32) / 127
        return pair(name, scale, np.zeros(scale.shape, np.int8), axis)

    for node in list(graph.node):
        weighted = node.op_type in ("Conv", "Gemm", "MatMul")
        for i, name in enumerate(node.input):
            if name in constants:
                transposed = any(a.name == "transB" and a.i for a in node.attribute)
                if weighted and i == 1:
                    node.input[i] = weights(name, 0 if node.op_type == "Conv" or transposed else 1)
            elif name in ranges and node.op_type not in ("Shape", "Softmax"):
                node.input[i] = activation(name)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def make(source, way, target, data):
    plain = target.with_name(source.stem + ".prepared.onnx")
    if not plain.exists():
        quant_pre_process(str(source), str(plain), skip_symbolic_shape=True)
    if way == TRAINED:
        return as_trained(plain, target, data)
    name = onnxruntime.InferenceSession(str(plain), providers=["CPUExecutionProvider"])
    form, activations, weights, per_channel, extra = WAYS[way]
    return quantize_static(str(plain), str(target), Reader(name.get_inputs()[0].name, data),
                           quant_format=form, activation_type=activations, weight_type=weights,
                           per_channel=per_channel, extra_options=extra)


def run_json(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_firn(tool, model, data, size=20):
    """The first output for all samples, in batches."""
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, len(data), size):
            batch = data[first:first + size]
            np.save(f"{folder}/in.npy", batch)
            subprocess.run([tool, "run", str(model), "--input", f"{folder}/in.npy", "--output",
                            f"{folder}/out"], check=True, capture_output=True)
            outputs.append(np.load(next(pathlib.Path(f"{folder}/out").glob("*.npy"))))
    return np.concatenate(outputs)


def run_ort(model, data, optimised):
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: sample[None]})[0] for sample in data])


def milliseconds(tool, model, runs):
    return run_json(tool, "bench", str(model), "--runs", str(runs), "--json")["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--only", help="networks whose name contains this")
    parser.add_argument("--make", action="store_true", help="only make the models")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| network | quantized | int8, float layers | ORT top-1 | firn top-1 | agreement | steps (ORT) "
          "| ms | own int8, ms | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for source, load in networks(options.shared):
        if options.only and options.only not in source.stem:
            continue
        calibration, samples, labels = load(options.samples)
        frozen = options.out / (source.stem + ".firn")
        if not frozen.exists():
            np.save(options.out / "calibration.npy", calibration)
            run_json(options.firn, "quantize", str(source), "--data",
                     str(options.out / "calibration.npy"), "-o", str(frozen), "--json")
        for way in [*WAYS, TRAINED]:
            model = options.out / f"{source.stem}.{way.replace(' ', '_')}.onnx"
            if not model.exists():
                make(source, way, model, calibration)
            if options.make:
                continue
            info = run_json(options.firn, "info", str(model), "--json")
            peer, int8 = (run_ort(model, samples, optimised) for optimised in (False, True))
            own = run_firn(options.firn, model, samples)
            step = (peer.max() - peer.min()) / 255
            times = [(milliseconds(options.firn, model, options.runs),
                      milliseconds(options.firn, frozen, options.runs))
                     for _ in range(options.rounds)]
            best = [np.argmax(scores.reshape(len(labels), -1), axis=1) for scores in (peer, own)]
            print(f"| {source.stem} | {way} | {info['layers_int8']}, {info['layers_float']} "
                  f"| {100 * np.mean(best[0] == labels):.2f} "
                  f"| {100 * np.mean(best[1] == labels):.2f} "
                  f"| {100 * np.mean(best[0] == best[1]):.2f} "
                  f"| {np.abs(peer - own).max() / step:.1f} ({np.abs(peer - int8).max() / step:.1f}) "
                  f"| {statistics.median(t[0] for t in times):.3f} "
                  f"| {statistics.median(t[1] for t in times):.3f} "
                  f"| {statistics.median(t[0] / t[1] for t in times):.2f} |", flush=True)


if __name__ == "__main__":
    main()
