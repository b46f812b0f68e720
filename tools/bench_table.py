#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the tables of tools/bench.sh from its lines.

    tools/bench_table.py runs/bench

A ratio is theirs over ours, so that above 1 ours is the better: the median over the rounds of each
round's own ratio (a variant against the run of ours right before it), with the least and the most
behind it. The share of the ceiling is of the faster of both programs' `peak` in that precision.
"""
import json
import pathlib
import statistics
import sys


def lines(path):
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def spread(values, digits=2):
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def narrowest(line):
    widths = line.get("per_width_s") or {}
    return widths.get("0.25")


def print_peaks(peaks):
    print("\nceiling: the fastest large product\n")
    print("| precision | program | shape | GFLOP/s |\n|---|---|---|---:|")
    best = {}
    for line in peaks:
        if line.get("case", "peak") != "peak":
            continue
        if "failed" in line:
            print(f"| {line['asked']} | {line['who']} | {line['failed']} | |")
            continue
        rate = line["run"]["best_gflops"]
        print(f"| {line['precision']} | {line['who']} | {line['shape']} | {rate:.0f} |")
        best[line["precision"]] = max(rate, best.get(line["precision"], 0.0))
    return best


def row(name, runs, ceiling, ratios):
    first = runs[0]
    median = statistics.median(run["median_s"] for run in runs)
    gflops = statistics.median(run["gflops"] for run in runs)
    share = f"{100 * gflops / ceiling:.0f} %" if ceiling else ""
    narrow = [narrowest(run) for run in runs if narrowest(run) is not None]
    cells = [name, first["precision"], spread([run["median_s"] for run in runs], 3),
             f"{first['batch'] / median:.1f}", f"{gflops:.0f}", share,
             f"{max(run['peak_rss_mb'] for run in runs):.0f}",
             f"{statistics.median(narrow):.4f}" if narrow else "",
             f"{statistics.median(run['start_to_first_step_s'] for run in runs):.2f}"]
    cells += [spread(values) if values else "" for values in ratios]
    print("| " + " | ".join(cells) + " |")


def pairs(runs, ours, value):
    """Theirs over ours, round by round; without a pair where either has no such number."""
    result = []
    for run in runs:
        mine = [o for o in ours if (o["round"], o.get("beside")) ==
                (run["round"], run.get("beside"))]
        if mine and value(run) and value(mine[0]):
            result.append(value(run) / value(mine[0]))
    return result


def print_case(case, asked, found, ceilings):
    arch, side, batch, queue = case.split(",")
    print(f"\n{arch}, {side} px, batch {batch}, queue {queue}, {asked}\n")
    print("| program | type | step s | images/s | GFLOP/s | of ceiling | peak MB | 0.25 s "
          "| to first step s | step ratio | 0.25 ratio | memory ratio | first step ratio |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    by_who = {}
    for line in found:
        by_who.setdefault(line["who"], []).append(line)
    ours = [line for line in by_who.get("slimclr", []) if "failed" not in line]
    best = None
    for who, all_runs in by_who.items():
        runs = [run for run in all_runs if "failed" not in run]
        failures = {run["failed"] for run in all_runs if "failed" in run}
        for failure in sorted(failures):
            print(f"| {who} | {asked} | failed: {failure} |" + " |" * 10)
        if not runs:
            continue
        ratios = [[]] * 4
        if who != "slimclr":
            ratios = [pairs(runs, ours, value) for value in (
                lambda run: run["median_s"], narrowest, lambda run: run["peak_rss_mb"],
                lambda run: run["start_to_first_step_s"])]
            theirs = statistics.median(run["median_s"] for run in runs)
            if best is None or theirs < best[1]:
                best = who, theirs
        row(who, runs, ceilings.get(runs[0]["precision"]), ratios)
    if best is not None and ours:
        mine = statistics.median(run["median_s"] for run in ours)
        print(f"\nfastest of theirs: {best[0]}, {best[1]:.3f} s; ours {mine:.3f} s; "
              f"ratio {best[1] / mine:.2f}")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/bench")
    ceilings = print_peaks(lines(folder / "ops.jsonl"))
    cases = {}
    for line in lines(folder / "step.jsonl"):
        cases.setdefault((line["of"], line["asked"]), []).append(line)
    for (case, asked), found in cases.items():
        print_case(case, asked, found, ceilings)
    print("\nratios are theirs over ours: above 1, slimclr is the better")


if __name__ == "__main__":
    main()
