#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the tables of docs/results.md from the runs of tools/cifar10_runs.sh.

    tools/results_table.py runs/cifar10
"""
import json
import pathlib
import sys

NAMES = ["untrained", "full", "naive", "no-slow-start", "no-distillation", "no-reweighting"]


def load(run, kind):
    path = run / "eval" / f"{kind}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table(title, runs, kind, key, before):
    widths = [row["width"] for row in before["results"]]
    print(f"\n{title}\n")
    print("| run | " + " | ".join(f"{w:.2f}" for w in widths) + " |")
    print("| --- |" + " ---: |" * len(widths))
    for name, run in runs:
        result = load(run, kind)
        if result is None:
            continue
        cells = []
        for row, start in zip(result["results"], before["results"]):
            gain = 100 * (row[key] - start[key])
            text = f"{100 * row[key]:.1f}"
            cells.append(text if name == "untrained" else f"{text} ({gain:+.1f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    base = pathlib.Path(sys.argv[1])
    runs = [(name, base / name) for name in NAMES]
    knn, linear = load(base / "untrained", "knn"), load(base / "untrained", "linear")
    table("kNN top-1 (%), gain over untrained in brackets", runs, "knn", "acc1", knn)
    table("Linear probe, one private classifier a width (switchable), top-1 (%)", runs,
          "linear", "acc1", linear)
    table("Linear probe, one shared sliced classifier (slimmable), top-1 (%)", runs, "linear",
          "slim_acc1", linear)
    print(f"\nRaw pixels: kNN {100 * knn['raw_acc1']:.1f} %, "
          f"mean-centred {100 * knn['raw_centred_acc1']:.1f} %.")
    for name, run in runs[1:]:
        state = base / f"{name}.state"
        if state.exists():
            print(f"{name}: {state.read_text().split()[1]} s of training")


main()
