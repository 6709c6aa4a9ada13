"""A load that nothing shortens, through MQTT and through `tidemark produce`: numbered streams (mqtt_clients.py) of
random bytes, and a check of what is found of them in the log."""

import collections
import json
import random
import re
import subprocess
import threading
import zlib

from gateway import PATIENCE_S, Failure, command_path, require, run, run_ok
from mqtt_clients import Acknowledgements, LineReader

MIXER = 2_654_435_761  # of Knuth; scatters lengths and places
LEAST_BYTES, MOST_BYTES = 8 << 10, 56 << 10
# No line ends in it, so that it is a line of `produce` and of `consume`.
POOL = random.Random(1).randbytes(4 << 20).replace(b"\n", b"\v")
FORMAT = r"%p %o %s\n"
# More than a pipe holds: when they are written, somebody has begun to read.
LINES_TO_BE_HEARD = 12
assert LINES_TO_BE_HEARD * LEAST_BYTES > 64 << 10
LINES_OF_A_PRODUCE = 48
# What `produce` sends at once. Where records are refused it is no more: those of a later batch may be taken again, and
# the number that is told would not be that of the first lines.
LINES_OF_A_BATCH = 2
assert LINES_OF_A_BATCH * MOST_BYTES < 128 << 10


def payload(stream, number):
    mixed = (number * MIXER + zlib.crc32(stream.encode())) % 2**32
    length = LEAST_BYTES + mixed % (MOST_BYTES - LEAST_BYTES)
    start = mixed // 7 % (len(POOL) - length)
    return b"%s %d " % (stream.encode(), number) + POOL[start:start + length]


class Fed(Acknowledgements):
    """What was acknowledged, in bytes, too."""

    def __init__(self):
        super().__init__()
        self.bytes = 0
        self._bytes_lock = threading.Lock()

    def add(self, stream, number):
        super().add(stream, number)
        with self._bytes_lock:
            self.bytes += len(payload(stream, number))


