#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lint.sh [BUILD]: the static analyser, which is kept at zero. Reads the compile commands of a
# configured build folder (default: build). A finding that is wrong is silenced where it stands,
# with a reason: // cppcheck-suppress id  (in C: a comment of the slash-star kind).
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}

# readdirCalled advises readdir_r, which POSIX has withdrawn; readdir on a stream of its own is
# safe. invalidPointerCast is about blocks of bytes cut into arrays of floats, which is what every
# arena and scratch block here is; all are aligned to 64 bytes. Tests
# are left out: it does not know that a failed assertion of cmocka ends the test.
mkdir -p "$build/cppcheck"
cppcheck --project="$build/compile_commands.json" --cppcheck-build-dir="$build/cppcheck" \
    --enable=warning,performance,portability --std=c11 --library=posix --inline-suppr \
    --suppress=missingIncludeSystem --suppress=unmatchedSuppression \
    --suppress=readdirCalled --suppress=invalidPointerCast '--suppress=*:*/tests/*' '--suppress=*:tests/*' \
    --error-exitcode=1 --quiet -j "$(nproc)"
echo "lint: nothing found"
