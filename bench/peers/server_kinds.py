"""The servers that servers.py compares: how each is set, started and stopped."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 30
STOP_SECONDS = 30
# Of a run of the load generator, besides the seconds that it was asked for.
LOAD_PATIENCE_SECONDS = 150


class GiveUp(Exception):
    pass


def free_port():
    """Below those that the kernel gives to whoever asks for any: until the server has it, nobody takes it."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no port is free")


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
    speaks_mqtt = True
    keeps_qos_0 = False  # on the disk
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

    def load(self, qos, connections, window, payload_bytes):
        """What the load generator tells: "messages", "messages_per_s", and for QoS 1 "p50_ms"."""
        command = [os.path.join(self.options.build, "bench_mqtt_load"), "--port", str(self.port),
                   "--qos", str(qos), "--connections", str(connections), "--window", str(window),
                   "--bytes", str(payload_bytes), "--seconds", str(self.options.seconds)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False,
                                timeout=self.options.seconds + LOAD_PATIENCE_SECONDS)
        if answer.returncode != 0:
            raise GiveUp(f"{self.system}: {answer.stderr.strip()}")
        return json.loads(answer.stdout)


class Tidemark(Server):
    system = "Tidemark"
    keeps_qos_0 = True
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


MQTT_KINDS = (Tidemark, Mosquitto, MosquittoPersistent, MosquittoSafe, Nats)


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
