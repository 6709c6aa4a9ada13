#!/usr/bin/python3
"""Checks who may include what: layers depend downward only.

    tools/check_includes.py [--root DIR]    prints file:line: message, exits 1 on a violation
    tools/check_includes.py --self-test     proves on a made-up tree that violations are found
"""

import argparse
import os
import re
import sys
import tempfile

# Folder -> the folders that it may include besides itself. "include" is the public API,
# written "tidemark/...".
LAYERS = {
    "include": set(),
    "base": {"include"},
    "io": {"base", "include"},
    "record": {"base", "include"},
    "index": {"base", "include"},
    "storage": {"index", "record", "io", "base", "include"},
    "ingest": {"record", "io", "base", "include"},
    "kafka": {"record", "io", "base", "include"},
    "uplink": {"record", "io", "base", "include"},
    "tools": {"include", "base", "io", "record", "index", "storage", "ingest", "kafka", "uplink"},
    "bench": {"include", "base", "io", "record", "index", "storage", "ingest", "kafka", "uplink",
              "tools"},
    "tests": {"include", "base", "io", "record", "index", "storage", "ingest", "kafka", "uplink",
              "tools", "bench"},
}

# These may use any library and the kernel as they like, but for RESTRICTED below.
FREE = {"tools", "bench", "tests"}

# The kernel's headers, above all those for files, sockets and waiting for them.
KERNEL = re.compile(
    r"^(fcntl|unistd|dirent|poll|netdb|(sys|linux|asm|net|netinet|arpa)/.+)\.h$")

# Third-party headers -> the folders that may include them.
RESTRICTED = [
    (re.compile(r"^(liburing\.h|liburing/.*)$"), {"io", "tests"}),
    (re.compile(r"^(zstd|zstd_errors|zdict|zlib|lz4|lz4frame|snappy)\.h$"), {"record", "tests"}),
    (re.compile(r"^(CLI|nlohmann|toml\+\+|spdlog|fmt)/.*$|^toml\.hpp$"),
     {"tools", "tests", "bench"}),
    (re.compile(r"^(gtest|gmock|rapidcheck|benchmark)/.*$|^rapidcheck\.h$|^mosquitto\.h$"),
     {"tests", "bench"}),
]

# What else the library's folders may use: no I/O in any of these.
HARMLESS = {
    "xxh_x86dispatch.h", "xxhash.h",
    # The CPU's own instructions, and how to ask whether it has them.
    "immintrin.h", "nmmintrin.h", "emmintrin.h", "cpuid.h", "arm_acle.h", "arm_neon.h",
    "sys/auxv.h", "asm/hwcap.h",
    # POSIX without files or sockets.
    "endian.h", "errno.h", "pthread.h", "sched.h", "signal.h", "strings.h", "sys/random.h",
    "sys/resource.h", "sys/time.h", "sys/types.h", "sys/utsname.h", "time.h",
}

STANDARD = set("""
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono
cinttypes climits clocale cmath codecvt compare complex concepts condition_variable coroutine
csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype deque
exception execution filesystem format forward_list fstream functional future initializer_list
iomanip ios iosfwd iostream istream iterator latch limits list locale map memory memory_resource
mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator
semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf
string string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo
unordered_map unordered_set utility valarray variant vector version
""".split())

# Standard headers that open files behind the seam's back.
STANDARD_FILES = {"fstream"}

SOURCE = re.compile(r"\.(h|hh|hpp|inc|c|cc|cpp)$")
INCLUDE = re.compile(r'^\s*#\s*(?:include|include_next|import)\s*(?:"([^"]+)"|<([^>]+)>|(\S.*))')
COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.DOTALL)


def without_comments(text):
    """Blanks comments and raw strings; line numbers stay what they were."""

    def blank(match):
        token = match.group(0)
        if token.startswith(("/", "R")):
            return re.sub(r"[^\n]", " ", token)
        return token

    return COMMENT_OR_TEXT.sub(blank, text)


def check_quoted(folder, name):
    """What is wrong with `#include "name"` in the folder, or None."""
    if "\\" in name or any(part in (".", "..") for part in name.split("/")):
        return f'"{name}" is not written from the project\'s root'
    if "/" not in name:
        return f'"{name}" names no folder: write it from the project\'s root'
    target = name.split("/", 1)[0]
    if target == "include":
        return f'"{name}": write public headers as "tidemark/..."'
    if target == "tidemark":
        target = "include"
    if target not in LAYERS:
        return f'"{name}": {target}/ is no folder of ours; other libraries go in <>'
    if target != folder and target not in LAYERS[folder]:
        return f'{folder}/ may not include {target}/ ("{name}")'
    return None


def check_angled(folder, name):
    """What is wrong with `#include <name>` in the folder, or None."""
    target = name.split("/", 1)[0]
    if "/" in name and (target in LAYERS or target == "tidemark"):
        return f'<{name}>: our own headers go in ""'
    if name in STANDARD:
        if name in STANDARD_FILES and folder not in FREE and folder != "io":
            return f"<{name}> opens files: only io/ may"
        return None
    if folder == "include":
        return f"<{name}>: public headers include the standard library and tidemark/ only"
    for pattern, allowed in RESTRICTED:
        if pattern.match(name):
            if folder in allowed:
                return None
            return f"<{name}> is only for " + ", ".join(f"{where}/" for where in sorted(allowed))
    if folder in FREE or name in HARMLESS:
        return None
    if KERNEL.match(name):
        return None if folder == "io" else f"<{name}> calls the kernel: only io/ may"
    return f"<{name}> is not known to tools/check_includes.py: add it there, or do without"


