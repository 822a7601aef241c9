#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cycles of the int8 product kernels' inner loops on Arm CPUs, as llvm-mca simulates them: no device
is measured. The bound is what the same number of product instructions takes by itself.

Needs Debian's g++-aarch64-linux-gnu and llvm-19. With --xnnpack, the loops of that library (which
cmake/test_arm.sh unpacks) that use the same instruction are simulated too, and the best for each CPU
is shown.
  python3 bench/arm_mca.py --xnnpack build/aarch64/sysroot/usr/lib/aarch64-linux-gnu/libXNNPACK.so.0
"""
import argparse
import collections
import functools
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPUS = ["cortex-a55", "cortex-a510", "neoverse-n1", "neoverse-n2", "neoverse-v1", "apple-m1"]
ITERATIONS = 200

# A kernel: its -march (those of cmake/isa.cmake), its product instructions as they are written, with
# the multiply-adds of one, and the fastest of them, whose accumulators, %d, depend on nothing else.
Kernel = collections.namedtuple("Kernel", "march products fastest")
KERNELS = {
    "neon": Kernel("armv8-a", {r"sm(ul|la)l2?\s+v\d+\.8h": 8, r"sm(ul|la)l2?\s+v\d+\.4s": 4},
                   "smull v%d.8h, v30.8b, v31.8b"),
    "neondot": Kernel("armv8.2-a+dotprod", {r"sdot\s": 16}, "sdot v%d.4s, v30.16b, v31.4b[0]"),
    "neoni8mm": Kernel("armv8.2-a+dotprod+i8mm", {r"smmla\s": 32},
                       "smmla v%d.4s, v30.16b, v31.16b"),
}


def output_of(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr[:2000]}")
    return done.stdout


def loops(binary):
    """The loops of a binary that have no other branch, each a tuple of instructions."""
    address, code = {}, []
    for line in output_of("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", binary).splitlines():
        found = re.match(r"\s*([0-9a-f]+):\t(.*)", line)
        if found:
            address[int(found[1], 16)] = len(code)
            code.append(re.sub(r"\s*(//|<).*", "", found[2]))
    start = 0  # behind the last branch
    for i, line in enumerate(code):
        if not re.match(r"(b|b\.\w+|bl|br|blr|ret|cbn?z|tbn?z)\b", line):
            continue
        found = re.search(r"(?:0x)?([0-9a-f]+)$", line)
        begin = address.get(int(found[1], 16), -1) if found else -1
        if start <= begin:
            yield tuple(code[begin:i] + [re.sub(r"(0x)?[0-9a-f]+$", ".Lloop", line)])
        start = i + 1


def macs(loop, kernel):
    return sum(n for line in loop for product, n in kernel.products.items() if re.match(product, line))


@functools.lru_cache(maxsize=None)
def cycles(cpu, code):
    """Of one iteration."""
    text = output_of("llvm-mca-19", "-mtriple=aarch64-linux-gnu", "-mattr=+dotprod,+i8mm",
                     f"-mcpu={cpu}", f"-iterations={ITERATIONS}", "-noalias",
                     text=".Lloop:\n" + "\n".join(code) + "\n")
    return int(re.search(r"Total Cycles:\s+(\d+)", text)[1]) / ITERATIONS


def bound(cpu, kernel):
    """Cycles of a multiply-add, by 15 product instructions that do not depend on each other."""
    return cycles(cpu, tuple(kernel.fastest % i for i in range(15))) / (
        15 * macs([kernel.fastest % 0], kernel))


def row(title, cpu, kernel, loop):
    n = macs(loop, kernel)
    took = cycles(cpu, loop)
    print(f"| {title} | {cpu} | {n} | {len(loop) / n:.4f} | {took:.1f} | {took / n:.4f} | "
          f"{100 * n * bound(cpu, kernel) / took:.0f} % |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--xnnpack", help="an arm64 libXNNPACK.so to compare with")
    parser.add_argument("--loops", action="store_true", help="print the loops as well")
    options = parser.parse_args()

    print("| loop | CPU | MACs | instructions / MAC | cycles | cycles / MAC | of the bound |")
    print("|---|---|---|---|---|---|---|")
    theirs = [] if options.xnnpack is None else list(loops(options.xnnpack))
    for name, kernel in KERNELS.items():
        with tempfile.TemporaryDirectory() as folder:
            binary = os.path.join(folder, "kernel.o")
            output_of("aarch64-linux-gnu-g++", "-std=c++20", "-O3", "-DNDEBUG", "-fPIC",
                      "-ffp-contract=off", "-fno-schedule-insns", f"-march={kernel.march}",
                      f"-I{ROOT}", "-c", "-o", binary, f"{ROOT}/kernels/arm/gemm_s8_{name}.cpp")
            ours = max(loops(binary), key=lambda loop: macs(loop, kernel))
        if options.loops:
            print("\n".join(ours))
        # Those of as many multiply-adds or more: what is smaller is there for the last rows.
        rivals = {loop for loop in theirs if macs(loop, kernel) >= macs(ours, kernel)}
        for cpu in CPUS:
            row(f"firn {name}", cpu, kernel, ours)
            if rivals:
                best = min(rivals, key=lambda loop: cycles(cpu, loop) / macs(loop, kernel))
                row("XNNPACK's", cpu, kernel, best)


if __name__ == "__main__":
    main()
