"""Garbage on the MQTT port."""

import re
import socket
import struct

import garbage_context  # pylint: disable=unused-import # where `gateway` is found
from gateway import PATIENCE_S, Failure, Gateway, require, run_ok

MOST_GATEWAY_BYTES = 128 << 20


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
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)

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
