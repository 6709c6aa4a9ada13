"""Stock MQTT clients as a load: each stream is numbered, and what is acknowledged is kept.

A *stream* is what one client publishes to one MQTT topic: messages numbered from 1. A client that is
made anew goes on behind what is acknowledged, so that it sends again what may be there already.
"""

import collections
import os
import re
import subprocess
import threading
import time

import paho.mqtt.client as mqtt

from gateway import Failure, require

IN_FLIGHT = 64
PAUSE_MS = 15  # between bursts of so many: bounds the load, not what is in flight


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
    """paho in a thread of ours. Dies with the gateway. `make_payload` of a number; `may_publish`: whether anything
    new is published now."""

    def __init__(self, acknowledgements, port, stream, client_id="paho", make_payload=payload,
                 may_publish=lambda: True):
        self._acknowledgements = acknowledgements
        self._stream = stream
        self._make_payload = make_payload
        self._may_publish = may_publish
        self._next = acknowledgements.next_of(stream)
        self._in_flight = {}
        self._stop = False
        self._connected = False
        self._failure = None
        self._client = mqtt.Client(client_id=client_id)
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
                while self._connected and len(self._in_flight) < IN_FLIGHT and self._may_publish():
                    info = self._client.publish(self._stream, self._make_payload(self._next), qos=1)
                    self._in_flight[info.mid] = self._next
                    self._next += 1
                    if info.rc != mqtt.MQTT_ERR_SUCCESS:
                        return
        except (OSError, Failure) as failure:
            self._failure = failure

    def in_flight(self):
        """How many wait for their acknowledgement."""
        return len(self._in_flight)

    def check(self):
        require(self._thread.is_alive(), f"{self._stream}: the connection has ended: {self._failure}")

    def kill(self):
        self._stop = True
        self._thread.join()
        if isinstance(self._failure, Failure):
            raise self._failure
