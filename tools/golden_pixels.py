#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/pixels: one picture, what Pillow makes of it, and small image files of many
encodings with the pixels Pillow reads from them.

    python3 tools/golden_pixels.py          (needs Pillow and numpy; run only to renew the files)

cases.txt   FILE TOLERANCE OPERATION ARGUMENTS   one line a pixel function
decode.txt  FILE REFERENCE TOLERANCE             one line an encoding

Tolerances are the largest difference of any byte, in grey levels. 0 means the same bits. Resizing
is along the rows first; Pillow of late goes down the columns first where that is less work
("tall to wide"), which rounds differently by at most one level.
"""
import os

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "golden", "pixels")
WIDTH, HEIGHT = 32, 24


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
    total = sum(os.path.getsize(os.path.join(OUT, f)) for f in os.listdir(OUT))
    print(f"{total} bytes in {OUT}")


if __name__ == "__main__":
    main()
