"""Gives `tidemark` garbage in every place that takes something in.

The answer must be a clear error or a repair: never a crash, never a hang, and everything that was intact
stays readable. Four parts: the command line, the config, the MQTT port, and the files of a data folder
that was stopped cleanly or killed.
"""

import argparse
import concurrent.futures
import os
import random
import re
import shutil
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gateway import Failure, Gateway, require, run, run_ok

# A small journal is quick to copy; small segments, so that there are sealed ones.
CONFIG = '[storage]\njournal_bytes = "4MiB"\nmemory_bytes = "8MiB"\n'
TOPIC_SETTINGS = ["segment.bytes=24KiB", "compression.type=none", "index.interval.bytes=1"]
TOPIC = "garden"
PARTITIONS = 2
SESSIONS = 6  # each leaves a batch in every partition; two make a segment
RECORDS_PER_SESSION = 200
BLOCK = 4096

SERVE_SAID = "    serve said: "
WORKERS = 6  # cases at the same time; they mostly wait for flushes
MOST_GATEWAY_BYTES = 128 << 20


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


# --- The command line ------------------------------------------------------------------------

def command_line_cases(context):
    empty = os.path.join(context.folder, "empty")  # nothing here may make a store of it
    os.makedirs(empty)
    plain = os.path.join(context.folder, "plain")
    with open(plain, "w", encoding="utf-8") as file:
        file.write("not a folder\n")
    usage = [
        [], [""], ["nonsense"], ["--nonsense"], ["-"], ["--"], ["serve"], ["serve", "--data"],
        ["serve", "--data", empty, "extra"], ["serve", "--data", empty, "--mqtt", "nonsense"],
        ["serve", "--data", empty, "--mqtt", "127.0.0.1:65536"],
        ["serve", "--data", empty, "--mqtt", "127.0.0.1:-1"], ["serve", "--data", empty, "--mqtt", ""],
        ["serve", "--data", empty, "--mqtt", ":::::"],
        ["topic"], ["topic", "nonsense"], ["topic", "create", "--data", empty],
        ["topic", "create", "--data", empty, "a", "--partitions", "0"],
        ["topic", "create", "--data", empty, "a", "--partitions", "-7"],
        ["topic", "create", "--data", empty, "a", "--partitions", "99999999999999999999"],
        ["topic", "create", "--data", empty, "a", "--partitions", "three"],
        ["topic", "create", "--data", empty, "a", "--config", "segment.bytes"],
        ["topic", "alter", "--data", empty, "a"], ["produce", "--data", empty],
        ["produce", "--data", empty, "a", "-p", "x"], ["produce", "--data", empty, "a", "-k", "a", "-K", "b"],
        ["produce", "--data", empty, "a", "-K", ""],
        ["produce", "--data", empty, "a", "--durability", "perhaps"],
        ["consume", "--data", empty], ["consume", "--data", empty, "a", "-o", "nonsense"],
        ["consume", "--data", empty, "a", "-o", "s@"], ["consume", "--data", empty, "a", "-o", "s@tomorrow"],
        ["consume", "--data", empty, "a", "-o", "99999999999999999999"],
        ["consume", "--data", empty, "a", "-c", "-1"], ["consume", "--data", empty, "a", "-f", "%q"],
        ["consume", "--data", empty, "a", "-f", "%"], ["consume", "--data", empty, "a", "-f", "\\"],
        ["consume", "--data", empty, "a", "-f", "\\xZZ"],
        ["consume", "--data", empty, "a", "--json", "-f", "%s"],
        ["consume", "--data", empty, "a", "--reset", "sometimes"], ["dump"], ["datagen"],
        ["datagen", "volcanoes"], ["datagen", "thermometers", "--devices", "0"],
        ["datagen", "thermometers", "--data", empty], ["datagen", "thermometers", "--rate", "-1"],
        [b"\xff\xfe"], [b"\xff\xfe", b"\x01\x02\x1b[2J"], ["x" * 100_000],
        ["serve", "--data", empty, "--" + "y" * 5000],
    ]
    failed = [
        ["consume", "--data", empty, "a", "-e"], ["consume", "--data", plain, "a", "-e"],
        ["consume", "--data", os.path.join(context.folder, "nowhere"), "a", "-e"],
        ["consume", "--data", "/dev/null", "a", "-e"], ["consume", "--data", "", "a", "-e"],
        ["consume", "--data", "x" * 5000, "a", "-e"], ["topic", "list", "--data", empty],
        ["serve", "--data", os.path.join(context.folder, "far"), "--mqtt", "192.0.2.1:0"],
        ["serve", "--data", os.path.join(context.folder, "no-address"), "--mqtt", "999.0.0.1:1883"],
        ["produce", "--data", empty, "a"], ["serve", "--data", plain, "--mqtt", "127.0.0.1:0"],
        ["serve", "--data", "", "--mqtt", "127.0.0.1:0"],
        ["serve", "--data", "/proc/nowhere", "--mqtt", "127.0.0.1:0"],
        ["topic", "create", "--data", os.path.join(plain, "below"), "a"],
        ["dump", os.path.join(context.folder, "nowhere")], ["dump", plain], ["dump", "/dev/null"],
    ]
    store = os.path.join(context.folder, "cli-store")
    run_ok("topic", "create", "--data", store, "a")
    in_store = [
        ["topic", "create", "--data", store, name] for name in
        ("", ".", "..", "../up", "a/b", "sp ace", "x" * 250, "new\nline", b"\xff\xfe", "ü")
    ] + [
        ["topic", "create", "--data", store, "a"], ["topic", "delete", "--data", store, "nowhere"],
        ["topic", "describe", "--data", store, "nowhere"],
        ["topic", "alter", "--data", store, "a", "--config", "nonsense=1"],
        ["topic", "alter", "--data", store, "a", "--config", "segment.bytes=lots"],
        ["topic", "alter", "--data", store, "a", "--config", "segment.bytes=-1"],
        ["topic", "alter", "--data", store, "a", "--config", "cleanup.policy=1"],
        ["topic", "alter", "--data", store, "a", "--config", "=1"],
        ["consume", "--data", store, "a", "-e", "-o", "17"],
        ["consume", "--data", store, "a", "-e", "-p", "7"],
        ["consume", "--data", store, "a", "-e", "-p", "-1"], ["consume", "--data", store, "nowhere", "-e"],
        ["produce", "--data", store, "a", "-p", "7"], ["produce", "--data", store, "nowhere"],
    ]

    def check(arguments, codes):
        clear_error(run(*arguments, stdin=b"line\n"), codes, f"tidemark {str(arguments)[:200]}")

    cases = [(f"command line {i}", lambda a=a: check(a, [2])) for i, a in enumerate(usage)]
    cases += [(f"command line, failing {i}", lambda a=a: check(a, [1])) for i, a in enumerate(failed)]

    def check_in_store():  # one after the other: a store has one user at a time
        for arguments in in_store:
            check(arguments, [1, 2])
        run_ok("produce", "--data", store, "a", stdin=b"still here\n")
        require(run_ok("consume", "--data", store, "a", "-e") == b"still here\n", "the store has suffered")

    return cases + [("command line, in a store", check_in_store)]


