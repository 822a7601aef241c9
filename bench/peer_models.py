#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts and quantizes one ONNX model for one of the runtimes that bench/peers.py times.

    pip install onnx onnxruntime numpy ncnn pnnx MNN
    python3 bench/peer_models.py --route ort_u8s8 --data noise.npy MODEL.onnx OUT

bench/peers.py calls this in a process of its own for every file, since converters print as they like
and may abort. --data is calibration data, an .npy whose first axis is the sample.
"""
import argparse
import importlib.util
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np


def single(source, target, _):
    """The model at batch 1, batch norms folded: open dimensions cost some runtimes their speed."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process
    model = onnx.load(source)
    given = {tensor.name for tensor in model.graph.initializer}
    for value in [*model.graph.input, *model.graph.output]:
        if value.name not in given and value.type.tensor_type.shape.dim:
            first = value.type.tensor_type.shape.dim[0]
            if not first.dim_value:
                first.dim_value = 1
    del model.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/single.onnx")
        quant_pre_process(f"{folder}/single.onnx", str(target), skip_symbolic_shape=True)


def quantized_by_ort(source, target, data, activations):
    import onnxruntime
    from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                          quantize_static)

    class Reader(CalibrationDataReader):
        def __init__(self, name):
            self.batches = iter([{name: sample[None]} for sample in data])

        def get_next(self):
            return next(self.batches, None)

    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    quantize_static(str(source), str(target), Reader(session.get_inputs()[0].name),
                    quant_format=QuantFormat.QDQ, activation_type=getattr(QuantType, activations),
                    weight_type=QuantType.QInt8, per_channel=True)


def ncnn(source, target, data):
    """By pnnx's own program; its Python package would want torch."""
    package = importlib.util.find_spec("pnnx")
    tool = shutil.which("pnnx")
    if package:
        tool = pathlib.Path(package.submodule_search_locations[0]) / "pnnx"
    if not tool:
        raise ModuleNotFoundError("No module named 'pnnx'")
    shape = ",".join(map(str, (1, *data.shape[1:])))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(source, f"{folder}/m.onnx")
        subprocess.run([tool, "m.onnx", f"inputshape=[{shape}]", "fp16=0"], check=True, cwd=folder)
        shutil.copy(f"{folder}/m.ncnn.bin", target.with_suffix(".bin"))
        shutil.copy(f"{folder}/m.ncnn.param", target)


def ncnn_int8(source, target, data):
    for tool in ("ncnn2table", "ncnn2int8"):
        if not shutil.which(tool):
            raise ModuleNotFoundError(f"no program {tool}: it comes with ncnn's sources, not by pip")
    with tempfile.TemporaryDirectory() as folder:
        plain = pathlib.Path(folder) / "m.param"
        ncnn(source, plain, data)
        names = []
        for i, sample in enumerate(data):
            names.append(f"{folder}/{i}.npy")
            np.save(names[-1], sample)
        pathlib.Path(f"{folder}/list").write_text("\n".join(names) + "\n")
        shape = ",".join(map(str, reversed(data.shape[1:])))
        subprocess.run(["ncnn2table", plain, plain.with_suffix(".bin"), f"{folder}/list",
                        f"{folder}/table", f"shape=[{shape}]", "method=kl", "type=1"], check=True)
        subprocess.run(["ncnn2int8", plain, plain.with_suffix(".bin"), target,
                        target.with_suffix(".bin"), f"{folder}/table"], check=True)


def mnn(source, target, _, *options):
    """By the module under MNN's commands, which also report usage over the network."""
    import MNN  # loads what _tools links
    import _tools
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel",
                       str(target), "--bizCode", "bench", *options])
    if not target.exists():
        raise RuntimeError(f"MNN {MNN.version()} does not convert it")


ROUTES = {
    "single": single,
    "ort_u8s8": lambda *a: quantized_by_ort(*a, "QUInt8"),
    "ort_s8s8": lambda *a: quantized_by_ort(*a, "QInt8"),
    "ncnn": ncnn,
    "ncnn_int8": ncnn_int8,
    "mnn": mnn,
    # pip's MNN has no static quantizer that runs (mnnquant aborts); its int8 is this: weights by file,
    # activations quantized as they come.
    "mnn_int8": lambda *a: mnn(*a, "--weightQuantBits", "8"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--route", choices=ROUTES, required=True)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()
    data = np.load(options.data) if options.data else None
    ROUTES[options.route](options.model, options.out, data)


if __name__ == "__main__":
    main()
