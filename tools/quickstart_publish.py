#!/usr/bin/python3
"""The sensor of tools/quickstart.sh: a stock MQTT client (paho) that publishes a series of readings.

Reads a CSV file of times and temperatures and publishes each row at QoS 1, many in flight. When the
gateway goes away it connects again, and paho sends again what was not acknowledged. The time of every
acknowledged reading is appended to a file when its PUBACK arrives.

With --kill it is the culprit, too: once so many readings are acknowledged, it kills the gateway.
"""

import argparse
import csv
import json
import os
import signal
import sys
import time

import paho.mqtt.client as mqtt

IN_FLIGHT = 200  # publishes that wait for their PUBACK at the same time
PATIENCE_S = 60.0  # without any acknowledgement for so long: give up
RECONNECT_PAUSE_S = 0.02
# What publish() answers when paho has the message and sends it, now or after the next connection.
KEPT_BY_PAHO = (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN, mqtt.MQTT_ERR_CONN_LOST)


def read_payloads(path):
    """One (time, payload) for each row: ("2010/01/01 00:00", '{"time":"...","temp":39.4}')."""
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            reading = {"time": row["date"], "temp": float(row["temp"])}
            yield row["date"], json.dumps(reading, separators=(",", ":"))


class Sensor:
    """Runs paho's loop itself instead of in a thread: nothing new is sent before what an earlier
    connection has left unacknowledged, so that readings stay in order."""

    def __init__(self, port, topic, readings, on_acknowledged):
        self.port = port
        self.topic = topic
        self.readings = readings
        self.on_acknowledged = on_acknowledged
        self.times = {}  # by MQTT message id: what is in flight
        self.acknowledged = 0
        self.connected = False
        self.connections = 0
        self.last_progress = time.monotonic()
        self.client = mqtt.Client(client_id="seattle")
        self.client.max_inflight_messages_set(IN_FLIGHT)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish

    def _on_connect(self, _client, _userdata, _flags, code):
        if code != 0:
            raise ConnectionError(mqtt.connack_string(code))
        self.connected = True
        self.connections += 1

    def _on_disconnect(self, _client, _userdata, _code):
        self.connected = False

    def _on_publish(self, _client, _userdata, message_id):  # the PUBACK is here
        self.last_progress = time.monotonic()
        self.acknowledged += 1
        self.on_acknowledged(self.times.pop(message_id), self.acknowledged)

    def _publish_some(self):
        while self.connected and len(self.times) < IN_FLIGHT and self.readings:
            reading_time, payload = self.readings[-1]
            info = self.client.publish(self.topic, payload, qos=1)
            if info.rc not in KEPT_BY_PAHO:
                raise ConnectionError(mqtt.error_string(info.rc))
            self.times[info.mid] = reading_time
            self.readings.pop()

    def run(self):
        self.readings.reverse()  # popped from the end
        self.client.connect("127.0.0.1", self.port)
        while self.readings or self.times:
            if time.monotonic() - self.last_progress > PATIENCE_S:
                raise TimeoutError(f"no acknowledgement for {PATIENCE_S:.0f} s")
            self._publish_some()
            if self.client.loop(0.1) == mqtt.MQTT_ERR_SUCCESS:
                continue
            try:
                self.client.reconnect()
            except OSError:  # the gateway is still away
                time.sleep(RECONNECT_PAUSE_S)
        self.client.disconnect()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", help="rows of date,temp")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--topic", default="sensors/seattle/temperature")
    parser.add_argument("--acknowledged", required=True, help="file to append acknowledged times to")
    parser.add_argument("--kill", type=int, metavar="PID", help="kill this process (SIGKILL)")
    parser.add_argument("--kill-after", type=int, default=0, metavar="N", help="acknowledged readings")
    options = parser.parse_args()

    # Without buffering: a line is out as soon as its reading is acknowledged.
    with open(options.acknowledged, "ab", buffering=0) as acknowledged:

        def note(reading_time, count):
            acknowledged.write(reading_time.encode() + b"\n")
            if count == options.kill_after and options.kill:
                print(f"   {count:,} are acknowledged: SIGKILL to the gateway", flush=True)
                os.kill(options.kill, signal.SIGKILL)

        sensor = Sensor(options.port, options.topic, list(read_payloads(options.csv)), note)
        total = len(sensor.readings)
        print(f"   publishing {total:,} readings to {options.topic}, QoS 1, up to {IN_FLIGHT} in flight",
              flush=True)
        sensor.run()
    print(f"   all {total:,} are acknowledged, over {sensor.connections} connections", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"quickstart_publish.py: {error}")
