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
# safe.
mkdir -p "$build/cppcheck"
cppcheck --project="$build/compile_commands.json" --cppcheck-build-dir="$build/cppcheck" \
    --enable=warning,performance,portability --std=c11 --library=posix --inline-suppr \
    --suppress=missingIncludeSystem --suppress=unmatchedSuppression \
    --suppress=readdirCalled \
    --error-exitcode=1 --quiet -j "$(nproc)"
echo "lint: nothing found"
