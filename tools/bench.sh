#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench.sh [FOLDER]: the standing cases of `slimclr bench`, one JSON line each, and beside them the
# same steps in PyTorch (bench/peers/torch_step.py) where python3 has it. Ours and theirs take
# turns in one run, ROUNDS times, so that both see the same machine; the table at the end is of
# medians. Lines stay in FOLDER (runs/bench). Compare only numbers of one machine; nothing here is
# a test. In the environment: ROUNDS (3), STEPS (5), PROGRAM (build/slimclr), PYTHON (python3),
# CASES ("arch,pixels,batch,queue …").
set -eu
cd "$(dirname "$0")/.."

program=${PROGRAM:-build/slimclr}
python=${PYTHON:-python3}
rounds=${ROUNDS:-3}
steps=${STEPS:-5}
cases=${CASES:-resnet20,32,256,16384 resnet18,32,64,4096 resnet18,64,64,4096}
out=${1:-runs/bench}

peers=yes
if ! "$python" -c 'import torch' 2> /dev/null; then
    echo "bench: $python has no PyTorch: only our own lines" >&2
    peers=no
fi

mkdir -p "$out"
: > "$out/step.jsonl"
# note WHO: marks the JSON line of standard input and shows it.
note() {
    sed "s/^{/{\"who\":\"$1\",/" | tee -a "$out/step.jsonl"
}

round=1
while [ "$round" -le "$rounds" ]; do
    for case in $cases; do
        IFS=, read -r arch pixels batch queue << END
$case
END
        options="--arch $arch --image-size $pixels --batch-size $batch --moco-k $queue
            --widths 1,0.75,0.5,0.25 --method mocov2 --steps $steps"
        # shellcheck disable=SC2086
        "$program" bench step $options --precision fp32 -q | note slimclr
        [ "$peers" = yes ] || continue
        # shellcheck disable=SC2086
        "$python" bench/peers/torch_step.py $options | note torch
        # shellcheck disable=SC2086
        "$python" bench/peers/torch_step.py $options --channels-last --sequential |
            note torch-channels-last-sequential
    done
    round=$((round + 1))
done

[ "$peers" = yes ] || exit 0
"$python" - "$out/step.jsonl" << 'END'
import json, statistics, sys
cases = {}
for line in open(sys.argv[1], encoding="utf-8"):
    d = json.loads(line)
    cases.setdefault((d["arch"], d["image_size"], d["batch"]), {}).setdefault(d["who"], []).append(d)
print(f"\n{'case':24} {'who':32} {'median s':>9} {'best s':>8} {'images/s':>9} {'peak MB':>8} {'ours is':>8}")
for (arch, size, batch), who in cases.items():
    medians = {k: statistics.median(d["median_s"] for d in v) for k, v in who.items()}
    for name, lines in who.items():
        print(f"{f'{arch} {size}px batch {batch}':24} {name:32} {medians[name]:9.3f} "
              f"{min(d['best_s'] for d in lines):8.3f} {batch / medians[name]:9.1f} "
              f"{max(d['peak_rss_mb'] for d in lines):8.0f} "
              f"{medians[name] / medians['slimclr']:7.2f}x")
print("\n'ours is': their median over ours; above 1, slimclr is faster")
END
