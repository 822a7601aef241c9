#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads one model in one runtime and times it when told to; the worker of bench/peers.py.

    python3 bench/peer_runtimes.py --runtime ort --threads 1 --input noise.npy MODEL

Says `ready` and the runtime's version, then answers each line SECONDS on its standard input with the
milliseconds of one inference over about that time (median, least, mean of the processor's time), and
`output FILE.npy` by writing the first output. Between orders it waits in a read, so that it takes
nothing from the others.
"""
import argparse
import json
import os
import statistics
import sys
import time

import numpy as np


class OnnxRuntime:
    def __init__(self, model, threads, data):
        import onnxruntime
        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options,
                                                    providers=["CPUExecutionProvider"])
        self.feeds = {self.session.get_inputs()[0].name: data}

    def run(self):
        return self.session.run(None, self.feeds)[0]

    def output(self):
        return self.run()


class Ncnn:
    def __init__(self, model, threads, data):
        import ncnn
        self.version = ncnn.__version__
        self.net = ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_vulkan_compute = False
        if self.net.load_param(model) or self.net.load_model(os.path.splitext(model)[0] + ".bin"):
            raise RuntimeError("ncnn does not load it")
        self.input = ncnn.Mat(data[0]).clone()

    def run(self):
        extractor = self.net.create_extractor()
        extractor.input(self.net.input_names()[0], self.input)
        status, out = extractor.extract(self.net.output_names()[0])
        if status:
            raise RuntimeError("ncnn does not run it")
        return out

    def output(self):
        return np.array(self.run())


class Mnn:
    memory = "normal"

    def __init__(self, model, threads, data):
        import MNN
        self.version = MNN.version()
        self.interpreter = MNN.Interpreter(model)
        self.session = self.interpreter.createSession(
            {"backend": "CPU", "numThread": threads, "precision": "normal", "memory": self.memory})
        self.input = self.interpreter.getSessionInput(self.session)
        self.host = MNN.Tensor(data.shape, MNN.Halide_Type_Float, data,
                               MNN.Tensor_DimensionType_Caffe)

    def run(self):
        self.input.copyFrom(self.host)
        return self.interpreter.runSession(self.session)

    def output(self):
        self.run()
        import MNN
        device = self.interpreter.getSessionOutput(self.session)
        shape = device.getShape()
        host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32),
                          MNN.Tensor_DimensionType_Caffe)
        device.copyToHostTensor(host)
        return np.array(host.getData(), np.float32)


class MnnInt8(Mnn):
    memory = "low"  # what makes it compute in int8 with the weights of the file


class OpenVino:
    def __init__(self, model, threads, data):
        import openvino
        self.version = openvino.__version__.split("-")[0]
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads),
            "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(data))

    def run(self):
        self.request.infer()

    def output(self):
        self.run()
        return self.request.get_output_tensor(0).data


class LiteRt:
    def __init__(self, model, threads, data):
        import ai_edge_litert
        from ai_edge_litert import interpreter
        self.version = ai_edge_litert.__version__
        self.interpreter = interpreter.Interpreter(model_path=model, num_threads=threads)
        self.interpreter.allocate_tensors()
        given = self.interpreter.get_input_details()[0]
        self.interpreter.set_tensor(given["index"], data.astype(given["dtype"]))

    def run(self):
        self.interpreter.invoke()

    def output(self):
        self.run()
        detail = self.interpreter.get_output_details()[0]
        raw = self.interpreter.get_tensor(detail["index"]).astype(np.float32)
        scale, zero = detail["quantization"]
        return (raw - zero) * scale if scale else raw


RUNTIMES = {"ort": OnnxRuntime, "ncnn": Ncnn, "mnn": Mnn, "mnn_int8": MnnInt8, "openvino": OpenVino,
            "litert": LiteRt}


def milliseconds(runtime, seconds):
    """Of one inference, after a tenth of the time to wake caches and threads."""
    warm_until = time.perf_counter() + seconds / 10
    runtime.run()
    while time.perf_counter() < warm_until:
        runtime.run()
    times, spent, deadline = [], time.process_time(), time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < deadline:
        start = time.perf_counter()
        runtime.run()
        times.append(1000 * (time.perf_counter() - start))
    spent = 1000 * (time.process_time() - spent)
    return {"median": statistics.median(times), "min": min(times), "cpu": spent / len(times)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input", required=True, help="an .npy with a batch of one")
    parser.add_argument("model")
    options = parser.parse_args()
    # Runtimes print to standard output; answers go to a copy of it, prints to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    data = np.ascontiguousarray(np.load(options.input))
    runtime = RUNTIMES[options.runtime](options.model, options.threads, data)
    runtime.run()
    print("ready", runtime.version, file=answers, flush=True)
    for line in sys.stdin:
        if line.startswith("output "):
            np.save(line.split(maxsplit=1)[1].strip(), runtime.output())
            print("written", file=answers, flush=True)
        else:
            print(json.dumps(milliseconds(runtime, float(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
