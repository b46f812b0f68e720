#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh: `make demo` after the build: about two minutes of training on the built-in pictures (on
# two idle cores), then the judging and one table. Results stay in runs/demo.
set -eu
cd "$(dirname "$0")/.."

exec build/slimclr demo
