#!/bin/bash
# What the tests reach of storage/, index/, record/ and io/: lines and branches by folder, and every
# line that none of them reaches.
#
#   tests/coverage.sh [CTEST_OPTION...]      e.g. tests/coverage.sh -R '^storage'
#
# By g++'s counters (preset coverage); the branches that only an exception takes do not count.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/install_packages.sh build test coverage
build=build/coverage

cmake --preset coverage >/dev/null
cmake --build "$build" -j "$(nproc)" >"$build/build.log" || { tail -n 50 "$build/build.log" && exit 1; }
find "$build" -name '*.gcda' -delete
# Both ways of doing I/O count; what fails is told, and counts as far as it came.
for backend in io_uring syscalls; do
  TIDEMARK_IO=$backend ctest --test-dir "$build" -j "$(nproc)" --timeout 900 --output-on-failure \
    "$@" >"$build/test.$backend.log" 2>&1 || grep -E 'tests passed|Failed|Timeout' "$build/test.$backend.log" >&2
done

gcovr --root . --object-directory "$build" "$build" --exclude-throw-branches \
  --exclude-unreachable-branches --filter '(storage|index|record|io)/' --json "$build/coverage.json" \
  2>"$build/gcovr.log" || { cat "$build/gcovr.log" >&2 && exit 1; }
/usr/bin/python3 - "$build/coverage.json" <<'END'
import collections
import json
import sys

folders = collections.defaultdict(lambda: [0, 0, 0, 0])
missing = {}
for file in json.load(open(sys.argv[1]))["files"]:
    counts = folders[file["file"].split("/")[0]]
    for line in file["lines"]:
        if line.get("gcovr/noncode"):
            continue
        counts[0] += 1
        counts[1] += line["count"] > 0
        if line["count"] == 0:
            missing.setdefault(file["file"], []).append(line["line_number"])
        for branch in line["branches"]:
            counts[2] += 1
            counts[3] += branch["count"] > 0

print("| Folder | Lines | reached | Branches | reached |\n|---|---|---|---|---|")
for folder, (lines, hit, branches, taken) in sorted(folders.items()):
    print(f"| `{folder}/` | {lines} | {hit / lines:.1%} | {branches} | {taken / max(branches, 1):.1%} |")
print("\nNot reached:")
for file, lines in sorted(missing.items()):
    ranges = []
    for line in lines:
        if ranges and line <= ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    print(f"{file}: " + ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges))
END
