# SPDX-License-Identifier: Apache-2.0
"""A TensorFlow Lite model under construction, for litert_cases.py."""
import flatbuffers
import flatbuffers.flexbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s

TYPES = {np.float32: s.TensorType.FLOAT32, np.float16: s.TensorType.FLOAT16,
         np.int8: s.TensorType.INT8, np.uint8: s.TensorType.UINT8, np.int16: s.TensorType.INT16,
         np.int32: s.TensorType.INT32, np.int64: s.TensorType.INT64, np.bool_: s.TensorType.BOOL}
F, I8, U8, I16, I32, I64, B = (np.float32, np.int8, np.uint8, np.int16, np.int32, np.int64,
                               np.bool_)


class Model:
    def __init__(self):
        self.tensors, self.buffers, self.operators, self.codes = [], [s.BufferT()], [], []
        self.inputs, self.outputs = [], []

    def tensor(self, shape, kind=F, data=None, scale=None, zero=0, axis=0, variable=False):
        t = s.TensorT()
        t.name = f"t{len(self.tensors)}"
        t.shape, t.type, t.isVariable = [abs(n) for n in shape], TYPES[kind], variable
        if any(n < 0 for n in shape):
            t.shapeSignature = list(shape)
        if data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
            t.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scale is not None:
            q = s.QuantizationParametersT()
            q.scale = np.atleast_1d(np.asarray(scale, F))
            q.zeroPoint = np.broadcast_to(np.asarray(zero, np.int64), q.scale.shape).copy()
            q.quantizedDimension = axis
            t.quantization = q
        self.tensors.append(t)
        return len(self.tensors) - 1

    def input(self, *args, **kwargs):
        self.inputs.append(self.tensor(*args, **kwargs))
        return self.inputs[-1]

    def output(self, *args, **kwargs):
        self.outputs.append(self.tensor(*args, **kwargs))
        return self.outputs[-1]

    def const(self, data, kind=I32, **kwargs):
        data = np.asarray(data, kind)
        return self.tensor(data.shape, kind, data, **kwargs)

    def op(self, name, inputs, outputs, options=None, **fields):
        code = s.OperatorCodeT()
        code.builtinCode = getattr(s.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = fields.pop("version", 1)
        code.customCode = fields.pop("custom", None)
        operator = s.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(s.BuiltinOptions, options)
            operator.builtinOptions = getattr(s, options + "T")()
            for key, value in fields.items():
                assert hasattr(operator.builtinOptions, key), key
                setattr(operator.builtinOptions, key, value)
        if code.customCode:
            operator.customOptions = list(flatbuffers.flexbuffers.Dumps(fields))
        self.codes.append(code)
        self.operators.append(operator)

    def save(self, path):
        graph = s.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = self.inputs, self.outputs
        model = s.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = self.codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())
