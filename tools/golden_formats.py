#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/formats: one small picture in every encoding the readers claim, with the
pixels that must come out.

    python3 tools/golden_formats.py      (needs Pillow, numpy, tifffile, and cjpeg of libjpeg-turbo;
                                          run only to renew the files)

formats.txt   FILE REFERENCE TOLERANCE   one line a file

References are what Pillow reads, orientation applied. Pillow cuts 16 bit to 8, drops transparency,
or does not read a variant at all; there the reference comes from the rule itself in numpy: 16 bit
is v x 255 / 65535 rounded, transparency lies on white. Tolerances are the largest difference of any byte.
"""
import io
import os
import struct
import subprocess
import zlib

import numpy as np
import tifffile
from PIL import Image, ImageOps

from golden_pixels import picture

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "golden", "formats")
EXACT, LOSSY = 0, 2

listing = []
references = {}


def reference(pixels):
    """The name of the file that holds these pixels; equal ones are stored once."""
    pixels = np.ascontiguousarray(pixels.astype(np.uint8))
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, -1)
    key = pixels.shape, pixels.tobytes()
    if key not in references:
        references[key] = f"pixels{len(references):02d}.ppm"
        Image.fromarray(pixels).save(os.path.join(OUT, references[key]))
    return references[key]


def add(name, content, pixels=None, tolerance=EXACT):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(content)
    if pixels is None:
        pixels = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    listing.append((name, reference(pixels), tolerance))


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def on_white(pixels, alpha, top):
    """Both in 0..top; the result in 0..255."""
    pixels, alpha = pixels.astype(np.float64) / top, alpha.astype(np.float64)[..., None] / top
    return np.floor((pixels * alpha + 1 - alpha) * 255 + 0.5)


def deepen(pixels):
    """8 bit to 16, with low bytes that rounding has to look at."""
    y, x = np.mgrid[0:pixels.shape[0], 0:pixels.shape[1]]
    low = ((37 * y + 101 * x) % 256).astype(np.uint16)
    return (pixels.astype(np.uint16) << 8) | (low if pixels.ndim == 2 else low[..., None])


def shallow(deep):
    return np.floor(deep.astype(np.float64) * 255 / 65535 + 0.5)


# ---- JPEG ------------------------------------------------------------------------------------


def cjpeg(image, *options):
    return subprocess.run(["cjpeg", "-quality", "90", *options], input=saved(image, "PPM"),
                          capture_output=True, check=True).stdout


def without_adobe(content):
    at = content.index(b"\xff\xee\x00\x0eAdobe")
    return content[:at] + content[at + 16:]


def ycck(image):
    """Ink whose colours are stored as brightness and colour, as Adobe's programs write it. Pillow
    stores 255 - v of what it is given, without changing colours; the marker says what they are."""
    ink = np.array(image.convert("CMYK")).astype(np.float64)
    c, m, y = ink[..., 0], ink[..., 1], ink[..., 2]
    stored = np.stack([0.299 * c + 0.587 * m + 0.114 * y,
                       128 - 0.168736 * c - 0.331264 * m + 0.5 * y,
                       128 + 0.5 * c - 0.418688 * m - 0.081312 * y,
                       255 - ink[..., 3]], -1)
    given = Image.fromarray(255 - np.clip(np.rint(stored), 0, 255).astype(np.uint8), "CMYK")
    content = bytearray(saved(given, "JPEG", quality=90))
    at = content.index(b"Adobe")
    assert content[at + 11] == 0
    content[at + 11] = 2
    return bytes(content)


def jpegs(image):
    add("411.jpg", cjpeg(image, "-sample", "4x1"), tolerance=LOSSY)
    add("440.jpg", cjpeg(image, "-sample", "1x2"), tolerance=LOSSY)
    add("422.jpg", cjpeg(image, "-sample", "2x1"), tolerance=LOSSY)
    add("410.jpg", cjpeg(image, "-sample", "4x2"), tolerance=LOSSY)
    add("progressive-440.jpg", cjpeg(image, "-sample", "1x2", "-progressive"), tolerance=LOSSY)
    add("restart.jpg", cjpeg(image, "-sample", "2x2", "-restart", "1B"), tolerance=LOSSY)
    add("rgb.jpg", cjpeg(image, "-rgb"), tolerance=LOSSY)
    add("arithmetic.jpg", cjpeg(image, "-arithmetic"), tolerance=LOSSY)
    add("grey-progressive.jpg", cjpeg(image, "-grayscale", "-progressive"), tolerance=LOSSY)
    plain = saved(image.convert("CMYK"), "JPEG", quality=90)
    add("cmyk-adobe.jpg", plain, tolerance=LOSSY)
    add("cmyk-plain.jpg", without_adobe(plain), tolerance=LOSSY)
    add("ycck.jpg", ycck(image), tolerance=LOSSY)
    corner = image.crop((2, 3, 18, 12))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        add(f"orientation{orientation}.jpg",
            saved(corner, "JPEG", quality=95, subsampling=0, exif=exif), tolerance=LOSSY)
    exif = Image.Exif()
    exif[0x0112] = 6
    add("orientation6-grey.jpg", saved(corner.convert("L"), "JPEG", quality=95, exif=exif),
        tolerance=LOSSY)


# ---- PNG -------------------------------------------------------------------------------------

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
          (1, 0, 2, 1))


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(
        ">I", zlib.crc32(name + body))


def scan_lines(samples, depth):
    """(h, w, n) numbers as PNG stores them, each line after its filter byte 0."""
    lines = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            packed = row.astype(">u2").tobytes()
        elif depth == 8:
            packed = row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            packed = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
        lines += b"\0" + packed
    return lines


def png(samples, kind, depth, interlaced=False, palette=None, transparent=None, exif=None):
    samples = samples if samples.ndim == 3 else samples[..., None]
    height, width = samples.shape[:2]
    body = b""
    if interlaced:
        for top, left, down, right in PASSES:
            part = samples[top::down, left::right]
            body += scan_lines(part, depth) if part.size else b""
    else:
        body = scan_lines(samples, depth)
    content = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced)))
    if palette is not None:
        content += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparent is not None:
        content += chunk(b"tRNS", transparent)
    if exif is not None:
        content += chunk(b"eXIf", exif)
    return content + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")


def pngs(image):
    rgb, grey = np.array(image), np.array(image.convert("L"))
    ramp = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    deep_rgb, deep_grey, deep_ramp = deepen(rgb), deepen(grey), deepen(ramp)
    for depth in (1, 2, 4):
        few = grey >> (8 - depth)
        add(f"grey{depth}.png", png(few, GREY, depth), few.astype(int) * 255 // (2**depth - 1))
    for interlaced in (False, True):
        end = "-interlaced.png" if interlaced else ".png"
        add("rgb8" + end, png(rgb, RGB, 8, interlaced))
        add("rgb16" + end, png(deep_rgb, RGB, 16, interlaced), shallow(deep_rgb))
        add("grey16" + end, png(deep_grey, GREY, 16, interlaced), shallow(deep_grey))
    with_alpha = np.concatenate([rgb, ramp[..., None]], -1)
    add("rgba8.png", png(with_alpha, RGBA, 8), on_white(rgb, ramp, 255))
    deep_alpha = np.concatenate([deep_rgb, deep_ramp[..., None]], -1)
    add("rgba16.png", png(deep_alpha, RGBA, 16, True), on_white(deep_rgb, deep_ramp, 65535))
    add("grey-alpha8.png", png(np.stack([grey, ramp], -1), GREY_ALPHA, 8),
        on_white(np.stack([grey] * 3, -1), ramp, 255))
    add("grey-alpha16.png", png(np.stack([deep_grey, deep_ramp], -1), GREY_ALPHA, 16),
        on_white(np.stack([deep_grey] * 3, -1), deep_ramp, 65535))
    # Transparent colours and palettes.
    indexed = image.quantize(16)
    index, palette = np.array(indexed), np.array(indexed.getpalette()[:48]).reshape(16, 3)
    add("palette4.png", png(index, PALETTE, 4, palette=palette))
    add("palette8-interlaced.png", png(index, PALETTE, 8, True, palette=palette))
    alphas = (np.arange(16) * 17).astype(np.uint8)
    add("palette-alpha.png", png(index, PALETTE, 8, palette=palette, transparent=alphas.tobytes()),
        on_white(palette[index], alphas[index], 255))
    key = rgb[3, 4]
    add("rgb-key.png", png(rgb, RGB, 8, transparent=struct.pack(">HHH", *key.tolist())),
        np.where((rgb == key).all(-1)[..., None], 255, rgb))
    add("grey-key.png", png(grey, GREY, 8, transparent=struct.pack(">H", int(grey[3, 4]))),
        np.where(grey == grey[3, 4], 255, grey))
    exif = Image.Exif()
    exif[0x0112] = 8
    add("orientation8.png", png(rgb, RGB, 8, exif=exif.tobytes()[6:]), np.rot90(rgb))


# ---- WebP ------------------------------------------------------------------------------------


def webps(image):
    add("lossy.webp", saved(image, "WEBP", quality=90), tolerance=1)
    add("lossless.webp", saved(image, "WEBP", lossless=True))
    rgb = np.array(image)
    alpha = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    with_alpha = Image.fromarray(np.concatenate([rgb, alpha[..., None]], -1))
    add("alpha.webp", saved(with_alpha, "WEBP", lossless=True, exact=True),
        on_white(rgb, alpha, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    add("orientation6.webp", saved(image, "WEBP", lossless=True, exif=exif))


# ---- BMP -------------------------------------------------------------------------------------


def padded(rows):
    return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)


def bmp(rows, width, height, bits, compression=0, palette=b"", header=40, masks=(), colours=0):
    """Rows from the file's first on; a negative height says that this is the top one."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, 0, 2835,
                           2835, colours, 0)
        inside = b"".join(struct.pack("<I", m) for m in masks)
        info += inside
        info += b"\0" * (header - len(info))
    body = padded(rows)
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info + palette + body


