#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times firn beside ONNX Runtime, ncnn, MNN, OpenVINO and LiteRT on the same models, interleaved.

    pip install onnx onnxruntime numpy ncnn pnnx MNN openvino ai-edge-litert matplotlib
    python3 bench/networks.py --out /tmp/networks
    python3 bench/peers.py --firn build/release/firn --frozen FOLDER MODEL... /tmp/networks/*.onnx

Every peer is optional; what is missing is said and left out. Each contender is a process of its own
that loads the model once and sleeps in a read while others are timed, so that no spinning pool takes
another's core. A round times each contender once, in turn, for --seconds; printed are medians over
the rounds, and the median over the rounds of firn's time over that of the peer with the best median:
below 1 firn is faster. The fastest is bold. All models run at batch 1, prepared by ONNX Runtime's
quant_pre_process (batch norms folded, open dimensions closed) for everyone.

int8: firn's is FOLDER/<model>.firn, or else frozen by `firn quantize` on the noise that the peers are
calibrated on; ONNX Runtime's comes from quantize_static, QDQ with weights per channel and unsigned
(u8s8) or signed (s8s8) activations; OpenVINO reads the u8s8 file; MNN quantizes activations as they
come. A last table has every contender's error on one sample of noise against ONNX Runtime's fp32, as
SQNR in dB: a fast wrong answer is none. Models stay in --work and are used again.

.tflite models are compared with LiteRT, as they are.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).parent
PICKS = {"median": "median", "min": "least", "cpu": "mean processor time"}
KINDS = {"fp32": "fp32", "int8": "int8", "tflite": "TensorFlow Lite files as they are"}


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    kind: str
    runtime: str
    route: str  # by which bench/peer_models.py makes the file; none: the model itself
    suffix: str = ".onnx"


CONTENDERS = (
    Contender("firn", "fp32", "firn", ""),
    Contender("ONNX Runtime", "fp32", "ort", ""),
    Contender("ncnn", "fp32", "ncnn", "ncnn", ".param"),
    Contender("MNN", "fp32", "mnn", "mnn", ".mnn"),
    Contender("OpenVINO", "fp32", "openvino", ""),
    Contender("firn", "int8", "firn", "firn_int8", ".firn"),
    Contender("ONNX Runtime u8s8", "int8", "ort", "ort_u8s8"),
    Contender("ONNX Runtime s8s8", "int8", "ort", "ort_s8s8"),
    Contender("ncnn", "int8", "ncnn", "ncnn_int8", ".param"),
    Contender("MNN", "int8", "mnn_int8", "mnn_int8", ".mnn"),
    Contender("OpenVINO", "int8", "openvino", "ort_u8s8"),
    Contender("firn", "tflite", "firn", ""),
    Contender("LiteRT", "tflite", "litert", ""),
)


def family(contender):
    return contender.runtime.removesuffix("_int8")


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def last_line(text):
    lines = [line for line in (text or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def run(*command):
    """Standard output; RuntimeError with the last line it printed where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          errors="replace", timeout=900)
    if done.returncode:
        raise RuntimeError(last_line(done.stderr or done.stdout))
    return done.stdout


class Firn:
    """firn's own tool in a process per measurement; loads and warms up before it takes the time."""

    def __init__(self, tool, model, threads, isa):
        self.tool, self.model, self.threads = tool, model, threads
        self.isa = ["--isa", isa] if isa else []
        self.version = run(tool, "--version").strip()
        self.estimate = self.bench(5)[0]["min"]

    def bench(self, runs):
        """Wall times of one inference, and the processor time of the whole process."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = run(self.tool, "bench", self.model, "--threads", self.threads, "--runs", runs, "--json",
                  *self.isa)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        result = json.loads(out)
        return {"median": result["median_ms"], "min": result["min_ms"]}, 1000 * spent

    def milliseconds(self, seconds):
        few, more = 3, 3 + max(6, round(1000 * seconds / self.estimate))
        result, spent = self.bench(more)
        # What loading and warming up took is in both processes, and cancels out.
        result["cpu"] = (spent - self.bench(few)[1]) / (more - few)
        return result

    def output(self, data, folder):
        out = folder / "firn_output"
        for old in out.glob("*.npy"):
            old.unlink()
        run(self.tool, "run", self.model, "--input", data, "--output", out, *self.isa)
        return np.load(next(out.glob("*.npy")))

    def close(self):
        pass


class Worker:
    """A peer: bench/peer_runtimes.py in a process that lives as long as the case."""

    def __init__(self, runtime, model, threads, data):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "peer_runtimes.py"), "--runtime", runtime, "--threads",
             str(threads), "--input", str(data), str(model)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.version = self.answer().split(maxsplit=1)[1]

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(last_line(self.errors.read()))
        return line

    def ask(self, order):
        try:
            print(order, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # answer() says why
        return self.answer()

    def milliseconds(self, seconds):
        return json.loads(self.ask(seconds))

    def output(self, _, folder):
        target = folder / "peer_output.npy"
        self.ask(f"output {target}")
        return np.load(target)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Files:
    """Makes the files of one model on demand, each once, and remembers why one cannot be made."""

    def __init__(self, source, options):
        self.source, self.options, self.failures = source, options, {}
        self.folder = options.work / source.stem
        self.folder.mkdir(parents=True, exist_ok=True)
        inputs = json.loads(run(options.firn, "info", source, "--json"))["inputs"]
        if len(inputs) != 1:
            raise RuntimeError(f"{len(inputs)} inputs; only models with one are compared")
        shape = [1 if d < 0 else d for d in inputs[0]["shape"]]
        self.sample, self.calibration = self.folder / "sample.npy", self.folder / "calibration.npy"
        noise = np.random.default_rng(7).standard_normal((9, *shape[1:])).astype(np.float32)
        np.save(self.sample, noise[:1])
        np.save(self.calibration, noise[1:])
        self.plain = source
        if source.suffix != ".tflite":
            try:
                self.plain = self.make("single", ".onnx")
            except RuntimeError as error:
                say(f"{source.stem}: as it is, without quant_pre_process: {error}")

    def make(self, route, suffix):
        if route in self.failures:
            raise self.failures[route]
        target = self.folder / f"{route}{suffix}"
        if target.exists() and target.stat().st_mtime > self.source.stat().st_mtime:
            return target
        source = self.plain
        try:
            if route == "firn_int8":
                run(self.options.firn, "quantize", source, "--data", self.calibration, "-o", target)
            else:
                run(sys.executable, HERE / "peer_models.py", "--route", route, "--data",
                    self.calibration, source, target)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self.failures[route] = RuntimeError(str(error))
            raise self.failures[route] from None
        return target

    def of(self, contender):
        frozen = self.options.frozen
        if contender.route == "firn_int8" and frozen:
            given = frozen / (self.source.stem + ".firn")
            if given.exists():
                return given
        return self.make(contender.route, contender.suffix) if contender.route else self.plain


def start(contender, files, threads):
    model = files.of(contender)
    if contender.runtime == "firn":
        return Firn(files.options.firn, model, threads, files.options.isa)
    return Worker(contender.runtime, model, threads, files.sample)


def measure(files, threads, taking_part, with_errors, versions):
    """Milliseconds of every round and, if asked for, the answers, both by contender."""
    running, times, answers = {}, {}, {}

    def attempt(contender, action):
        try:
            action(contender)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            say(f"{files.source.stem}: no {contender.name} {contender.kind}: {error}")
            times.pop(contender, None)
            if contender in running:
                running.pop(contender).close()

    def begin(contender):
        running[contender] = start(contender, files, threads)
        versions[family(contender)] = running[contender].version
        if with_errors:
            answer = running[contender].output(files.sample, files.folder)
            answers[contender] = answer.astype(float).ravel()

    def take(contender):
        time.sleep(0.05)  # whoever still spins goes to sleep
        result = running[contender].milliseconds(files.options.seconds)
        times.setdefault(contender, []).append(result[files.options.pick])

    for contender in taking_part:
        attempt(contender, begin)
    for _ in range(files.options.rounds):
        for contender in list(running):
            attempt(contender, take)
    for candidate in running.values():
        candidate.close()
    return times, answers


def sqnr(reference, answer):
    if reference.shape != answer.shape:
        return float("nan")
    noise = float(((reference - answer) ** 2).sum())
    return 10 * np.log10(float((reference ** 2).sum()) / noise) if noise else float("inf")


def against_best(times, kind):
    """Median over the rounds of firn's time over the best peer's, and that peer."""
    own = next((c for c in times if c.kind == kind and c.runtime == "firn"), None)
    peers = [c for c in times if c.kind == kind and c.runtime != "firn"]
    if own is None or not peers:
        return None, None
    best = min(peers, key=lambda c: statistics.median(times[c]))
    return statistics.median(a / b for a, b in zip(times[own], times[best])), best


def table(results, kind, threads):
    """Of one kind and one number of threads, in Markdown."""
    cases = {model: times for (model, count), times in results.items() if count == threads
             and any(c.kind == kind for c in times)}
    columns = [c for c in CONTENDERS if c.kind == kind and any(c in t for t in cases.values())]
    if not columns:
        return
    print(f"\n{KINDS[kind]}, {threads} thread{'s' if threads > 1 else ''}, ms:\n")
    print("| model |", " | ".join(c.name for c in columns), "| firn / best peer |")
    print("|---" * (len(columns) + 2) + "|")
    for model, times in cases.items():
        medians = {c: statistics.median(times[c]) for c in columns if c in times}
        fastest = min(medians, key=medians.get)
        cells = ["-" if c not in medians else
                 f"**{medians[c]:.2f}**" if c == fastest else f"{medians[c]:.2f}" for c in columns]
        ratio, best = against_best(times, kind)
        print(f"| {model} |", " | ".join(cells), "|",
              f"{ratio:.2f} ({best.name}) |" if best else "- |")


def error_table(errors):
    columns = [c for c in CONTENDERS if any(c in e for e in errors.values())]
    if not columns:
        return
    print("\nSQNR against ONNX Runtime's fp32, dB:\n")
    print("| model |", " | ".join(f"{c.name} {c.kind}" for c in columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for model, found in errors.items():
        print(f"| {model} |", " | ".join(f"{found[c]:.0f}" if c in found else "-" for c in columns),
              "|")


def plot(results, target):
    """Each contender's time over firn's: a panel for each kind and number of threads."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        return say(f"no plot: {error}")
    panels = sorted({(threads, c.kind) for (_, threads), times in results.items() for c in times
                     if c.runtime != "firn"})
    if not panels:
        return say("no plot: no peer took part")
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(10, 2.8 * len(panels)), squeeze=False)
    for axis, (threads, kind) in zip(axes[:, 0], panels):
        cases = [(m, t) for (m, count), t in results.items() if count == threads]
        peers = [c for c in CONTENDERS if c.kind == kind and c.runtime != "firn"
                 and any(c in t for _, t in cases)]
        own = next(c for c in CONTENDERS if c.kind == kind and c.runtime == "firn")
        for i, peer in enumerate(peers):
            at = [x + (i - (len(peers) - 1) / 2) * 0.8 / len(peers) for x in range(len(cases))]
            bars = [statistics.median(p / f for p, f in zip(t[peer], t[own]))
                    if peer in t and own in t else 0 for _, t in cases]
            axis.bar(at, bars, 0.8 / len(peers), label=peer.name)
        axis.axhline(1, color="black", linewidth=1)
        axis.set_xticks(range(len(cases)), [m for m, _ in cases], fontsize=7)
        axis.set_ylabel("time / firn's")
        axis.set_title(f"{KINDS[kind]}, {threads} thread(s): above 1 firn is faster", fontsize=9)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target)


def load():
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firn", default="build/release/firn")
    parser.add_argument("--frozen", type=pathlib.Path, help="folder of <model>.firn files")
    parser.add_argument("--isa", default="", help="firn's instruction set; peers have switches of their "
                        "own, as ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI in the environment")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, as in 1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a contender in a round")
    parser.add_argument("--pick", choices=PICKS, default="median",
                        help="of a round's inferences; cpu: processor time instead of wall time, "
                             "for one thread on a machine that others use")
    parser.add_argument("--work", type=pathlib.Path, help="folder for the converted models")
    parser.add_argument("--only", default="", metavar="NAME,...",
                        help="contenders whose runtime is one of these (firn always takes part)")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE.svg")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    scratch = None if options.work else tempfile.TemporaryDirectory()
    options.work = options.work or pathlib.Path(scratch.name)
    only = options.only.split(",") if options.only else []
    results, errors, versions, before = {}, {}, {}, load()
    for model in options.models:
        kinds = ("tflite",) if model.suffix == ".tflite" else ("fp32", "int8")
        taking_part = [c for c in CONTENDERS if c.kind in kinds
                       and (not only or c.runtime == "firn" or family(c) in only)]
        try:
            files = Files(model, options)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            say(f"{model.stem}: left out: {error}")
            continue
        for threads in map(int, options.threads.split(",")):
            first = model.suffix != ".tflite" and model.stem not in errors
            times, answers = measure(files, threads, taking_part, first, versions)
            results[model.stem, threads] = times
            reference = next((a for c, a in answers.items() if (c.runtime, c.kind) ==
                              ("ort", "fp32")), None)
            if reference is not None:
                errors[model.stem] = {c: sqnr(reference, a) for c, a in answers.items()
                                      if a is not reference}
            say(f"{model.stem}, {threads} thread(s):", ", ".join(
                f"{c.name} {c.kind} {statistics.median(t):.2f}" for c, t in times.items()), "ms")
    print(", ".join(version if name == "firn" else f"{name} {version}"
                    for name, version in versions.items()))
    print(f"Medians over {options.rounds} rounds of each round's {PICKS[options.pick]} in "
          f"{options.seconds} s; load average {before} at the start, {load()} at the end, "
          f"{os.cpu_count()} processors")
    for kind in KINDS:
        for threads in sorted({count for _, count in results}):
            table(results, kind, threads)
    error_table(errors)
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
