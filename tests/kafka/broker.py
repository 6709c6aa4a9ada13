"""Kafka's side of the tests: its tools, each a JVM, and a broker of one node on the loopback."""
import pathlib
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSPATH = str(ROOT / "build" / "kafka" / "libs" / "*")
CLUSTER_ID = "dGlkZW1hcmsta2Fma2EtMQ"
# What is waited for must come; so long means that it does not.
PATIENCE_S = 120


def java(*arguments, heap="-Xmx256m", stdin=""):
    """What a Java program prints; an exception if it fails or hangs."""
    command = ["java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
               "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", CLASSPATH, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True,
                          errors="surrogateescape", timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: "
                           f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def dump_log_segments(files, *options):
    return java("org.apache.kafka.tools.DumpLogSegments", *options, "--files",
                ",".join(str(file) for file in files))


def kafka_side(*arguments, stdin=""):
    return java(str(ROOT / "tests" / "kafka" / "KafkaSide.java"), *arguments, stdin=stdin)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Broker:
    """Broker and controller in one process. Topics live in `folder`/logs, the cluster's metadata
    in `folder`/metadata, so that the former can be exchanged between two runs."""

    def __init__(self, folder):
        self.folder = folder
        self.logs = folder / "logs"
        self.process = None
        folder.mkdir()
        self.logs.mkdir()
        port, controller_port = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        self.config = folder / "server.properties"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.logs,
            "metadata.log.dir": folder / "metadata",
            "auto.create.topics.enable": "false",
            "log.retention.ms": -1,
            "log.cleaner.backoff.ms": 200,
            "log.cleaner.dedupe.buffer.size": 16 << 20,
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }
        self.config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self.config))

    def start(self):
        """Returns when it serves; its log of this run is then in log_text()."""
        self.log_path = self.folder / "broker.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                 "-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-cp", CLASSPATH,
                 "kafka.Kafka", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_until("it serves", lambda: "Kafka Server started" in self.log_text())

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def wait_until(self, what, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker has ended: {self.log_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain until {what}: {self.log_text()[-4000:]}")
            time.sleep(0.1)

    def stop(self):
        """Cleanly."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        # Java ends so on a SIGTERM.
        if code not in (0, 128 + signal.SIGTERM):
            raise RuntimeError(f"the broker ended with {code}: {self.log_text()[-4000:]}")

    def kill(self):
        """Whatever has happened."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
