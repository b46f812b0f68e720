#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads a checkpoint as others do, with the safetensors package, by numpy and by PyTorch.

    store_second_opinion.py FILE

FILE is what store_second_opinion.c wrote; the values are its formulas. Exit status: 0 all
agree, 1 not, 77 the packages are not installed.
"""
import sys

try:
    import numpy
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

EXPECTED = {
    "weight": ("float32", (2, 3, 1, 2), [0.5 * i - 2.0 for i in range(12)]),
    "scalar": ("float32", (), [0.25]),
    "half": ("bfloat16", (4,), [0.0, -1.0, -2.0, -3.0]),
    "bytes": ("uint8", (5,), [51 * i for i in range(5)]),
    "labels": ("int32", (3,), [-5, 999995, 1999995]),
    "step": ("int64", (2, 2), [10 ** 12 * i for i in range(4)]),
}


def check(what, seen, expected):
    if seen != expected:
        sys.exit(f"{what}: {seen}, expected {expected}")


def read(path, framework, kind_of, values_of, skipped):
    with safetensors.safe_open(path, framework=framework) as file:
        check(f"{framework}: format", file.metadata()["format"], "pt")
        check(f"{framework}: conf", file.metadata()["conf"], "arch = resnet20\n")
        check(f"{framework}: names", sorted(file.keys()), sorted(EXPECTED))
        for name, (kind, shape, values) in EXPECTED.items():
            if kind not in skipped:
                tensor = file.get_tensor(name)
                check(f"{framework}: type of {name}", kind_of(tensor), kind)
                check(f"{framework}: shape of {name}", tuple(tensor.shape), shape)
                check(f"{framework}: {name}", values_of(tensor), values)
    print(f"{framework}: {len(EXPECTED) - len(skipped)} tensors agree")


def main():
    path = sys.argv[1]
    # numpy has no bfloat16 of its own.
    read(path, "np", lambda t: str(t.dtype), lambda t: numpy.ravel(t).tolist(),
         ["bfloat16"])
    try:
        import torch
        import safetensors.torch
    except ImportError as missing:
        print(f"without PyTorch: {missing}")
        return
    read(path, "pt", lambda t: str(t.dtype).removeprefix("torch."),
         lambda t: t.reshape(-1).tolist(), [])
    state = safetensors.torch.load_file(path)
    check("load_file: names", sorted(state), sorted(EXPECTED))
    check("load_file: weight", state["weight"].dtype, torch.float32)


main()
