#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small TensorFlow Lite models, one operator each, for litert_compare.py.

    python3 bench/litert_cases.py /tmp/cases
    python3 bench/litert_compare.py --firn build/release/firn /tmp/cases
"""
import pathlib
import sys

import numpy as np
from ai_edge_litert import schema_py_generated as s
from litert_model import B, F, I16, I32, I64, I8, Model, U8

RNG = np.random.default_rng(7)


def random(shape, kind=F):
    if kind == F:
        return RNG.uniform(-1, 1, shape).astype(F)
    info = np.iinfo(kind)
    return RNG.integers(info.min, info.max + 1, shape).astype(kind)


class Cases:
    def __init__(self, folder):
        self.folder = folder

    def single(self, name, op, inputs, outputs, constants=(), order=None, options=None, **fields):
        """inputs, outputs: (shape, type, keywords); constants: (data, type, keywords)."""
        m = Model()
        ids = [m.input(*i[:2], **(i[2] if len(i) > 2 else {})) for i in inputs]
        ids += [m.const(c[0], c[1], **(c[2] if len(c) > 2 else {})) for c in constants]
        ids = [ids[i] if i >= 0 else -1 for i in order] if order else ids
        outs = [m.output(*o[:2], **(o[2] if len(o) > 2 else {})) for o in outputs]
        m.op(op, ids, outs, options, **fields)
        m.save(self.folder / f"{name}.tflite")


def q(kind, scale=0.05, zero=3):
    """Quantization of a type, keeping about the same real range."""
    if kind == F:
        return {}
    if kind == I16:
        return {"scale": scale / 200, "zero": 0}
    return {"scale": scale, "zero": zero + (128 if kind == U8 else 0)}


SUFFIX = {F: "f32", I8: "i8", U8: "u8", I16: "i16"}


def convolutions(c):
    act = s.ActivationFunctionType
    for kind in (F, I8, U8, I16):
        for name, cin, cout, k, stride, dilation, padding, fused in (
                ("3x3", 5, 7, 3, 1, 1, 0, act.RELU6), ("3x3s2", 3, 8, 3, 2, 1, 0, act.NONE),
                ("1x1", 16, 24, 1, 1, 1, 1, act.RELU), ("3x3d2", 4, 6, 3, 1, 2, 1, act.NONE),
                ("5x5s3", 3, 17, 5, 3, 1, 0, act.RELU_N1_TO_1)):
            h, w = 11, 9
            size = lambda n: (-(-n // stride) if padding == 0
                              else (n - (k - 1) * dilation - 1) // stride + 1)
            x = ((1, h, w, cin), kind, q(kind, 0.02, -5))
            y = ((1, size(h), size(w), cout), kind, q(kind, 0.06, 4))
            wk = U8 if kind == U8 else F if kind == F else I8
            ws = 0.01 if kind == U8 else RNG.uniform(0.005, 0.02, cout)
            wq = {} if kind == F else {"scale": ws, "zero": 117 if kind == U8 else 0}
            weights = random((cout, k, k, cin), wk)
            if wk == I8:
                weights = np.maximum(weights, -127)
            bk = F if kind == F else I64 if kind == I16 else I32
            bias = random(cout) if kind == F else RNG.integers(-5000, 5000, cout)
            bs = {} if kind == F else {"scale": x[2]["scale"] * np.asarray(ws)}
            c.single(f"conv_{name}_{SUFFIX[kind]}", "CONV_2D", [x], [y],
                     [(weights, wk, wq), (bias, bk, bs)], options="Conv2DOptions", padding=padding,
                     strideH=stride, strideW=stride, dilationHFactor=dilation,
                     dilationWFactor=dilation, fusedActivationFunction=fused)
            for mult in (1, 2):
                out = cin * mult
                ws = 0.02 if kind == U8 else RNG.uniform(0.01, 0.04, out)
                wq = {} if kind == F else {"scale": ws, "zero": 130 if kind == U8 else 0, "axis": 3}
                weights = random((1, k, k, out), wk)
                if wk == I8:
                    weights = np.maximum(weights, -127)
                bias = random(out) if kind == F else RNG.integers(-5000, 5000, out)
                bs = {} if kind == F else {"scale": x[2]["scale"] * np.asarray(ws)}
                y = ((1, size(h), size(w), out), kind, q(kind, 0.06, 4))
                c.single(f"depthwise_{name}_x{mult}_{SUFFIX[kind]}", "DEPTHWISE_CONV_2D", [x], [y],
                         [(weights, wk, wq), (bias, bk, bs)], options="DepthwiseConv2DOptions",
                         padding=padding, strideH=stride, strideW=stride, depthMultiplier=mult,
                         dilationHFactor=dilation, dilationWFactor=dilation,
                         fusedActivationFunction=fused)
        for padding, size in ((0, 12), (1, 13), (0, 11)):
            x = ((1, 6, 6, 4), kind, q(kind, 0.02, -5))
            wk = U8 if kind == U8 else F if kind == F else I8
            ws = 0.01 if kind == U8 else RNG.uniform(0.005, 0.02, 3)
            wq = {} if kind == F else {"scale": ws, "zero": 117 if kind == U8 else 0}
            y = ((1, size, size, 3), kind, q(kind, 0.06, 4))
            c.single(f"transpose_conv_p{padding}_{size}_{SUFFIX[kind]}", "TRANSPOSE_CONV", [x], [y],
                     [([1, size, size, 3], I32), (random((3, 3, 3, 4), wk), wk, wq)],
                     order=[1, 2, 0], options="TransposeConvOptions", padding=padding, strideH=2,
                     strideW=2)
        for name, shape, keep in (("2d", (3, 20), False), ("4d", (2, 2, 5, 4), False),
                                  ("keep", (2, 3, 20), True)):
            wk = U8 if kind == U8 else F if kind == F else I8
            ws = 0.01 if kind == U8 else RNG.uniform(0.005, 0.02, 9)
            wq = {} if kind == F else {"scale": ws, "zero": 117 if kind == U8 else 0}
            x = (shape, kind, q(kind, 0.02, -5))
            rows = int(np.prod(shape)) // 20
            y = ((*shape[:-1], 9) if keep else (rows, 9), kind, q(kind, 0.06, 4))
            bk = F if kind == F else I64 if kind == I16 else I32
            bias = random(9) if kind == F else RNG.integers(-5000, 5000, 9)
            bs = {} if kind == F else {"scale": x[2]["scale"] * np.asarray(ws)}
            c.single(f"fully_connected_{name}_{SUFFIX[kind]}", "FULLY_CONNECTED", [x], [y],
                     [(random((9, 20), wk), wk, wq), (bias, bk, bs)],
                     options="FullyConnectedOptions", keepNumDims=keep)
    c.single("conv_grouped_f32", "CONV_2D", [((1, 6, 6, 8), F)], [((1, 6, 6, 4), F)],
             [(random((4, 3, 3, 4)), F), (random(4), F)], options="Conv2DOptions", padding=0,
             strideH=1, strideW=1)


def pools(c):
    for kind in (F, I8, U8, I16):
        for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            for padding, size in ((0, 5), (1, 4)):
                x = ((1, 9, 9, 6), kind, q(kind))
                c.single(f"{op.lower()}_p{padding}_{SUFFIX[kind]}", op, [x],
                         [((1, size, size, 6), kind, q(kind))], options="Pool2DOptions",
                         padding=padding, strideH=2, strideW=2, filterHeight=3, filterWidth=3,
                         fusedActivationFunction=s.ActivationFunctionType.RELU)
    c.single("l2_pool", "L2_POOL_2D", [((1, 8, 8, 3), F)], [((1, 4, 4, 3), F)],
             options="Pool2DOptions", padding=0, strideH=2, strideW=2, filterHeight=2,
             filterWidth=2)


def elementwise(c):
    for op, options in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions"),
                        ("DIV", "DivOptions"), ("MAXIMUM", "MaximumMinimumOptions"),
                        ("MINIMUM", "MaximumMinimumOptions"),
                        ("SQUARED_DIFFERENCE", "SquaredDifferenceOptions")):
        kinds = (F, I8, U8, I16) if op in ("ADD", "SUB", "MUL") else (F, I32) if op == "DIV" else (F, I8)
        for kind in kinds:
            for name, a, b in (("same", (2, 3, 4, 5), (2, 3, 4, 5)), ("row", (2, 3, 4, 5), (5,)),
                               ("scalar", (2, 3, 4, 5), ()), ("cross", (2, 1, 4, 5), (3, 1, 5)),
                               ("left", (1, 1, 1, 5), (2, 3, 4, 5))):
                qa, qb, qy = (({}, {}, {}) if kind in (F, I32) else
                              (q(kind, 0.02, -5), q(kind, 0.03, 7), q(kind, 0.05, 1)))
                if op in ("MAXIMUM", "MINIMUM"):
                    qb = qy = qa
                shape = np.broadcast_shapes(a, b)
                fields = ({"fusedActivationFunction": s.ActivationFunctionType.RELU}
                          if options in ("AddOptions", "SubOptions", "MulOptions") and kind != I32
                          else {})
                if kind == I16 and op in ("ADD", "SUB"):
                    fields["potScaleInt16"] = False
                suffix = SUFFIX.get(kind, "i32")
                other = random(b, kind) if kind != I32 else RNG.integers(1, 9, b)
                if kind == F:
                    other = np.where(np.abs(other) < 0.1, np.float32(0.5), other)
                c.single(f"{op.lower()}_{name}_{suffix}", op, [(a, kind, qa)],
                         [(shape, kind, qy)], [(other, kind, qb)], options=options, **fields)
                if kind in (I8, U8) and name != "scalar":
                    c.single(f"{op.lower()}_{name}_two_{suffix}", op, [(a, kind, qa), (b, kind, qb)],
                             [(shape, kind, qy)], options=options, **fields)
    for op in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"):
        for kind in (F, I32, I8):
            qk = q(kind) if kind == I8 else {}
            c.single(f"{op.lower()}_{SUFFIX.get(kind, 'i32')}", op, [((3, 4), kind, qk)] * 2,
                     [((3, 4), B)])
    for op in ("LOGICAL_AND", "LOGICAL_OR"):
        c.single(op.lower(), op, [((3, 4), B)] * 2, [((3, 4), B)])
    c.single("logical_not", "LOGICAL_NOT", [((3, 4), B)], [((3, 4), B)])
    for op in ("FLOOR_DIV", "FLOOR_MOD"):
        c.single(f"{op.lower()}_i32", op, [((30,), I32)], [((30,), I32)], [([3, -3] * 15, I32)])
        c.single(f"{op.lower()}_f32", op, [((30,), F)], [((30,), F)],
                 [(np.array([0.3, -0.25] * 15), F)])
    c.single("pow", "POW", [((3, 4), F)], [((3, 4), F)], [(np.full((3, 4), 2), F)])
    for op in ("ABS", "NEG", "EXP", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SQUARE", "ELU", "RELU",
               "RELU6", "RELU_N1_TO_1", "TANH", "LOGISTIC", "HARD_SWISH", "SIGN"):
        c.single(f"{op.lower()}_f32", op, [((2, 50), F)], [((2, 50), F)])
    for op, zero, scale in (("LOGISTIC", -128, 1 / 256), ("TANH", 0, 1 / 128), ("RELU", -128, 0.05),
                            ("RELU6", -128, 0.05), ("HARD_SWISH", -100, 0.04), ("ABS", -128, 0.05),
                            ("ELU", -100, 0.05)):
        for kind in ((I8, U8) if op in ("LOGISTIC", "TANH", "RELU", "HARD_SWISH") else (I8,)):
            zy = zero + (128 if kind == U8 else 0)
            c.single(f"{op.lower()}_{SUFFIX[kind]}", op, [((2, 300), kind, q(kind))],
                     [((2, 300), kind, {"scale": scale, "zero": zy})])
    for op in ("LOGISTIC", "TANH"):
        c.single(f"{op.lower()}_i16", op, [((2, 300), I16, {"scale": 8 / 32768, "zero": 0})],
                 [((2, 300), I16, {"scale": 1 / 32768, "zero": 0})])
    c.single("leaky_relu_f32", "LEAKY_RELU", [((50,), F)], [((50,), F)], options="LeakyReluOptions",
             alpha=0.2)
    c.single("leaky_relu_i8", "LEAKY_RELU", [((300,), I8, q(I8))], [((300,), I8, q(I8, 0.04, -20))],
             options="LeakyReluOptions", alpha=0.2)
    c.single("prelu_f32", "PRELU", [((2, 3, 3, 4), F)], [((2, 3, 3, 4), F)],
             [(random((1, 1, 4)), F)])
    c.single("prelu_i8", "PRELU", [((2, 3, 3, 4), I8, q(I8))], [((2, 3, 3, 4), I8, q(I8, 0.06, 2))],
             [(random((1, 1, 4), I8), I8, q(I8, 0.01, 0))])
    for approximate in (False, True):
        c.single(f"gelu_{approximate}_f32", "GELU", [((50,), F)], [((50,), F)], options="GeluOptions",
                 approximate=approximate)
    c.single("rsqrt", "RSQRT", [((9,), F)], [((9,), F)])
    c.single("log", "LOG", [((9,), F)], [((9,), F)])
    c.single("sqrt", "SQRT", [((9,), F)], [((9,), F)])
    for a in (F, I32, B):
        for b in (F, I32, I64, B):
            c.single(f"cast_{a.__name__}_{b.__name__}", "CAST", [((9,), a)], [((9,), b)])
    for a, b in ((I8, U8), (U8, I8), (I8, I8), (I16, I8), (I8, I16), (F, I8), (F, U8), (F, I16)):
        c.single(f"quantize_{SUFFIX[a]}_{SUFFIX[b]}", "QUANTIZE", [((300,), a, q(a, 0.02, -9))],
                 [((300,), b, q(b, 0.03, 5))])
    for a in (I8, U8, I16):
        c.single(f"dequantize_{SUFFIX[a]}", "DEQUANTIZE", [((300,), a, q(a))], [((300,), F)])


def norms(c):
    for beta in (1.0, 0.5):
        c.single(f"softmax_{beta}_f32", "SOFTMAX", [((3, 10), F)], [((3, 10), F)],
                 options="SoftmaxOptions", beta=beta)
        for kind in (I8, U8):
            c.single(f"softmax_{beta}_{SUFFIX[kind]}", "SOFTMAX", [((3, 10), kind, q(kind))],
                     [((3, 10), kind, {"scale": 1 / 256, "zero": -128 if kind == I8 else 0})],
                     options="SoftmaxOptions", beta=beta)
    c.single("log_softmax_f32", "LOG_SOFTMAX", [((3, 10), F)], [((3, 10), F)])
    c.single("l2_normalization_f32", "L2_NORMALIZATION", [((2, 3, 3, 7), F)], [((2, 3, 3, 7), F)],
             options="L2NormOptions")
    c.single("l2_normalization_i8", "L2_NORMALIZATION", [((2, 3, 3, 7), I8, q(I8))],
             [((2, 3, 3, 7), I8, {"scale": 1 / 128, "zero": 0})], options="L2NormOptions")
    c.single("lrn", "LOCAL_RESPONSE_NORMALIZATION", [((1, 3, 3, 9), F)], [((1, 3, 3, 9), F)],
             options="LocalResponseNormalizationOptions", radius=2, bias=1.5, alpha=0.3, beta=0.6)
    for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        for keep in (False, True):
            for axes in ([1, 2], [-1], [0, 2]):
                shape = [2, 3, 4, 5]
                out = [1 if i in [a % 4 for a in axes] else n for i, n in enumerate(shape)]
                if not keep:
                    out = [n for i, n in enumerate(shape) if i not in [a % 4 for a in axes]]
                tag = f"{op.lower()}_{'k' if keep else 'd'}{'_'.join(map(str, axes))}"
                c.single(f"{tag}_f32", op, [(shape, F)], [(out, F)], [(axes, I32)],
                         options="ReducerOptions", keepDims=keep)
                if op in ("MEAN", "SUM", "REDUCE_MAX"):
                    y = q(I8) if op == "REDUCE_MAX" else q(I8, 0.07, 1)
                    c.single(f"{tag}_i8", op, [(shape, I8, q(I8))], [(out, I8, y)], [(axes, I32)],
                             options="ReducerOptions", keepDims=keep)
    for op in ("REDUCE_ANY", "REDUCE_ALL"):
        c.single(op.lower(), op, [((3, 4), B)], [((3,), B)], [([1], I32)], options="ReducerOptions")
    for op in ("ARG_MAX", "ARG_MIN"):
        for kind in (F, I8):
            c.single(f"{op.lower()}_{SUFFIX[kind]}", op, [((3, 4, 5), kind, q(kind))],
                     [((3, 5), I64)], [([1], I32)], options=f"Arg{op[4:].title()}Options",
                     outputType=s.TensorType.INT64)


def layout(c):
    for kind in (F, I8, U8, I32):
        k = {} if kind == I32 else q(kind)
        t = SUFFIX.get(kind, "i32")
        x = ((2, 4, 6, 4), kind, k)

        def one(name, op, shape, constants=(), options=None, order=None, **fields):
            c.single(f"{name}_{t}", op, [x], [(shape, kind, k)], constants, order, options, **fields)
        one("reshape", "RESHAPE", (8, 24), [([8, -1], I32)], "ReshapeOptions")
        one("transpose", "TRANSPOSE", (4, 2, 6, 4), [([3, 0, 2, 1], I32)])
        one("pad", "PAD", (2, 7, 7, 4), [([[0, 0], [1, 2], [0, 1], [0, 0]], I32)])
        one("reverse", "REVERSE_V2", (2, 4, 6, 4), [([2], I32)])
        one("tile", "TILE", (2, 8, 6, 12), [([1, 2, 1, 3], I32)])
        one("slice", "SLICE", (1, 2, 6, 3), [([1, 1, 0, 0], I32), ([1, 2, -1, 3], I32)])
        one("strided", "STRIDED_SLICE", (2, 2, 3, 4),
            [([0, 3, 1, 0], I32), ([2, 0, 6, 0], I32), ([1, -2, 2, 1], I32)], "StridedSliceOptions",
            endMask=8)
        one("strided_shrink", "STRIDED_SLICE", (2, 6), [([0, -1, 0, 2], I32), ([0, 0, 0, 3], I32),
                                                        ([1, 1, 1, 1], I32)],
            "StridedSliceOptions", beginMask=5, endMask=5, shrinkAxisMask=10)
        one("strided_new", "STRIDED_SLICE", (2, 1, 4, 6, 2),
            [([0, 0, 0, 1], I32), ([0, 0, 0, 3], I32), ([1, 1, 1, 1], I32)], "StridedSliceOptions",
            beginMask=1, endMask=1, newAxisMask=2, ellipsisMask=4)
        one("gather", "GATHER", (2, 3, 6, 4), [([3, 0, 1], I32)], "GatherOptions", axis=1)
        if kind == F:
            one("gather_batch", "GATHER", (2, 3, 6, 4), [([[3, 0, 1], [2, 2, 0]], I32)],
                "GatherOptions", axis=1, batchDims=1)
        one("expand_dims", "EXPAND_DIMS", (2, 4, 6, 4, 1), [([-1], I32)])
        one("space_to_depth", "SPACE_TO_DEPTH", (2, 2, 3, 16), (), "SpaceToDepthOptions", blockSize=2)
        one("depth_to_space", "DEPTH_TO_SPACE", (2, 8, 12, 1), (), "DepthToSpaceOptions", blockSize=2)
        if kind in (F, I8, I32):
            one("mirror_reflect", "MIRROR_PAD", (2, 7, 8, 4),
                [([[0, 0], [1, 2], [1, 1], [0, 0]], I32)], "MirrorPadOptions", mode=0)
            one("mirror_symmetric", "MIRROR_PAD", (2, 7, 8, 4),
                [([[0, 0], [1, 2], [1, 1], [0, 0]], I32)], "MirrorPadOptions", mode=1)
        if kind != I32:
            one("padv2", "PADV2", (2, 7, 7, 4), [([[0, 0], [1, 2], [0, 1], [0, 0]], I32),
                                                 (random((1,), kind), kind, k)])
            one("space_to_batch", "SPACE_TO_BATCH_ND", (12, 3, 3, 4),
                [([2, 3], I32), ([[1, 1], [2, 1]], I32)])
            c.single(f"batch_to_space_{t}", "BATCH_TO_SPACE_ND", [((12, 3, 3, 4), kind, k)],
                     [((2, 4, 7, 4), kind, k)], [([2, 3], I32), ([[1, 1], [0, 2]], I32)])
            c.single(f"broadcast_to_{t}", "BROADCAST_TO", [((3, 1, 4), kind, k)],
                     [((2, 3, 5, 4), kind, k)], [([2, 3, 5, 4], I32)], version=2)
        m = Model()
        i = m.input(*x[:2], **x[2])
        m.op("SPLIT", [m.const(2), i], [m.output((2, 4, 2, 4), kind, **k) for _ in range(3)],
             "SplitOptions", numSplits=3)
        m.save(c.folder / f"split_{t}.tflite")
        m = Model()
        i = m.input(*x[:2], **x[2])
        m.op("SPLIT_V", [i, m.const([1, -1, 2]), m.const(2)],
             [m.output((2, 4, n, 4), kind, **k) for n in (1, 3, 2)], "SplitVOptions", numSplits=3)
        m.save(c.folder / f"split_v_{t}.tflite")
        m = Model()
        i = m.input((3, 2, 4), kind, **k)
        m.op("UNPACK", [i], [m.output((3, 4), kind, **k) for _ in range(2)], "UnpackOptions", num=2,
             axis=1)
        m.save(c.folder / f"unpack_{t}.tflite")
        c.single(f"pack_{t}", "PACK", [((3, 4), kind, k)] * 2, [((3, 2, 4), kind, k)],
                 options="PackOptions", valuesCount=2, axis=1)
        c.single(f"concat_{t}", "CONCATENATION", [((2, 3, 4), kind, k), ((2, 5, 4), kind, k)],
                 [((2, 8, 4), kind, k)], options="ConcatenationOptions", axis=1)
    for op, options in (("RESIZE_BILINEAR", "ResizeBilinearOptions"),
                        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions")):
        for kind in (F, I8, U8):
            for corners, half in ((False, False), (True, False), (False, True)):
                for size in ((11, 4), (3, 9)):
                    c.single(f"{op.lower()}_{int(corners)}{int(half)}_{size[0]}_{SUFFIX[kind]}", op,
                             [((1, 5, 6, 3), kind, q(kind))], [((1, *size, 3), kind, q(kind))],
                             [(size, I32)], options=options, alignCorners=corners,
                             halfPixelCenters=half)
    c.single("squeeze", "SQUEEZE", [((1, 3, 1, 4), F)], [((3, 4), F)], options="SqueezeOptions")
    c.single("select_v2", "SELECT_V2", [((3, 1), B), ((3, 4), F), ((4,), F)], [((3, 4), F)])
    c.single("select_rows", "SELECT", [((3,), B), ((3, 4), F), ((3, 4), F)], [((3, 4), F)])
    c.single("one_hot", "ONE_HOT", [((3, 4), I32)], [((3, 5, 4), F)],
             [(5, I32), (1.5, F), (-0.5, F)], options="OneHotOptions", axis=1)
    c.single("fill", "FILL", [((), F)], [((2, 3), F)], [([2, 3], I32)], order=[1, 0])
    c.single("shape", "SHAPE", [((2, 3), F)], [((2,), I32)], options="ShapeOptions",
             outType=s.TensorType.INT32)
    c.single("zeros_like", "ZEROS_LIKE", [((2, 3), F)], [((2, 3), F)])
    c.single("topk", "TOPK_V2", [((3, 9), F)], [((3, 4), F), ((3, 4), I32)], [(4, I32)])
    c.single("cumsum", "CUMSUM", [((3, 9), F)], [((3, 9), F)], [(1, I32)], options="CumsumOptions",
             exclusive=True, reverse=True)
    c.single("gather_nd", "GATHER_ND", [((3, 4, 5), F)], [((2, 5), F)], [([[0, 1], [2, 3]], I32)])
    c.single("embedding", "EMBEDDING_LOOKUP", [((3, 5), F)], [((4, 5), F)], [([2, 0, 1, 2], I32)],
             order=[1, 0])
    for adj_x in (False, True):
        for adj_y in (False, True):
            a, b = ((2, 3, 4) if not adj_x else (2, 4, 3)), ((2, 4, 5) if not adj_y else (2, 5, 4))
            c.single(f"batch_matmul_{int(adj_x)}{int(adj_y)}", "BATCH_MATMUL", [(a, F), (b, F)],
                     [((2, 3, 5), F)], options="BatchMatMulOptions", adjX=adj_x, adjY=adj_y)
    c.single("batch_matmul_i8", "BATCH_MATMUL", [((2, 3, 4), I8, q(I8)), ((2, 4, 5), I8, q(I8))],
             [((2, 3, 5), I8, q(I8, 0.3, 2))], options="BatchMatMulOptions")


def bounded(m, count, low=0, high=2):
    """An input of `count` int32, and what operators make of it: numbers from low to high."""
    i = m.input((count,), I32)
    capped, positive = m.tensor((count,), I32), m.tensor((count,), I32)
    m.op("MINIMUM", [i, m.const([high] * count)], [capped], "MaximumMinimumOptions")
    m.op("MAXIMUM", [capped, m.const([low] * count)], [positive], "MaximumMinimumOptions")
    return positive


def computed(c):
    """Begins, sizes, axes and paddings that are computed at run time."""
    for kind in (F, I8, U8, I32):
        k = {} if kind == I32 else q(kind)
        t = SUFFIX.get(kind, "i32")

        def one(name, op, shape, out, inputs, options=None, **fields):
            m = Model()
            x = m.input(shape, kind, **k)
            m.op(op, [x] + [i(m) for i in inputs], [m.output(out, kind, **k)], options, **fields)
            m.save(c.folder / f"computed_{name}_{t}.tflite")
        const = lambda data, kind=I32: lambda m: m.const(data, kind)
        run = lambda *args, **kwargs: lambda m: bounded(m, *args, **kwargs)
        one("slice_begin", "SLICE", (5, 6, 4), (2, 3, 1), [run(3), const([2, 3, 1])])
        one("slice_both", "SLICE", (5, 6, 4), (-1, -1, -1), [run(3), run(3, 1, 2)])
        one("slice_size", "SLICE", (5, 6, 4), (-1, -1, -1), [
            const([1, 0, 2]),
            lambda m: joined(m, [bounded(m, 1, 1, 2), m.const([-1]), bounded(m, 1, 1, 2)])])
        one("index", "STRIDED_SLICE", (5, 6, 4), (6, 4), [run(1), const([0]), const([1])],
            "StridedSliceOptions", shrinkAxisMask=1)
        one("strided_begin", "STRIDED_SLICE", (5, 6, 4), (-1, 6, 4), [run(2), const([5, 0]),
                                                                      const([2, 1])],
            "StridedSliceOptions", beginMask=2, endMask=2)
        one("strided_end", "STRIDED_SLICE", (5, 6), (-1, -1), [const([0, 5]), run(2, 1, 3),
                                                               const([1, -1])],
            "StridedSliceOptions")
        one("expand_dims", "EXPAND_DIMS", (2, 3, 4), (-1, -1, -1, -1), [run(1)])
        one("tile", "TILE", (2, 3), (-1, -1), [run(2, 1, 3)])
        one("reshape", "RESHAPE", (2, 3, 4), (-1, -1), [
            lambda m: joined(m, [bounded(m, 1, 2, 2), m.const([-1])])], "ReshapeOptions")
        if kind != I32:
            one("pad", "PAD", (2, 3), (-1, -1), [lambda m: reshaped(m, bounded(m, 4), (2, 2))])
            one("padv2", "PADV2", (2, 3), (-1, -1), [
                lambda m: reshaped(m, bounded(m, 4), (2, 2)),
                lambda m: m.const(random((1,), kind), kind, **k)])
        if kind in (F, I8):
            one("mirror_pad", "MIRROR_PAD", (3, 4), (-1, -1), [
                lambda m: reshaped(m, bounded(m, 4), (2, 2))], "MirrorPadOptions", mode=1)
            one("mean", "MEAN", (2, 3, 4), (-1, -1, -1), [run(1)], "ReducerOptions", keepDims=True)
            one("resize", "RESIZE_BILINEAR", (1, 3, 4, 2), (1, -1, -1, 2), [run(2, 3, 7)],
                "ResizeBilinearOptions", halfPixelCenters=True)
    m = Model()
    x = m.input((3, 9))
    m.op("TOPK_V2", [x, reshaped(m, bounded(m, 1, 1, 5), ())],
         [m.output((3, -1)), m.output((3, -1), I32)])
    m.save(c.folder / "computed_topk.tflite")


def joined(m, parts):
    out = m.tensor((len(parts),), I32)
    m.op("CONCATENATION", parts, [out], "ConcatenationOptions", axis=0)
    return out


def reshaped(m, x, shape):
    out = m.tensor(shape, I32)
    m.op("RESHAPE", [x, m.const(np.array(shape, I32))], [out], "ReshapeOptions")
    return out


def casts(c):
    for kind, to in ((I8, F), (U8, F), (I8, I32), (U8, I32), (I16, F), (F, I8), (F, U8), (I32, I8),
                     (I8, I64), (B, F), (F, B), (F, I32)):
        a, b = q(kind) if kind in SUFFIX else {}, q(to) if to in SUFFIX else {}
        name = lambda k: SUFFIX.get(k, {I32: "i32", I64: "i64", B: "b"}.get(k))
        c.single(f"cast_{name(kind)}_{name(to)}", "CAST", [((3, 50), kind, a)], [((3, 50), to, b)])
    c.single("fake_quant", "FAKE_QUANT", [((200,), F)], [((200,), F)], options="FakeQuantOptions",
             min=-0.6, max=0.7, numBits=8)
    c.single("add_n", "ADD_N", [((3, 4), F)] * 3, [((3, 4), F)])
    c.single("scatter_nd", "SCATTER_ND", [((3, 5), F)], [((4, 5), F)],
             [([[2], [0], [2]], I32), ([4, 5], I32)], order=[1, 0, 2])


def recurrent(c):
    tanh = s.ActivationFunctionType.TANH
    for name, coupled, peephole, projected in (("plain", False, False, False),
                                               ("coupled", True, False, False),
                                               ("peephole", False, True, False),
                                               ("all", True, True, True)):
        for norm in (False, True):
            n, cells, out = 5, 7, 4 if projected else 7
            for op in ("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM"):
                m = Model()
                shape = (3, n) if op == "LSTM" else (3, 6, n)
                ids = [m.input(shape)]
                w = lambda *shape: m.const(random(shape) * 0.5, F)
                for width in (n, out):
                    ids += [-1 if coupled else w(cells, width)] + [w(cells, width) for _ in range(3)]
                ids += [(w(cells) if peephole and not (coupled and i == 0) else -1) for i in range(3)]
                ids += [-1 if coupled else w(cells)] + [w(cells) for _ in range(3)]
                ids += [w(out, cells) if projected else -1, -1]
                ids += [m.tensor((3, out), F, variable=True), m.tensor((3, cells), F, variable=True)]
                if norm:
                    ids += [-1 if coupled else w(cells)] + [w(cells) for _ in range(3)]
                options = {"fusedActivationFunction": tanh, "cellClip": 0.8}
                if op == "LSTM":
                    options_name = "LSTMOptions"
                else:
                    options_name = "UnidirectionalSequenceLSTMOptions"
                m.op(op, ids, [m.output((*shape[:-1], out))], options_name, **options)
                m.save(c.folder / f"{op.lower()}_{name}_{'norm' if norm else 'bare'}.tflite")
    m = Model()
    ids = [m.input((3, 5)), m.const(random((7, 5)), F), m.const(random((7, 7)), F),
           m.const(random(7), F), m.tensor((3, 7), F, variable=True)]
    m.op("RNN", ids, [m.output((3, 7))], "RNNOptions", fusedActivationFunction=tanh)
    m.save(c.folder / "rnn.tflite")
    for rank in (1, 2):
        m = Model()
        ids = [m.input((3, 5)), m.const(random((6, 5)), F), m.const(random((6, 4)), F),
               m.const(random(6 // rank), F), m.tensor((3, 24), F, variable=True)]
        m.op("SVDF", ids, [m.output((3, 6 // rank))], "SVDFOptions", rank=rank,
             fusedActivationFunction=s.ActivationFunctionType.RELU)
        m.save(c.folder / f"svdf_{rank}.tflite")


def custom(c):
    for regular in (False, True):
        anchors = np.concatenate([RNG.uniform(0, 1, (60, 2)), RNG.uniform(0.1, 0.4, (60, 2))], 1)
        c.single(f"detection_{regular}", "CUSTOM", [((1, 60, 4), F), ((1, 60, 6), F)],
                 [((1, 20, 4), F), ((1, 20), F), ((1, 20), F), ((1,), F)], [(anchors, F)],
                 custom="TFLite_Detection_PostProcess", num_classes=5, max_detections=20,
                 max_classes_per_detection=1, detections_per_class=7, use_regular_nms=regular,
                 nms_score_threshold=0.05, nms_iou_threshold=0.4, y_scale=10.0, x_scale=10.0,
                 h_scale=5.0, w_scale=5.0)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for group in (convolutions, pools, elementwise, norms, layout, computed, casts, recurrent,
                  custom):
        group(Cases(folder))
    print(len(list(folder.glob("*.tflite"))), "models")


if __name__ == "__main__":
    main()
