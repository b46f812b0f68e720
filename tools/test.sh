#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test.sh: the whole test command, `make test`. Stops at the first stage that fails; the last
# stage is the release build's test suite, so that the output ends with CTest's summary.
#
#   1 style, layout and includes     4 clang, warnings are errors
#   2 release build                  5 all tests under the address and undefined sanitizers
#   3 static analysis at zero        6 tests labelled threads under the thread sanitizer
#                                    7 all tests, release build
set -eu
cd "$(dirname "$0")/.."

if command -v ninja > /dev/null; then
    export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
fi
jobs=$(nproc)
stage() {
    printf '\n== %s\n' "$*"
}
configure() {
    cmake --preset "$1" > "build-$1.log" 2>&1 || { cat "build-$1.log" >&2; exit 1; }
    rm -f "build-$1.log"
}

stage "style and includes"
python3 tools/check_style.py
python3 tools/check_includes.py

stage "release build"
configure release
cmake --build --preset release -j "$jobs"

stage "static analysis"
tools/lint.sh build

stage "clang, warnings are errors"
configure clang
cmake --build --preset clang -j "$jobs"

stage "tests under the address and undefined-behaviour sanitizers"
configure check
cmake --build --preset check -j "$jobs"
ctest --preset check -j "$jobs"

stage "tests under the thread sanitizer"
configure tsan
cmake --build --preset tsan -j "$jobs"
ctest --preset tsan -j "$jobs"

stage "tests"
ctest --preset release -j "$jobs"
