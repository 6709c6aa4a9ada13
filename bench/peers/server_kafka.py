"""Apache Kafka as a server of servers.py: one broker that is its own controller."""

import functools
import glob
import json
import os
import subprocess
import time

from server_kinds import GiveUp, Server, free_port

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
LIBS = os.path.join(ROOT, "build", "kafka", "libs")
FETCH = os.path.join(ROOT, "tests", "kafka", "fetch.sh")
LOAD = os.path.join(ROOT, "bench", "peers", "KafkaLoad.java")
CLUSTER_ID = "dGlkZW1hcmsta2Fma2EtMQ"
# It starts a JVM, and after a kill looks at its logs.
PATIENCE_SECONDS = 120
FETCH_SECONDS = 600
# As kafka-server-start.sh and kafka-run-class.sh have them.
JVM = ("-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
       "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
       "-Djava.awt.headless=true")


def java(*arguments):
    done = subprocess.run(["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
                           os.path.join(LIBS, "*"), *arguments], capture_output=True, text=True,
                          check=False, timeout=PATIENCE_SECONDS)
    if done.returncode != 0:
        raise GiveUp(f"Apache Kafka: {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


@functools.cache
def fetched():
    try:
        done = subprocess.run(["bash", FETCH], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, check=False, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


class Kafka(Server):
    system = "Apache Kafka"
    setting = "its defaults, one broker, acks=all: acknowledged from the page cache"
    program = "java"
    speaks_mqtt = False
    keeps_qos_0 = True
    settings = {}

    def __init__(self, options):
        super().__init__(options)
        self.controller_port = 0

    def available(self):
        return super().available() and fetched()

    def version(self):
        for path in glob.glob(os.path.join(LIBS, "kafka-clients-*.jar")):
            return os.path.basename(path)[len("kafka-clients-"):-len(".jar")]
        return ""

    def prepare(self, folder):
        super().prepare(folder)
        self.controller_port = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap()},"
                         f"CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap()}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": os.path.join(folder, "logs"),
            "offsets.topic.replication.factor": 1,
            **self.settings,
        }
        with open(self.config(), "w", encoding="utf-8") as file:
            file.write("".join(f"{key}={value}\n" for key, value in settings.items()))
        java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", self.config())

    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def config(self):
        return os.path.join(self.folder, "server.properties")

    def start(self):
        """Starts it, and returns the seconds until it says that it serves."""
        path = os.path.join(self.folder, "log")
        began = time.monotonic()
        with open(path, "wb") as log:
            self.process = subprocess.Popen(
                ["java", *JVM, "-cp", os.path.join(LIBS, "*"), "kafka.Kafka", self.config()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        while True:
            with open(path, encoding="utf-8", errors="replace") as log:
                content = log.read()
            if "Kafka Server started" in content:
                return time.monotonic() - began
            if self.process.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
                raise GiveUp(f"Apache Kafka did not start: {content[-2000:]}")
            time.sleep(0.01)

    def make_topics(self, count):
        java(LOAD, "topics", self.bootstrap(), str(count))

    def load(self, qos, connections, window, payload_bytes):
        """One producer, with as many in flight as all the connections have; in bulk for QoS 0."""
        in_flight = connections * window if qos > 0 else 0
        return json.loads(java(LOAD, "load", self.bootstrap(), str(in_flight), str(payload_bytes),
                               str(self.options.seconds)))


class KafkaDurable(Kafka):
    setting = "log.flush.interval.messages=1, one broker, acks=all: acknowledged when flushed"
    settings = {"log.flush.interval.messages": 1}
