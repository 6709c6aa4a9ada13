#!/usr/bin/python3
"""Tidemark's gateway beside mosquitto and NATS JetStream: the same MQTT load for each.

    bench/peers/servers.py [--build build/release] [--dir FOLDER] [--work j,i,g] [--rounds N]
                           [--seconds S] [--connections 1,100,1000] [--qos 0,1] [--window N]
                           [--server NAME,...] [--json FILE]

In each round every server has a run, one after the other, on a free port of 127.0.0.1 and in a
folder of its own; a server that is not installed is left out. What each work is, how each server is
set, and the form of the JSON are in docs/benchmarks.md.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

START_SECONDS = 30
STOP_SECONDS = 30
# Of a run of the load generator, besides the seconds that it was asked for.
LOAD_PATIENCE_SECONDS = 150


class GiveUp(Exception):
    pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# --- a client of a few lines, for what the load generator does not do


def text(value):
    return len(value).to_bytes(2, "big") + value.encode()


def packet(kind, body):
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def receive(connection, length):
    got = b""
    while len(got) < length:
        piece = connection.recv(length - len(got))
        if not piece:
            raise ConnectionError("closed")
        got += piece
    return got


def connect(port, client, clean):
    connection = socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)
    try:
        flags = b"\x02" if clean else b"\x00"
        connection.sendall(packet(0x10, text("MQTT") + b"\x04" + flags + b"\x00\x3c" + text(client)))
        if receive(connection, 4) not in (b"\x20\x02\x00\x00", b"\x20\x02\x01\x00"):
            raise GiveUp("a connection was refused")
    except BaseException:
        connection.close()
        raise
    return connection


def leave_subscriber(port):
    """A session that stays while its client is away: what is published must be kept for it."""
    with connect(port, "offline-subscriber", clean=False) as connection:
        connection.sendall(packet(0x82, b"\x00\x01" + text("sensors/#") + b"\x01"))
        answer = receive(connection, 5)
        if answer[0] != 0x90 or answer[4] != 1:
            raise GiveUp(f"a subscription was refused: {answer.hex()}")
        connection.sendall(b"\xe0\x00")


def publish_topics(port, count):
    """One message of QoS 1 to each of so many MQTT topics."""
    with connect(port, "hundred-topics", clean=True) as connection:
        for number in range(1, count + 1):
            body = text(f"sensors/thermo-{number:04}") + number.to_bytes(2, "big") + b"21.4"
            connection.sendall(packet(0x32, body))
            receive(connection, 4)
        connection.sendall(b"\xe0\x00")


# --- servers


class Server:
    """One server in one setting; its process lives between start() and stop()."""

    system = ""
    setting = ""
    program = ""
    keeps_for_subscriber = False  # leave_subscriber() is called before the load

    def __init__(self, options):
        self.options = options
        self.process = None
        self.port = 0
        self.folder = ""

    def available(self):
        return shutil.which(self.program) is not None

    def version(self):
        return ""

    def command(self):
        raise NotImplementedError

    def prepare(self, folder):
        self.folder = folder
        self.port = free_port()

    def start(self):
        """Starts it, and returns the seconds until it answered a CONNECT."""
        log = os.path.join(self.folder, "log")
        began = time.monotonic()
        with open(log, "ab") as output:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output, cwd=self.folder)
        while True:
            try:
                connect(self.port, "first", clean=True).close()
                return time.monotonic() - began
            except (ConnectionError, TimeoutError):
                pass
            if self.process.poll() is not None or time.monotonic() - began > START_SECONDS:
                with open(log, encoding="utf-8", errors="replace") as file:
                    raise GiveUp(f"{self.system} does not start:\n{file.read()[-2000:]}")
            time.sleep(0.001)

    def stop(self, how=signal.SIGTERM):
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def memory_bytes(self, field="VmRSS"):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise GiveUp(f"no {field}")

    def make_topics(self, count):
        publish_topics(self.port, count)


class Tidemark(Server):
    system = "Tidemark"
    setting = "its defaults: QoS 1 acknowledged when flushed, QoS 0 buffered for 1 s at most"

    def __init__(self, options):
        super().__init__(options)
        self.program = os.path.join(options.build, "tidemark")

    def command(self):
        return [self.program, "serve", "--data", "store", "--mqtt", f"127.0.0.1:{self.port}"]

    def make_topics(self, count):
        """Log topics, which cost more than MQTT topics."""
        for number in range(1, count):
            subprocess.run([self.program, "topic", "create", "--data",
                            os.path.join(self.folder, "store"), f"topic-{number}"],
                           check=True, timeout=START_SECONDS, stdout=subprocess.DEVNULL)


class Mosquitto(Server):
    system = "mosquitto"
    setting = "its defaults: no persistence; nobody subscribes, every message is dropped"
    program = "/usr/sbin/mosquitto"
    lines = ()

    def version(self):
        answer = subprocess.run([self.program, "-h"], capture_output=True, text=True, check=False,
                                timeout=START_SECONDS)
        found = re.search(r"version ([\d.]+)", answer.stdout)
        return found.group(1) if found else ""

    def command(self):
        return [self.program, "-c", "mosquitto.conf"]

    def prepare(self, folder):
        super().prepare(folder)
        with open(os.path.join(folder, "mosquitto.conf"), "w", encoding="ascii") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
            file.write("".join(line.format(folder=folder) + "\n" for line in self.lines))


class MosquittoPersistent(Mosquitto):
    setting = "persistence true (saves each 30 minutes and at its end); queues for a subscriber away"
    lines = ("persistence true", "persistence_location {folder}/", "max_queued_messages 0")
    keeps_for_subscriber = True


class MosquittoSafe(MosquittoPersistent):
    setting = "as before, and autosave_on_changes true, autosave_interval 1"
    lines = MosquittoPersistent.lines + ("autosave_on_changes true", "autosave_interval 1")


class Nats(Server):
    system = "NATS JetStream"
    setting = "its defaults: a stream in files, flushed each 2 minutes; keeps for a subscriber away"
    program = "/usr/sbin/nats-server"
    keeps_for_subscriber = True

    def version(self):
        answer = subprocess.run([self.program, "--version"], capture_output=True, text=True,
                                check=False, timeout=START_SECONDS)
        return answer.stdout.strip().rpartition("v")[2]

    def command(self):
        return [self.program, "-c", "nats.conf"]

    def prepare(self, folder):
        super().prepare(folder)
        with open(os.path.join(folder, "nats.conf"), "w", encoding="ascii") as file:
            file.write(f"server_name: bench\nhost: 127.0.0.1\nport: {free_port()}\n"
                       f'jetstream {{ store_dir: "{folder}/jetstream" }}\n'
                       f"mqtt {{ host: 127.0.0.1\nport: {self.port} }}\n")


KINDS = (Tidemark, Mosquitto, MosquittoPersistent, MosquittoSafe, Nats)


@contextlib.contextmanager
def running(server, parent):
    """The server, started in a folder of its own; both are gone afterwards, whatever happens."""
    folder = tempfile.mkdtemp(prefix="servers-", dir=parent)
    try:
        server.prepare(folder)
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


# --- works


class Results:
    def __init__(self):
        self.rows = []

    def add(self, work, case, server, unit, value, better="higher", notes="", setting=None, **more):
        setting = server.setting if setting is None else setting
        key = (work, case, server.system, setting, unit)
        for row in self.rows:
            if key == tuple(row[name] for name in ("work", "case", "system", "setting", "unit")):
                break
        else:
            row = dict(zip(("work", "case", "system", "setting", "unit"), key), better=better,
                       samples=[], notes=notes, **more)
            self.rows.append(row)
        row["samples"].append(value)

    def finish(self):
        for row in self.rows:
            row["median"] = statistics.median(row["samples"])
            reference = self.reference(row)
            if reference is None:
                continue
            ratios = [mine / theirs for mine, theirs in zip(row["samples"], reference["samples"])
                      if theirs]
            if ratios:
                row["ratio_to_tidemark"] = statistics.median(ratios)
                row["ratio_min"] = min(ratios)
                row["ratio_max"] = max(ratios)
        return self.rows

    def reference(self, row):
        for other in self.rows:
            if other["system"] == Tidemark.system and all(
                    other[name] == row[name] for name in ("work", "case", "unit")):
                return other
        return None


def run_load(options, server, qos, connections):
    command = [os.path.join(options.build, "bench_mqtt_load"), "--port", str(server.port),
               "--qos", str(qos), "--connections", str(connections),
               "--window", str(options.window), "--seconds", str(options.seconds)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False,
                            timeout=options.seconds + LOAD_PATIENCE_SECONDS)
    if answer.returncode != 0:
        raise GiveUp(f"{server.system}: {answer.stderr.strip()}")
    return json.loads(answer.stdout)


class RawDevice:
    system = "raw device"
    setting = "what is in flight, once for each pwrite + fdatasync of 4 KiB over zeros"


def flushes_per_second(folder, seconds):
    """Plain overwrites of 4 KiB, each flushed."""
    size, block = 16 << 20, 4096
    path = os.path.join(folder, "raw")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, bytes(size), 0)
        os.fsync(descriptor)
        count = 0
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            os.pwrite(descriptor, bytes([count & 0xFF]) * block, count * block % size)
            os.fdatasync(descriptor)
            count += 1
        return count / (time.monotonic() - began)
    finally:
        os.close(descriptor)
        os.unlink(path)


def messages_case(qos, connections):
    return f"QoS {qos}, {connections:,} connection{'' if connections == 1 else 's'}"


def work_j(options, servers, results):
    for qos in options.qos:
        for connections in options.connections:
            case = messages_case(qos, connections)
            for server in servers:
                with running(server, options.dir):
                    if server.keeps_for_subscriber:
                        leave_subscriber(server.port)
                    told = run_load(options, server, qos, connections)
                results.add("j", case, server, "messages/s", told["messages_per_s"],
                            x=connections, series=f"connections, QoS {qos}")
                if qos > 0:
                    results.add("j", case, server, "ms, median", told["p50_ms"], better="lower")
            if qos > 0 and connections == 1:
                rate = flushes_per_second(options.dir, min(options.seconds, 1)) * options.window
                results.add("j", case, RawDevice, "messages/s", rate)


def work_i(options, servers, results):
    for server in servers:
        with running(server, options.dir):
            server.make_topics(100)
            server.stop()
            server.start()
            time.sleep(min(1, options.seconds))
            results.add("i", "server, idle, 100 topics", server, "MiB",
                        server.memory_bytes() / 2**20, better="lower")
        with running(server, options.dir):
            if server.keeps_for_subscriber:
                leave_subscriber(server.port)
            run_load(options, server, 1, 100)
            results.add("i", "server, QoS 1, 100 connections, most", server, "MiB",
                        server.memory_bytes("VmHWM") / 2**20, better="lower")


def work_g(options, servers, results):
    for server in servers:
        with running(server, options.dir):
            if server.keeps_for_subscriber:
                leave_subscriber(server.port)
            told = run_load(options, server, 1, 100)
            server.stop(signal.SIGKILL)
            case = f"server, killed under {options.seconds:g} s of QoS 1, to the first CONNACK"
            results.add("g", case, server, "ms", server.start() * 1e3, better="lower",
                        notes=f"{told['messages']:,} messages in the first round")


WORKS = {"j": work_j, "i": work_i, "g": work_g}


def machine(options, servers):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = re.findall(r"^model name\s*: (.*)$", file.read(), re.MULTILINE)
    kind = subprocess.run(["stat", "-f", "-c", "%T", options.dir], capture_output=True, text=True,
                          check=False).stdout.strip()
    return {"processor": names[0] if names else platform.machine(), "processors": os.cpu_count(),
            "kernel": f"{platform.system()} {platform.release()}",
            "file_system": {"ext2/ext3": "ext4"}.get(kind, kind),
            "load": f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors",
            "time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "versions": {server.system: server.version() for server in servers
                         if server.version()}}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def print_tables(rows):
    seen = []
    for row in rows:
        table = (row["work"], row["case"], row["unit"])
        if table in seen:
            continue
        seen.append(table)
        print(f"({row['work']}) {row['case']}, {row['unit']}")
        for other in rows:
            if (other["work"], other["case"], other["unit"]) != table:
                continue
            ratio = "-"
            if "ratio_to_tidemark" in other:
                ratio = (f"{other['ratio_to_tidemark']:.3g} "
                         f"({other['ratio_min']:.3g} to {other['ratio_max']:.3g})")
            samples = other["samples"]
            notes = f"; {other['notes']}" if other["notes"] else ""
            print(f"  {other['system']:<14} {number(other['median']):>11}  ({number(min(samples))} "
                  f"to {number(max(samples))})  by Tidemark's: {ratio}  {other['setting']}{notes}")
        print()


def write_json(path, program_machine, rows):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"program": "servers.py", "machine": program_machine, "rows": rows}, file,
                  indent=2)
        file.write("\n")


def parse():
    def numbers(value):
        return [int(part) for part in value.split(",")]

    def names(value):
        return value.split(",")

    parser = argparse.ArgumentParser(description="Servers under the same MQTT load")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--dir", default=".", help="where scratch folders are made")
    parser.add_argument("--work", type=names, default=list(WORKS))
    parser.add_argument("--server", type=names, default=[], help="names; else all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=numbers, default=[1, 100, 1000])
    parser.add_argument("--qos", type=numbers, default=[0, 1])
    parser.add_argument("--window", type=int, default=20, help="in flight of a connection")
    parser.add_argument("--json", help="file for all figures")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.dir = os.path.abspath(options.dir)
    for work in options.work:
        if work not in WORKS:
            parser.error(f"no work named {work}")
    return options


def main():
    options = parse()
    # A signal becomes an exception, so that every server is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = [name.lower() for name in options.server]
    servers = []
    for kind in KINDS:
        server = kind(options)
        if wanted and server.system.lower() not in wanted:
            continue
        if server.available():
            servers.append(server)
        elif kind in (Tidemark, Mosquitto, Nats):
            print(f"{server.system} is not here: left out", file=sys.stderr)
    facts = machine(options, servers)
    results = Results()
    for _ in range(options.rounds):
        for work in options.work:
            WORKS[work](options, servers, results)
        if options.json:
            write_json(options.json, facts, results.finish())
    print_tables(results.finish())


if __name__ == "__main__":
    try:
        main()
    except GiveUp as error:
        print(f"servers.py: {error}", file=sys.stderr)
        sys.exit(1)
