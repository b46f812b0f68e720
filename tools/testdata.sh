#!/bin/sh
# SPDX-License-Identifier: MIT
#
# testdata.sh DIR: unpacks the public data sets of $SLIMCLR_TEST_DATA into DIR, where the tests
# look for them. Does nothing without that variable, nothing twice, and never writes beside the
# originals. A set appears whole or not at all: it is unpacked under another name and renamed.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: tools/testdata.sh DIR" >&2
    exit 2
fi
to=$1
from=${SLIMCLR_TEST_DATA:-}
if [ -z "$from" ]; then
    echo "SLIMCLR_TEST_DATA is not set: tests that want public data will skip"
    exit 0
fi
if [ ! -d "$from" ]; then
    echo "SLIMCLR_TEST_DATA: $from is not a directory" >&2
    exit 1
fi
mkdir -p "$to"

# begin NAME: makes the folder to unpack into, unless the set is there already.
begin() {
    [ -e "$to/$1" ] && return 1
    rm -rf "$to/.$1.part"
    mkdir "$to/.$1.part"
}
finish() {
    mv "$to/.$1.part" "$to/$1"
    echo "unpacked $1"
}

if [ -d "$from/cifar-10-batches-bin" ] && begin cifar-10-batches-bin; then
    for packed in "$from"/cifar-10-batches-bin/*.bin.xz; do
        [ -e "$packed" ] || continue
        xz -dc "$packed" > "$to/.cifar-10-batches-bin.part/$(basename "$packed" .xz)"
    done
    finish cifar-10-batches-bin
fi

if [ -d "$from/mnist" ] && begin mnist; then
    cp "$from"/mnist/*-ubyte.gz "$to/.mnist.part/"
    chmod u+w "$to"/.mnist.part/*
    finish mnist
fi

# The archives hold one top folder of their own name.
for name in imagenette-224 photo-variants; do
    if [ -f "$from/$name.tar" ] && begin "$name"; then
        tar -xf "$from/$name.tar" -C "$to/.$name.part" --no-same-owner --strip-components=1
        finish "$name"
    fi
done
