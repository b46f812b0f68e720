#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench_decode.sh [FOLDER]: decoding of every picture format beside Pillow, one core, the same files,
# in turns. They are made in FOLDER (runs/bench-decode) from SOURCE, a folder of photos, when they are
# not there yet. The table at the end is of milliseconds a picture. Nothing here is a test. In the
# environment: SOURCE, SECONDS_EACH (2), PROGRAM (build/slimclr), PYTHON (python3).
set -eu
cd "$(dirname "$0")/.."

program=${PROGRAM:-build/slimclr}
python=${PYTHON:-python3}
seconds=${SECONDS_EACH:-2}
out=${1:-runs/bench-decode}
lines="$out/decode.jsonl"

if [ ! -d "$out/ppm" ]; then
    "$python" bench/peers/decode_pillow.py --make "$out" --from "${SOURCE:?'give SOURCE=FOLDER of photos'}"
fi
: > "$lines"
for folder in "$out"/*/; do
    name=$(basename "$folder")
    find "$folder" -type f -exec cat {} + > /dev/null # from memory for both
    taskset -c 0 "$program" bench loader "$folder" --aug none --image-size 64 -b 8 --workers 1 \
        --seconds "$seconds" --no-cache | sed "s|^{|{\"who\":\"slimclr\",\"data\":\"$name\",|" >> "$lines"
    taskset -c 0 "$python" bench/peers/decode_pillow.py "$folder" --seconds "$seconds" >> "$lines"
done

"$python" - "$lines" << 'END'
import json, sys
rows = {}
for line in open(sys.argv[1], encoding="utf-8"):
    d = json.loads(line)
    rows.setdefault(d["data"], {})[d["who"]] = d
print(f"{'format':18} {'slimclr':>8} {'Pillow':>8} {'ours is':>8}")
for name, who in rows.items():
    ours, theirs = who["slimclr"]["decode_ms"], who["pillow"]["decode_cpu_ms"]
    print(f"{name:18} {ours:8.2f} {theirs:8.2f} {theirs / ours:7.2f}x")
print("\nms a picture, file and pixels as RGB included; 'ours is': how many times as fast as Pillow.")
END
