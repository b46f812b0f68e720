#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Views a second of the MoCo v2 augmentation in torchvision, from the same files as `slimclr bench
loader`: one JSON line.

    loader_torchvision.py DATA --image-size 224 --workers 1 --seconds 10 [--tensor]

A row is two views of one picture, decoded once, as float32 batches: the "two crops" of MoCo. DATA is
a folder of pictures or of CIFAR-10's binary files. --tensor: transforms.v2 on uint8 tensors, decoded
by torchvision.io, instead of PIL pictures. One worker is the calling process itself, two are two
worker processes; each is held to one thread. Up to 64 px there is no blur, as in slimclr.
"""
import argparse
import glob
import json
import os
import random
import time

import numpy
import torch
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader, Dataset
from torchvision import io, transforms
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Blur:
    """MoCo's blur: PIL's, of a radius drawn evenly."""

    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def recipe_pil(size):
    blur = [transforms.RandomApply([Blur()], p=0.5)] if size > 64 else []
    return transforms.Compose([
        transforms.RandomResizedCrop(size, scale=(0.2, 1.0)),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(p=0.2), *blur, transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def recipe_tensor(size):
    blur = [v2.RandomApply([v2.GaussianBlur(size // 20 * 2 + 1, (0.1, 2.0))], p=0.5)] if size > 64 else []
    return v2.Compose([
        v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2), *blur, v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


class Pairs(Dataset):
    def __init__(self, data, size, tensor):
        self.tensor = tensor
        self.recipe = recipe_tensor(size) if tensor else recipe_pil(size)
        packed = sorted(glob.glob(os.path.join(data, "data_batch_*.bin")))
        if packed:
            records = numpy.concatenate([numpy.fromfile(f, numpy.uint8) for f in packed])
            self.rows = records.reshape(-1, 3073)[:, 1:].reshape(-1, 3, 32, 32)
            self.files = None
        else:
            below = os.path.join(data, "train") if os.path.isdir(os.path.join(data, "train")) else data
            self.files = sorted(f for f in glob.glob(os.path.join(below, "**"), recursive=True)
                                if f.lower().endswith((".jpg", ".jpeg")))

    def __len__(self):
        return len(self.rows if self.files is None else self.files)

    def read(self, i):
        if self.files is None:
            row = self.rows[i]
            return torch.from_numpy(row) if self.tensor else Image.fromarray(row.transpose(1, 2, 0))
        if self.tensor:
            return io.decode_image(io.read_file(self.files[i]), io.ImageReadMode.RGB)
        with open(self.files[i], "rb") as file:
            return Image.open(file).convert("RGB")

    def __getitem__(self, i):
        image = self.read(i)
        return self.recipe(image), self.recipe(image)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("-b", "--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--tensor", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = Pairs(options.data, options.image_size, options.tensor)
    loader = DataLoader(pairs, options.batch_size, shuffle=True, drop_last=True,
                        num_workers=0 if options.workers == 1 else options.workers,
                        worker_init_fn=lambda _: torch.set_num_threads(1))
    views, start, now, warm, cpu = 0, None, 0.0, 2 * options.workers + 1, 0.0
    while start is None or now - start < options.seconds:
        for first, second in loader:
            now = time.perf_counter()
            if start is None:
                warm -= 1
                start = now if warm == 0 else None
                cpu = time.process_time()
            else:
                views += len(first) + len(second)
                if now - start >= options.seconds:
                    break
    cpu = time.process_time() - cpu # of this process: all there is with one worker
    print(json.dumps({"bench": "loader", "peer": "torchvision-v2" if options.tensor else "torchvision-pil",
                      "image_size": options.image_size, "workers": options.workers,
                      "views_per_sec": round(views / (now - start), 1),
                      "views_per_cpu_sec": round(views / cpu, 1) if options.workers == 1 else None}))


if __name__ == "__main__":
    main()
