#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fuzz.sh [TARGET…]: runs the libFuzzer programs of tests/fuzz (all of them, or fuzz_list fuzz_jpeg …)
# one after another, SECONDS_EACH (60) seconds each, ROUNDS (1) times, and prints how many inputs each
# has executed in all so far. What they find of new inputs stays in FOLDER (runs/fuzz), as does a file
# that breaks one; the first that breaks ends the script. A leak, a wrong read, 1.5 GB of memory, one
# allocation of 700 MB and a minute on one input break it too. In the environment also: JOBS (1).
set -eu
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-60}
out=${FOLDER:-runs/fuzz}
round=0
cmake --preset fuzz > /dev/null
mkdir -p "$out"
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046
    set -- $(sed -n 's/^slim_fuzz(\([a-z_]*\) .*/\1/p' tests/fuzz/CMakeLists.txt)
fi
cmake --build build-fuzz -j "${JOBS:-1}" --target "$@" > /dev/null

while [ "$round" -lt "${ROUNDS:-1}" ]; do
    for target in "$@"; do
        name=${target#fuzz_}
        mkdir -p "$out/$name"
        if ! "build-fuzz/tests/$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1500 \
            -malloc_limit_mb=700 -print_final_stats=1 -artifact_prefix="$out/broken-$name-" \
            "$out/$name" "tests/fuzz/corpus/$name" > "$out/$name.log" 2>&1; then
            tail -n 40 "$out/$name.log"
            echo "fuzz: $target broke; see $out/$name.log and $out/broken-$name-*" >&2
            exit 1
        fi
        n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.log")
        echo "$name $n" >> "$out/executed.txt"
        echo "$target: $n executions"
    done
    round=$((round + 1))
done
awk '{ n[$1] += $2; all += $2 } END { for (t in n) printf "%-14s %12d\n", t, n[t] | "sort"; close("sort");
       printf "%-14s %12d executions in all, nothing broke\n", "", all }' "$out/executed.txt"
