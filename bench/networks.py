#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes well-known networks as ONNX files with seeded random weights, for timing and conformance.

    pip install onnx onnxruntime numpy
    python3 bench/networks.py --out /tmp/networks --check build/release/firn

The topologies are the published ones with batch norms folded, input 1x3x224x224 and 1000 classes;
weights are drawn at the scale that keeps activations near 1 through the depth, so that int8 has
something to quantize. Accuracy means nothing here. With --check, each file is run in ONNX Runtime
and in firn on the same noise, and its multiply-adds are compared with the published number; the exit
status is 1 if one is off.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Net:
    """A graph under construction; methods append nodes and return the name of their value."""

    def __init__(self, name, seed=1):
        self.name, self.random = name, np.random.default_rng(seed)
        self.nodes, self.constants, self.channels = [], [], {"input": 3}

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind, *inputs, channels=None, **attributes):
        output = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        self.channels[output] = self.channels.get(inputs[0]) if channels is None else channels
        return output

    def normal(self, *shape, std):
        return (std * self.random.standard_normal(shape)).astype(np.float32)

    def conv(self, x, out, kernel, stride=1, groups=1, act=None, gain=1.0):
        """gain makes up for what the activation before, or a gate, took from the variance."""
        fan_in = self.channels[x] // groups
        weight = self.normal(out, fan_in, kernel, kernel,
                             std=gain / math.sqrt(fan_in * kernel * kernel))
        y = self.op("Conv", x, self.constant(weight), self.constant(self.normal(out, std=0.1)),
                    channels=out, kernel_shape=[kernel, kernel], strides=[stride, stride],
                    pads=[kernel // 2] * 4, group=groups)
        return self.act(y, act)

    def act(self, x, kind):
        if kind is None:
            return x
        if kind == "Relu6":
            return self.op("Clip", x, self.constant(np.float32(0)), self.constant(np.float32(6)))
        if kind == "Silu":
            return self.op("Mul", x, self.op("Sigmoid", x))
        if kind == "HardSigmoid":
            return self.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
        if kind == "Gelu":  # the operator is of opset 20; exporters wrote this for years
            erf = self.op("Erf", self.op("Div", x, self.constant(np.float32(math.sqrt(2)))))
            half = self.op("Mul", x, self.op("Add", erf, self.constant(np.float32(1))))
            return self.op("Mul", half, self.constant(np.float32(0.5)))
        return self.op(kind, x)

    def excite(self, x, squeezed, act, gate):
        """Squeeze and excitation."""
        pooled = self.op("GlobalAveragePool", x)
        inner = self.conv(pooled, squeezed, 1, act=act, gain=1.4)
        return self.op("Mul", x, self.conv(inner, self.channels[x], 1, act=gate, gain=0.5))

    def dense(self, x, out, gain=1.0):
        weight = self.normal(out, self.channels[x], std=gain / math.sqrt(self.channels[x]))
        return self.op("Gemm", x, self.constant(weight), self.constant(self.normal(out, std=0.1)),
                       channels=out, transB=1)

    def pooled(self, x):
        return self.op("Flatten", self.op("GlobalAveragePool", x))

    def model(self, y):
        floats = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes, self.name,
            [helper.make_tensor_value_info("input", floats, [1, 3, 224, 224])],
            [helper.make_tensor_value_info(y, floats, [1, self.channels[y]])], self.constants)
        model = helper.make_model(graph, producer_name="firn bench/networks.py", ir_version=8,
                                  opset_imports=[helper.make_opsetid("", OPSET)])
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model


RELU = math.sqrt(2)  # gain behind Relu
SMOOTH = 1.5         # behind SiLU and hard-swish
GATED = 1.7          # times that, behind a sigmoid gate


def resnet(name, depths, bottleneck):
    net = Net(name)
    x = net.conv("input", 64, 7, 2, act="Relu")
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, depth in enumerate(depths):
        width = 64 << stage
        out = 4 * width if bottleneck else width
        for block in range(depth):
            stride = 2 if stage and not block else 1
            if bottleneck:
                y = net.conv(x, width, 1, act="Relu", gain=RELU)
                y = net.conv(y, width, 3, stride, act="Relu", gain=RELU)
                y = net.conv(y, out, 1, gain=0.5)
            else:
                y = net.conv(x, width, 3, stride, act="Relu", gain=RELU)
                y = net.conv(y, out, 3, gain=0.5)
            if net.channels[x] != out or stride != 1:
                x = net.conv(x, out, 1, stride)
            x = net.act(net.op("Add", y, x), "Relu")
    return net.model(net.dense(net.pooled(x), 1000, RELU))


def mobilenet_v1():
    net = Net("mobilenet_v1")
    x = net.conv("input", 32, 3, 2, act="Relu6")
    for out, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5,
                        (1024, 2), (1024, 1)):
        x = net.conv(x, net.channels[x], 3, stride, net.channels[x], "Relu6", RELU)
        x = net.conv(x, out, 1, act="Relu6", gain=RELU)
    return net.model(net.dense(net.pooled(x), 1000, RELU))


