#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build.sh [tests]: configures once and builds the release preset; quiet while nothing goes wrong.
# With "tests" it configures again where the tests' library was missing when it did so first.
set -eu
cd "$(dirname "$0")/.."

if command -v ninja > /dev/null; then
    export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
fi
if [ ! -f build/CMakeCache.txt ] || { [ "${1:-}" = tests ] && [ ! -d build/tests ]; }; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    cmake --preset release > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
cmake --build --preset release -j "$(nproc)"
