#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The runs of docs/results.md, one after another, on CIFAR-10 (binary version) with resnet20:
#
#   cures        a single network, vanilla slimmable training, the full recipe, each cure left out
#   frameworks   the full recipe of MoCo v3 and of SimCLR
#   published    the published CIFAR-10 settings at a quarter of their channels: one weight for
#                both widths, and none for the narrow one
#   path         one update a width, with snapshots, and the surface around the end
#
# Every run of a part sees the same number of pictures. A finished run is skipped and a cut one
# goes on where it stopped, so the script may be started again at any time:
#
#   nohup tools/cifar10_runs.sh CIFAR_DIR [OUT [PART…]] > cifar10.log 2>&1 &
#
# In the environment: EPOCHS (3), SEED (0; a seed has its own runs in OUT) and PROGRAM
# (build/slimclr).
set -eu
data=${1:?usage: tools/cifar10_runs.sh CIFAR_DIR [OUT [PART...]]}
out=${2:-runs/cifar10}
if [ $# -lt 2 ]; then shift; else shift 2; fi
[ $# -gt 0 ] || set -- cures frameworks published path
program=${PROGRAM:-build/slimclr}
epochs=${EPOCHS:-3}
seed=${SEED:-0}

# train NAME OPTIONS…: a run, unless it is finished.
train() {
    dir=$out/$1-s$seed
    shift
    echo "== $dir: $*"
    [ -s "$dir.seconds" ] && return
    # Each stretch of a run that is cut counts.
    spent=$(cat "$dir.spent" 2>/dev/null || echo 0)
    start=$(date +%s)
    trap 'echo $((spent + $(date +%s) - start)) >"$dir.spent"' EXIT
    trap 'exit 75' INT TERM
    "$program" pretrain "$data" -o "$dir" --seed "$seed" --save-steps 400 --resume "$@"
    trap - EXIT INT TERM
    echo $((spent + $(date +%s) - start)) >"$dir.seconds"
}

# Results that are there are not made again. `judge` is of the run trained last.
knn() {
    [ -s "$dir/eval/knn.json" ] || "$program" eval knn "$dir" "$data" "$@"
}
judge() {
    knn "$@"
    [ -s "$dir/eval/linear.json" ] || "$program" eval linear "$dir" "$data"
}
shared_probe() {
    [ -s "$dir/analyse/probes.json" ] || "$program" analyse probes "$dir" "$data"
}

# What a single network needs to be compared with: the same pictures, rate and schedule.
cure() {
    name=$1
    shift
    train "$name" --arch resnet20 --batch-size 128 --lr 0.06 --moco-k 4096 --epochs "$epochs" "$@"
}

cures() {
    vanilla="--slow-start 0 --distill none --width-weights uniform"
    cure untrained --epochs 0
    judge --raw
    cure full --grad-diag every=45
    judge
    shared_probe
    # shellcheck disable=SC2086
    cure vanilla $vanilla --grad-diag every=45
    judge
    shared_probe
    # shellcheck disable=SC2086
    cure single $vanilla --widths 1
    judge
    cure no-slow-start --slow-start 0 --grad-diag every=45
    judge
    cure no-distillation --distill none --grad-diag every=45
    judge
    cure no-reweighting --width-weights uniform --grad-diag every=45
    judge
}

frameworks() {
    for method in mocov3 simclr; do
        train "$method-untrained" --recipe "cifar10-$method" --epochs 0
        knn
        train "$method" --recipe "cifar10-$method" --epochs "$epochs"
        knn
    done
}

published() {
    for method in moco supervised; do
        for weights in 1,1 1,0; do
            train "$method-$weights" --recipe "cifar10-$method" --arch resnet20 --precision auto \
                --update per-width --batch-size 256 --epochs "$epochs" --width-weights "$weights"
            if [ "$method" = supervised ]; then
                [ -s "$dir/eval/classifier.json" ] ||
                    "$program" eval classifier "$dir" "$data"
            else
                knn
            fi
        done
    done
}

path() {
    train path --recipe cifar10-trajectory --arch resnet20 --precision auto --batch-size 256 \
        --epochs $((2 * epochs))
    knn --features head
    [ -s "$dir/analyse/trajectory.svg" ] ||
        "$program" analyse trajectory "$dir" "$data" --grid 21x15
}

mkdir -p "$out"
for part; do
    "$part"
done
