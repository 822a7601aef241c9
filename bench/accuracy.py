#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizes real classifiers with default options and compares them with fp32 on other samples.

    python3 bench/accuracy.py --firn build/release/firn --shared ../shared --out /tmp/frozen
    pip install onnx onnxruntime numpy pillow
    python3 bench/accuracy.py --peers --out /tmp/frozen
    python3 bench/accuracy.py --per-tensor --out /tmp/frozen

Calibrates on the first 100 pictures (or the calibration images of CIFAR-10), evaluates on the rest.
Only runs the tool: the figures are those of `firn quantize` and `firn compare`. The int8 files stay
in --out.

--peers adds ONNX Runtime's quantize_static with each of its calibrators (uint8 activations, int8
weights per channel), on the same samples, for the models that it reads (its files and fp32 answers
stay in --out, and are used again); and MLPerf Tiny's resnet8 and kws, which it does not: beside
those stands the int8 file that TensorFlow Lite's converter made. ncnn's quantizer does not come by
pip, and MNN's (mnnquant) aborts.

--per-tensor has one weight scale a layer, with and without channels made alike and biases
corrected.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import tempfile
import time

UNIT = ["--mean", "127.5", "--std", "127.5"]
TORCH = ["--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"]
CROP = ["--short-side", "256", "--resize", "crop"]


def cases(options):
    for case in all_cases(options.shared):
        if options.only in case[0].stem:
            yield case


def all_cases(shared):
    pictures = str(shared / "data/imagenet500/labels.csv")
    cifar = shared / "data/cifar10"
    for name, prepare, offset in (("mobilenet_v2_1.0_224", UNIT, "1"),
                                  ("mobilenet_v1_0.75_224", UNIT, "0"),
                                  ("squeezenet1.1", TORCH, "0")):
        yield (shared / f"models/imagenet/{name}.onnx", prepare + CROP,
               ["--data", pictures, "--limit", "100"],
               ["--data", pictures, "--skip", "100", "--labels", pictures, "--label-offset", offset])
    yield (shared / "models/ncnn/squeezenet_v1.1.param",
           ["--pixel", "BGR", "--mean", "104,117,123"] + CROP,
           ["--data", pictures, "--limit", "100"],
           ["--data", pictures, "--skip", "100", "--labels", pictures, "--label-offset", "0"])
    yield (shared / "models/cifar10/resnet20.onnx", TORCH,
           ["--data", str(cifar / "calib_images.npy")],
           ["--data", str(cifar / "test_images.npy"), "--labels", str(cifar / "test_labels.npy")])


