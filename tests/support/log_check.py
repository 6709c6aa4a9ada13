"""Checks a log that numbered streams (mqtt_clients.py) were published to, whatever befell its gateway:

- every acknowledged message is there, byte for byte
- each stream is there in its order and without a hole; only what was sent again is there twice
- offsets are contiguous from 0; only where a power cut has torn a commit that nobody was told of,
  offsets may be left out, and which ones `tidemark verify` says before
- what was read before is still there, at the same offsets, unchanged
"""

import collections
import os
import re
import subprocess

from gateway import PATIENCE_S, Failure, command_path, require, run
from lost_offsets import TORN, VERIFIED, LostOffsets
from mqtt_clients import LineReader, payload

# Small, so that a round of load goes around the journal and rolls segments.
CONFIG = """
[storage]
journal_bytes = "4MiB"
memory_bytes = "8MiB"

[[mqtt.route]]
filter = "single/#"
topic = "single"

[[mqtt.route]]
filter = "spread/#"
topic = "spread"

[[topic]]
name = "single"
settings = { "segment.bytes" = "128KiB" }

[[topic]]
name = "spread"
partitions = 2
settings = { "segment.bytes" = "128KiB" }
"""
PARTITIONS = [("single", 0), ("spread", 0), ("spread", 1)]
FORMAT = r"%p %o %T %k %h %s\n"


class Follower:
    """`tidemark consume` that follows, through kills, too; into a file."""

    def __init__(self, data, topic, path, offset="beginning"):
        self.topic = topic
        self.path = path
        with open(path, "wb") as out:
            self.process = subprocess.Popen([command_path(), "consume", "--data", data, topic, "-o", offset,
                                             "-f", FORMAT],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)
        self.said = []
        self._reader = LineReader(self.process.stderr, lambda line: self.said.append(line.rstrip("\n")))

    def read(self):
        with open(self.path, "rb") as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def end(self):
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self._reader.join()
        return code


class LogView:
    """What has been read of one partition so far; grows only."""

    def __init__(self, topic, partition, lost):
        self.name = f"{topic}-{partition}"
        self.topic = topic
        self.partition = partition
        self.bytes = b""
        self.next_offset = 0
        self.records = 0
        self.duplicates = 0
        self.gaps_met = 0
        self._lost = lost

    def take(self, now, when):
        """`now`: the whole partition. Checks it against what was seen; returns the new lines."""
        if not now.startswith(self.bytes):
            seen, found = self.bytes.splitlines(), now.splitlines()
            at = next((i for i, (a, b) in enumerate(zip(seen, found)) if a != b), min(len(seen), len(found)))
            raise Failure(f"{self.name}: what was read has changed at line {at}, {when}:\n"
                          f"  before: {seen[at:at + 1]}\n  now:    {found[at:at + 1]}")
        new = now[len(self.bytes):].decode()
        self.bytes = now
        return new.splitlines()

    def take_offset(self, offset, where):
        expected = self._lost.behind(self.name, self.next_offset)
        self.gaps_met += expected > self.next_offset
        require(offset == expected, f"offset {expected} was to come: {where}")
        self.next_offset = offset + 1


class LogCheck:
    """All partitions of PARTITIONS."""

    def __init__(self, data, acknowledgements):
        self.data = data
        self.acknowledgements = acknowledgements
        self.lost = LostOffsets()
        self.views = {p: LogView(*p, self.lost) for p in PARTITIONS}
        self.last_found = collections.Counter()  # by stream: found up to here, without a hole
        # By stream: acknowledged before the log was last read. Nobody sends these again afterwards.
        self._settled = collections.Counter()
        self.recovery_ms = []
        self.torn = 0

    def take_gateway_log(self, text):
        """What a gateway has said since its start: no damage, no error."""
        for line in text.splitlines():
            if self.lost.explain(line):
                continue
            words = line.split(" ", 2)
            require(len(words) < 2 or words[1] not in ("error:", "critical:"), f"serve says: {line}")
            require("damage:" not in line and "are lost" not in line, f"serve says: {line}")
            self.torn += "cut off" in line
            found = re.search(r"journal bytes in ([0-9.]+) ms", line)
            if found:
                self.recovery_ms.append(float(found.group(1)))

    def take_cut(self):
        """After a power cut, before anybody opens the store: what `tidemark verify` says. No record is lost
        but those of a commit that was being written."""
        if not os.path.exists(os.path.join(self.data, "journal")):
            return  # it was cut off while it was made
        done = run("verify", self.data)
        require(done.code in (0, 4), f"verify ends with {done.code}: {done.out.decode()}{done.err}")
        for line in done.out.decode().splitlines():
            require(not line.startswith("unreadable:"), f"verify says: {line}")
            if not line.startswith("lost:") or self.lost.explain(line):
                continue
            found = VERIFIED.match(line)
            require(found and found.group(4).endswith(TORN), f"verify says: {line}")
            view = self._view_of(found.group(1))
            first, end = int(found.group(2)), int(found.group(3)) + 1
            require(first >= view.next_offset, f"verify says: {line}, though it was read before")
            self.lost.add(view.name, first, end)

    def _view_of(self, name):
        view = next((view for view in self.views.values() if view.name == name), None)
        require(view is not None, f"there is no partition {name}")
        return view

    def verify(self, when):
        acknowledged = self.acknowledgements.snapshot()
        for (topic, partition), view in self.views.items():
            now = self._consume(topic, partition)
            for line in view.take(now, when):
                self._take_record(view, line, when)
        for stream, number in acknowledged.items():
            require(self.last_found[stream] >= number,
                    f"{when}: {stream} {self.last_found[stream] + 1} to {number} are missing, though "
                    f"acknowledged")
        self._settled.update({stream: number - self._settled[stream] for stream, number in acknowledged.items()})

    def _consume(self, topic, partition):
        done = run("consume", "--data", self.data, topic, "-p", str(partition), "-e", "-f", FORMAT)
        told = [line for line in done.err.splitlines() if self.lost.explain(line)]
        require(done.code == (1 if told else 0), f"consume of {topic} ended with {done.code}: {done.err}")
        return done.out

    def _take_record(self, view, line, when):
        where = f"{view.name}, {when}: {line[:120]}"
        fields = line.split(" ", 5)
        require(len(fields) == 6 and int(fields[0]) == view.partition, f"strange record: {where}")
        view.take_offset(int(fields[1]), where)
        view.records += 1
        stream, value = fields[3], fields[5]
        number = int(value.split(" ", 1)[0])
        require(value == payload(number), f"not what was published: {where}")
        require(number <= self.last_found[stream] + 1,
                f"{stream} {self.last_found[stream] + 1} was to come: {where}")
        require(number > self._settled[stream], f"there once more, though nobody sent it again: {where}")
        if number == self.last_found[stream] + 1:
            self.last_found[stream] = number
        else:
            view.duplicates += 1

    def summary(self):
        records = sum(view.records for view in self.views.values())
        duplicates = sum(view.duplicates for view in self.views.values())
        left_out = sum(view.gaps_met for view in self.views.values())
        return (f"{self.acknowledgements.count} acknowledged, {records} found, {duplicates} of them sent again; "
                f"torn commits: {self.torn} without a trace of their offsets, {left_out} with it; recovery "
                f"{min(self.recovery_ms):.1f} to {max(self.recovery_ms):.1f} ms")
