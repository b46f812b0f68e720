#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The runs of docs/results.md, one after another: the full recipe, the naive one, and each
# technique left out once, on CIFAR-10 (binary version) with resnet20. Every run sees the same
# number of pictures. A finished run is skipped and a cut one goes on where it stopped, so the
# script may be started again at any time:
#
#   nohup tools/cifar10_runs.sh CIFAR_DIR [OUT] > cifar10.log 2>&1 &
#
# EPOCHS (3), SEED (0) and PROGRAM (build/slimclr) may be set in the environment.
set -eu
data=${1:?usage: tools/cifar10_runs.sh CIFAR_DIR [OUT]}
out=${2:-runs/cifar10}
program=${PROGRAM:-build/slimclr}
epochs=${EPOCHS:-3}
seed=${SEED:-0}
common="--arch resnet20 --batch-size 128 --lr 0.06 --moco-k 4096 --epochs $epochs --seed $seed"

# judge RUN: kNN beside raw pixels, and both linear probes, unless the results are there.
judge() {
    [ -s "$1/eval/knn.json" ] || "$program" eval knn "$1" "$data" --raw
    [ -s "$1/eval/linear.json" ] || "$program" eval linear "$1" "$data"
}

# run NAME OPTIONS…
run() {
    name=$1
    shift
    echo "== $name: $*"
    if ! grep -q '^finished$' "$out/$name.state" 2>/dev/null; then
        start=$(date +%s)
        # shellcheck disable=SC2086
        "$program" pretrain "$data" -o "$out/$name" $common --save-steps 200 --resume "$@"
        echo "seconds $(($(date +%s) - start))" >>"$out/$name.state"
        echo finished >>"$out/$name.state"
    fi
    judge "$out/$name"
}

mkdir -p "$out"
if [ ! -s "$out/untrained/checkpoints/last.safetensors" ]; then
    # shellcheck disable=SC2086
    "$program" pretrain "$data" -o "$out/untrained" $common --epochs 0
fi
judge "$out/untrained"
run full
run naive --slow-start 0 --distill none --width-weights uniform
run no-slow-start --slow-start 0
run no-distillation --distill none
run no-reweighting --width-weights uniform
