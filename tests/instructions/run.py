#!/usr/bin/python3
"""Holds what an operation costs in instructions against limits.txt, which stands beside this file.

    tests/instructions/run.py [--build build/release] [--update] [CASE...]

Each case of prog_count_work runs under callgrind twice, with as many operations and with twice as
many: the difference is what the operations cost, without anything that is done once. Counted are
the instructions of Tidemark's own code, and how often it calls a library (memcpy and malloc among
them). What the libraries do inside is not counted, since it depends on the processor (memcpy) or is
somebody else's (zstd); neither is the simulated disk, which is no part of the product.

Exit 0: all within the limits. 1: one is above. Where more is wanted on purpose, or less was reached,
--update writes what was measured, and limits.txt goes into the commit that made the difference.
77: nothing was measured, since valgrind is missing or the machine is not what the limits are for.
"""

import argparse
import concurrent.futures
import os
import platform
import re
import subprocess
import sys
import tempfile

LIMITS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "limits.txt")
HEAD = """\
# What tests/instructions/run.py measured, for each operation, with the compiler of Debian 12 on x86-64:
# case, instructions of our own, calls of libraries. A limit is so much and a few percent (there).
"""
# The operations that a case does in its shorter run.
COUNTS = {
    "append_durable": 40_000,
    "append_buffered": 50_000,
    "append_buffered_zstd": 50_000,
    "read": 50_000,
    "read_zstd": 50_000,
    "encode": 20_000,
    "decode": 20_000,
    "decode_zstd": 20_000,
    "mqtt_publish": 20_000,
}
# What an operation costs is the same to the last instruction in each run of one build. A change that
# adds a disk operation somewhere sends the simulated loop other ways: with other seeds it was up to
# 0.9 % more or less. The rest is room for another patch release of the compiler.
TOLERANCE = 0.03
# Below this part of the limit it is rather the counting that has gone wrong.
LEAST_PART = 0.5
PATIENCE_SECONDS = 300
NOT_COUNTED = "tidemark::sim::"
SKIPPED = 77


class Profile:
    """What a file of callgrind says: instructions and calls, of one object."""

    NAME = re.compile(r"\((\d+)\)(?: (.*))?$")

    def __init__(self, path, program):
        self.program = program
        self.names = {}
        self.instructions = 0
        self.calls = 0
        with open(path, encoding="utf-8") as file:
            self.read(file)

    def name(self, kind, text):
        """Names are written out once, and later told by their number."""
        number, name = self.NAME.match(text).groups()
        if name is not None:
            self.names[kind, number] = name
        return self.names[kind, number]

    def read(self, file):
        here, function, called = "", "", None
        is_call = False
        for line in file:
            key, equals, value = line.rstrip("\n").partition("=")
            if equals and key in ("ob", "cob"):
                name = self.name("ob", value)
                if key == "ob":
                    here = name
                else:
                    called = name
            elif equals and key in ("fn", "cfn"):
                name = self.name("fn", value)
                if key == "fn":
                    function = name
            elif equals and key == "calls":
                if self.counts(here, function) and (called or here) != here:
                    self.calls += int(value.split()[0])
                called, is_call = None, True
            elif line[:1].isdigit() or line[:1] in "+-*":
                # The line behind "calls=" is what the callee cost.
                if not is_call and self.counts(here, function):
                    self.instructions += int(line.split()[1])
                is_call = False

    def counts(self, here, function):
        return here == self.program and not function.startswith(NOT_COUNTED)


def profile(program, case, count):
    with tempfile.TemporaryDirectory(prefix="instructions-") as scratch:
        path = os.path.join(scratch, "out")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}", "--compress-pos=no",
             program, case, str(count)],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        if done.returncode != 0:
            sys.exit(f"{case} ended with {done.returncode}: {done.stderr[-2000:]}")
        return Profile(path, program)


def measure(program, cases):
    """case -> (instructions, calls), each for one operation."""
    jobs = [(case, times) for case in cases for times in (1, 2)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        profiles = dict(zip(jobs, pool.map(
            lambda job: profile(program, job[0], COUNTS[job[0]] * job[1]), jobs)))
    found = {}
    for case in cases:
        once, twice = profiles[case, 1], profiles[case, 2]
        found[case] = ((twice.instructions - once.instructions) / COUNTS[case],
                       (twice.calls - once.calls) / COUNTS[case])
    return found


def read_limits():
    limits = {}
    with open(LIMITS, encoding="ascii") as file:
        for line in file:
            if not line.startswith("#"):
                case, instructions, calls = line.split()
                limits[case] = (float(instructions), float(calls))
    return limits


def write_limits(limits):
    with open(LIMITS, "w", encoding="ascii") as file:
        file.write(HEAD)
        for case in sorted(limits):
            file.write("{:<22} {:>10.1f} {:>8.3f}\n".format(case, *limits[case]))


def judge(case, what, measured, limit):
    """Prints a line; whether it is as it should be."""
    # Where there is next to nothing, a part of it is less than what was rounded away.
    room = max(limit * TOLERANCE, 0.005)
    good = True
    verdict = "ok"
    if measured > limit + room:
        good, verdict = False, "MORE THAN BEFORE"
    elif measured < limit * LEAST_PART - room:
        good, verdict = False, "NOT BELIEVED (so little); if it is true: --update"
    elif measured < limit - room:
        verdict = "ok; less than before: --update makes it the limit"
    print(f"{case:<22} {what:<14} {measured:>10.3f}  before {limit:>10.3f}  {verdict}")
    return good


def why_not(compiler="g++"):
    """Why the limits say nothing here; empty: they do."""
    if platform.machine() != "x86_64":
        return f"the limits are for x86_64, not {platform.machine()}"
    version = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True,
                             check=False).stdout.strip()
    if version != "12":
        return f"the limits are for g++ 12, not {version or 'none'}"
    if subprocess.run(["which", "valgrind"], capture_output=True, check=False).returncode != 0:
        return "valgrind is missing"
    return ""


def main():
    parser = argparse.ArgumentParser(description="Instructions of an operation, and their limits")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--update", action="store_true", help="write limits.txt anew")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    unknown = [case for case in options.cases if case not in COUNTS]
    if unknown:
        parser.error(f"no case named {', '.join(unknown)}")
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return SKIPPED
    program = os.path.realpath(os.path.join(options.build, "prog_count_work"))
    found = measure(program, options.cases or list(COUNTS))
    limits = read_limits() if os.path.exists(LIMITS) else {}
    if options.update:
        write_limits({**limits, **found})
        return 0
    good = True
    for case, values in found.items():
        if case not in limits:
            sys.exit(f"limits.txt has no {case}")
        for what, measured, limit in zip(("instructions", "library calls"), values, limits[case]):
            good = judge(case, what, measured, limit) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
