# SPDX-License-Identifier: MIT
#
# The front door: the few things a person types. CMakeLists.txt is the source of truth.
#
#   make           builds build/slimclr
#   make demo      installs what is missing, builds, pre-trains four widths, prints a table
#   make test      the same set-up, then the whole test command
#   make quick     only the quick tests of the release build
#   make bench     steps beside PyTorch's, and the ceiling of the machine
#   make install   into /usr/local, or PREFIX=…, DESTDIR=…
#   make format, make lint, make style, make clean
.POSIX:
.PHONY: build deps demo test quick bench install format lint style clean

PREFIX = /usr/local

build: deps
	@tools/build.sh

deps:
	@tools/deps.sh build

demo: build
	@tools/demo.sh

test:
	@tools/deps.sh test
	@tools/test.sh

quick:
	@tools/deps.sh test
	@tools/build.sh tests
	@ctest --preset quick

bench: build
	@tools/bench.sh

install: build
	@cmake --install build --prefix "$(PREFIX)"

format:
	@tools/format.sh

style:
	@python3 tools/check_style.py
	@python3 tools/check_includes.py

lint: build
	@tools/lint.sh build

clean:
	rm -rf build build-check build-tsan build-clang build-fuzz
