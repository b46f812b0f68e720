#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/graddiag-*.txt: what src/learn/graddiag.c measures, by numpy.

Written from the definitions in docs/analyse.md alone, on whole arrays and with
numpy's own decompositions. The gradients of case "keyed" are keyed random numbers on each
width's block of every weight of the tiny net of golden.py; one layer is so large that the
clamp leaves it out. Those of case "step" are PyTorch's of the second step of golden.py's
first case, in which all widths take part.

    python3 tools/golden_graddiag.py [tests/golden]

A line holds a name and its numbers. NaN: not defined.
"""
import pathlib
import sys

import numpy

import golden

N = len(golden.WIDTHS)


def block(shape, name, width, published=False):
    """Mask of a width's block. The published one keeps all rows of the head's layers."""
    mask = numpy.zeros(shape, dtype=bool)
    fixed_out = name.startswith("head.") if published else name == "head.2.weight"
    rows = shape[0] if fixed_out else golden.at(width, shape[0])
    cols = shape[1] if shape[1] == 3 else golden.at(width, shape[1])
    mask[:rows, :cols] = True
    return mask


def keyed_gradients(net):
    """By width: name -> array at full size, zero outside the width's block."""
    names = [n for n in net.params if n.endswith(".weight")]
    widths = []
    for width in range(N):
        own = {}
        for layer, name in enumerate(names):
            shape = tuple(net.params[name].shape)
            scale = (0.01 if layer != 3 else 100.0) * (1 + width)
            values = golden.normal(golden.STREAM_TEST, 1000 + 8 * layer + width, scale,
                                   int(numpy.prod(shape)))
            own[name] = numpy.where(block(shape, name, width), values.reshape(shape), 0)
        widths.append({n: v.astype(numpy.float64) for n, v in own.items()})
    return widths


def step_gradients():
    widths = []

    def watch(step, width, grads):
        if step == 1:
            assert width == len(widths)
            widths.append({n: g.numpy() for n, g in grads.items()
                           if n.endswith(".weight")})

    golden.run(*golden.CASES[0], watch=watch)
    return widths


def rings(shape, name):
    blocks = [block(shape, name, w) for w in range(N)] + [numpy.zeros(shape, dtype=bool)]
    return [blocks[w] & ~blocks[w + 1] for w in range(N)]


def length(x):
    return float(numpy.sqrt((x * x).sum()))


def cosine(a, b):
    lengths = length(a) * length(b)
    return float((a * b).sum() / lengths) if lengths > 0 else float("nan")


def measures(widths, head):
    """Lines for the per-width gradients `widths`, a list of name -> array."""
    names = list(widths[0])
    total = {n: sum(own[n] for own in widths) for n in names}
    lines, published = [], []

    def line(name, values):
        lines.append(" ".join([name] + [f"{float(v):.9g}" for v in values]))

    def part(label, layers):
        own_ring = numpy.zeros((N, N))
        sum_ring, size = numpy.zeros(N), numpy.zeros(N)
        for n in layers:
            for i, mask in enumerate(rings(total[n].shape, n)):
                size[i] += mask.sum()
                sum_ring[i] += (total[n][mask] ** 2).sum()
                for w in range(N):
                    own_ring[w, i] += (widths[w][n][mask] ** 2).sum()
        line(f"{label}:size", size)
        line(f"{label}:sum_ring", numpy.sqrt(sum_ring))
        line(f"{label}:norm", [numpy.sqrt(sum((own[n] ** 2).sum() for n in layers))
                               for own in widths])
        line(f"{label}:own_ring", numpy.sqrt(own_ring).reshape(-1))
        table = []
        for i in range(N):
            for j in range(N):
                where = [block(total[n].shape, n, max(i, j)) for n in layers]
                a = numpy.concatenate([widths[i][n][m] for n, m in zip(layers, where)])
                b = numpy.concatenate([widths[j][n][m] for n, m in zip(layers, where)])
                table.append(cosine(a, b))
        line(f"{label}:cosine", table)

    for n in names:
        norms = [min(length(total[n][block(total[n].shape, n, w, True)]), 1000.0)
                 for w in range(N)]
        published.append(norms)
        line(f"{n}:published", norms)
        part(n, [n])
    part("total", names)
    counted = [norms for norms in published if max(norms) < 1000.0]
    mean = numpy.mean(counted, axis=0) if counted else numpy.full(N, 1000.0)
    line("mean", mean)
    line("counted", [len(counted)])
    line("ratio_a", [mean[0] / mean[-1]])
    line("ratio_b", [numpy.sqrt(mean[0] ** 2 - mean[-1] ** 2) / mean[-1]])
    line("singular", numpy.linalg.svd(total[head], compute_uv=False)[:2])
    line("head_norm", [length(total[head])])
    return "\n".join(lines) + "\n"


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
    for name, widths in (("keyed", keyed_gradients(golden.Net())),
                         ("step", step_gradients())):
        path = folder / f"graddiag-{name}.txt"
        path.write_text(measures(widths, "head.2.weight"))
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