def mobilenet_v3_small():
    net = Net("mobilenet_v3_small")
    x = net.conv("input", 16, 3, 2, act="HardSwish")
    for kernel, wide, out, excited, act, stride in (
            (3, 16, 16, True, "Relu", 2), (3, 72, 24, False, "Relu", 2),
            (3, 88, 24, False, "Relu", 1), (5, 96, 40, True, "HardSwish", 2),
            (5, 240, 40, True, "HardSwish", 1), (5, 240, 40, True, "HardSwish", 1),
            (5, 120, 48, True, "HardSwish", 1), (5, 144, 48, True, "HardSwish", 1),
            (5, 288, 96, True, "HardSwish", 2), (5, 576, 96, True, "HardSwish", 1),
            (5, 576, 96, True, "HardSwish", 1)):
        y = x if wide == net.channels[x] else net.conv(x, wide, 1, act=act)
        y = net.conv(y, wide, kernel, stride, wide, act, SMOOTH)
        if excited:
            y = net.excite(y, max(8, (wide // 4 + 4) // 8 * 8), "Relu", "HardSigmoid")
        y = net.conv(y, out, 1, gain=SMOOTH * (GATED if excited else 1))
        x = net.op("Add", x, y) if stride == 1 and net.channels[x] == out else y
    x = net.pooled(net.conv(x, 576, 1, act="HardSwish"))
    return net.model(net.dense(net.act(net.dense(x, 1024, SMOOTH), "HardSwish"), 1000, SMOOTH))


def efficientnet_b0():
    net = Net("efficientnet_b0")
    x = net.conv("input", 32, 3, 2, act="Silu")
    for expand, out, depth, first_stride, kernel in (
            (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
            (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)):
        for block in range(depth):
            stride = 1 if block else first_stride
            narrow = net.channels[x]
            y = x if expand == 1 else net.conv(x, expand * narrow, 1, act="Silu")
            y = net.conv(y, expand * narrow, kernel, stride, expand * narrow, "Silu", SMOOTH)
            y = net.conv(net.excite(y, narrow // 4, "Silu", "Sigmoid"), out, 1, gain=SMOOTH * GATED)
            x = net.op("Add", y, x) if stride == 1 and narrow == out else y
    return net.model(net.dense(net.pooled(net.conv(x, 1280, 1, act="Silu")), 1000, SMOOTH))


def vit_tiny(width=192, heads=3, depth=12, patch=16):
    """ViT-Ti/16 as PyTorch exports it: a class token, pre-norm blocks, query, key and value in one."""
    net = Net("vit_tiny")
    tokens = (224 // patch) ** 2

    def linear(x, inner, out, gain=1.0):
        weight = net.constant(net.normal(inner, out, std=gain / math.sqrt(inner)))
        return net.op("Add", net.op("MatMul", x, weight), net.constant(net.normal(out, std=0.02)))

    def norm(x):
        ones = net.constant(1 + net.normal(width, std=0.1))
        return net.op("LayerNormalization", x, ones, net.constant(net.normal(width, std=0.02)),
                      axis=-1, epsilon=1e-6)

    def shape(x, *dims):
        return net.op("Reshape", x, net.constant(np.array(dims, np.int64)))

    weight = net.normal(width, 3, patch, patch, std=1 / math.sqrt(3 * patch * patch))
    x = net.op("Conv", "input", net.constant(weight), net.constant(net.normal(width, std=0.02)),
               kernel_shape=[patch, patch], strides=[patch, patch])
    x = net.op("Transpose", shape(x, 1, width, tokens), perm=[0, 2, 1])
    x = net.op("Concat", net.constant(net.normal(1, 1, width, std=1.0)), x, axis=1)
    x = net.op("Add", x, net.constant(net.normal(1, tokens + 1, width, std=0.2)))
    head = width // heads
    for _ in range(depth):
        joint = shape(linear(norm(x), width, 3 * width), 1, tokens + 1, 3, heads, head)
        joint = net.op("Transpose", joint, perm=[2, 0, 3, 1, 4])
        query, key, value = (net.op("Gather", joint, net.constant(np.int64(i)), axis=0)
                             for i in range(3))
        scores = net.op("MatMul", query, net.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = net.op("Mul", scores, net.constant(np.float32(head ** -0.5)))
        mixed = net.op("MatMul", net.op("Softmax", scores, axis=-1), value)
        mixed = shape(net.op("Transpose", mixed, perm=[0, 2, 1, 3]), 1, tokens + 1, width)
        x = net.op("Add", x, linear(mixed, width, width))
        inner = net.act(linear(norm(x), width, 4 * width), "Gelu")
        x = net.op("Add", x, linear(inner, 4 * width, width, 0.5))
    x = net.op("Gather", norm(x), net.constant(np.int64(0)), axis=1, channels=width)
    return net.model(net.dense(x, 1000))


# name: how to build it, published multiply-adds in millions
NETWORKS = {
    "resnet18": (lambda: resnet("resnet18", (2, 2, 2, 2), False), 1814),
    "resnet50": (lambda: resnet("resnet50", (3, 4, 6, 3), True), 4089),
    "efficientnet_b0": (efficientnet_b0, 386),
    "mobilenet_v3_small": (mobilenet_v3_small, 56.5),
    "mobilenet_v1": (mobilenet_v1, 569),
    "vit_tiny": (vit_tiny, 1258),
}


def check(tool, model, expected_macs):
    """A line about the file, and whether firn agrees with ONNX Runtime and with the literature."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(2).standard_normal((1, 3, 224, 224)).astype(np.float32)
    peer = session.run(None, {"input": noise})[0]
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/in.npy", noise)
        subprocess.run([tool, "run", str(model), "--input", f"{folder}/in.npy", "--output",
                        f"{folder}/out"], check=True, capture_output=True)
        own = np.load(next(pathlib.Path(f"{folder}/out").glob("*.npy")))
    info = json.loads(subprocess.run([tool, "info", str(model), "--json"], check=True,
                                     capture_output=True, text=True).stdout)
    error = float(np.abs(own - peer).max() / (peer.max() - peer.min()))
    macs = info["macs"] / 1e6
    good = error < 1e-3 and abs(macs / expected_macs - 1) < 0.02
    return good, (f"{model.name}: {macs:.0f} M multiply-adds (published {expected_macs:.0f}), "
                  f"output std {peer.std():.3g}, error {error:.1e} of the range"
                  f"{'' if good else ' WRONG'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--check", metavar="FIRN", help="compare with ONNX Runtime by this tool")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"of {', '.join(NETWORKS)}; all by default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    good = True
    for name in options.names or NETWORKS:
        if name not in NETWORKS:
            parser.error(f"no network {name}: there are {', '.join(NETWORKS)}")
        build, macs = NETWORKS[name]
        target = options.out / f"{name}.onnx"
        onnx.save(build(), target)
        if options.check:
            agrees, line = check(options.check, target, macs)
            good = good and agrees
            print(line, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