# --- The config ------------------------------------------------------------------------------

def config_cases(context):
    texts = {
        "unknown key": b"[mqtt]\nlisten_at = '127.0.0.1:0'\n",
        "unknown table": b"[nonsense]\na = 1\n",
        "wrong type": b"[mqtt]\nmax_connections = 'many'\n",
        "negative": b"[storage]\njournal_bytes = -1\n",
        "too large": b"[storage]\njournal_bytes = 99999999999999999999\n",
        "too large in words": b"[storage]\njournal_bytes = '99999999999999999999 TiB'\n",
        "float": b"[storage]\nmemory_bytes = 1e300\n",
        "too small": b"[storage]\njournal_bytes = 1\n",
        "twice": b"[storage]\nmemory_bytes = '8MiB'\nmemory_bytes = '9MiB'\n",
        "table as value": b"[storage]\nmemory_bytes = { a = 1 }\n",
        "array as table": b"storage = [1, 2, 3]\n",
        "unfinished": b"[storage\n",
        "unfinished text": b"[log]\nlevel = \"in",
        "not UTF-8": b"[log]\nlevel = \"\xff\xfe\"\n",
        "zeros": b"\0" * 4096,
        "deep": b"a = " + b"[" * 100_000,
        "deep table": b"[" + b".".join([b"a"] * 20_000) + b"]\n",
        "huge": b"#" * (2 << 20),
        "a binary": open(sys.executable, "rb").read(100_000),
        "not honoured": b"[[topic]]\nname = 'a'\nsettings = { \"cleanup.policy\" = 1 }\n",
        "setting unknown": b"[[topic]]\nname = 'a'\nsettings = { \"nonsense\" = 1 }\n",
        "bad topic name": b"[[topic]]\nname = '../up'\n",
        "topic twice": b"[[topic]]\nname = 'a'\n[[topic]]\nname = 'a'\n",
        "topic without name": b"[[topic]]\npartitions = 2\n",
        "partitions": b"[[topic]]\nname = 'a'\npartitions = 0\n",
        "bad filter": b"[[mqtt.route]]\nfilter = 'a/#/b'\ntopic = 'a'\n",
        "bad route topic": b"[[mqtt.route]]\nfilter = 'a/#'\ntopic = 'a/b'\n",
        "bad key": b"[mqtt]\nkey = 'level -1'\n",
        "open to all": b"[mqtt]\nlisten = '0.0.0.0:0'\n",
        "no address": b"[mqtt]\nlisten = 'everywhere'\n",
        "io engine": b"[storage]\nio_engine = 'steam'\n",
    }
    rng = context.random("config")
    for i in range(5):
        texts[f"random {i}"] = rng.randbytes(rng.randrange(1, 3000))
    good = b"[storage]\nmemory_bytes = '8MiB'\n[mqtt]\nlisten = '127.0.0.1:0'\n[log]\nlevel = 'info'\n"
    for i in range(10):
        broken = bytearray(good)
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        texts[f"one byte {i}"] = bytes(broken)

    def check(name, text):
        folder = context.new_folder()
        path = os.path.join(folder, "config.toml")
        if text is None:
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(text)
        # What happens to be a good config is ended by SIGTERM at once.
        may_start = name.startswith(("one byte", "random"))
        gateway = Gateway(os.path.join(folder, "data"), path, mqtt=None)
        try:
            if gateway.started():
                require(may_start, f"config '{name}' was accepted")
                gateway.stop()
                return
            code, text = gateway.process.returncode, gateway.text()
            require(code in (1, 2), f"config '{name}': code {code}: {text[-500:]}")
            require("tidemark: " in text and "std::" not in text,
                    f"config '{name}': no clear error: {text[-500:]}")
        finally:
            gateway.abandon()

    cases = [(f"config, {name}", lambda n=name, t=text: check(n, t)) for name, text in texts.items()]
    cases.append(("config, a folder", lambda: check("a folder", None)))

    def check_missing():
        missing = os.path.join(context.folder, "no.toml")
        done = run("serve", "--data", context.new_folder(), "--config", missing)
        clear_error(done, [1, 2], "a config that is not there")

    return cases + [("config, missing", check_missing)]


