#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the tables of docs/results.md from the runs of tools/cifar10_runs.sh.

    tools/results_table.py runs/cifar10

Of several seeds: the mean, and in brackets each seed's figure.
"""
import array
import json
import math
import pathlib
import statistics
import sys

CURES = ["untrained", "single", "vanilla", "full", "no-slow-start", "no-distillation",
         "no-reweighting"]
FRAMEWORKS = ["mocov3-untrained", "mocov3", "simclr-untrained", "simclr"]
MOCO = ["moco-1,1", "moco-1,0"]
SUPERVISED = ["supervised-1,1", "supervised-1,0"]
WIDTHS = (1.0, 0.75, 0.5, 0.25)


def runs_of(base, name):
    return sorted(base.glob(f"{name}-s[0-9]*/"), key=lambda run: run.name)


def seeds(values, form="{:.1f}"):
    """The mean, and the figures it is of where there are several."""
    mean = form.format(statistics.fmean(values))
    if len(values) == 1:
        return mean
    return f"{mean} ({', '.join(form.format(v) for v in values)})"


def table(base, title, kind, key, names, widths=WIDTHS):
    rows = []
    for name in names:
        cells = []
        for width in widths:
            values = [100 * row[key] for run in runs_of(base, name)
                      if (run / "eval" / f"{kind}.json").exists()
                      for row in json.loads((run / "eval" / f"{kind}.json").read_text())["results"]
                      if row["width"] == width and key in row]
            cells.append(seeds(values) if values else "")
        if any(cells):
            rows.append(f"| {name} | " + " | ".join(cells) + " |")
    if rows:
        print(f"\n{title}\n")
        print("| run | " + " | ".join(f"{w:.2f}" for w in widths) + " |")
        print("| --- |" + " ---: |" * len(widths))
        print("\n".join(rows))


def diagnostics(run):
    """The records of the gradient diagnostics, and from which on they are of the second half of
    the run, where all widths train in every run."""
    path = run / "graddiag.jsonl"
    records = []
    if path.exists():
        records = [json.loads(line) for line in path.read_text().splitlines()]
    half = records[-1]["step"] / 2 if records else 0
    return records, sum(r["step"] <= half for r in records)


def gradients(base):
    print("\nGradients, second half of the run: median (range) of the records of all seeds\n")
    print("| run | ratio A | ratio B | share of the full width in the narrowest ring "
          "| cosine 1.00, 0.25 | cosine 0.50, 0.25 |")
    print("| --- |" + " ---: |" * 5)
    pick = {
        "ratio_a": lambda r: r["published"]["ratio_a"],
        "ratio_b": lambda r: r["published"]["ratio_b"],
        "share": lambda r: r["total"]["ring_share"][0][-1],
        "far": lambda r: r["total"]["cosine"][0][-1],
        "near": lambda r: r["total"]["cosine"][-2][-1],
    }
    for name in CURES:
        found = [diagnostics(run) for run in runs_of(base, name)]
        records = [r for every, begin in found for r in every[begin:]]
        if not records:
            continue
        cells = []
        for get in pick.values():
            values = [v for v in map(get, records) if v is not None]
            cells.append(f"{statistics.median(values):.2f} "
                         f"({min(values):.2f}..{max(values):.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


def scatter(base):
    """How far the last layer's gradients of a run spread around their mean direction."""
    print("\nThe last layer's summed gradient, second half of the run: length of the mean over the "
          "mean length, by\nseed (1: always the same way; 0: every way)\n")
    for name in CURES:
        found = []
        for run in runs_of(base, name):
            every, begin = diagnostics(run)
            if not every:
                continue
            size = every[0]["head"]["values"]
            values = array.array("f", (run / "graddiag_head.f32").read_bytes())
            rows = [values[k * size:(k + 1) * size] for k in range(begin, len(every))]
            total = [sum(column) for column in zip(*rows)]
            found.append(math.hypot(*total) / sum(math.hypot(*row) for row in rows))
        if found:
            print(f"- {name}: {seeds(found, '{:.2f}')}")


def probes(base):
    for name in ("vanilla", "full"):
        for run in runs_of(base, name):
            path = run / "analyse" / "probes.json"
            if path.exists():
                print(f"\n{run.name}: {path.read_text().strip()}")


def main():
    base = pathlib.Path(sys.argv[1])
    table(base, "kNN top-1 (%)", "knn", "acc1", CURES)
    table(base, "Linear probe, one private classifier a width (switchable), top-1 (%)",
          "linear", "acc1", CURES)
    table(base, "Linear probe, one shared sliced classifier (slimmable), top-1 (%)", "linear",
          "slim_acc1", CURES)
    gradients(base)
    scatter(base)
    table(base, "Frameworks: kNN top-1 (%)", "knn", "acc1", FRAMEWORKS)
    table(base, "Published settings, MoCo: kNN top-1 (%)", "knn", "acc1", MOCO, (1.0, 0.5))
    table(base, "Published settings, supervised: top-1 (%) of the classifier", "classifier", "acc1",
          SUPERVISED, (1.0, 0.5))
    table(base, "One update a width: kNN top-1 (%) on the head's embedding", "knn", "acc1",
          ["path"], (1.0, 0.5))
    for run in runs_of(base, "untrained")[:1]:
        knn = json.loads((run / "eval" / "knn.json").read_text())
        if "raw_acc1" not in knn:
            continue
        print(f"\nRaw pixels: kNN {100 * knn['raw_acc1']:.1f} %, "
              f"mean-centred {100 * knn['raw_centred_acc1']:.1f} %.")
    probes(base)
    print()
    for state in sorted(base.glob("*.seconds")):
        print(f"{state.stem}: {state.read_text().strip()} s of training")


main()
