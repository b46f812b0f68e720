#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Decodes the pictures of folders to RGB with Pillow, on one thread, and prints a JSON line for each:
the same work as `slimclr bench loader FOLDER --aug none` calls decode_ms.

    python3 bench/peers/decode_pillow.py FOLDER... [--seconds S]
    python3 bench/peers/decode_pillow.py --make FOLDER [--from FOLDER]

The second form writes folders of the same pictures in every format that tools/bench_decode.sh compares.
"""
import argparse
import io
import json
import os
import resource
import time

from PIL import Image, ImageOps

# Folder, extension, and how Pillow writes it. Lossless TIFFs stand for the three ways of packing them.
KINDS = [("jpeg", "jpg", {"quality": 90}), ("jpeg-progressive", "jpg", {"quality": 90, "progressive": True}),
         ("png", "png", {}), ("png-palette", "png", {"palette": True}),
         ("webp", "webp", {"quality": 90}), ("webp-lossless", "webp", {"lossless": True}),
         ("tiff", "tif", {}), ("tiff-lzw", "tif", {"compression": "tiff_lzw"}),
         ("tiff-deflate", "tif", {"compression": "tiff_adobe_deflate"}), ("bmp", "bmp", {}), ("ppm", "ppm", {})]


def files_below(folder):
    return sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)


def make(folder, source, n, size):
    pictures = [Image.open(path).convert("RGB").resize(size, Image.BICUBIC) for path in files_below(source)[:n]]
    for name, extension, words in KINDS:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        words = dict(words)
        palette = words.pop("palette", False)
        for i, picture in enumerate(pictures):
            one = picture.quantize(256) if palette else picture
            one.save(os.path.join(folder, name, f"{i:03d}.{extension}"), **words)


def decode(path):
    with open(path, "rb") as file:
        data = file.read()
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def time_folder(folder, seconds):
    files = files_below(folder)
    width, height = decode(files[0]).size
    n, begin, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds or n < len(files):
        decode(files[n % len(files)])
        n += 1
    spent, busy = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"bench": "decode", "who": "pillow", "data": os.path.basename(folder.rstrip("/")),
                      "width": width, "height": height, "decode_ms": 1000 * spent / n,
                      "decode_cpu_ms": 1000 * busy / n, "peak_rss_mb": peak}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--make", metavar="FOLDER")
    parser.add_argument("--from", dest="source", metavar="FOLDER", default="imagenette-224/train")
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--size", default="640x480")
    words = parser.parse_args()
    if words.make:
        width, height = map(int, words.size.split("x"))
        make(words.make, words.source, words.n, (width, height))
    for folder in words.folders:
        time_folder(folder, words.seconds)


if __name__ == "__main__":
    main()
