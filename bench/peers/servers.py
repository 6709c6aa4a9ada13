#!/usr/bin/python3
"""Tidemark's gateway beside mosquitto and NATS JetStream, the same MQTT load for each, and Kafka.

    bench/peers/servers.py [--build build/release] [--dir FOLDER] [--work a,b,c,j,i,g] [--rounds N]
                           [--seconds S] [--connections 1,100,1000] [--qos 0,1] [--window N]
                           [--server NAME,...] [--json FILE]

In each round every server has a run, one after the other, on a free port of 127.0.0.1 and in a
folder of its own; a server that is not installed is left out. Apache Kafka is fetched by Maven
(tests/kafka/fetch.sh), and left out if that fails; its own producer is its load. What each work is,
how each server is set, and the form of the JSON are in docs/peers.md.
"""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True

from server_kafka import Kafka, KafkaDurable  # noqa: E402
from server_kinds import (  # noqa: E402
    MQTT_KINDS, GiveUp, Mosquitto, Nats, Tidemark, leave_subscriber, running)

KINDS = MQTT_KINDS + (Kafka, KafkaDurable)
# Of a payload: a thermometer's, and the records of bench_peers.
READING_BYTES = 62
RECORD_BYTES = 100


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
    if server.keeps_for_subscriber:
        leave_subscriber(server.port)
    return server.load(qos, connections, options.window, READING_BYTES)


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


def one_connection(options, servers, results, work, case, qos, window):
    """Records of 100 bytes from one client, so many in flight; of QoS 0 as many as it likes."""
    for server in servers:
        with running(server, options.dir):
            if server.keeps_for_subscriber:
                leave_subscriber(server.port)
            told = server.load(qos, 1, window, RECORD_BYTES)
        results.add(work, f"server, one client, {case}", server, "messages/s",
                    told["messages_per_s"],
                    notes="" if qos > 0 or server.keeps_qos_0 else "kept nowhere")
        if qos > 0:
            results.add(work, f"server, one client, {case}", server, "ms, median", told["p50_ms"],
                        better="lower")


def work_a(options, servers, results):
    one_connection(options, servers, results, "a", "one message at a time", 1, 1)


def work_b(options, servers, results):
    one_connection(options, servers, results, "b", "64 in flight", 1, 64)


def work_c(options, servers, results):
    one_connection(options, servers, results, "c", "in bulk", 0, 1)


def messages_case(qos, connections):
    return f"QoS {qos}, {connections:,} connection{'' if connections == 1 else 's'}"


def work_j(options, servers, results):
    for qos in options.qos:
        for connections in options.connections:
            case = messages_case(qos, connections)
            for server in servers:
                if not server.speaks_mqtt:
                    continue
                with running(server, options.dir):
                    told = run_load(options, server, qos, connections)
                results.add("j", case, server, "messages/s", told["messages_per_s"],
                            x=connections, series=f"connections, QoS {qos}",
                            notes="" if qos > 0 or server.keeps_qos_0 else "kept nowhere")
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
            run_load(options, server, 1, 100)
            results.add("i", "server, QoS 1, 100 connections, most", server, "MiB",
                        server.memory_bytes("VmHWM") / 2**20, better="lower")


def work_g(options, servers, results):
    for server in servers:
        with running(server, options.dir):
            told = run_load(options, server, 1, 100)
            server.stop(signal.SIGKILL)
            case = f"server, killed under {options.seconds:g} s of QoS 1, to the first answer"
            results.add("g", case, server, "ms", server.start() * 1e3, better="lower",
                        notes=f"{told['messages']:,} messages in the first round")


WORKS = {"a": work_a, "b": work_b, "c": work_c, "j": work_j, "i": work_i, "g": work_g}


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
    options.server = [name.lower() for name in options.server]
    systems = sorted({kind.system for kind in KINDS})
    for name in options.server:
        if name not in [system.lower() for system in systems]:
            parser.error(f"no server named {name}; there are {', '.join(systems)}")
    return options


def main():
    options = parse()
    # A signal becomes an exception, so that every server is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    servers = []
    for kind in KINDS:
        server = kind(options)
        if options.server and server.system.lower() not in options.server:
            continue
        if server.available():
            servers.append(server)
        elif kind is Kafka:
            print("Apache Kafka is not here, and Maven could not fetch it: left out",
                  file=sys.stderr)
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
