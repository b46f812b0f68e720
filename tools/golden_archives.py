#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/archives: small tar and zip archives of many kinds, WebDataset shards and an
LMDB, all of pictures that follow from a number (as kit_write_ppm of the tests makes them), and the
corpora of the fuzz targets that read such files.

    python3 tools/golden_archives.py        (needs the lmdb module; run only to renew the files)
"""
import gzip
import io
import json
import os
import shutil
import tarfile
import zipfile

import lmdb

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "tests", "golden", "archives")
CORPUS = os.path.join(HERE, "..", "tests", "fuzz", "corpus")
LONG = "photos/train/dog/" + "long-" * 30 + ".ppm"
PHOTOS = [("photos/train/dog/d.ppm", 3), ("photos/train/cat/b.ppm", 2),
          ("photos/train/cat/a.ppm", 1), (LONG, 4), ("photos/train/dog/\u00fc.ppm", 5),
          ("photos/val/cat/v.ppm", 6), ("photos/val/dog/w.ppm", 7),
          ("photos/other/x.ppm", 8), ("photos/train/cat/.hidden.ppm", 9)]


def picture(key, height=2, width=3):
    body = bytes((key * 37 + i * 5) % 256 for i in range(height * width * 3))
    return b"P6\n%d %d\n255\n" % (width, height) + body


def members():
    return [(name, picture(key)) for name, key in PHOTOS] + [("photos/train/cat/notes.txt", b"words")]


def write_tar(path, files, form):
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for i, (name, data) in enumerate(files):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED
            archive.writestr(info, data)


def write_shards():
    first = [("0.cls", b"1"), ("0.ppm", picture(10)), ("0.json", b"{}"),
             ("1.ppm", picture(11)), ("1.seg.ppm", picture(99)), ("1.cls", b"0\n")]
    second = [("2.ppm", picture(12)), ("2.cls", b"3"), ("3.ppm", picture(13)), ("4.cls", b"2"),
              ("4.ppm", picture(14)), ("5.ppm", picture(15)), ("5.cls", b"1")]
    write_tar(os.path.join(OUT, "shard-000000.tar"), first, tarfile.USTAR_FORMAT)
    write_tar(os.path.join(OUT, "shard-000001.tar"), second, tarfile.USTAR_FORMAT)


def write_lmdb():
    pictures = {"dog/b.ppm": (21, 1), "cat/a.ppm": (20, 0), "dog/c.ppm": (22, 1)}
    path = os.path.join(OUT, "train.lmdb")
    with lmdb.open(path, subdir=False, map_size=1 << 20, lock=False) as env:
        with env.begin(write=True) as txn:
            for name, (key, _) in pictures.items():
                txn.put(name.encode(), picture(key))
    with open(os.path.join(OUT, "train_list.json"), "w", encoding="utf-8") as file:
        json.dump({name: label for name, (_, label) in pictures.items()}, file)
        file.write("\n")


def write_corpus(target, files):
    folder = os.path.join(CORPUS, target)
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    write_tar(os.path.join(OUT, "gnu.tar"), members(), tarfile.GNU_FORMAT)
    write_tar(os.path.join(OUT, "pax.tar"), members(), tarfile.PAX_FORMAT)
    write_tar(os.path.join(OUT, "twice.tar"),
              [("a.ppm", picture(1)), ("b.ppm", picture(2)), ("./a.ppm", picture(30))],
              tarfile.USTAR_FORMAT)
    write_zip(os.path.join(OUT, "mixed.zip"), members())
    with open(os.path.join(OUT, "gnu.tar"), "rb") as plain:
        with gzip.GzipFile(os.path.join(OUT, "photos.tar.gz"), "wb", mtime=0) as packed:
            packed.write(plain.read())
    write_shards()
    write_lmdb()
    archives = {}
    for name in ("gnu.tar", "pax.tar", "mixed.zip", "shard-000000.tar"):
        with open(os.path.join(OUT, name), "rb") as file:
            archives[name] = file.read()
    write_corpus("archive", archives)
    write_corpus("list", {
        "large.txt": b"a.jpg\t400040\nb.jpg\t0\n",
        "plain.txt": b"a/b.jpg\nc.jpg\n",
        "numbers.txt": b"a/b.jpg\t3\r\n\r\n/abs/c.jpg\t0\r\n  \nno-label.jpg",
        "words.txt": b"x/y z.jpg\tdog\nx/q.jpg\tcat\nx//r.jpg\t12\n\tcat\n"})
    write_corpus("lmdb_keys", {
        "object.json": b'{"dog/b.jpg": 1, "cat/a.jpg": 0}',
        "pairs.json": b'[["dog/b.jpg", 1], ["cat/a.jpg", 7]]',
        "keys.json": b'["dog/b.jpg", "cat//a.jpg", "/x"]'})
    write_corpus("class_names", {
        "plain.txt": b"cat\ndog\nEnglish springer\n",
        "odd.txt": b"a\\x0ab\r\n\n\\x5cx41\n\\q\\x0"})
    write_corpus("pack", {
        "done.pack": b"slimclr-pack 1\ndata=01 max-side=0\nshard 4096 3 3\nbad 3 a.jpg\tcut\n"
                     b"shard 8192 9 5\ndone\n",
        "torn.pack": b"slimclr-pack 1\ndata=01\nshard 4096 3 3\nshard 1 2"})


if __name__ == "__main__":
    main()
