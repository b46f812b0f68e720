#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench_loader.sh [FOLDER]: `slimclr bench loader` beside torchvision (on PIL pictures and on tensors)
# and DALI on the CPU, where python3 has them: same files, same recipe, in turns, ROUNDS times, held to
# WORKERS cores. The table at the end is of medians; lines stay in FOLDER (runs/bench). Nothing here is
# a test. In the environment: CASES ("data,pixels,batch …"), ROUNDS (3), SECONDS_EACH (5), WORKERS
# ("1 2"), PROGRAM (build/slimclr), PYTHON (python3), OPTIONS (more for slimclr, as --fast-decode).
set -eu
cd "$(dirname "$0")/.."

program=${PROGRAM:-build/slimclr}
python=${PYTHON:-python3}
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-5}
all_workers=${WORKERS:-1 2}
out=${1:-runs/bench}
cases=${CASES:?'give CASES="data,pixels,batch …", e.g. CASES="imagenette-224,224,64 cifar-10-batches-bin,32,256"'}

mkdir -p "$out"
lines="$out/loader.jsonl"
: > "$lines"
# note WHO DATA WORKERS: marks the JSON line of standard input and shows it.
note() {
    sed "s|^{|{\"who\":\"$1\",\"data\":\"$2\",\"cores\":$3,|" | tee -a "$lines"
}
has() {
    "$python" -c "import $1" 2> /dev/null
}

# The files come from memory, not from the disk, for everybody.
for case in $cases; do
    find "${case%%,*}" -type f -exec cat {} + > /dev/null
done

round=1
while [ "$round" -le "$rounds" ]; do
    for case in $cases; do
        IFS=, read -r data pixels batch << END
$case
END
        for workers in $all_workers; do
            cores=0-$((workers - 1))
            options="--image-size $pixels -b $batch --workers $workers --seconds $seconds"
            # shellcheck disable=SC2086
            taskset -c "$cores" "$program" bench loader "$data" $options --aug mocov2 ${OPTIONS:-} |
                note slimclr "$data" "$workers"
            if has torchvision; then
                # shellcheck disable=SC2086
                taskset -c "$cores" "$python" bench/peers/loader_torchvision.py "$data" $options |
                    note torchvision-pil "$data" "$workers"
                # shellcheck disable=SC2086
                taskset -c "$cores" "$python" bench/peers/loader_torchvision.py "$data" $options --tensor |
                    note torchvision-v2 "$data" "$workers"
            fi
            if has nvidia.dali && ! ls "$data"/data_batch_*.bin > /dev/null 2>&1; then
                # shellcheck disable=SC2086
                taskset -c "$cores" "$python" bench/peers/loader_dali.py "$data" $options |
                    note dali-cpu "$data" "$workers"
            fi
        done
    done
    round=$((round + 1))
done

"$python" - "$lines" << 'END'
import json, statistics, sys
cases = {}
for line in open(sys.argv[1], encoding="utf-8"):
    d = json.loads(line)
    key = (d["data"].rstrip("/").split("/")[-1], d["image_size"], d["cores"])
    cases.setdefault(key, {}).setdefault(d["who"], []).append(d)
print(f"\n{'data':16} {'px':>4} {'cores':>5} {'who':16} {'views/s':>8} {'ours is':>8} "
      f"{'views/CPU s':>11} {'ours is':>8}")
for (data, size, cores), who in cases.items():
    def median(name, key):
        values = [d[key] for d in who[name] if d.get(key)]
        return statistics.median(values) if values else float("nan")
    for name in who:
        row = f"{data:16} {size:4} {cores:5} {name:16}"
        for key, width in (("views_per_sec", 8), ("views_per_cpu_sec", 11)):
            value = median(name, key)
            row += f" {value:{width}.0f} {median('slimclr', key) / value:7.2f}x"
        print(row)
print("\n'ours is': our median over theirs; above 1, slimclr is faster. The processor's seconds count only "
      "our own work, and hold on a machine that others use too.")
END
