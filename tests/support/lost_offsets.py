"""Offsets that a gateway has left out. A kill or a power cut may tear the commit that is being written: where its
directory is whole, its offsets are known, and told as lost, though nobody was told that they are durable."""

import collections
import re

TOLD = re.compile(r"([^ ]+?):? offsets (\d+) to (\d+) are lost: (.*)$")
VERIFIED = re.compile(r"lost: ([^ ]+) offsets (\d+) to (\d+): (.*)$")
TORN = "is torn or damaged"


class LostOffsets:
    """By the name of a partition."""

    def __init__(self):
        self._offsets = collections.defaultdict(set)

    def add(self, name, first, end):
        self._offsets[name].update(range(first, end))

    def behind(self, name, offset):
        """The first offset from this one on that is not lost."""
        while offset in self._offsets[name]:
            offset += 1
        return offset

    def within(self, name, first, end):
        return {offset for offset in self._offsets[name] if first <= offset < end}

    def count(self):
        return sum(len(offsets) for offsets in self._offsets.values())

    def explain(self, line):
        """Whether a line of `serve`, `consume` or `verify` tells of nothing else."""
        found = TOLD.search(line) or VERIFIED.match(line)
        if found is None:
            return False
        first, end = int(found.group(2)), int(found.group(3)) + 1
        return len(self.within(found.group(1), first, end)) == end - first

    def take_torn(self, line):
        """What `serve` says after a kill. Whether the line tells of a torn commit."""
        found = TOLD.search(line)
        if found is None or not found.group(4).endswith(TORN):
            return False
        self.add(found.group(1), int(found.group(2)), int(found.group(3)) + 1)
        return True
