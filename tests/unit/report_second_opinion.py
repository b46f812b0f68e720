#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads event files as TensorBoard does, with its own EventAccumulator.

    report_second_opinion.py FOLDER

FOLDER is what report_second_opinion.c wrote; the values are its formulas. Exit status: 0
all agree, 1 not, 77 the package is not installed.
"""
import sys

try:
    from tensorboard.backend.event_processing import event_accumulator
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

LAST = 9


def main(folder):
    reader = event_accumulator.EventAccumulator(folder)
    reader.Reload()
    tags = sorted(reader.Tags()["scalars"])
    if tags != ["emb_std/w0.50", "loss"]:
        print(f"tags {tags}")
        return 1
    for tag, factor in (("loss", 0.5), ("emb_std/w0.50", 0.125)):
        seen = [(event.step, event.value) for event in reader.Scalars(tag)]
        if seen != [(step, factor * step) for step in range(1, LAST + 1)]:
            print(f"{tag}: {seen}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