def packed_rows(values, bits):
    return [np.packbits(((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(
        np.uint8).ravel()).tobytes() for row in values]


def bmps(image):
    rgb = np.array(image)
    height, width = rgb.shape[:2]
    up = rgb[::-1]
    blue_first = [row[:, ::-1].tobytes() for row in up]
    add("rgb24.bmp", bmp(blue_first, width, height, 24))
    add("rgb24-top-down.bmp", bmp(blue_first[::-1], width, -height, 24))
    add("rgb24-core.bmp", bmp(blue_first, width, height, 24, header=12))
    empty = np.concatenate([up[..., ::-1], np.zeros_like(up[..., :1])], -1)
    add("rgb32.bmp", bmp([row.tobytes() for row in empty], width, height, 32), rgb)
    for bits in (1, 4, 8):
        n = 2**bits if bits < 8 else 200
        indexed = image.quantize(n)
        index = np.array(indexed)
        colours = np.zeros((n, 3), int)
        given = np.array(indexed.getpalette()[:3 * n]).reshape(-1, 3)
        colours[:len(given)] = given
        rows = packed_rows(index[::-1], bits)
        four = b"".join(bytes([b, g, r, 0]) for r, g, b in colours.tolist())
        stated = n if bits == 8 else 0
        add(f"palette{bits}.bmp", bmp(rows, width, height, bits, palette=four, colours=stated),
            colours[index])
        if bits == 4:
            three = b"".join(bytes([b, g, r]) for r, g, b in colours.tolist())
            add("palette4-core.bmp", bmp(rows, width, height, 4, palette=three, header=12),
                colours[index])
    add("rle8.bmp", bmp([b"\x00\x01"], width, height, 8, compression=1, palette=b"\0" * 1024),
        np.zeros((1, 1, 3)))
    listing.pop()  # refused by name; the test knows it

    def fields(widths):
        """Numbers of so many bits in place of 8, and their 8-bit values."""
        few = [up[..., c].astype(np.uint32) >> (8 - w) for c, w in enumerate(widths)]
        back = np.stack([np.floor(few[c] * 255.0 / (2**w - 1) + 0.5)
                         for c, w in enumerate(widths)], -1)
        return few, back[::-1]

    (r, g, b), want = fields((5, 5, 5))
    rows = [row.tobytes() for row in ((r << 10) | (g << 5) | b).astype("<u2")]
    add("rgb555.bmp", bmp(rows, width, height, 16), want)
    (r, g, b), want = fields((5, 6, 5))
    rows = [row.tobytes() for row in ((r << 11) | (g << 5) | b).astype("<u2")]
    add("rgb565.bmp", bmp(rows, width, height, 16, compression=3, header=40,
                          palette=struct.pack("<III", 0xf800, 0x7e0, 0x1f)), want)
    alpha = np.tile(np.linspace(0, 255, width).astype(np.uint32), (height, 1))
    wide = up.astype(np.uint32)
    for header in (56, 108, 124):
        rows = [row.tobytes() for row in
                ((wide[..., 0] << 24) | (wide[..., 1] << 16) | (wide[..., 2] << 8) | alpha).astype(
                    "<u4")]
        add(f"rgba-v{header}.bmp",
            bmp(rows, width, height, 32, compression=3, header=header,
                masks=(0xff000000, 0xff0000, 0xff00, 0xff)),
            on_white(rgb, alpha, 255))


# ---- PNM -------------------------------------------------------------------------------------


def pnms(image):
    rgb, grey = np.array(image), np.array(image.convert("L"))
    height, width = grey.shape
    bits = grey < 128  # a set bit is black
    black = np.where(bits, 0, 255)
    size = f"{width} {height}\n".encode()
    add("plain.pbm", b"P1\n# bits\n" + size + b"\n".join(
        b"".join(b"1" if v else b"0" for v in row) for row in bits) + b"\n", black)
    add("plain.pgm", b"P2\n" + size + b"255\n" + b"\n".join(
        b" ".join(b"%d" % v for v in row) for row in grey) + b"\n")
    add("plain.ppm", b"P3\n" + size + b"255\n" + b"\n".join(
        b" ".join(b"%d" % v for v in row.ravel()) for row in rgb) + b"\n")
    add("packed.pbm", b"P4\n" + size + np.packbits(bits, axis=-1).tobytes(), black)
    deep = deepen(rgb)
    add("deep.ppm", b"P6\n" + size + b"65535\n" + deep.astype(">u2").tobytes(), shallow(deep))
    add("deep-plain.ppm", b"P3\n" + size + b"65535\n" + b"\n".join(
        b" ".join(b"%d" % v for v in row.ravel()) for row in deep) + b"\n", shallow(deep))
    twelve = deepen(grey) >> 4
    add("twelve.pgm", b"P5\n" + size + b"4095\n" + twelve.astype(">u2").tobytes(),
        np.floor(twelve * 255.0 / 4095 + 0.5))


# ---- TIFF ------------------------------------------------------------------------------------


def tiff(pixels, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, metadata=None, software=None, **options)
    return stream.getvalue()


def tiffs(image):
    rgb, grey = np.array(image), np.array(image.convert("L"))
    alpha = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    deep_rgb, deep_grey = deepen(rgb), deepen(grey)
    add("strips.tif", tiff(rgb, rowsperstrip=5), rgb)
    add("strips-big-endian.tif", tiff(deep_rgb, byteorder=">", rowsperstrip=5, photometric="rgb"),
        shallow(deep_rgb))
    add("big.tif", tiff(rgb, bigtiff=True), rgb)
    add("tiles.tif", tiff(rgb, tile=(16, 16), compression="zlib"), rgb)
    add("tiles-planar.tif", tiff(np.moveaxis(rgb, -1, 0), tile=(16, 16), compression="zlib",
                                 photometric="rgb", planarconfig="separate"), rgb)
    add("planar16.tif", tiff(np.moveaxis(deep_rgb, -1, 0), photometric="rgb",
                             planarconfig="separate"), shallow(deep_rgb))
    add("grey16.tif", tiff(deep_grey, photometric="minisblack"), shallow(deep_grey))
    add("grey16-tiles.tif", tiff(deep_grey, photometric="minisblack", tile=(16, 16),
                                 compression="zlib", predictor=True), shallow(deep_grey))
    add("miniswhite.tif", tiff(255 - grey, photometric="miniswhite"), grey)
    add("alpha.tif", tiff(np.concatenate([rgb, alpha[..., None]], -1), photometric="rgb",
                          extrasamples=["unassalpha"]), on_white(rgb, alpha, 255))
    joined = np.concatenate([np.rint(rgb * (alpha[..., None] / 255.0)), alpha[..., None]], -1)
    joined = joined.astype(np.uint8)
    add("alpha-joined.tif", tiff(joined, photometric="rgb", extrasamples=["assocalpha"]),
        joined[..., :3] + 255.0 - joined[..., 3:], tolerance=1)
    add("lzw.tif", saved(image, "TIFF", compression="tiff_lzw"))
    add("deflate.tif", saved(image.convert("L"), "TIFF", compression="tiff_adobe_deflate"))
    add("packbits.tif", saved(image, "TIFF", compression="packbits"))
    add("jpeg.tif", saved(image, "TIFF", compression="jpeg", quality=90), tolerance=LOSSY)
    add("bits.tif", saved(image.convert("1"), "TIFF"))
    add("group4.tif", saved(image.convert("1"), "TIFF", compression="group4"))
    add("palette.tif", saved(image.quantize(16), "TIFF"))
    add("cmyk.tif", saved(image.convert("CMYK"), "TIFF"))
    for orientation in (3, 5, 6):
        add(f"orientation{orientation}.tif",
            tiff(rgb, extratags=[(0x0112, "H", 1, orientation, True)]),
            {3: np.rot90(rgb, 2), 5: rgb.transpose(1, 0, 2), 6: np.rot90(rgb, -1)}[orientation])
    add("lab.tif", saved(Image.new("LAB", (4, 3), (53, 80, 67)), "TIFF"), np.zeros((3, 4, 3)))
    listing.pop()  # through the library's own conversion; the test looks at its colour
    add("float.tif", tiff(grey.astype(np.float32) / 255), grey)
    listing.pop()  # refused by name; the test knows it


# ---- promises that cannot be kept --------------------------------------------------------------


def bombs(image):
    """A few hundred bytes whose header says 9984 x 9984 pixels; not listed, the test knows them."""
    side = 9984
    small = png(np.array(image), RGB, 8)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, RGB, 0, 0, 0))
    jpeg = bytearray(cjpeg(image, "-progressive"))
    at = jpeg.index(b"\xff\xc2") + 5
    jpeg[at:at + 4] = struct.pack(">HH", side, side)
    tif = bytearray(saved(image, "TIFF", compression="tiff_lzw"))
    for tag in (256, 257, 278):
        for kind, form in ((3, "<HHIHH"), (4, "<HHII")):
            head = struct.pack("<HHI", tag, kind, 1)
            if head in tif:
                value = (side, 0) if kind == 3 else (side,)
                at = tif.index(head)
                tif[at:at + 12] = struct.pack(form, tag, kind, 1, *value)
    row = np.array(image)[0, :, ::-1].tobytes()
    for name, content in (("bomb.png", small[:8] + header + small[8 + len(header):]),
                          ("bomb.jpg", bytes(jpeg)), ("bomb.tif", bytes(tif)),
                          ("bomb.bmp", bmp([row], side, side, 24)),
                          ("bomb.ppm", b"P6\n%d %d\n255\n" % (side, side) + row)):
        with open(os.path.join(OUT, name), "wb") as file:
            file.write(content)


def main():
    os.makedirs(OUT, exist_ok=True)
    for name in os.listdir(OUT):
        os.remove(os.path.join(OUT, name))
    image = picture().crop((0, 0, 20, 17))
    for make in (jpegs, pngs, webps, bmps, pnms, tiffs, bombs):
        make(image)
    with open(os.path.join(OUT, "formats.txt"), "w", encoding="utf-8") as file:
        for name, wanted, tolerance in listing:
            file.write(f"{name} {wanted} {tolerance}\n")
    used = {wanted for _, wanted, _ in listing}
    for name in references.values():
        if name not in used:
            os.remove(os.path.join(OUT, name))
    total = sum(os.path.getsize(os.path.join(OUT, f)) for f in os.listdir(OUT))
    print(f"{len(listing)} files, {total} bytes in {OUT}")


if __name__ == "__main__":
    main()
