#!/usr/bin/python3
"""Prints what clang-tidy is to look at, as lines of BUILD_FOLDER FILE, the longest work first.

Takes the units of the clang build, and of the fuzz build those that the clang build does not have.
Ends with an error if any .cc file of the project is in no unit (those of docs/ are built by tests).
"""
import json
import os
import re
import subprocess
import sys

BUILDS = ("build/clang", "build/fuzz")


def sources_of(unit):
    """The project's files in a unit: those that it includes if it was put together, or itself."""
    if not os.path.basename(unit).startswith("unity_"):
        return [unit]
    with open(unit, encoding="utf-8") as file:
        return re.findall(r'^#include "(.*\.cc)"$', file.read(), re.MULTILINE)


def main():
    root = os.getcwd()
    seen = set()
    units = []
    for build in BUILDS:
        with open(f"{build}/compile_commands.json", encoding="utf-8") as file:
            entries = json.load(file)
        for entry in entries:
            unit = os.path.join(entry["directory"], entry["file"])
            fresh = [os.path.relpath(source, root) for source in sources_of(unit)]
            fresh = [source for source in fresh if source not in seen]
            if not fresh:
                continue
            seen.update(fresh)
            units.append((sum(os.path.getsize(source) for source in fresh), build, unit))
    tracked = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "ls-files", "-co", "--exclude-standard", "*.cc",
         ":!docs"],
        check=True, capture_output=True, text=True).stdout.split()
    missing = [source for source in tracked if os.path.exists(source) and source not in seen]
    if missing:
        sys.exit("in no unit: " + " ".join(missing))
    for _, build, unit in sorted(units, reverse=True):
        print(build, unit)


main()
