#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench_growth.sh [FOLDER]: how time and memory of our step grow with the batch, the pictures'
# side, the number of widths and the length of the queue, each over a factor of 8 or more while the
# rest stands still. The table gives beside each measure how it compares with growth in proportion:
# below 1 it grows more slowly. Lines stay in FOLDER (runs/bench-growth). Not a test. In the
# environment:
#
#   STEPS (3), PRECISION (auto), ARCH (resnet20), PROGRAM (build/slimclr), PYTHON (python3; without
#   it there are lines and no table)
set -eu
cd "$(dirname "$0")/.."

program=${PROGRAM:-build/slimclr}
python=${PYTHON:-python3}
arch=${ARCH:-resnet20}
out=${1:-runs/bench-growth}
mkdir -p "$out"
: > "$out/growth.jsonl"

# step WHAT AMOUNT ARCH BATCH SIDE WIDTHS QUEUE
step() {
    what=$1 amount=$2
    shift 2
    # Not into a pipe: a step that fails must end the script.
    line=$("$program" bench step --arch "$1" --stem small --batch-size "$2" --image-size "$3" \
        --widths "$4" --moco-k "$5" --steps "${STEPS:-3}" --precision "${PRECISION:-auto}" -q)
    echo "{\"grows\":\"$what\",\"amount\":$amount,${line#\{}" | tee -a "$out/growth.jsonl"
}

four=1,0.75,0.5,0.25
for batch in 32 64 128 256; do
    step "batch" "$batch" "$arch" "$batch" 32 "$four" 4096
done
# The amount of a picture is its pixels: sides over a factor of 8 would be a factor of 64.
for side in 16 32 64 128; do
    step "pixels" $((side * side)) "$arch" 32 "$side" "$four" 4096
done
# Sixteenths of 128 channels and more, so that no width is slow for its odd number of channels.
widths=1
n=1
while [ "$n" -le 8 ]; do
    case $n in
        1 | 2 | 4 | 8) step "widths" "$n" resnet8-b128 16 16 "$widths" 4096 ;;
    esac
    widths="$widths,$(awk -v n="$n" 'BEGIN { print 1 - n / 16 }')"
    n=$((n + 1))
done
for queue in 4096 16384 65536; do
    step "queue" "$queue" "$arch" 64 32 "$four" "$queue"
done

if ! command -v "$python" > /dev/null; then
    echo "bench_growth: no $python: no table; the lines are in $out" >&2
    exit 0
fi
"$python" - "$out/growth.jsonl" << 'END'
import json
import sys

series = {}
for line in open(sys.argv[1], encoding="utf-8"):
    record = json.loads(line)
    series.setdefault(record["grows"], []).append(record)
def work(r):
    """What grows: its number; but of widths, which differ, the step's multiply-adds."""
    return r["gflops"] * r["median_s"] if r["grows"] == "widths" else r["amount"]


print("\n| grows | amount | factor | step s | x linear | peak MB | x linear |")
print("|---|---:|---:|---:|---:|---:|---:|")
for name, records in series.items():
    first = records[0]
    for r in records:
        factor = work(r) / work(first)
        print(f"| {name} | {r['amount']} | {factor:.2f} | {r['median_s']:.4f} "
              f"| {r['median_s'] / first['median_s'] / factor:.2f} | {r['peak_rss_mb']:.0f} "
              f"| {r['peak_rss_mb'] / first['peak_rss_mb'] / factor:.2f} |")
print("\nx linear: growth over growth in proportion; above 1, faster than what grows. "
      "The factor of widths is of\nthe step's multiply-adds, as each is narrower than the one "
      "before.")
END