class Producer:
    """`tidemark produce` to a topic, one process after the other, while `tap` is set. `starting`: whoever ends the
    gateway holds it, since a command that finds no gateway opens the store itself, without the gateway's budget."""

    def __init__(self, fed, data, topic, tap, may_be_refused):
        self.starting = threading.Lock()
        self.refused = 0  # how many processes ended with disk_full
        self.idle = threading.Event()
        self.unanswered = 0  # lines that were sent, and are to be sent once more
        self.failure = None
        self._fed = fed
        self._data = data
        self._topic = topic
        self._tap = tap
        self._lines = LINES_OF_A_BATCH if may_be_refused else LINES_OF_A_PRODUCE
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop:
                if not self._tap.wait(0.05):
                    self.idle.set()
                    continue
                self.idle.clear()
                self._produce(self._fed.next_of(self._topic))
        except (Failure, OSError) as failure:
            self.failure = failure
        self.idle.set()

    def _produce(self, first):
        lines = [payload(self._topic, first + i) + b"\n" for i in range(self._lines)]
        with self.starting:
            process = subprocess.Popen([command_path(), "produce", "--data", self._data, self._topic],
                                       stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            patience = threading.Timer(PATIENCE_S, process.kill)
            patience.start()
            written = self._write(process, lines[:LINES_TO_BE_HEARD])
            if len(lines) <= LINES_TO_BE_HEARD:
                said = process.communicate()[1]
        if len(lines) > LINES_TO_BE_HEARD:
            if written:
                self._write(process, lines[LINES_TO_BE_HEARD:])
            said = process.communicate()[1]
        patience.cancel()
        require(process.returncode >= 0, f"produce hangs, or dies of a signal ({process.returncode}): {said!r}")
        self._take_end(first, len(lines), process.returncode, said.decode(errors="replace"))

    def _take_end(self, first, lines, code, said):
        durable = re.search(r"^tidemark: (\d+) records are durable$", said, re.MULTILINE)
        count = int(durable.group(1)) if durable else 0
        for number in range(first, first + count):
            self._fed.add(self._topic, number)
        self.unanswered += lines - count
        require(code != 0 or count == lines, f"produce says {said!r} of {lines} lines")
        self.refused += code != 0 and "disk_full" in said

    @staticmethod
    def _write(process, lines):
        try:
            for line in lines:
                process.stdin.write(line)
            process.stdin.flush()
            return True
        except BrokenPipeError:
            return False

    def check(self):
        require(self.failure is None, f"the producer has failed: {self.failure}")

    def end(self):
        self._stop = True
        self._thread.join()
        self.check()


class StreamsView:
    """What is found of a topic, record by record: offsets grow, and each stream is in its order without a hole. Begins
    wherever its first record stands."""

    def __init__(self, topic):
        self.topic = topic
        self.first_offset = {}  # by partition
        self.next_offset = {}
        self.gaps = collections.defaultdict(set)  # by partition, offsets that were left out
        self.last_found = collections.Counter()  # by stream
        self.found_twice = 0
        self.bytes = 0
        self.checksums = {}  # by partition, of all values

    def take(self, line):
        partition, offset, value = line.rstrip(b"\n").split(b" ", 2)
        partition, offset = int(partition), int(offset)
        where = f"{self.topic}-{partition} at {offset}"
        self.first_offset.setdefault(partition, offset)
        expected = self.next_offset.get(partition, offset)
        require(offset >= expected, f"{where}: offset {expected} was to come")
        self.gaps[partition].update(range(expected, offset))
        self.next_offset[partition] = offset + 1
        stream, number, _ = value.split(b" ", 2)
        stream, number = stream.decode(), int(number)
        require(value == payload(stream, number), f"{where}: not what was sent as {stream} {number}")
        last = self.last_found.get(stream, number - 1)
        require(number <= last + 1, f"{where}: {stream} {last + 1} was to come, not {number}")
        self.found_twice += number <= last
        self.last_found[stream] = max(last, number)
        self.bytes += len(value)
        self.checksums[partition] = zlib.crc32(value, self.checksums.get(partition, 0))

    def check_gaps(self, lost):
        """What was left out is what a gateway has told as lost, `lost`, and no such offset was used again."""
        for partition, first in self.first_offset.items():
            name = f"{self.topic}-{partition}"
            told = lost.within(name, first, self.next_offset[partition])
            require(self.gaps[partition] == told, f"{name}: left out were {self.gaps[partition]}, told as lost {told}")


def read_topic(data, topic, lost):
    """All of a topic, as `consume -e` prints it."""
    view = StreamsView(topic)
    done = run("consume", "--data", data, topic, "-e", "-f", FORMAT)
    told = done.err.splitlines()
    require(done.code == (1 if told else 0) and all(lost.explain(line) for line in told),
            f"consume of {topic} ends with {done.code}: {done.err}")
    for line in done.out.split(b"\n")[:-1]:  # (splitlines() would end a line at other bytes, too)
        view.take(line)
    view.check_gaps(lost)
    return view


def start_consume(data, topic):
    return subprocess.Popen([command_path(), "consume", "--data", data, topic, "-f", FORMAT],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Follower:
    """`tidemark consume` that follows a topic from its beginning, through kills, too."""

    def __init__(self, data, topic):
        self.view = StreamsView(topic)
        self.failure = None
        self._process = start_consume(data, topic)
        self._said = []
        self._errors = LineReader(self._process.stderr, self._said.append)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for line in self._process.stdout:
                self.view.take(line)
        except Failure as failure:
            self.failure = failure

    def check(self):
        require(self.failure is None, f"a follower: {self.failure}")
        code = self._process.poll()
        require(code is None, f"the follower of {self.view.topic} has ended with {code}: {self._said}")

    def end(self):
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._thread.join()
        self._errors.join()


def describe(data, topic):
    """By partition: log start and end."""
    about = json.loads(run_ok("topic", "describe", "--data", data, topic, "--json"))
    return {entry["partition"]: (entry["log_start_offset"], entry["end_offset"]) for entry in about["partitions"]}
