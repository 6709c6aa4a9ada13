"""Kills `tidemark serve` under load and checks what is left, round after round.

Each round starts the gateway on the same data folder, lets several connections publish (libmosquitto at
QoS 1 and 2, in some rounds paho and mosquitto_pub too), and kills it at a random moment. In every other
round the clients die with it; otherwise they connect again and send again what was not acknowledged.

A *stream* is what one client publishes to one MQTT topic: numbered messages. After every kill:

- every acknowledged message is in the log, byte for byte
- each stream is there in its order and without a hole; only what was sent again is there twice
- offsets are contiguous from 0
- what was read before is still there, at the same offsets, unchanged; so is, in the end, what a
  consumer was shown that has followed through all kills
- the gateway starts by itself and tells of no damage
"""

import argparse
import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import paho.mqtt.client as mqtt

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gateway import Failure, Gateway, command_path, require, run, run_ok, wait_until

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

IN_FLIGHT = 64
PAUSE_MS = 15  # between bursts of so many: bounds the load, not what is in flight
MOST_LOAD_S = 0.5  # from the first acknowledgement to the kill


def payload(number):
    """As tests/programs/mqtt_load.cc."""
    mixed = number * 2_654_435_761 % 2**32
    length = 4000 if number % 97 == 0 else mixed % 300
    piece = str(mixed)
    return f"{number} " + (piece * (length // len(piece) + 1))[:length]


class Acknowledgements:
    """The highest acknowledged number of each stream; a stream is acknowledged in order."""

    def __init__(self):
        self._lock = threading.Lock()
        self._last = collections.Counter()
        self.count = 0

    def add(self, stream, number):
        with self._lock:
            require(number > self._last[stream],
                    f"{stream}: {number} is acknowledged after {self._last[stream]}")
            self._last[stream] = number
            self.count += 1

    def snapshot(self):
        with self._lock:
            return dict(self._last)

    def next_of(self, stream):
        with self._lock:
            return self._last[stream] + 1


class LineReader:
    """Gives each line of a pipe to `take`, in a thread; keeps what goes wrong there."""

    def __init__(self, pipe, take):
        self.failure = None
        self._pipe = pipe
        self._take = take
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for line in self._pipe:
                self._take(line.decode())
        except Failure as failure:
            self.failure = failure

    def join(self):
        self._thread.join()
        if self.failure:
            raise self.failure


class LoadClients:
    """libmosquitto: tests/programs/mqtt_load.cc. Its connections outlive the gateway."""

    NAMES = ["a", "b", "c", "d"]

    def __init__(self, acknowledgements, port_file, kind):
        program = os.path.join(os.environ["TIDEMARK_BUILD"], "prog_mqtt_load")
        specs = []
        for name in self.NAMES:
            qos = 2 if name == "d" else 1
            topics = [f"{kind}/{name}/{i}" for i in range(4 if kind == "spread" else 1)]
            firsts = [f"{topic}={acknowledgements.next_of(topic)}" for topic in topics]
            specs.append(",".join([f"load-{name}", str(qos), *firsts]))
        self.process = subprocess.Popen([program, port_file, str(IN_FLIGHT), str(PAUSE_MS), *specs],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = LineReader(
            self.process.stdout, lambda line: acknowledgements.add(line.split()[0], int(line.split()[1])))

    def check(self):
        require(self.process.poll() is None, "prog_mqtt_load has ended by itself")
        if self._reader.failure:
            raise self._reader.failure

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def drain(self):
        """Everything published gets acknowledged."""
        self.process.stdin.close()
        code = self.process.wait()
        self._reader.join()
        require(code == 0, f"prog_mqtt_load ended with {code}: not everything was acknowledged")


class MosquittoPub:
    """mosquitto_pub, fed line by line; its debug output tells what is acknowledged. Dies with the
    gateway."""

    def __init__(self, acknowledgements, port, stream):
        first = acknowledgements.next_of(stream)
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_pub", "-d", "-h", "127.0.0.1", "-p", str(port), "-i", "pub",
             "-t", stream, "-q", "1", "-l"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._stop = False
        self._feeder = threading.Thread(target=self._feed, args=(first,), daemon=True)
        self._feeder.start()

        def take(line):
            # It numbers its messages from 1.
            found = re.search(r"received PUBACK \(Mid: (\d+),", line)
            if found:
                acknowledgements.add(stream, first + int(found.group(1)) - 1)

        self._reader = LineReader(self.process.stdout, take)

    def _feed(self, number):
        try:
            while not self._stop:
                lines = "".join(payload(number + i) + "\n" for i in range(IN_FLIGHT))
                self.process.stdin.write(lines.encode())
                self.process.stdin.flush()
                number += IN_FLIGHT
                time.sleep(PAUSE_MS / 1000)
        except (BrokenPipeError, ValueError):
            pass

    def kill(self):
        self._stop = True
        self.process.kill()
        self.process.wait()
        self._feeder.join()
        self._reader.join()


class PahoClient:
    """paho in a thread of ours. Dies with the gateway."""

    def __init__(self, acknowledgements, port, stream):
        self._acknowledgements = acknowledgements
        self._stream = stream
        self._next = acknowledgements.next_of(stream)
        self._in_flight = {}
        self._stop = False
        self._connected = False
        self._failure = None
        self._client = mqtt.Client(client_id="paho")
        self._client.max_inflight_messages_set(IN_FLIGHT)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _on_connect(self, _client, _userdata, _flags, code):
        self._connected = code == 0

    def _on_publish(self, _client, _userdata, message_id):
        self._acknowledgements.add(self._stream, self._in_flight.pop(message_id))

    def _run(self):
        try:
            while not self._stop and self._client.loop(PAUSE_MS / 1000) == mqtt.MQTT_ERR_SUCCESS:
                while self._connected and len(self._in_flight) < IN_FLIGHT:
                    info = self._client.publish(self._stream, payload(self._next), qos=1)
                    self._in_flight[info.mid] = self._next
                    self._next += 1
                    if info.rc != mqtt.MQTT_ERR_SUCCESS:
                        return
        except (OSError, Failure) as failure:
            self._failure = failure

    def kill(self):
        self._stop = True
        self._thread.join()
        if isinstance(self._failure, Failure):
            raise self._failure


class Follower:
    """`tidemark consume` that follows through all kills, into a file."""

    def __init__(self, data, topic, path):
        self.topic = topic
        self.path = path
        with open(path, "wb") as out:
            self.process = subprocess.Popen([command_path(), "consume", "--data", data, topic, "-f", FORMAT],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)
        self.said = []
        self._reader = LineReader(self.process.stderr, lambda line: self.said.append(line.rstrip("\n")))

    def read(self):
        with open(self.path, "rb") as file:
            return file.read()

    def end(self):
        self.process.terminate()
        code = self.process.wait(60)
        self._reader.join()
        return code


class LogView:
    """What has been read of one partition so far; grows only."""

    def __init__(self, topic, partition):
        self.name = f"{topic}-{partition}"
        self.bytes = b""
        self.records = 0
        self.duplicates = 0

    def take(self, now, first_new):
        """`now`: the whole partition. Checks it against what was seen; returns the new lines."""
        if not now.startswith(self.bytes):
            seen, found = self.bytes.splitlines(), now.splitlines()
            at = next((i for i, (a, b) in enumerate(zip(seen, found)) if a != b), min(len(seen), len(found)))
            raise Failure(f"{self.name}: what was read has changed at line {at}, {first_new}:\n"
                          f"  before: {seen[at:at + 1]}\n  now:    {found[at:at + 1]}")
        new = now[len(self.bytes):].decode()
        self.bytes = now
        return new.splitlines()


class Test:
    def __init__(self, folder, seed, rounds):
        self.random = random.Random(seed)
        self.rounds = rounds
        self.data = os.path.join(folder, "data")
        self.folder = folder
        self.config = os.path.join(folder, "config.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG)
        self.port_file = os.path.join(folder, "port")
        self.acknowledgements = Acknowledgements()
        self.views = {p: LogView(*p) for p in PARTITIONS}
        self.last_found = collections.Counter()  # by stream: found up to here, without a hole
        self.gateway = None
        self.load = None
        self.extras = []
        self.followers = []
        self.recovery_ms = []
        self.torn = 0

    def start(self):
        self.gateway = Gateway(self.data, self.config).must_start()
        port = self.port_file + ".new"
        with open(port, "w", encoding="utf-8") as file:
            file.write(str(self.gateway.port))
        os.replace(port, self.port_file)

    def check_log(self):
        """What the gateway has said since its start: no damage, no error."""
        text = self.gateway.text()
        for line in text.splitlines():
            words = line.split(" ", 2)
            require(len(words) < 2 or words[1] not in ("error:", "critical:"), f"serve says: {line}")
            require("damage:" not in line and "are lost" not in line, f"serve says: {line}")
            self.torn += "cut off" in line
            found = re.search(r"journal bytes in ([0-9.]+) ms", line)
            if found:
                self.recovery_ms.append(float(found.group(1)))

    def start_clients(self, round_number):
        if self.load is None:
            kind = self.random.choice(["single", "spread"]) if round_number > 1 else "spread"
            self.load = LoadClients(self.acknowledgements, self.port_file, kind)
        if round_number % 4 == 1:
            self.extras.append(PahoClient(self.acknowledgements, self.gateway.port, "single/paho"))
        if round_number % 4 == 3:
            self.extras.append(MosquittoPub(self.acknowledgements, self.gateway.port, "spread/pub"))

    def verify(self, when):
        acknowledged = self.acknowledgements.snapshot()
        for (topic, partition), view in self.views.items():
            now = run_ok("consume", "--data", self.data, topic, "-p", str(partition), "-e", "-f", FORMAT)
            for line in view.take(now, when):
                self.take_record(view, partition, line, when)
        for stream, number in acknowledged.items():
            require(self.last_found[stream] >= number,
                    f"{when}: {stream} {self.last_found[stream] + 1} to {number} are missing, though "
                    f"acknowledged")

    def take_record(self, view, partition, line, when):
        where = f"{view.name}, {when}: {line[:120]}"
        fields = line.split(" ", 5)
        require(len(fields) == 6 and int(fields[0]) == partition, f"strange record: {where}")
        require(int(fields[1]) == view.records, f"offset {view.records} was to come: {where}")
        view.records += 1
        stream, value = fields[3], fields[5]
        number = int(value.split(" ", 1)[0])
        require(value == payload(number), f"not what was published: {where}")
        require(number <= self.last_found[stream] + 1,
                f"{stream} {self.last_found[stream] + 1} was to come: {where}")
        if number == self.last_found[stream] + 1:
            self.last_found[stream] = number
        else:
            view.duplicates += 1

    def wait_for_load(self):
        self.load.check()
        before = self.acknowledgements.count

        def flows():
            self.load.check()
            return self.acknowledgements.count > before and self.gateway.running()

        wait_until(flows, "an acknowledgement")
        # Not to wait for something: this is the random moment.
        time.sleep(self.random.uniform(0, MOST_LOAD_S))

    def kill_at_start(self):
        """A kill while it makes the store or recovers."""
        gateway = Gateway(self.data, self.config)
        time.sleep(self.random.uniform(0, 0.15))  # the random moment
        gateway.kill()

    def round(self, number):
        if self.random.random() < 0.3:
            self.kill_at_start()
        self.start()
        if number == 1:
            self.followers = [Follower(self.data, topic, os.path.join(self.folder, f"followed-{topic}"))
                              for topic in ("single", "spread")]
        self.start_clients(number)
        beside = number > 1 and self.random.random() < 0.5
        if beside:
            self.verify(f"round {number}, beside the gateway")
        self.wait_for_load()
        self.gateway.kill()
        self.check_log()
        for extra in self.extras:
            extra.kill()
        self.extras = []
        if self.random.random() < 0.5:
            self.load.kill()
            self.load = None
        if self.random.random() < 0.5:  # otherwise the gateway itself is the first to open the folder
            self.verify(f"after kill {number}")

    def finish(self):
        self.start()
        if self.load is not None:
            self.load.drain()
            self.load = None
        self.verify("at the end")
        self.wait_for_followers()
        self.check_followers()
        self.gateway.stop()
        self.check_log()
        self.gateway = None
        self.verify("after the clean stop")

    def wait_for_followers(self):
        for follower in self.followers:
            wanted = sum(view.records for (topic, _), view in self.views.items() if topic == follower.topic)

            def come(follower=follower, wanted=wanted):
                code = follower.process.poll()
                require(code is None, f"the follower of {follower.topic} has ended with {code}: {follower.said}")
                return follower.read().count(b"\n") >= wanted

            try:
                wait_until(come, "its end")
            except Failure as failure:
                last = follower.read().splitlines()[-1:]
                raise Failure(f"the follower of {follower.topic} does not come to {wanted} records: {failure}; "
                              f"its last: {last}; it has said: {follower.said}") from failure

    def check_followers(self):
        for follower in self.followers:
            lines = follower.read().splitlines(keepends=True)
            for (topic, partition), view in self.views.items():
                if topic != follower.topic:
                    continue
                mine = b"".join(line for line in lines if line.startswith(b"%d " % partition))
                require(mine == view.bytes, f"{view.name}: a follower was shown something else")
            lost = [line for line in follower.said if "lost" in line]
            require(not lost, f"the follower of {follower.topic} says: {lost}")

    def run(self):
        try:
            for number in range(1, self.rounds + 1):
                self.round(number)
            self.finish()
        finally:
            for follower in self.followers:
                follower.end()
            for extra in self.extras:
                extra.kill()
            if self.load is not None:
                self.load.process.kill()
            if self.gateway is not None:
                self.gateway.abandon()

    def summary(self):
        records = sum(view.records for view in self.views.values())
        duplicates = sum(view.duplicates for view in self.views.values())
        segments = sum(name.endswith(".log") for _, _, names in os.walk(self.data) for name in names)
        return (f"{self.rounds} kills; {self.acknowledgements.count} acknowledged, {records} found, "
                f"{duplicates} of them sent again, {segments} segments; torn commits: {self.torn}; recovery "
                f"{min(self.recovery_ms):.1f} to {max(self.recovery_ms):.1f} ms")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed} (SEED={options.seed} repeats its random choices)", flush=True)
    folder = tempfile.mkdtemp(prefix="tidemark-kill.")
    test = Test(folder, options.seed, options.rounds)
    try:
        test.run()
    except Failure as failure:
        print(f"FAILED: {failure}\nThe data folder is kept: {test.data}")
        return 1
    print(test.summary())
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