def check_text(folder, text):
    """Yields (line number, message) for each violation in a file's text."""
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, angled, other = match.groups()
        if quoted is not None:
            message = check_quoted(folder, quoted)
        elif angled is not None:
            message = check_angled(folder, angled)
        else:
            message = f"#include {other.strip()}: no macros in includes"
        if message:
            yield number, message


def check_tree(root):
    """All violations under root as (path, line number, message), in order."""
    found = []
    for folder in sorted(LAYERS):
        for where, folders, files in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(files):
                if not SOURCE.search(name):
                    continue
                path = os.path.join(where, name)
                with open(path, encoding="utf-8", errors="replace") as source:
                    text = source.read()
                shown = os.path.relpath(path, root)
                found += [(shown, line, message) for line, message in check_text(folder, text)]
    return found


# Path -> lines; "!" at a line's start marks one that must be reported, and nothing else may be.
SELF_TEST_TREE = {
    "include/tidemark/engine.h": [
        '#include <cstdint>', '#include "tidemark/error.h"',
        '!#include "base/bytes.h"', '!#include <unistd.h>', '!#include <xxhash.h>',
    ],
    "base/bytes.h": [
        '#include <span>', '#include "tidemark/engine.h"', '#include "base/check.h"',
        '#include <nmmintrin.h>', '!#include "io/file.h"', '!#include <sys/stat.h>',
        '#include <sys/auxv.h>', '!#include <zstd.h>',
        '!#include "bytes.h"', '!#include "../io/file.h"',
        '!#include <fstream>', '!  #  include <fcntl.h>  // a reason',
        '!#include "include/tidemark/engine.h"',
    ],
    "io/file.cc": [
        '#include "io/file.h"', '#include <liburing.h>', '#include <fcntl.h>',
        '#include <sys/statfs.h>', '#include "base/bytes.h"', '#include "tidemark/engine.h"',
        '!#include "record/batch.h"', '!#include "storage/journal.h"',
        '!#include <spdlog/spdlog.h>',
    ],
    "record/batch.cc": [
        '#include <zstd.h>', '#include <lz4frame.h>', '#include "base/bytes.h"', '// #include "storage/journal.h"',
        '/* #include "io/file.h"', '#include "io/file.h" */', 'const char* k = "/*";',
        '!#include "io/file.h"', '!#include "index/offset_index.h"', '!#include <liburing.h>',
        'const char* r = R"(', '#include "tools/main.h"', ')";',
    ],
    "index/offset_index.cc": [
        '#include "base/bytes.h"', '!#include "record/batch.h"', '!#include <poll.h>',
    ],
    "storage/journal.cc": [
        '#include "storage/journal.h"', '#include "index/offset_index.h"', '#include <xxhash.h>',
        '#include "record/batch.h"', '#include "io/file.h"', '!#include <unistd.h>',
        '!#include "ingest/server.h"', '!#include "tools/main.h"', '!#include <zstd.h>',
        '!#include <nlohmann/json.hpp>', '!#include <storage/journal.h>', '!#include HEADER',
        '!#include "tests/sim/disk.h"', '!#include <boost/any.hpp>',
    ],
    "ingest/server.cc": [
        '#include "record/batch.h"', '#include "tidemark/engine.h"', '#include "io/loop.h"',
        '!#include "storage/journal.h"', '!#include "index/offset_index.h"',
        '!#include <sys/epoll.h>', '!#include <toml++/toml.h>', '!#include <mosquitto.h>',
    ],
    "tools/main.cc": [
        '#include <CLI/CLI.hpp>', '#include <unistd.h>', '#include "storage/journal.h"',
        '!#include "bench/suite.h"', '!#include "tests/support/dir.h"', '!#include <liburing.h>',
        '!#include <gtest/gtest.h>', '!#include "gtest/gtest.h"',
    ],
    "bench/micro_crc32c.cc": [
        '#include <benchmark/benchmark.h>', '#include <fcntl.h>', '#include "base/bytes.h"',
        '!#include "tests/support/dir.h"', '!#include <zstd.h>',
    ],
    "tests/storage/journal_test.cc": [
        '#include <gtest/gtest.h>', '#include <sys/socket.h>', '#include "tests/sim/disk.h"',
        '#include "bench/suite.h"', '#include "storage/journal.h"', '!#include "journal.h"',
    ],
}


def self_test():
    with tempfile.TemporaryDirectory() as root:
        expected = set()
        for path, lines in SELF_TEST_TREE.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as out:
                for number, line in enumerate(lines, 1):
                    if line.startswith("!"):
                        expected.add((path, number))
                    out.write(line.lstrip("!") + "\n")
        found = {(path, line) for path, line, _ in check_tree(root)}
    for path, line in sorted(expected - found):
        print(f"self-test: not reported: {path}:{line}: {SELF_TEST_TREE[path][line - 1][1:]}")
    for path, line in sorted(found - expected):
        print(f"self-test: wrongly reported: {path}:{line}: {SELF_TEST_TREE[path][line - 1]}")
    return 0 if found == expected else 1


def main():
    parser = argparse.ArgumentParser(description="Checks who may include what.")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    found = check_tree(arguments.root)
    for path, line, message in found:
        print(f"{path}:{line}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
