#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/ridge.txt: closed-form probes (docs/analyse.md) by numpy.

Keyed random features of two widths, and what src/analyse/ridge.c says of them, computed
with numpy's solver on whole matrices. Test tests/unit/analyse_ridge.c makes the same
features.

    python3 tools/golden_ridge.py [tests/golden]

A line holds a name and, for each width, a number.
"""
import pathlib
import sys

import numpy

import golden

TRAIN, TEST, CLASSES, WIDE, NARROW = 300, 120, 4, 12, 7
RIDGE, WEIGHTS = 0.5, (1.0, 2.0)


def part(first, n):
    """Features of both widths and labels; the narrow ones are noisy copies."""
    wide = golden.normal(golden.STREAM_TEST, first, 1.0, n * WIDE).reshape(n, WIDE)
    noise = golden.normal(golden.STREAM_TEST, first + 1, 0.5, n * NARROW)
    narrow = wide[:, :NARROW] + noise.reshape(n, NARROW)
    score = wide[:, :CLASSES] + wide[:, WIDE - CLASSES:]
    return [wide.astype(float), narrow.astype(float)], score.argmax(axis=1)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
    train, labels = part(50, TRAIN)
    test, answers = part(60, TEST)
    y = numpy.eye(CLASSES)[labels]
    x = [numpy.hstack([numpy.ones((TRAIN, 1)), f]) for f in train]
    z = [numpy.hstack([numpy.ones((TEST, 1)), f]) for f in test]

    def best(gram, cross):
        return numpy.linalg.solve(gram + RIDGE * numpy.eye(len(gram)), cross)

    own = [best(f.T @ f, f.T @ y) for f in x]
    gram = numpy.zeros((1 + WIDE, 1 + WIDE))
    cross = numpy.zeros((1 + WIDE, CLASSES))
    for weight, f in zip(WEIGHTS, x):
        n = f.shape[1]
        gram[:n, :n] += weight * f.T @ f
        cross[:n] += weight * f.T @ y
    shared = best(gram, cross)
    rows = {}
    for w in range(2):
        n = x[w].shape[1]
        for name, probe in (("own", own[w]), ("shared", shared[:n]),
                            ("prefix", own[0][:n])):
            rows.setdefault(f"{name}_acc", []).append(
                ((z[w] @ probe).argmax(axis=1) == answers).mean())
            rows.setdefault(f"{name}_loss", []).append(((x[w] @ probe - y) ** 2).mean())
    n = 1 + NARROW
    x1, x2 = x[0][:, :n], x[0][:, n:]
    alone = best(x1.T @ x1, x1.T @ y)
    norm = numpy.linalg.norm
    rows["coupling"] = [0, norm(x1.T @ x2 @ own[0][n:]) / norm(x1.T @ y)]
    rows["shift"] = [0, norm(own[0][:n] - alone) / norm(alone)]
    rows["gap"] = [0, norm(train[1] - train[0][:, :NARROW]) / norm(train[0][:, :NARROW])]
    path = folder / "ridge.txt"
    path.write_text("".join(f"{name} {a:.12g} {b:.12g}\n" for name, (a, b) in rows.items()))
    print(path.read_text())


if __name__ == "__main__":
    main()
