#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench.sh: the standing cases of `slimclr bench`, one JSON line each. Compare only numbers of one
# machine; nothing here is a test.
set -eu
cd "$(dirname "$0")/.."

program=build/slimclr
for case in "resnet20 32 256 16384" "resnet18 32 64 4096" "resnet18 64 64 4096"; do
    # shellcheck disable=SC2086
    set -- $case
    "$program" bench step --arch "$1" --image-size "$2" --batch-size "$3" --moco-k "$4" \
        --widths 1,0.75,0.5,0.25 --method mocov2 --steps 5
done
