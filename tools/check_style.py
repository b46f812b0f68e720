#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds every file of ours to the rules of style that a machine can see.

C files: SPDX line first and a head comment after it; no banned function; no tab, no trailing
blank, no line above 90 columns; at most 900 lines; lower-case unique file names; a TODO names an
issue; include guard = path; layout as clang-format 14 makes it (other versions lay out a few
things differently: then that part is left out, aloud). Scripts: an SPDX line near the top.

Exit status 0: all holds; 1: each violation on a line of its own.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPDX = "SPDX-License-Identifier: MIT"
COLUMNS = 90
LINES = 900
CLANG_FORMAT = 14

ANYWHERE = "sprintf vsprintf strcpy strcat strtok gets atoi atol atof alloca rand srand".split()
HEAP = "malloc calloc realloc free".split()
# Word -> test of the path (relative, posix) that makes it legal.
LEGAL = {
    **{word: lambda path: False for word in ANYWHERE},
    **{word: lambda path: path == "src/base/arena.c" or path.startswith(("src/backend/", "tests/"))
       for word in HEAP},
    "exit": lambda path: path.startswith(("cli/", "tests/")),
}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(LEGAL))

problems = []


def report(path, line, text):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")


def without_comments(text, strings=True):
    """Comments (and string contents) blanked out, line breaks kept."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] * 2 if strings else found
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def check_c(path):
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    if lines[0] != f"/* {SPDX} */":
        report(path, 1, f"first line is not /* {SPDX} */")
    if len(lines) < 2 or not lines[1].startswith("/*"):
        report(path, 2, "no head comment after the SPDX line")
    if len(lines) > LINES + 1:
        report(path, LINES, f"{len(lines) - 1} lines; split by purpose (at most {LINES})")
    if not text.endswith("\n"):
        report(path, len(lines), "no newline at the end")
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            report(path, number, "tab")
        if line != line.rstrip():
            report(path, number, "blank at the end of the line")
        if len(line) > COLUMNS:
            report(path, number, f"{len(line)} columns (at most {COLUMNS})")
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!.*#\d)", line):
            report(path, number, "a TODO names its issue (#n)")
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        for word in CALL.findall(line):
            if not LEGAL[word](name):
                report(path, number, f"{word}() is banned here")
    if path.suffix == ".h":
        guard = re.sub(r"\W", "_", name.removeprefix("include/")).upper()
        match = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", text, re.M)
        if not match or match.group(1) != match.group(2) or match.group(1) != guard:
            report(path, 1, f"include guard is not {guard}")


def check_script(path):
    head = path.read_text(encoding="utf-8").split("\n")[:3]
    if not any(SPDX in line for line in head):
        report(path, 1, f"no {SPDX} near the top")


def check_names(paths):
    seen = collections.defaultdict(list)
    for path in paths:
        if not re.fullmatch(r"[a-z0-9_]+\.(c|h|cu)", path.name):
            report(path, 1, "file name is not lower case with underscores")
        seen[path.name].append(path)
    for same in seen.values():
        for path in same[1:]:
            report(path, 1, f"same file name as {same[0].relative_to(ROOT)}")


def check_layout(paths):
    tool = shutil.which(f"clang-format-{CLANG_FORMAT}") or shutil.which("clang-format")
    if not tool:
        print(f"style: clang-format is not here; layout not checked")
        return
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
    major = re.search(r"version (\d+)", version.stdout)
    if not major or int(major.group(1)) != CLANG_FORMAT:
        print(f"style: clang-format {CLANG_FORMAT} wanted, {version.stdout.strip()} seen; "
              "layout not checked")
        return
    done = subprocess.run([tool, "--dry-run", "-Werror", *map(str, paths)],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        found = re.findall(r"^(.+?):(\d+):\d+: error", done.stderr, re.M)
        for name in sorted({name for name, _ in found}):
            first = min(int(line) for other, line in found if other == name)
            report(pathlib.Path(name), first, "layout: run `make format`")
        if not found:
            problems.append(done.stderr.strip())


def main():
    sources = sorted(path for folder in ("include", "src", "cli", "tests", "bench")
                     for path in (ROOT / folder).glob("**/*")
                     if path.suffix in (".c", ".h", ".cu"))
    for path in sources:
        check_c(path)
    check_names(sources)
    check_layout(sources)
    scripts = sorted(p for p in (ROOT / "tools").iterdir() if p.suffix in (".py", ".sh"))
    scripts += sorted((ROOT / "cmake").glob("*.cmake"))
    scripts += sorted(p for folder in ("src", "cli", "tests")
                      for p in (ROOT / folder).glob("**/CMakeLists.txt"))
    scripts += [ROOT / name for name in ("CMakeLists.txt", "Makefile", ".ci/run")]
    for path in scripts:
        check_script(path)

    for line in problems:
        print(line)
    if problems:
        sys.exit(f"style: {len(problems)} violations")
    print(f"style: {len(sources)} C files, {len(scripts)} scripts, nothing found")


if __name__ == "__main__":
    main()