def run(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_row(model, by, top1, agreement, sqnr):
    print(f"| {model} | {by} | {100 * top1:.2f} | {100 * agreement:.2f} | {sqnr:.1f} |", flush=True)


def samples_of(model, shared):
    """Calibration samples, evaluation samples and their labels, as the model takes them."""
    import numpy as np
    import qdq
    if model.stem == "resnet20":
        folder = shared / "data/cifar10"
        calibration, evaluation = (qdq.normalized(np.load(folder / f"{part}_images.npy"), *qdq.TORCH)
                                   for part in ("calib", "test"))
        return calibration, evaluation, np.load(folder / "test_labels.npy").astype(int)
    folder = shared / "data/imagenet500"
    with open(folder / "labels.csv") as rows:
        count = len(list(csv.DictReader(rows)))
    mean, std = qdq.TORCH if model.stem == "squeezenet1.1" else qdq.UNIT
    return qdq.photos(folder, count - 100, mean, std, int(model.stem.startswith("mobilenet_v2")))


def print_peers(model, shared, out):
    import numpy as np
    import qdq
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    calibration, evaluation, labels = samples_of(model, shared)
    plain = out / (model.stem + ".plain.onnx")
    quant_pre_process(str(model), str(plain), skip_symbolic_shape=True)
    name = qdq.onnxruntime.InferenceSession(str(plain), providers=["CPUExecutionProvider"]
                                            ).get_inputs()[0].name
    floats = out / (model.stem + ".fp32.npy")
    if not floats.exists():
        np.save(floats, qdq.run_ort(plain, evaluation, True).reshape(len(labels), -1))
    want = np.load(floats)
    for method in ("MinMax", "Entropy", "Percentile"):
        target = out / f"{model.stem}.{method}.onnx"
        if not target.exists():
            quantize_static(str(plain), str(target), qdq.Reader(name, calibration),
                            quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
                            weight_type=QuantType.QInt8, per_channel=True,
                            calibrate_method=getattr(CalibrationMethod, method))
        got = qdq.run_ort(target, evaluation, True).reshape(len(labels), -1)
        noise = np.sum((got.astype(np.float64) - want) ** 2)
        print_row(model.stem, f"ONNX Runtime {method}", np.mean(got.argmax(1) == labels),
                  np.mean(got.argmax(1) == want.argmax(1)),
                  10 * np.log10(np.sum(want.astype(np.float64) ** 2) / noise))


def print_ncnn(param, shared, out, tools):
    """ncnn2table by each of its methods, ncnn2int8, and ncnn itself."""
    import ncnn
    import numpy as np
    from PIL import Image
    with open(shared / "data/imagenet500/labels.csv") as rows:
        pictures = list(csv.DictReader(rows))

    def sample(row):
        picture = Image.open(shared / "data/imagenet500" / row["file"]).convert("RGB")
        left, top = (picture.width - 227) // 2, (picture.height - 227) // 2
        bgr = np.asarray(picture.crop((left, top, left + 227, top + 227)), np.float32)[..., ::-1]
        return np.ascontiguousarray((bgr - np.float32([104, 117, 123])).transpose(2, 0, 1))

    def answers(stem):
        net = ncnn.Net()
        net.opt.num_threads = 1
        if net.load_param(f"{stem}.param") != 0 or net.load_model(f"{stem}.bin") != 0:
            raise RuntimeError(f"ncnn does not load {stem}")
        rows = []
        for row in pictures[100:]:
            extractor = net.create_extractor()
            extractor.input("data", ncnn.Mat(sample(row)).clone())
            rows.append(np.array(extractor.extract("prob")[1]).reshape(-1))
        return np.stack(rows).astype(np.float64)

    labels = np.array([int(row["class"]) for row in pictures[100:]])
    floats = param.with_suffix("")
    want = answers(floats)
    with tempfile.TemporaryDirectory() as folder:
        names = pathlib.Path(folder) / "list.txt"
        with open(names, "w") as file:
            for i, row in enumerate(pictures[:100]):
                np.save(f"{folder}/{i}.npy", sample(row))
                file.write(f"{folder}/{i}.npy\n")
        for method in ("kl", "aciq", "eq"):
            table, target = f"{folder}/{method}.table", out / f"{param.stem}.ncnn.{method}"
            start = time.monotonic()
            made = subprocess.run(
                [tools / "ncnn2table", f"{floats}.param", f"{floats}.bin", names, table,
                 "shape=[227,227,3]", "thread=1", f"method={method}", "type=1"],
                capture_output=True)
            seconds = time.monotonic() - start
            if made.returncode == 0:
                made = subprocess.run(
                    [tools / "ncnn2int8", f"{floats}.param", f"{floats}.bin", f"{target}.param",
                     f"{target}.bin", table], capture_output=True)
            if made.returncode != 0:
                print(f"| {param.stem} | ncnn {method} | ends with {made.returncode} | | |")
                continue
            got = answers(target)
            print_row(param.stem, f"ncnn {method} ({seconds:.1f} s)",
                      np.mean(got.argmax(1) == labels), np.mean(got.argmax(1) == want.argmax(1)),
                      10 * np.log10(np.sum(want ** 2) / np.sum((got - want) ** 2)))


def print_tiny(options):
    import tiny
    with tempfile.TemporaryDirectory() as folder:
        for name, floats, reference, calibrate, evaluate in tiny.cases(options.shared,
                                                                      pathlib.Path(folder)):
            if name not in ("resnet8", "kws") or options.only not in name:
                continue
            frozen = options.out / f"{name}.firn"
            run(options.firn, "quantize", str(floats), *map(str, calibrate), "--method",
                options.method, "-o", str(frozen), "--json")
            for by, other in (("firn", frozen), ("TensorFlow Lite's converter", reference)):
                result = run(options.firn, "compare", str(floats), str(other), *map(str, evaluate),
                             "--json")
                if by == "firn":
                    print_row(name, "fp32", result["top1_a"], 1, float("inf"))
                print_row(name, by, result["top1_b"], result["agreement"],
                          result["outputs"][0]["sqnr_db"])


def print_per_tensor(options):
    print("| model | weight scales | channels made alike | bias correction | top-1 | agreement "
          "| output SQNR, dB |")
    print("|---|---|---|---|---|---|---|")
    layer, uneven, bias = ["--per-tensor"], ["--no-equalize"], "--bias-correction"
    ways = {"one a channel | yes | analytic": [],
            "one a channel | yes | frames": [bias, "frames"],
            "one a layer | no | none": layer + uneven + [bias, "none"],
            "one a layer | no | analytic": layer + uneven,
            "one a layer | yes | none": layer + [bias, "none"],
            "one a layer | yes | analytic": layer,
            "one a layer | yes | frames": layer + [bias, "frames"]}
    for model, prepare, calibrate, evaluate in cases(options):
        for way, more in ways.items():
            frozen = options.out / (model.stem + ".ways.firn")
            run(options.firn, "quantize", str(model), *calibrate, *prepare, "--method",
                options.method, *more, "-o", str(frozen), "--json")
            result = run(options.firn, "compare", str(model), str(frozen), *evaluate, *prepare,
                         "--json")
            if not more:
                print_row(model.stem, "fp32 | |", result["top1_a"], 1, float("inf"))
            print_row(model.stem, way, result["top1_b"], result["agreement"],
                      result["outputs"][0]["sqnr_db"])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--method", default="automatic")
    parser.add_argument("--peers", action="store_true", help="one row a quantizer, peers beside firn")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--per-tensor", action="store_true", help="one weight scale a layer")
    parser.add_argument("--ncnn-tools", type=pathlib.Path, metavar="DIR",
                        help="with --peers: where ncnn2table and ncnn2int8 are")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.per_tensor:
        return print_per_tensor(options)
    if options.peers:
        print("| model | quantized by | top-1 | agreement | output SQNR, dB |")
    else:
        print("| model | fp32 top-1 | int8 top-1 | agreement | output SQNR, dB |")
    print("|---|---|---|---|---|")
    for model, prepare, calibrate, evaluate in cases(options):
        frozen = options.out / (model.stem + ".firn")
        run(options.firn, "quantize", str(model), *calibrate, *prepare, "--method", options.method,
            "-o", str(frozen), "--json")
        result = run(options.firn, "compare", str(model), str(frozen), *evaluate, *prepare, "--json")
        sqnr = result["outputs"][0]["sqnr_db"]
        if not options.peers:
            print_row(model.stem, f"{100 * result['top1_a']:.2f}", result["top1_b"],
                      result["agreement"], sqnr)
            continue
        print_row(model.stem, "fp32", result["top1_a"], 1, float("inf"))
        print_row(model.stem, "firn", result["top1_b"], result["agreement"], sqnr)
        if model.suffix == ".onnx":
            print_peers(model, options.shared, options.out)
        elif options.ncnn_tools:
            print_ncnn(model, options.shared, options.out, options.ncnn_tools)
    if options.peers:
        print_tiny(options)


if __name__ == "__main__":
    main()
