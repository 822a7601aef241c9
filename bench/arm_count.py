#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that int8 layers take on 64-bit Arm, firn's kernels beside XNNPACK's, counted under
qemu: what repeating the layer adds, so that packing and start-up do not count. It says nothing of
time.

  sh cmake/test_arm.sh aarch64 kernels && python3 bench/arm_count.py
"""
import argparse
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# The CPU that qemu is, so that XNNPACK picks what suits it, and our kernels for it.
RUNGS = {"cortex-a53": ("neon", "neon"), "cortex-a76": ("neondot", "neondot"),
         "max": ("neoni8mm", "neondot")}
# Size, channels in and out (0: depthwise), filter, stride. Small, as every instruction is logged.
LAYERS = [(14, 64, 128, 1, 1), (7, 512, 128, 1, 1), (10, 64, 64, 3, 1), (32, 3, 32, 3, 2),
          (14, 128, 0, 3, 1), (14, 128, 0, 5, 1)]


def instructions(command, times):
    """Of a run that repeats the layer so often: qemu logs every block that it executes, and with
    -singlestep a block is an instruction."""
    read, write = os.pipe()
    process = subprocess.Popen(command[:1] + ["-singlestep", "-d", "exec,nochain", "-D",
                                              f"/dev/fd/{write}"] + command[1:] + [str(times)],
                               pass_fds=[write])
    os.close(write)
    lines = 0
    with os.fdopen(read, "rb", buffering=0) as log:
        while chunk := log.read(1 << 20):
            lines += chunk.count(b"\n")
    if process.wait() != 0:
        sys.exit(f"{' '.join(command)}: failed")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "aarch64"),
                        help="what cmake/test_arm.sh built (default: %(default)s)")
    build = parser.parse_args().build
    libraries = f"{build}/sysroot/usr/lib/aarch64-linux-gnu"
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/arm_count"
        done = subprocess.run(
            ["aarch64-linux-gnu-g++", "-std=c++20", "-O2", f"-I{ROOT}", f"-I{build}/sysroot/usr/include",
             f"{ROOT}/bench/arm_count.cpp", f"{build}/libfirn_kernels.a", f"-L{libraries}", "-lXNNPACK",
             "-lpthreadpool", "-lcpuinfo", f"-Wl,-rpath-link,{libraries}", "-o", program])
        if done.returncode != 0:
            sys.exit(done.returncode)

        def per_mac(cpu, kernel, layer):
            command = ["qemu-aarch64", "-cpu", cpu, "-L", "/usr/aarch64-linux-gnu", "-E",
                       f"LD_LIBRARY_PATH={libraries}:/usr/aarch64-linux-gnu/lib", program, kernel,
                       *map(str, layer)]
            size, channels, out, taps, stride = layer
            macs = (-(-size // stride)) ** 2 * channels * max(out, 1) * taps * taps
            return (instructions(command, 3) - instructions(command, 1)) / (2 * macs)

        print("instructions per multiply-add")
        print("| layer | qemu's CPU | firn's kernel | firn | XNNPACK | ratio |")
        print("|---|---|---|---|---|---|")
        for size, channels, out, taps, stride in LAYERS:
            layer = (size, channels, out, taps, stride)
            name = f"{taps}x{taps}" + (f"s{stride}" if stride > 1 else "")
            name += f" {size}x{size}x{channels}" + (f"->{out}" if out else " depthwise")
            for cpu, (gemm, depthwise) in RUNGS.items():
                if not out and gemm != depthwise:
                    continue  # the kernel of the CPU before
                kernel = f"gemm_s8_{gemm}" if out else f"dwconv_s8_{depthwise}"
                ours, theirs = per_mac(cpu, kernel, layer), per_mac(cpu, "xnnpack", layer)
                print(f"| {name} | {cpu} | {kernel} | {ours:.4f} | {theirs:.4f} | "
                      f"{ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main()
