#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Views a second of the MoCo v2 augmentation in NVIDIA DALI on the CPU, from the same files as `slimclr
bench loader`: one JSON line.

    loader_dali.py DATA --image-size 224 --workers 1 --seconds 10

Each picture is decoded once, whole, for two views (DALI's decode of a random crop makes one view a
decode). Nearest equivalents: hue, saturation, brightness and contrast in one operator and one order;
a true Gaussian blur; antialiased bilinear resize. DATA is a folder of JPEG files.
"""
import argparse
import glob
import json
import os
import time

from nvidia.dali import fn, pipeline_def, types

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def some(p):
    return fn.cast(fn.random.coin_flip(probability=p), dtype=types.FLOAT)


def view(image, size):
    image = fn.random_resized_crop(image, size=(size, size), random_area=(0.2, 1.0), antialias=True)
    on = some(0.8)

    def factor(low, high, neutral):
        return neutral + on * (fn.random.uniform(range=(low, high)) - neutral)

    grey = some(0.2)
    image = fn.color_twist(image, brightness=factor(0.6, 1.4, 1.0), contrast=factor(0.6, 1.4, 1.0),
                           saturation=factor(0.6, 1.4, 1.0) * (1 - grey), hue=factor(-36, 36, 0.0))
    if size > 64:
        if fn.random.coin_flip(probability=0.5, dtype=types.BOOL):
            image = fn.gaussian_blur(image, sigma=fn.random.uniform(range=(0.1, 2.0)))
        else:
            image = fn.copy(image)
    return fn.crop_mirror_normalize(image, mirror=fn.random.coin_flip(), dtype=types.FLOAT,
                                    mean=[255 * m for m in MEAN], std=[255 * s for s in STD],
                                    output_layout="HWC")


@pipeline_def(enable_conditionals=True)
def pipeline(files, size):
    bytes_, _ = fn.readers.file(files=files, random_shuffle=True, name="reader")
    image = fn.decoders.image(bytes_, device="cpu", output_type=types.RGB)
    return view(image, size), view(image, size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("-b", "--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    below = os.path.join(options.data, "train")
    below = below if os.path.isdir(below) else options.data
    files = sorted(f for f in glob.glob(os.path.join(below, "**"), recursive=True)
                   if f.lower().endswith((".jpg", ".jpeg")))
    pipe = pipeline(files, options.image_size, batch_size=options.batch_size,
                    num_threads=options.workers, device_id=None)
    pipe.build()
    for _ in range(4):
        pipe.run()
    views, start, now, cpu = 0, time.perf_counter(), 0.0, time.process_time()
    while now - start < options.seconds:
        pipe.run()
        views += 2 * options.batch_size
        now = time.perf_counter()
    cpu = time.process_time() - cpu
    print(json.dumps({"bench": "loader", "peer": "dali-cpu", "image_size": options.image_size,
                      "workers": options.workers, "views_per_sec": round(views / (now - start), 1),
                      "views_per_cpu_sec": round(views / cpu, 1)}))


if __name__ == "__main__":
    main()