# --- The MQTT port ---------------------------------------------------------------------------

def remaining_length(length):
    encoded = b""
    while True:
        length, digit = divmod(length, 128)
        encoded += bytes([digit | (0x80 if length else 0)])
        if not length:
            return encoded


def packet(first_byte, body):
    return bytes([first_byte]) + remaining_length(len(body)) + body


def text(value):
    return struct.pack(">H", len(value)) + value


def connect_packet(client=b"sensor", level=4, flags=2, name=b"MQTT"):
    return packet(0x10, text(name) + bytes([level, flags]) + struct.pack(">H", 60) + text(client))


def publish_packet(topic, message, message_id=1, qos=1):
    return packet(0x30 | qos << 1, text(topic) + (struct.pack(">H", message_id) if qos else b"") + message)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has been told to go away already

    def receive(self, length):
        received = b""
        while len(received) < length:
            chunk = self.socket.recv(length - len(received))
            require(chunk, "the connection was closed")
            received += chunk
        return received

    def expect_end(self, what):
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError as error:
            raise Failure(f"MQTT: the connection stays open after: {what}") from error

    def close(self):
        self.socket.close()


def mqtt_cases(context):
    rng = context.random("mqtt")
    hello = connect_packet()
    closed = {  # what the server must end the connection for
        "HTTP": b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
        "zeros": b"\0" * 1000,
        "ones": b"\xff" * 1000,
        "length of five bytes": b"\x10\xff\xff\xff\xff\x01",
        "a packet of 256 MiB": b"\x10\xff\xff\xff\x7f" + b"x" * 1000,
        "publish before connect": publish_packet(b"a", b"b"),
        "another protocol": connect_packet(name=b"SMTP!"),
        "reserved connect flag": connect_packet(flags=3),
        "connect cut short": packet(0x10, text(b"MQTT") + b"\x04"),
        "text beyond the packet": packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x3c" + b"\xff\xff" + b"abc"),
        "connect twice": hello + hello,
        "publish of 256 MiB": hello + b"\x32\xff\xff\xff\x7f" + b"x" * 1000,
        "QoS 3": hello + packet(0x36, text(b"a") + b"\0\1x"),
        "message id 0": hello + publish_packet(b"a", b"b", 0),
        "wildcard": hello + publish_packet(b"a/#", b"b"),
        "plus": hello + publish_packet(b"a/+/b", b"b"),
        "no topic": hello + publish_packet(b"", b"b"),
        "topic with zero": hello + publish_packet(b"a\0b", b"b"),
        "topic not UTF-8": hello + publish_packet(b"\xff\xfe", b"b"),
        "topic with surrogate": hello + publish_packet(b"\xed\xa0\x80", b"b"),
        "topic beyond the packet": hello + packet(0x32, b"\xff\xffab"),
        "publish cut short": hello + packet(0x32, b"\0"),
        "publish without message id": hello + packet(0x32, text(b"a")),
        "packet type 0": hello + packet(0x00, b""),
        "packet type 15": hello + packet(0xF0, b"\0"),
        "a server's packet": hello + packet(0x20, b"\0\0"),
        "ping with body": hello + packet(0xC0, b"x"),
        "ping with flags": hello + packet(0xC1, b""),
        "pubrel with wrong flags": hello + packet(0x60, b"\0\1"),
        "subscribe without filter": hello + packet(0x82, b"\0\1"),
        "disconnect with body": hello + packet(0xE0, b"x"),
    }
    gateway_of = {}

    def gateway():
        return gateway_of["gateway"]

    def intact(number):
        """A well-behaved client is served, whatever others do."""
        client = Connection(gateway().port)
        client.send(connect_packet(b"good-%d" % number))
        require(client.receive(4) == b"\x20\x02\0\0", "no CONNACK")
        client.send(publish_packet(b"good", b"%d" % number, 7))
        require(client.receive(4) == b"\x40\x02\0\7", "no PUBACK")
        client.close()

    def memory_bytes():
        with open(f"/proc/{gateway().process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024

    def run_all():
        data = context.new_folder()
        gateway_of["gateway"] = Gateway(data, context.config).must_start()
        count = 0
        try:
            for name, data_sent in closed.items():
                attacker = Connection(gateway().port)
                attacker.send(data_sent)
                attacker.expect_end(name)
                attacker.close()
                intact(count)
                count += 1
            # Any bytes at all, whole or cut off, then silence or the end.
            for i in range(150):
                attacker = Connection(gateway().port)
                start = hello if rng.random() < 0.7 else b""
                kind = rng.randrange(3)
                if kind == 0:
                    rest = rng.randbytes(rng.randrange(0, 600))
                elif kind == 1:
                    body = rng.randbytes(rng.randrange(0, 200))
                    rest = packet(rng.randrange(256), body) * rng.randrange(1, 4)
                else:
                    rest = publish_packet(b"noise", rng.randbytes(50), rng.randrange(1, 65536),
                                          rng.randrange(3))
                    rest = rest[:rng.randrange(len(rest))] + rng.randbytes(rng.randrange(0, 8))
                attacker.send(start + rest)
                if rng.random() < 0.3:
                    attacker.socket.shutdown(socket.SHUT_WR)
                attacker.close()
            intact(count)
            count += 1
            # Many that promise much and send nothing more.
            silent = [Connection(gateway().port) for _ in range(200)]
            for i, attacker in enumerate(silent):
                attacker.send(connect_packet(b"silent-%d" % i) + b"\x32\xff\xff\x3f" + b"x" * 100)
            intact(count)
            count += 1
            used = memory_bytes()
            require(used < MOST_GATEWAY_BYTES, f"MQTT: the gateway holds {used} bytes")
            for attacker in silent:
                attacker.close()
            # What can be answered is answered.
            client = Connection(gateway().port)
            client.send(connect_packet(b"asker"))
            client.receive(4)
            client.send(packet(0x82, b"\0\x05" + text(b"a/#") + b"\1"))
            require(client.receive(5) == b"\x90\x03\0\5\x80", "SUBSCRIBE is to be answered with failure")
            client.send(packet(0xC0, b""))
            require(client.receive(2) == b"\xd0\0", "no PINGRESP")
            client.close()

            require(gateway().running(), f"serve has ended: {gateway().text()}")
            found = run_ok("consume", "--data", data, "mqtt", "-e", "-f", r"%k %S %s\n")
            good = [line for line in found.split(b"\n") if line.startswith(b"good ")]
            require([line.split()[2] for line in good] == [b"%d" % i for i in range(count)],
                    f"MQTT: the good client's messages are not there: {good}")
            gateway().stop()
        finally:
            gateway().abandon()

    return [("MQTT port", run_all)]


# --- The data folder -------------------------------------------------------------------------

class Base:
    """A store with known records; `killed`: the last of them are in the journal only."""

    def __init__(self, context, killed):
        self.data = os.path.join(context.folder, "killed" if killed else "clean")
        settings = [word for setting in TOPIC_SETTINGS for word in ("--config", setting)]
        gateway = Gateway(self.data, context.config).must_start()
        gateway.stop()
        run_ok("topic", "create", "--data", self.data, TOPIC, "--partitions", str(PARTITIONS), *settings)
        for session in range(SESSIONS):
            for partition in range(PARTITIONS):
                self._produce(partition, session)
        self.packed_end = SESSIONS * RECORDS_PER_SESSION
        self.end = self.packed_end
        if killed:
            gateway = Gateway(self.data, context.config).must_start()
            for partition in range(PARTITIONS):
                self._produce(partition, SESSIONS)
            self.end += RECORDS_PER_SESSION
            self.records = self._read()
            gateway.kill()
        else:
            self.records = self._read()
        for partition in range(PARTITIONS):
            require(len(self.records[partition]) == self.end, "the base store is not as expected")
        self.segments = [self._bases(partition) for partition in range(PARTITIONS)]
        require(len(self.segments[0]) == SESSIONS // 2, f"strange segments: {self.segments}")

    def _produce(self, partition, session):
        lines = "".join(f"{partition} {session} {i} " + "x" * (i % 60) + "\n"
                        for i in range(RECORDS_PER_SESSION))
        run_ok("produce", "--data", self.data, TOPIC, "-p", str(partition), stdin=lines.encode())

    def _read(self):
        """By partition: (timestamp, value) of each offset."""
        records = [[] for _ in range(PARTITIONS)]
        for line in run_ok("consume", "--data", self.data, TOPIC, "-e", "-f", r"%p %o %T %s\n").splitlines():
            partition, offset, timestamp, value = line.split(b" ", 3)
            require(int(offset) == len(records[int(partition)]), "the base store has a hole")
            records[int(partition)].append((int(timestamp), value))
        return records

    def _bases(self, partition):
        names = os.listdir(os.path.join(self.data, f"{TOPIC}-{partition}"))
        return sorted(int(name[:-4]) for name in names if name.endswith(".log"))


class Damage:
    """One way to damage a data folder, and what may follow from it."""

    def __init__(self, name, do, lost=None, may_refuse=False, quarantined=False, silent=False,
                 clean_only=False):
        self.name = name
        self.do = do  # (folder, random, base)
        self.lost = lost or (lambda base: {})  # by partition: (first, end) of what may be lost
        self.may_refuse = may_refuse
        self.quarantined = quarantined
        self.silent = silent  # the loss cannot be told from nothing having been written
        self.clean_only = clean_only  # after a kill nothing would be different


def overwrite(path, rng, begin=0, end=None):
    size = os.path.getsize(path)
    end = size if end is None else min(end, size)
    with open(path, "r+b") as file:
        file.seek(begin)
        file.write(rng.randbytes(end - begin))


def flip(path, rng, begin=0, end=None):
    size = os.path.getsize(path)
    require(size > 0, f"{path} is empty already")
    at = rng.randrange(begin, size if end is None else min(end, size))
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


def cut(path, length):
    os.truncate(path, length)


def replace_by_folder(path):
    if os.path.lexists(path):
        os.remove(path)
    os.mkdir(path)


def replace_by_text(path):
    if os.path.lexists(path):
        os.remove(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write("This is not what you are looking for.\n")


def no_loss(_base):
    return {}


def tail_loss(base):
    """What only the journal holds."""
    return {p: (base.packed_end, base.end) for p in range(PARTITIONS)}


def journal_damages():
    slot_bytes = (4 << 20) // 32
    slot_a, slot_b, ring = 2 * BLOCK, 2 * BLOCK + slot_bytes, 2 * BLOCK + 2 * slot_bytes

    def journal(act):
        return lambda folder, rng, base: act(os.path.join(folder, "journal"), rng)

    def first_commits(path, rng):
        overwrite(path, rng, ring + BLOCK // 2, ring + 3 * BLOCK)

    return [
        Damage("journal, superblock copy 1", journal(lambda p, r: overwrite(p, r, 0, BLOCK))),
        Damage("journal, superblock copy 2", journal(lambda p, r: overwrite(p, r, BLOCK, 2 * BLOCK))),
        Damage("journal, both superblocks", journal(lambda p, r: overwrite(p, r, 0, 2 * BLOCK)), tail_loss,
               quarantined=True),
        Damage("journal, slot A", journal(lambda p, r: overwrite(p, r, slot_a, slot_b))),
        Damage("journal, slot B", journal(lambda p, r: overwrite(p, r, slot_b, ring))),
        Damage("journal, both slots", journal(lambda p, r: overwrite(p, r, slot_a, ring)), tail_loss),
        Damage("journal, one bit of slot A", journal(lambda p, r: flip(p, r, slot_a, slot_a + 100))),
        # Without one readable commit the ring looks as if nothing had been written since the checkpoint.
        Damage("journal, ring", journal(lambda p, r: overwrite(p, r, ring)), tail_loss, silent=True),
        Damage("journal, first commits", journal(first_commits), tail_loss),
        Damage("journal, all", journal(overwrite), tail_loss, quarantined=True),
        Damage("journal, zeros", journal(lambda p, r: (cut(p, 0), cut(p, 4 << 20))), tail_loss,
               quarantined=True),
        Damage("journal, cut in half", journal(lambda p, r: cut(p, 2 << 20)), tail_loss),
        Damage("journal, cut to a block", journal(lambda p, r: cut(p, BLOCK)), tail_loss),
        Damage("journal, cut to 100 bytes", journal(lambda p, r: cut(p, 100)), tail_loss),
        Damage("journal, empty", journal(lambda p, r: cut(p, 0)), tail_loss),
        Damage("journal, missing", journal(lambda p, r: os.remove(p)), tail_loss),
        Damage("journal, longer", journal(lambda p, r: cut(p, 5 << 20))),
        Damage("journal, a folder", journal(lambda p, r: replace_by_folder(p)), tail_loss, may_refuse=True),
    ]


def manifest_damages():
    def manifests(act, names=("manifest", "manifest.backup")):
        def do(folder, rng, _base):
            for name in names:
                act(os.path.join(folder, name), rng)
        return do

    one, two = ("manifest",), ("manifest.backup",)
    lost_identity = lambda folder, rng, base: (
        manifests(overwrite)(folder, rng, base),
        overwrite(os.path.join(folder, "journal"), rng, 0, 2 * BLOCK))
    return [
        Damage("manifest, garbage", manifests(overwrite, one)),
        Damage("manifest, one bit", manifests(flip, one)),
        Damage("manifest, empty", manifests(lambda p, r: cut(p, 0), one)),
        Damage("manifest, missing", manifests(lambda p, r: os.remove(p), one)),
        Damage("manifest, a folder", manifests(lambda p, r: replace_by_folder(p), one), may_refuse=True),
        Damage("manifest.backup, garbage", manifests(overwrite, two)),
        Damage("manifest.backup, missing", manifests(lambda p, r: os.remove(p), two)),
        Damage("both manifests, garbage", manifests(overwrite)),
        Damage("both manifests, text", manifests(lambda p, r: replace_by_text(p))),
        Damage("both manifests, missing", manifests(lambda p, r: os.remove(p))),
        Damage("both manifests and both superblocks", lost_identity, tail_loss, may_refuse=True),
    ]


def segment_damages():
    damages = []

    def path(folder, base, which, suffix):
        return os.path.join(folder, f"{TOPIC}-0", f"{base.segments[0][which]:020d}.{suffix}")

    def of_segment(which):
        def lost(base):
            bases = base.segments[0]
            following = bases[which + 1] if 0 <= which < len(bases) - 1 else base.packed_end
            return {0: (bases[which], following)}
        return lost

    acts = {
        "garbage": overwrite,
        "one bit": flip,
        "cut short": lambda p, r: cut(p, os.path.getsize(p) * 2 // 3),
        "empty": lambda p, r: cut(p, 0),
        "missing": lambda p, r: os.remove(p),
        "garbage behind": lambda p, r: open(p, "ab").write(r.randbytes(5000)),
    }
    for which, name in ((0, "first"), (-1, "last")):
        for act_name, act in acts.items():
            # The last one is not sealed.
            for suffix in ("log", "index", "timeindex") + (("seal",) if which == 0 else ()):
                loses = suffix == "log" and act_name != "garbage behind"
                # The first segment is sealed: what is wrong there is found by who reads it.
                cuts = suffix == "log" and which == -1 and act_name == "cut short"
                damages.append(Damage(
                    f"{name} .{suffix}, {act_name}",
                    lambda folder, rng, base, w=which, a=act, s=suffix: a(path(folder, base, w, s), rng),
                    of_segment(which) if loses else no_loss, quarantined=cuts, clean_only=which == 0))
    damages.append(Damage("first .log, a folder",
                          lambda folder, rng, base: replace_by_folder(path(folder, base, 0, "log")),
                          of_segment(0), may_refuse=True))
    return damages


def other_damages():
    def in_partition(name, act):
        return lambda folder, rng, base: act(os.path.join(folder, f"{TOPIC}-0", name), rng)

    def in_folder(name, act):
        return lambda folder, rng, base: act(os.path.join(folder, name), rng)

    def strangers(folder, rng, _base):
        for name in ("stranger", "stranger-0", f"{TOPIC}-9", f"{TOPIC}-x"):
            os.mkdir(os.path.join(folder, name))
        for name in ("core", f"{TOPIC}-0/notes.log", f"{TOPIC}-0/5.log", f"{TOPIC}-0/{'7' * 30}.log",
                     "stranger-0/partition.metadata", f"{TOPIC}-0/00000000000000000000.log.deleted"):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(rng.randbytes(3000))

    def dead_link(path, _rng):
        if os.path.lexists(path):
            os.remove(path)
        os.symlink("/nowhere/at/all", path)

    write = lambda p, r: open(p, "wb").write(r.randbytes(3000))
    remove = lambda p, r: os.remove(p)
    return [
        Damage("partition.metadata, garbage", in_partition("partition.metadata", overwrite)),
        Damage("partition.metadata, missing", in_partition("partition.metadata", remove)),
        Damage("leader-epoch-checkpoint, garbage", in_partition("leader-epoch-checkpoint", write)),
        Damage("leader-epoch-checkpoint, missing", in_partition("leader-epoch-checkpoint", remove)),
        Damage("owner, garbage", in_folder("owner", write)),
        Damage("owner, missing", in_folder("owner", remove)),
        Damage("owner, a folder", in_folder("owner", lambda p, r: replace_by_folder(p)), may_refuse=True),
        Damage("socket, plain file", in_folder("tidemark.sock", lambda p, r: replace_by_text(p)),
               may_refuse=True),
        Damage("socket, dead link", in_folder("tidemark.sock", dead_link), may_refuse=True),
        Damage("socket, a folder", in_folder("tidemark.sock", lambda p, r: replace_by_folder(p)),
               may_refuse=True),
        Damage("exports, garbage", in_folder("recovery-point-offset-checkpoint", write)),
        Damage("quarantine, plain file", in_folder("quarantine", write)),
        Damage("strangers", strangers),
        Damage("a partition's folder, missing",
               lambda folder, rng, base: shutil.rmtree(os.path.join(folder, f"{TOPIC}-0")),
               lambda base: {0: (0, base.packed_end)}),
        Damage("a partition's folder, a file",
               lambda folder, rng, base: (shutil.rmtree(os.path.join(folder, f"{TOPIC}-0")),
                                          write(os.path.join(folder, f"{TOPIC}-0"), rng)),
               lambda base: {0: (0, base.end)}, may_refuse=True),
        Damage("nothing at all", lambda folder, rng, base: None),
    ]


class DamagedStore:
    def __init__(self, context, base, damage, label):
        self.context = context
        self.base = base
        self.damage = damage
        self.label = label
        self.allowed = damage.lost(base)
        self.folder = os.path.join(context.new_folder(), "data")
        self.gateway = None
        self.said = ""

    def may_be_lost(self, partition, offset):
        first, end = self.allowed.get(partition, (0, 0))
        return first <= offset < end

    def fail(self, text):
        raise Failure(f"{text}\n{SERVE_SAID}{self.said[-1500:]}")

    def check(self):
        shutil.copytree(self.base.data, self.folder,
                        ignore=lambda _folder, names: [n for n in names if n == "tidemark.sock"])
        self.damage.do(self.folder, self.context.random(self.label), self.base)
        self.gateway = Gateway(self.folder, self.context.config)
        try:
            started = self.gateway.started()
            self.said = self.gateway.text()
            if not started:
                self.check_refusal()
                return
            seen = self.read()
            self.check_lookups(seen)
            self.check_append()
            self.check_quarantine()
            self.said = self.gateway.text()
            self.gateway.stop()
            self.said = self.gateway.text()
            again = self.read()
            if any(again.get(key) != value for key, value in seen.items()):
                self.fail("another opening shows something else")
        except Failure as failure:
            if SERVE_SAID in str(failure):
                raise
            self.fail(str(failure))
        finally:
            self.gateway.abandon()

    def check_refusal(self):
        code = self.gateway.process.returncode
        if code < 0:
            self.fail(f"ended by signal {-code}")
        if not self.damage.may_refuse:
            self.fail(f"refused with code {code}")
        last = self.said.splitlines()[-1] if self.said else ""
        if code != 1 or not last.startswith("tidemark: ") or self.folder not in last:
            self.fail(f"no clear error (code {code}): {last}")

    def read(self):
        """Everything that can be read, checked against what was written."""
        done = run("consume", "--data", self.folder, TOPIC, "-e", "-f", r"%p %o %s\n")
        if done.code not in (0, 1):
            self.fail(f"consume ended with {done.code}: {done.err}")
        found = {}
        for line in done.out.splitlines():
            partition, offset, value = line.split(b" ", 2)
            key = (int(partition), int(offset))
            if key in found:
                self.fail(f"{key} is there twice")
            found[key] = value
            if self.damage.silent and self.may_be_lost(*key):
                continue  # the offset may have been given away again
            if key[1] < self.base.end and value != self.base.records[key[0]][key[1]][1]:
                self.fail(f"{key} has become another record: {value[:80]}")
        missing = [(p, o) for p in range(PARTITIONS) for o in range(self.base.end) if (p, o) not in found]
        wrongly = [key for key in missing if not self.may_be_lost(*key)]
        if wrongly:
            self.fail(f"{len(wrongly)} intact records are not there, first {wrongly[0]}, last {wrongly[-1]}; "
                      f"consume (code {done.code}): {done.err[-500:]}")
        if missing and "lost" not in done.err + self.said and not self.damage.silent:
            self.fail(f"{len(missing)} records are lost without a word, first {missing[0]}")
        if done.code != 0 and not missing and not self.allowed:
            self.fail(f"consume ended with {done.code} though nothing is missing: {done.err}")
        return found

    def check_lookups(self, seen):
        """By offset and by timestamp, in a sealed segment and in the last one."""
        for partition in range(PARTITIONS):
            records = self.base.records[partition]
            for offset in (RECORDS_PER_SESSION // 2, self.base.packed_end - 3):
                if (partition, offset) not in seen:
                    continue
                at = ["-p", str(partition), "-c", "1", "-f", r"%o %s\n"]
                expected = b"%d %s\n" % (offset, records[offset][1])
                by_offset = run("consume", "--data", self.folder, TOPIC, "-o", str(offset), *at)
                if by_offset.out != expected:
                    self.fail(f"partition {partition} from offset {offset}: {by_offset}")
                when = records[offset][0]
                first = next(o for o, r in enumerate(records) if r[0] >= when and (partition, o) in seen)
                expected = b"%d %s\n" % (first, records[first][1])
                by_time = run("consume", "--data", self.folder, TOPIC, "-o", f"s@{when}", *at)
                if by_time.out != expected:
                    self.fail(f"partition {partition} from timestamp {when}, not offset {first}: {by_time}")

    def check_append(self):
        for partition in range(PARTITIONS):
            run_ok("produce", "--data", self.folder, TOPIC, "-p", str(partition), stdin=b"new\n")
            line = run_ok("consume", "--data", self.folder, TOPIC, "-p", str(partition), "-o", "-1",
                          "-c", "1", "-f", r"%o %s\n")
            offset, value = line.rstrip(b"\n").split(b" ", 1)
            if value != b"new" or (int(offset) < self.base.end and not self.damage.silent):
                self.fail(f"a new record got offset {offset}; the old ones end at {self.base.end}")

    def check_quarantine(self):
        if not self.damage.quarantined:
            return
        folder = os.path.join(self.folder, "quarantine")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        kept = [name for name in names if not name.endswith(".txt")]
        if not kept or any(name + ".txt" not in names for name in kept):
            self.fail(f"nothing (with a note) in quarantine/: {names}")


def data_folder_cases(context):
    damages = journal_damages() + manifest_damages() + segment_damages() + other_damages()
    cases = []
    for killed in (False, True):
        base = Base(context, killed)
        for damage in damages:
            if killed and damage.clean_only:
                continue
            label = f"after a {'kill' if killed else 'clean stop'}: {damage.name}"
            cases.append((label, lambda b=base, d=damage, l=label: DamagedStore(context, b, d, l).check()))
    return cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true", help="print each case and how long it took")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="tidemark-garbage.")
    context = Context(folder, options.seed)
    failures = []
    try:
        cases = (command_line_cases(context) + config_cases(context) + mqtt_cases(context) +
                 data_folder_cases(context))
        cases = [case for case in cases if options.only in case[0]]

        def attempt(case):
            began = time.monotonic()
            try:
                case[1]()
                if options.verbose:
                    print(f"{time.monotonic() - began:6.2f} s  {case[0]}", flush=True)
                return None
            except Failure as failure:
                return f"{case[0]}: {failure}"
            except Exception as error:  # pylint: disable=broad-except
                return f"{case[0]}: {type(error).__name__}: {error}"

        with concurrent.futures.ThreadPoolExecutor(max_workers=WORKERS) as pool:
            failures = [failure for failure in pool.map(attempt, cases) if failure]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"{len(cases)} cases, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
