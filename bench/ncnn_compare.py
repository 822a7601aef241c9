#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs small networks, one layer each, with ncnn and with firn, and prints how far they differ.

    pip install ncnn numpy
    python3 bench/ncnn_compare.py --firn build/release/firn

Each network is written as .param and .bin with random weights, and fed the same noise. The figure is
the largest difference over the largest magnitude of ncnn's output. Exits with 1 where one passes its
limit.
"""
import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile

import ncnn
import numpy as np

RNG = np.random.default_rng(7)


def tagged(*shape, scale=0.3):
    return struct.pack("<I", 0) + plain(*shape, scale=scale)


def plain(*shape, scale=0.3, low=None):
    values = RNG.normal(size=shape) * scale if low is None else RNG.uniform(low, low + 1, size=shape)
    return values.astype("<f4").tobytes()


def half(*shape):
    data = (RNG.normal(size=shape) * 0.3).astype("<f2").tobytes()
    return struct.pack("<I", 0x01306B47) + data + b"\0" * (-len(data) % 4)


def numbers(*values):
    return np.array(values, "<f4").tobytes()


def int8(*shape):
    data = RNG.integers(-127, 128, size=shape).astype("i1").tobytes()
    return struct.pack("<I", 0x000D4B38) + data + b"\0" * (-len(data) % 4)


# Of grouped Deconvolutions only the depthwise: ncnn 1.0.20261020 differs from its own definition in
# the others on x86.
def cases():
    def case(layer, params="", weights=b"", shapes=((6, 9, 11),), outputs=1, limit=2e-5, of=None):
        return layer, params, weights, shapes, outputs, limit, of

    conv = "0=8 1=3 4=1 5=1 6=432 "
    yield case("Convolution", conv, tagged(8, 6, 3, 3) + plain(8))
    yield case("Convolution", conv + "3=2 13=1 2=2", half(8, 6, 3, 3) + plain(8))
    yield case("Convolution", "0=8 1=3 11=2 3=2 4=-233 6=288", tagged(8, 6, 2, 3))
    yield case("Convolution", "0=8 1=4 3=2 4=-234 6=768", tagged(8, 6, 4, 4))
    yield case("Convolution", "0=8 1=3 4=1 15=2 14=0 16=3 18=0.5 6=432", tagged(8, 6, 3, 3))
    for kind, params in ((1, ""), (2, "-23310=1,0.1"), (3, "-23310=2,-0.2,0.7"), (4, ""), (5, ""),
                         (6, "10=0.2,0.5")):
        yield case("Convolution", conv + f"9={kind} {params}", tagged(8, 6, 3, 3) + plain(8))
    yield case("Convolution", "0=8 1=1 5=1 6=48", tagged(8, 6, 1, 1) + plain(8), [(6,)])
    yield case("Convolution", "0=8 1=3 4=1 5=1 19=1", b"", [(6, 9, 11), (8, 6, 3, 3), (8,)])
    yield case("ConvolutionDepthWise", "0=6 1=3 4=1 5=1 6=54 7=6", tagged(6, 1, 3, 3) + plain(6))
    yield case("ConvolutionDepthWise", "0=12 1=3 4=1 5=1 6=324 7=2", tagged(12, 3, 3, 3) + plain(12))
    yield case("Deconvolution", "0=8 1=3 3=2 4=1 5=1 6=432", tagged(8, 6, 3, 3) + plain(8))
    yield case("Deconvolution", "0=8 1=3 3=2 4=-233 18=1 20=24 21=18 6=432", tagged(8, 6, 3, 3))
    yield case("DeconvolutionDepthWise", "0=6 1=4 3=2 4=1 6=96 7=6", tagged(6, 1, 4, 4))
    yield case("Convolution1D", "0=8 1=3 3=2 4=1 5=1 6=144", tagged(8, 6, 3) + plain(8), [(6, 20)])
    yield case("ConvolutionDepthWise1D", "0=6 1=3 4=1 6=18 7=6", tagged(6, 1, 3), [(6, 20)])
    yield case("Deconvolution1D", "0=8 1=3 3=2 6=144", tagged(8, 6, 3), [(6, 20)])
    int8_scales = numbers(*RNG.uniform(100, 400, 8)) + numbers(40)
    yield case("Convolution", conv + "8=2 9=1", int8(8, 6, 3, 3) + plain(8) + int8_scales,
               limit=2e-2)
    yield case("ConvolutionDepthWise", "0=6 1=3 4=1 5=1 6=54 7=6 8=1",
               int8(6, 1, 3, 3) + plain(6) + numbers(*RNG.uniform(100, 400, 6)) + numbers(40),
               limit=2e-2)
    yield case("InnerProduct", "0=8 1=1 2=48 8=2", int8(8, 6) + plain(8) + int8_scales, [(6,)],
               limit=2e-2)
    yield case("InnerProduct", "0=8 1=1 2=4752 9=1", tagged(8, 594) + plain(8))
    yield case("InnerProduct", "0=8 2=88", tagged(8, 11), [(9, 11)])
    for kind in (0, 1):
        for mode in (0, 1, 2, 3):
            pad = "3=1" if mode < 2 else ""
            yield case("Pooling", f"0={kind} 1=3 2=2 {pad} 5={mode}")
        yield case("Pooling", f"0={kind} 4=1")
        yield case("Pooling", f"0={kind} 7=1 8=3", b"", [(6, 9, 12)])
        yield case("Pooling", f"0={kind} 7=1 8=4 18=-233")
        yield case("Pooling1D", f"0={kind} 1=3 2=2 3=1", b"", [(6, 20)])
    yield case("Pooling", "0=1 1=3 2=2 3=1 6=1")
    yield case("BatchNorm", "0=6 1=0.001", plain(6) + plain(6) + plain(6, low=0.5) + plain(6))
    yield case("BatchNorm", "0=6", plain(6) + plain(6) + plain(6, low=0.5) + plain(6), [(6, 5)])
    yield case("Scale", "0=6 1=1", plain(6) + plain(6))
    yield case("Scale", "0=-233", b"", [(6, 9, 11), (6,)])
    yield case("Bias", "0=6", plain(6))
    for op in (0, 1, 2):
        yield case("Eltwise", f"0={op}", b"", [(6, 4, 5)] * 3)
    yield case("Eltwise", "0=1 -23301=2,0.5,-2.0", b"", [(6, 4, 5)] * 2)
    for op in list(range(13)) + [14, 15, 17]:
        yield case("BinaryOp", f"0={op}", b"", [(6, 4, 5)] * 2, of="positive")
    for op in range(19):
        yield case("BinaryOp", f"0={op} 1=1 2=1.7", of="positive")
    for a, b in (((6, 4, 5), (6,)), ((6,), (6, 4, 5)), ((6, 4, 5), (5,)), ((6, 4, 5), (6, 4)),
                 ((6, 4, 5), (1,)), ((6, 4, 5), (6, 1, 1)), ((4, 5), (4,)), ((4, 5), (5,)),
                 ((2, 6, 4, 5), (2, 6, 4)), ((6, 4, 5), (1, 4, 5))):
        yield case("BinaryOp", "0=1", b"", [a, b])
    for op in range(28):
        yield case("UnaryOp", f"0={op}", of="positive" if op in (5, 6, 8, 15, 17, 27) else
                   "unit" if op in (12, 13, 26) else "above" if op == 25 else None, limit=1e-4)
    yield case("Concat", "0=0", b"", [(2, 4, 5), (3, 4, 5)])
    yield case("Concat", "0=-1", b"", [(2, 4, 5), (2, 4, 3)])
    yield case("Slice", "-23300=3,2,-233,-233 1=0", outputs=3)
    yield case("Slice", "-23302=2,3,-4 1=2", outputs=3)
    yield case("Reshape", "0=-1 1=9 2=6")
    yield case("Reshape", "0=0 1=-1")
    yield case("Reshape", "0=-1")
    yield case("Reshape", "0=11 1=3 11=3 2=-1")
    for order in range(6):
        yield case("Permute", f"0={order}")
    for order in range(24):
        yield case("Permute", f"0={order}", b"", [(2, 3, 4, 5)])
    yield case("ShuffleChannel", "0=2")
    yield case("ShuffleChannel", "0=2 1=1")
    yield case("Reorg", "0=2", b"", [(3, 8, 10)])
    yield case("Reorg", "0=2 1=1", b"", [(3, 8, 10)])
    yield case("PixelShuffle", "0=2", b"", [(8, 4, 5)])
    yield case("PixelShuffle", "0=2 1=1", b"", [(8, 4, 5)])
    yield case("PReLU", "0=6", plain(6))
    yield case("PReLU", "0=1", plain(1))
    for layer, params in (("ReLU", ""), ("ReLU", "0=0.1"), ("Clip", "0=-0.5 1=0.8"), ("Sigmoid", ""),
                          ("Swish", ""), ("Mish", ""), ("HardSwish", "0=0.16666667"),
                          ("HardSwish", "0=0.2 1=0.4"), ("HardSigmoid", ""), ("GELU", ""),
                          ("GELU", "0=1"), ("ELU", "0=0.7"), ("SELU", ""), ("CELU", "0=1.3"),
                          ("TanH", ""), ("Softplus", ""), ("AbsVal", ""), ("Exp", ""),
                          ("Exp", "0=2 1=0.5 2=0.1"), ("Power", "0=2 1=0.5 2=0.1"),
                          ("Threshold", "0=0.3"), ("BNLL", ""), ("Dropout", ""), ("Dropout", "0=0.5"),
                          ("Erf", ""), ("Shrink", "0=0.1 1=0.4")):
        yield case(layer, params, limit=1e-4)
    yield case("Log", "0=10 1=2 2=1", of="positive")
    yield case("Interp", "0=1 1=2 2=2")
    yield case("Interp", "0=1 3=13 4=17")
    yield case("Interp", "0=2 1=2 2=2", limit=1e-4)
    yield case("Interp", "0=2 1=1.5 2=2.3", limit=1e-4)
    yield case("Interp", "0=2 3=5 4=23", limit=1e-4)
    yield case("Interp", "0=2 3=5 4=23 6=1", limit=1e-4)
    yield case("Interp", "0=3 1=1.5 2=2.3", limit=1e-4)
    yield case("Interp", "0=3 3=15 4=23", limit=1e-4)
    yield case("Interp", "0=3 3=5 4=23 6=1", limit=1e-4)
    yield case("Interp", "0=2 3=5 4=4", b"", [(6,)])
    yield case("Padding", "0=1 1=2 2=3 3=0 5=0.7")
    yield case("Padding", "0=1 1=2 2=3 3=1 4=1")
    yield case("Padding", "0=1 1=2 2=3 3=1 4=2")
    yield case("Padding", "7=1 8=2 5=0.5")
    yield case("Crop", "0=1 1=2 2=1 3=5 4=4 5=3")
    yield case("Crop", "0=1 1=2 3=-233 4=-233 5=-233 6=2 7=1 8=1")
    yield case("Crop", "-23309=2,1,-4 -23310=2,5,-1 -23311=2,0,2")
    yield case("Crop", "0=1 1=1 2=1", b"", [(6, 9, 11), (3, 4, 5)])
    norm = plain(6)
    yield case("Normalize", "0=0 1=0 2=0.0001 3=6 4=1", norm)
    yield case("Normalize", "0=1 1=1 2=0.0001 3=1 4=1", plain(1))
    yield case("Normalize", "0=1 1=0 2=0.1 3=6 4=0 9=1", norm)
    yield case("LRN", "0=0 1=5 2=0.01 3=0.75", limit=1e-4)
    yield case("LRN", "0=1 1=3 2=0.5", limit=1e-4)
    yield case("MVN", "0=1 1=0")
    yield case("MVN", "0=1 1=1")
    yield case("MVN", "0=0 1=0")
    yield case("InstanceNorm", "0=6 1=0.01", plain(6) + plain(6))
    yield case("GroupNorm", "0=2 1=6 2=0.01", plain(6) + plain(6))
    yield case("LayerNorm", "0=11 1=0.01", plain(11) + plain(11))
    yield case("LayerNorm", "0=99 1=0.01", plain(99) + plain(99))
    yield case("LayerNorm", "0=11 2=0", b"", [(9, 11)])
    yield case("RMSNorm", "0=11 1=0.01", plain(11))
    yield case("Flatten")
    for axis in (0, 1, -1):
        yield case("Softmax", f"0={axis} 1=1")
    for op in range(11):
        positive = "positive" if op in (6, 9) else None
        yield case("Reduction", f"0={op} 1=0 -23303=2,1,2 5=1", of=positive, limit=1e-4)
    yield case("Reduction", "0=0 1=1 2=0.5")
    yield case("Reduction", "0=3 1=0 -23303=1,-1 4=1 5=1")
    yield case("Squeeze", "-23303=2,0,2", b"", [(1, 5, 1)])
    yield case("ExpandDims", "-23303=1,0", b"", [(4, 5)])
    yield case("ExpandDims", "-23303=1,-1", b"", [(4, 5)])
    yield case("Tile", "0=1 1=3")
    yield case("Tile", "-23302=3,1,2,3")
    yield case("Tile", "-23302=3,2,1,1", b"", [(4, 5)])
    yield case("GLU", "0=0")
    yield case("CumulativeSum", "0=1")
    yield case("StatisticsPooling", "0=1", limit=1e-4)
    yield case("Gemm", "3=1 5=1 6=1 7=0 8=8 9=11 10=4", tagged(8, 11) + tagged(8), [(9, 11)])
    yield case("Gemm", "0=0.5 1=2 3=0 5=1 6=1 7=0 8=8 9=11 10=-1", tagged(11, 8), [(9, 11)])
    yield case("Gemm", "0=0.5 1=2 2=1 14=1", b"", [(9, 11), (9, 5), (11,)])
    yield case("Gemm", "2=0 3=1 4=1 6=1 7=7 8=0 9=11 10=1 11=1", tagged(7, 11) + tagged(7), [(9, 11)])
    yield case("MatMul", "", b"", [(4, 5), (5, 3)])
    yield case("MatMul", "0=1", b"", [(6, 4, 5), (6, 3, 5)])
    yield case("MatMul", "", b"", [(5,), (5, 3)])
    yield case("MatMul", "", b"", [(4, 5), (5,)])
    yield case("MatMul", "", b"", [(6, 4, 5), (5, 3)])
    mha = b"".join(tagged(12 * 12) + plain(12) for _ in range(4))
    yield case("MultiHeadAttention", "0=12 1=3 2=144", mha, [(7, 12)])
    yield case("MultiHeadAttention", "0=12 1=3 2=144 5=1", mha, [(7, 12), (5, 12), (5, 12), (7, 5)])
    yield case("SDPA", "", b"", [(4, 7, 6), (4, 5, 6), (4, 5, 8)])
    yield case("SDPA", "5=1 6=0.3", b"", [(4, 7, 6), (2, 5, 6), (2, 5, 8), (7, 5)])
    yield case("RotaryEmbed", "0=0", b"", [(4, 7, 6), (7, 3), (7, 3)])
    yield case("RotaryEmbed", "0=1", b"", [(4, 7, 6), (7, 3), (7, 3)])
    for direction, d in ((0, 1), (1, 1), (2, 2)):
        yield case("LSTM", f"0=5 1={d * 20 * 4} 2={direction}",
                   tagged(d, 20, 4) + tagged(d, 4, 5) + tagged(d, 20, 5), [(7, 4)])
        yield case("GRU", f"0=5 1={d * 15 * 4} 2={direction}",
                   tagged(d, 15, 4) + tagged(d, 4, 5) + tagged(d, 15, 5), [(7, 4)])
        yield case("RNN", f"0=5 1={d * 5 * 4} 2={direction}",
                   tagged(d, 5, 4) + tagged(d, 1, 5) + tagged(d, 5, 5), [(7, 4)])
    yield case("LSTM", "0=5 1=112 3=7", tagged(28, 4) + tagged(4, 7) + tagged(28, 5) + tagged(5, 7),
               [(7, 4)])
    yield case("GridSample", "0=1 1=1 2=0", b"", [(6, 9, 11), (5, 4, 2)], limit=1e-4)
    yield case("Reshape", '6="*(0w,0h),0c"')
    yield case("Reshape", '6="//(0w,2),2,0h,-1"', b"", [(6, 9, 12)])
    yield case("Reshape", '6="1w,1h,-1"', b"", [(6, 8, 12), (3, 4, 6)])
    yield case("Interp", '0=2 9="*(0w,2),+(0h,3)"', limit=1e-4)
    yield case("Interp", '0=1 9="1w,1h"', b"", [(6, 9, 11), (3, 4, 6)])
    yield case("Interp", '0=1 9="trunc(/(0w,0.7)),max(0h,20)"')
    yield case("Crop", '19="1,-(0h,4)" 20="-(0c,1),-233" 21="0,1"')
    yield case("Crop", '19="0,1,2" 20="1c,1h,1w" 21="0,1,2"', b"", [(6, 9, 11), (3, 4, 5)])
    for equation, shapes in (("ik,kj->ij", [(4, 5), (5, 3)]), ("ijl,ilk->ijk", [(2, 4, 5), (2, 5, 3)]),
                             ("ljk,il->ijk", [(4, 3, 5), (2, 4)]), ("il,jl,kl->ijk", [(2, 6), (3, 6), (4, 6)]),
                             ("kij->ij", [(4, 3, 5)]), ("ii", [(5, 5)])):
        codes = ",".join(str(ord(letter)) for letter in equation)
        yield case("Einsum", f"-23300={len(equation)},{codes}", b"", shapes, limit=1e-4)
    yield case("Unfold", "1=3 3=2 4=1")
    yield case("Unfold", "1=3 11=2 2=2 12=1 4=-233 18=0.5")
    yield case("Unfold", "1=2 4=1 15=0 14=2 16=1 18=-1.5")
    yield case("Fold", "1=3 4=1 20=11 21=9", b"", [(54, 99)])
    yield case("Fold", "1=3 11=2 3=2 2=2 20=12 21=7", b"", [(12, 12)])
    for shape in ((1, 1, 4), (4,)):
        rois = [(6, 9, 11), shape]
        yield case("ROIPooling", "0=4 1=2 2=0.5", b"", rois, of="regions")
        yield case("ROIAlign", "0=3 1=2 2=0.5", b"", rois, of="regions", limit=1e-4)
        yield case("ROIAlign", "0=3 1=2 2=0.5 3=2 4=1", b"", rois, of="regions", limit=1e-4)
        yield case("ROIAlign", "0=3 1=2 2=0.5 5=1", b"", rois, of="regions", limit=1e-4)
        yield case("ROIAlign", "0=3 1=4 2=0.5 3=2 4=1 5=1", b"", rois, of="regions", limit=1e-4)
    yield case("PSROIPooling", "0=3 1=3 2=0.5 3=2", b"", [(18, 9, 11), (1, 1, 4)], of="regions",
               limit=1e-4)
    for params in ("", "2=100 3=7 4=0.5", "0=8 1=8 5=40"):
        yield case("Proposal", params, b"", [(18, 6, 8), (36, 6, 8), (3,)], 2, of="proposals",
                   limit=1e-4)


def ncnn_outputs(folder, inputs, outputs):
    net = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
                   "use_winograd_convolution", "use_sgemm_convolution"):
        setattr(net.opt, option, False)
    net.opt.num_threads = 1
    if net.load_param(str(folder / "net.param")) or net.load_model(str(folder / "net.bin")):
        raise RuntimeError("ncnn does not load it")
    extractor = net.create_extractor()
    mats = [ncnn.Mat(array).clone() for array in inputs]  # layers may work in place
    for i, mat in enumerate(mats):
        extractor.input(f"in{i}", mat)
    results = []
    for i in range(outputs):
        code, mat = extractor.extract(f"out{i}")
        if code:
            raise RuntimeError("ncnn does not run it")
        results.append(np.array(mat))
    return results


def firn_outputs(firn, folder, inputs, outputs):
    command = [firn, "run", str(folder / "net.param"), "--output", str(folder / "out")]
    for i, array in enumerate(inputs):
        np.save(folder / f"in{i}.npy", array)
        command += ["--input", f"in{i}={folder / f'in{i}.npy'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [np.load(folder / "out" / f"out{i}.npy") for i in range(outputs)]


def make_inputs(shapes, of):
    for i, shape in enumerate(shapes):
        x = RNG.normal(size=shape)
        if of == "regions" and i == 1:  # of a picture twice as large as the blob
            x = np.array([3.2, 4.1, 15.7, 12.9]).reshape(shape)
        elif of == "proposals" and i > 0:  # small offsets; height, width, scale of the picture
            x = x * 0.3 if i == 1 else np.array([90.0, 120.0, 1.25])
        if of == "positive":
            x = np.abs(x) + 0.1
        elif of == "unit":
            x = np.tanh(x) * 0.9
        elif of == "above":
            x = np.abs(x) + 1.1
        yield np.ascontiguousarray(x, dtype="f4")


def write_net(folder, layer, params, weights, shapes, outputs):
    names = " ".join(f"in{i}" for i in range(len(shapes)))
    tops = " ".join(f"out{i}" for i in range(outputs))
    lines = ["7767517", f"{len(shapes) + 1} {len(shapes) + outputs}"]
    keys = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}
    for i, shape in enumerate(shapes):
        sizes = " ".join(f"{key}={size}" for key, size in zip(keys[len(shape)], shape))
        lines.append(f"Input in{i} 0 1 in{i} {sizes}")
    lines.append(f"{layer} layer {len(shapes)} {outputs} {names} {tops} {params}")
    (folder / "net.param").write_text("\n".join(lines) + "\n")
    (folder / "net.bin").write_bytes(weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--only", help="a layer type")
    options = parser.parse_args()
    failures = total = 0
    for layer, params, weights, shapes, outputs, limit, of in cases():
        if options.only and layer != options.only:
            continue
        total += 1
        shown = f"{layer} {params.strip()} {' '.join(str(s) for s in shapes)}"
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_net(folder, layer, params, weights, shapes, outputs)
            inputs = list(make_inputs(shapes, of))
            try:
                theirs = ncnn_outputs(folder, inputs, outputs)
                ours = firn_outputs(options.firn, folder, inputs, outputs)
            except RuntimeError as error:
                failures += 1
                print(f"FAILED  {shown}: {error}")
                continue
        error = 0.0
        for a, b in zip(theirs, ours):
            if a.shape != b.shape:
                error = float("inf")
                shown += f": ncnn {a.shape}, firn {b.shape}"
            else:
                error = max(error, float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-6)))
        good = error <= limit
        failures += not good
        print(f"{'ok' if good else 'FAILED':6}  {error:8.1e}  {shown}")
    print(f"{total - failures} of {total} agree")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
