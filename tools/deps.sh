#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deps.sh build|test: sees which Debian or Ubuntu packages are missing for building (build) or
# for building and the whole test command (test). As root it installs them with apt-get;
# otherwise it prints the one command to run and exits 1. On a system without dpkg it names what
# is needed and leaves the rest to cmake.
set -eu

needed="gcc libc6-dev make cmake ninja-build libjansson-dev"
# Each of these is a whole file in or out; the build goes on without it.
optional="libdnnl-dev libjpeg-dev libspng-dev libwebp-dev libtiff-dev zlib1g-dev
    libarchive-dev liblmdb-dev"
for_tests="libcmocka-dev g++ clang clang-format cppcheck python3 xz-utils"
for_tests_optional="libomp-dev"

case "${1:-build}" in
build) ;;
test)
    needed="$needed $for_tests"
    optional="$optional $for_tests_optional"
    ;;
*)
    echo "usage: tools/deps.sh build|test" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    echo "deps: not a Debian or Ubuntu system; wanted, under their Debian names:"
    echo "deps:   $needed"
    echo "deps:   optional: $optional"
    exit 0
fi

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

missing=""
missing_optional=""
for package in $needed; do
    is_installed "$package" || missing="$missing $package"
done
for package in $optional; do
    is_installed "$package" || missing_optional="$missing_optional $package"
done
if [ -z "$missing$missing_optional" ]; then
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing packages; run:"
    echo "    sudo apt-get update && sudo apt-get install -y$missing$missing_optional"
    # Optional ones alone do not stop the build.
    [ -z "$missing" ]
    exit
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_all() {
    # Quiet when it works; the whole story when it does not.
    apt-get install -y --no-install-recommends "$@" < /dev/null > "$log" 2>&1
}

# An optional package that this release of the system does not have is left out, aloud.
is_offered() {
    apt-cache policy "$1" 2> /dev/null | grep 'Candidate:' | grep -qv '(none)'
}
echo "deps: installing:$missing$missing_optional"
for package in $missing $missing_optional; do
    if ! is_offered "$package"; then
        apt-get update < /dev/null > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
        break
    fi
done
offered="$missing"
for package in $missing_optional; do
    if is_offered "$package"; then
        offered="$offered $package"
    else
        echo "deps: this system has no package $package; going on without it"
    fi
done
[ -n "$offered" ] || exit 0
# Package lists may be older than the archive: once more with fresh ones.
# shellcheck disable=SC2086
if ! install_all $offered; then
    apt-get update < /dev/null > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
    install_all $offered || { cat "$log" >&2; exit 1; }
fi
