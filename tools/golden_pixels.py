#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/pixels: one picture, what Pillow makes of it, and small image files of many
encodings with the pixels Pillow reads from them.

    python3 tools/golden_pixels.py          (needs Pillow, numpy and, for views, torchvision; run only
                                             to renew the files)

cases.txt   FILE TOLERANCE OPERATION ARGUMENTS   one line a pixel function
decode.txt  FILE REFERENCE TOLERANCE             one line an encoding
parts.txt   FILE                                 JPEGs of which parts are decoded
views.txt   FILE TOLERANCE SAMPLE VIEW           whole views of the picture, by torchvision, at 28 px, seed 5,
                                                 epoch 2, recipe mocov2 with blur .5 and solarise .2
padded.txt  the same                             at 32 px, recipe padded: RandomCrop(32, padding=4) and flip

Tolerances are the largest difference of any byte, in grey levels. 0 means the same bits. Resizing
is along the rows first; Pillow of late goes down the columns first where that is less work
("tall to wide"), which rounds differently by at most one level.
"""
import math
import os

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "golden", "pixels")
WIDTH, HEIGHT = 32, 24
# Views are the same bytes: none of these crops is among those that Pillow resizes down the columns
# first, which differ by a level here and there before the colours.
VIEW_MOST = 0


def picture():
    """Sky, hill, sun, a striped tent and some grain: smooth, sharp, dark, bright, grey, gaudy."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    image = np.stack([90 + 3 * y, 140 + 2 * y, 235 - 2 * y], -1)
    hill = y > 15 + 4 * np.sin(x / 5.0)
    image[hill] = np.stack([60 + x, 110 + 2 * (y - 12), 40 + 0 * x], -1)[hill]
    image[(x - 25) ** 2 + (y - 5) ** 2 < 12] = (255, 240, 90)
    tent = (np.abs(x - 10) < (y - 8) * 0.7) & (y > 8) & (y < 20)
    stripes = (x.astype(int) // 2) % 2 == 0
    image[tent & stripes] = (200, 20, 30)
    image[tent & ~stripes] = (250, 250, 250)
    image[20:, 24:] = 128
    image[22:, 26:30] = 0
    grain = np.random.Generator(np.random.Philox(7)).integers(-6, 7, image.shape)
    return Image.fromarray(np.clip(image + grain, 0, 255).astype(np.uint8))


def rows_first(image, box, width, height):
    top, left, box_height, box_width = box
    crop = image.crop((left, top, left + box_width, top + box_height))
    return crop.resize((width, box_height), Image.BILINEAR).resize((width, height), Image.BILINEAR)


def any_order(image, box, width, height):
    top, left, box_height, box_width = box
    crop = image.crop((left, top, left + box_width, top + box_height))
    return crop.resize((width, height), Image.BILINEAR)


def hue(image, shift):
    """torchvision's adjust_hue on PIL images."""
    h, s, v = image.convert("HSV").split()
    turned = np.array(h, dtype=np.uint8) + np.array(int(shift * 255) & 255, dtype=np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB")


def light(image, levels):
    """Lighting as published: added to every pixel, and cut off where it becomes bytes."""
    lit = np.asarray(image).astype(np.float64) + np.array(levels, np.float32).astype(np.float64)
    return Image.fromarray(np.trunc(lit).clip(0, 255).astype(np.uint8))


def pixel_cases(image):
    f = np.float32
    shrink, grow, tall = (3, 5, 20, 26), (6, 4, 7, 9), (1, 10, 22, 5)
    yield "shrink", 0, "resize 3 5 20 26 13 11", rows_first(image, shrink, 11, 13)
    yield "grow", 0, "resize 6 4 7 9 20 24", rows_first(image, grow, 24, 20)
    yield "tall", 1, "resize 1 10 22 5 12 16", any_order(image, tall, 16, 12)
    for factor in (0.6, 1.4):
        yield f"brightness{factor}", 0, f"brightness {factor}", ImageEnhance.Brightness(
            image).enhance(float(f(factor)))
        yield f"contrast{factor}", 0, f"contrast {factor}", ImageEnhance.Contrast(
            image).enhance(float(f(factor)))
        yield f"saturation{factor}", 0, f"saturation {factor}", ImageEnhance.Color(
            image).enhance(float(f(factor)))
    for shift in (0.08, -0.1):
        yield f"hue{shift}", 0, f"hue {shift}", hue(image, float(f(shift)))
    for radius in (0.3, 1.1, 4.5):
        yield f"blur{radius}", 0, f"blur {radius}", image.filter(
            ImageFilter.GaussianBlur(float(f(radius))))
    yield "grey", 0, "grey", image.convert("L").convert("RGB")
    yield "solarise", 0, "solarise 128", ImageOps.solarize(image, 128)
    for name, levels in (("light", (-0.0124, 0.0131, -0.0002)), ("light-far", (60.5, -120.25, -1))):
        yield name, 0, "light " + " ".join(map(str, levels)), light(image, levels)
    yield "flip", 0, "flip", image.transpose(Image.FLIP_LEFT_RIGHT)


def files(image):
    small = image.crop((0, 0, 20, 17))
    yield "420.jpg", 2, small, dict(quality=85, subsampling=2)
    yield "444.jpg", 2, small, dict(quality=90, subsampling=0)
    yield "progressive.jpg", 2, small, dict(quality=85, progressive=True)
    yield "grey.jpg", 2, small.convert("L"), dict(quality=85)
    yield "cmyk.jpg", 2, small.convert("CMYK"), dict(quality=90)
    yield "rgb.png", 0, small, {}
    yield "grey.png", 0, small.convert("L"), {}
    yield "palette.png", 0, small.convert("P", palette=Image.ADAPTIVE, colors=16), {}
    alpha = small.copy()
    ramp = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (17, 1))
    alpha.putalpha(Image.fromarray(ramp))
    yield "alpha.png", 1, alpha, {}
    deep = (np.array(small.convert("L")).astype(np.uint32) * 257).astype(np.uint16)
    yield "deep.png", 0, Image.fromarray(deep), {}
    yield "rgb.ppm", 0, small, {}
    yield "grey.pgm", 0, small.convert("L"), {}


def part_files(image):
    """Large enough for several units each way, of every sampling; sizes are not multiples of any."""
    large = image.resize((125, 91), Image.BICUBIC)
    yield "part-444.jpg", large, dict(quality=80, subsampling=0)
    yield "part-422.jpg", large, dict(quality=80, subsampling=1)
    yield "part-420.jpg", large, dict(quality=80, subsampling=2)
    yield "part-progressive.jpg", large, dict(quality=80, subsampling=2, progressive=True)
    yield "part-restart.jpg", large, dict(quality=80, subsampling=2, restart_marker_blocks=3)
    yield "part-grey.jpg", large.convert("L"), dict(quality=80)


# ---- whole views: the numbers of src/data/augment.c again, the pixels by torchvision ----

class Numbers:
    """Philox 4x32-10 at (seed, stream, a, b), as src/base/rng.c."""

    def __init__(self, seed, stream, a, b):
        self.key, self.counter, self.row = (seed & 0xffffffff, seed >> 32), [0, b, a, stream], []

    def u32(self):
        if not self.row:
            (c0, c1, c2, c3), (k0, k1) = self.counter, self.key
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
                c0, c1, c2, c3 = ((p1 >> 32) ^ c1 ^ k0, p1 & 0xffffffff, (p0 >> 32) ^ c3 ^ k1,
                                  p0 & 0xffffffff)
                k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
            self.row, self.counter[0] = [c0, c1, c2, c3], self.counter[0] + 1
        return self.row.pop(0)

    def chance(self, p):
        return (self.u32() >> 8) * 2.0 ** -24 < float(np.float32(p))

    def between(self, low, high):
        low, high = (float(np.float32(x)) for x in (low, high))
        return low + (high - low) * (self.u32() * 2.0 ** -32)

    def below(self, bound):
        return self.u32() * bound >> 32


def crop(numbers, height, width):
    low, high = math.log(3 / 4), math.log(4 / 3)
    for _ in range(10):
        area = height * width * numbers.between(0.2, 1.0)
        aspect = math.exp(low + (high - low) * (numbers.u32() * 2.0 ** -32))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return numbers.below(height - h + 1), numbers.below(width - w + 1), h, w
    raise RuntimeError("no crop: take another sample")


def torch_view(image, sample, view):
    import itertools

    import torchvision.transforms.functional as F
    numbers = Numbers(5, 4 | view << 16, 2, sample)
    top, left, height, width = crop(numbers, image.height, image.width)
    made = F.resized_crop(image, top, left, height, width, [28, 28], F.InterpolationMode.BILINEAR)
    has_jitter = numbers.chance(0.8)
    order = list(itertools.permutations(range(4)))[numbers.below(24)]
    strength = float(np.float32(0.4))
    values = []
    for _ in range(3):
        low, high = 1.0 - strength, 1.0 + strength
        values.append(float(np.float32(low + (high - low) * (numbers.u32() * 2.0 ** -32))))
    values.append(float(np.float32(numbers.between(-0.1, 0.1))))
    steps = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for k in order if has_jitter else ():
        made = steps[k](made, values[k])
    if numbers.chance(0.2):
        made = F.to_grayscale(made, 3)
    has_blur, radius = numbers.chance(0.5), float(np.float32(numbers.between(0.1, 2.0)))
    if has_blur:
        made = made.filter(ImageFilter.GaussianBlur(radius))
    if numbers.chance(0.2):
        made = F.solarize(made, 128)
    return F.hflip(made) if numbers.chance(0.5) else made


def padded_view(image, sample, view):
    """The picture fitted to 32 x 32, then torchvision's own RandomCrop with the numbers of this key."""
    import torchvision.transforms as T
    import torchvision.transforms.functional as F
    numbers = Numbers(5, 4 | view << 16, 2, sample)
    padded = T.RandomCrop(32, padding=4)
    at = numbers.below(9), numbers.below(9)
    padded.get_params = lambda image, size: (*at, *size)
    made = padded(F.resize(image, [32, 32], F.InterpolationMode.BILINEAR))
    for _ in range(11):  # jitter, greyscale, blur and solarise draw theirs, and do nothing
        numbers.u32()
    return at, F.hflip(made) if numbers.chance(0.5) else made


def on_white(image):
    if image.mode == "RGBA":
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I"):
        return Image.fromarray((np.array(image) // 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def main():
    os.makedirs(OUT, exist_ok=True)
    image = picture()
    image.save(os.path.join(OUT, "picture.ppm"))
    with open(os.path.join(OUT, "cases.txt"), "w") as listing:
        for name, tolerance, operation, result in pixel_cases(image):
            result.save(os.path.join(OUT, name + ".ppm"))
            listing.write(f"{name}.ppm {tolerance} {operation}\n")
    with open(os.path.join(OUT, "decode.txt"), "w") as listing:
        for name, tolerance, made, options in files(image):
            path = os.path.join(OUT, name)
            made.save(path, **options)
            reference = "from-" + name.replace(".", "-") + ".ppm"
            on_white(Image.open(path)).save(os.path.join(OUT, reference))
            listing.write(f"{name} {reference} {tolerance}\n")
    with open(os.path.join(OUT, "parts.txt"), "w") as listing:
        for name, made, options in part_files(image):
            made.save(os.path.join(OUT, name), **options)
            listing.write(f"{name}\n")
    with open(os.path.join(OUT, "views.txt"), "w") as listing:
        for sample in range(6):
            for view in range(2):
                name = f"view-{sample}-{view}.ppm"
                torch_view(image, sample, view).save(os.path.join(OUT, name))
                listing.write(f"{name} {VIEW_MOST} {sample} {view}\n")
    with open(os.path.join(OUT, "padded.txt"), "w") as listing:
        for sample in range(4):
            name = f"padded-{sample}.ppm"
            at, made = padded_view(image, sample, 0)
            print(name, "begins at", at)
            made.save(os.path.join(OUT, name))
            listing.write(f"{name} {VIEW_MOST} {sample} 0\n")
    total = sum(os.path.getsize(os.path.join(OUT, f)) for f in os.listdir(OUT))
    print(f"{total} bytes in {OUT}")


if __name__ == "__main__":
    main()
