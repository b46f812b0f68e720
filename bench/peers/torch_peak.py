#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The case `peak` of `slimclr bench ops`, in PyTorch: the rate of a large product.

Square products of matrices and the large convolutions of src/bench/ops.c (channels-last, forward);
the fastest is printed as one JSON line. Wants PyTorch 2.x and nothing else.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

# pictures, side, channels in and out, kernel
CONVS = [(64, 14, 1024, 1), (64, 7, 2048, 1), (64, 28, 512, 1), (64, 56, 256, 1)]
SQUARES = [1024, 2048, 4096]


def cases(dtype):
    """Name, multiply-adds and call of each case; memory lives as long as the case."""
    for n in SQUARES:
        a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
        out = torch.empty(n, n, dtype=dtype)
        yield f"mm {n}x{n}x{n}", n ** 3, lambda a=a, b=b, out=out: torch.mm(a, b, out=out)
    layout = torch.channels_last
    for n, side, c, kernel in CONVS:
        x = torch.randn(n, c, side, side).to(dtype).contiguous(memory_format=layout)
        w = torch.randn(c, c, kernel, kernel).to(dtype).contiguous(memory_format=layout)
        yield (f"conv n{n} {side}x{side} c{c} o{c} k{kernel}", n * (side * c * kernel) ** 2,
               lambda x=x, w=w, pad=kernel // 2: F.conv2d(x, w, padding=pad))


def timed(call, seconds):
    call()
    times, begun = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each shape")
    args = parser.parse_args()
    best = None
    for name, macs, call in cases(torch.bfloat16 if args.precision == "bf16" else torch.float32):
        times = timed(call, args.seconds)
        rate = 2 * macs / min(times) / 1e9
        if best is None or rate > best["run"]["best_gflops"]:
            median = statistics.median(times)
            best = {"bench": "ops", "case": "peak", "shape": name,
                    "device": f"torch {torch.__version__}", "precision": args.precision,
                    "run": {"best_s": min(times), "median_s": median, "runs": len(times),
                            "gflops": 2 * macs / median / 1e9, "best_gflops": rate}}
    print(json.dumps(best))


if __name__ == "__main__":
    main()
