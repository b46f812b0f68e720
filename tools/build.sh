#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build.sh: configures once and builds the release preset; quiet while nothing goes wrong.
set -eu
cd "$(dirname "$0")/.."

if command -v ninja > /dev/null; then
    export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
fi
if [ ! -f build/CMakeCache.txt ]; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    cmake --preset release > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
cmake --build --preset release -j "$(nproc)"
