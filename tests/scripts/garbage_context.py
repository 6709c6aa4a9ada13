"""What the parts of garbage.py share."""

import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gateway import require  # pylint: disable=wrong-import-position

# A small journal is quick to copy.
CONFIG = '[storage]\njournal_bytes = "4MiB"\nmemory_bytes = "8MiB"\n'


def clear_error(done, codes, what):
    """It failed as a program should: with a message and without a signal."""
    require(done.code >= 0, f"{what}: ended by signal {-done.code}: {done.err[-500:]}")
    require(done.code in codes, f"{what}: exit code {done.code}, not one of {codes}: {done.err[-500:]}")
    require(done.err.startswith("tidemark: ") or "\ntidemark: " in done.err,
            f"{what}: no error message: {done.err[-500:]!r}")
    require("std::" not in done.err and "terminate" not in done.err, f"{what}: {done.err[-500:]}")


class Context:
    def __init__(self, folder, seed):
        self.folder = folder
        self.seed = seed
        self.config = os.path.join(folder, "config.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG)

    def random(self, name):
        return random.Random(f"{self.seed} {name}")

    def new_folder(self):
        return tempfile.mkdtemp(dir=self.folder)
