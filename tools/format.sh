#!/bin/sh
# SPDX-License-Identifier: MIT
#
# format.sh [FILE…]: lays out C files (default: all of ours) with clang-format, and cuts section
# rulers, which clang-format leaves alone, to the line length.
set -eu
cd "$(dirname "$0")/.."

if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046
    set -- $(find include src cli tests bench -name '*.c' -o -name '*.h')
fi
tool=clang-format
if command -v clang-format-14 > /dev/null; then
    tool=clang-format-14
fi
for file in "$@"; do
    "$tool" -i "$file"
    if grep -qE '^/\* ---- .{80,}-- \*/$' "$file"; then
        awk '/^\/\* ---- .*-- \*\/$/ && length($0) > 90 {
                 sub(/-+ \*\/$/, "")
                 while (length($0) < 87) { $0 = $0 "-" }
                 $0 = $0 " */"
             }
             { print }' "$file" > "$file.tmp.format"
        cat "$file.tmp.format" > "$file"
        rm "$file.tmp.format"
    fi
done
