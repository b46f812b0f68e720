#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the sources to the dependency tables of docs/architecture.md.

Table 1 ("Dependency direction"): a folder may include the doors in its row, its own headers,
and no others. Rows are ordered: a row names only folders above it. Table 2 ("Libraries of
others"): a vendor header only in the files named beside it. Then every door compiles alone
(C11), and the public header as C++ too, where a C++ compiler is found.

Exit status 0: all holds; 1: each violation on a line of its own.
"""
import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTE = ROOT / "docs" / "architecture.md"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
COMPILE = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
           "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE",
           "-I", str(ROOT / "src"), "-I", str(ROOT / "include")]

problems = []


def report(path, text):
    problems.append(f"{path.relative_to(ROOT)}: {text}")


def table(heading):
    """Rows of the first table after a heading, without its two head lines."""
    text = NOTE.read_text(encoding="utf-8")
    match = re.search(rf"^#+ [^\n]*{re.escape(heading)}[^\n]*\n(.*?)(?=^#|\Z)", text,
                      re.M | re.S)
    if not match:
        sys.exit(f"{NOTE.relative_to(ROOT)}: no section named '{heading}'")
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in match.group(1).splitlines() if line.lstrip().startswith("|")]
    if len(rows) < 3:
        sys.exit(f"{NOTE.relative_to(ROOT)}: section '{heading}' has no table")
    return rows[2:]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


def folders_of_table():
    allowed = {}
    for row in table("Dependency direction"):
        (folder,) = words(row[0])
        for other in words(row[1]):
            if other != "slimclr.h" and other not in allowed:
                report(NOTE, f"row {folder} names {other}, which is not above it")
        allowed[folder] = set(words(row[1]))
    return allowed


def check_ours(path, place, target, allowed):
    """One #include "..." of a file that lives in folder `place` (src/x, cli or tests)."""
    if target == "slimclr.h":
        if place != "tests" and target not in allowed[place]:
            report(path, f'includes "{target}", which {place} may not')
        return
    parts = target.split("/")
    if place == "tests":
        # Unit tests may look inside a folder; helpers of the tests live beside them.
        if not (ROOT / "src" / target).is_file() and not (path.parent / target).is_file() \
                and not (ROOT / "tests" / target).is_file():
            report(path, f'includes "{target}", which is not there')
        return
    if len(parts) == 1 and (path.parent / target).is_file():
        return
    base = ROOT / ("src" if place != "cli" else ".")
    if len(parts) != 2 or not (base / target).is_file():
        report(path, f'includes "{target}", which is not a header of ours')
        return
    folder, name = parts
    if folder == place:
        return
    if folder not in allowed[place]:
        report(path, f'includes "{target}": {place} may include '
                     f'{", ".join(sorted(allowed[place])) or "nothing"}')
    elif name != f"{folder}.h":
        report(path, f'includes "{target}", which is private to {folder}; '
                     f'its door is {folder}/{folder}.h')


def check_file(path, place, allowed, vendors):
    text = path.read_text(encoding="utf-8")
    for bracket, target in INCLUDE.findall(text):
        if bracket == '"':
            check_ours(path, place, target, allowed)
            continue
        for pattern, files in vendors:
            if fnmatch.fnmatch(target, pattern):
                where = path.relative_to(ROOT).as_posix().removeprefix("src/")
                if not any(fnmatch.fnmatch(where, f) for f in files):
                    report(path, f"includes <{target}>, which belongs to {', '.join(files)}")


def compile_alone(header, compiler, flags):
    done = subprocess.run([compiler, *flags, *COMPILE, "-include", str(header), "-x",
                           "c++" if "c++" in flags[0] else "c", "/dev/null"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        first = next((l for l in done.stderr.splitlines() if "error" in l), done.stderr)
        report(header, f"does not compile alone with {compiler}: {first}")


def main():
    allowed = folders_of_table()
    vendors = [(pattern, words(row[1])) for row in table("Libraries of others")
               for pattern in words(row[0])]
    n = 0
    for folder in sorted(p for p in (ROOT / "src").iterdir() if p.is_dir()):
        files = sorted(list(folder.glob("**/*.[ch]")) + list(folder.glob("**/*.cu")))
        if files and folder.name not in allowed:
            report(folder, "has no row in the dependency table")
            continue
        for path in files:
            check_file(path, folder.name, allowed, vendors)
            n += 1
    for place in ("cli", "tests"):
        for path in sorted((ROOT / place).glob("**/*.[ch]")):
            check_file(path, place, allowed, vendors)
            n += 1

    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    plus_plus = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    doors = [p for p in sorted((ROOT / "src").glob("*/*.h")) if p.stem == p.parent.name]
    public = ROOT / "include" / "slimclr.h"
    for header in doors + ([public] if public.is_file() else []):
        compile_alone(header, compiler, ["-std=c11"])
    if public.is_file() and plus_plus:
        compile_alone(public, plus_plus, ["-std=c++11"])

    for line in problems:
        print(line)
    if problems:
        sys.exit(f"includes: {len(problems)} violations")
    print(f"includes: {n} files, {len(doors)} doors, nothing found")


if __name__ == "__main__":
    main()
