"""A store with a byte budget of 64 MiB, on a tmpfs of its own, that is fed many times its size over MQTT at QoS 1 and
by `tidemark produce`; two of them, one after the other:

- Topics that drop the oldest: everything is taken all the time, though some consumers stand still and keep files open
  that are removed. At the end the newest records are there, without a hole from the log's start to its end.
- Topics that reject: fed until appends are refused. Consumers follow; when they have shown everything, retention.bytes
  makes room for a moment, and what waited goes on by itself. Everything that was acknowledged was shown, at contiguous
  offsets, and what is still in the log is what was shown.

All the time a watcher adds up the blocks that are really taken. In the middle the gateway is killed, once at a random
moment and of the rejecting one once more when it is full, and goes on. Nothing that it says is an error, and `tidemark
verify` finds nothing, but for the offsets of a commit that the kill has torn (a kill ends a write to a tmpfs, too).
"""

import os
import random
import select
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from crash_test import parser, run_test
from gateway import PATIENCE_S, Failure, Gateway, require, run, run_ok, wait_until
from lost_offsets import LostOffsets
from mqtt_clients import PahoClient
from random_load import Fed, Follower, Producer, describe, payload, read_topic, start_consume
from small_disk import SmallDisk, Watcher

BUDGET_BYTES = 64 << 20
# The disk is larger than the budget, so that it is the budget that holds, and more would be seen.
DISK_BYTES = BUDGET_BYTES + (8 << 20)
# Of the budget, what holds records at the end at least: not all is dropped.
LEAST_KEPT_BYTES = BUDGET_BYTES // 2
QUIET_S = 0.3  # nothing was acknowledged for so long, and a produce was refused: it is full
MOST_LOAD_S = 0.3  # before a kill
# While there is made room: of each partition, what stays at least. More than is in flight.
KEPT_BYTES = 4 << 20
STREAMS = ["meters/north", "meters/south", "alarms/door"]
TOPICS = ["meters", "alarms", "lines"]

CONFIG = """
[storage]
store_bytes = {budget}
memory_bytes = "8MiB"

[[mqtt.route]]
filter = "meters/#"
topic = "meters"

[[mqtt.route]]
filter = "alarms/#"
topic = "alarms"
"""
TOPIC = """
[[topic]]
name = "{name}"
partitions = {partitions}
settings = {{ "compression.type" = "none", "when.full" = "{when_full}" }}
"""


class Store:
    """A gateway on a small disk, its clients, and the watcher."""

    def __init__(self, folder, rng, when_full, goal_bytes):
        self.random = rng
        self.goal_bytes = goal_bytes
        self.folder = os.path.join(folder, when_full)
        self.disk = SmallDisk(os.path.join(self.folder, "mount"), DISK_BYTES)
        self.data = os.path.join(self.disk.mount, "data")
        self.config = os.path.join(self.folder, "config.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(budget=BUDGET_BYTES))
            for name in TOPICS:
                file.write(TOPIC.format(name=name, partitions=2 if name == "meters" else 1, when_full=when_full))
        self.fed = Fed()
        self.tap = threading.Event()  # set: clients send what is new
        self.clients = []
        self.unanswered = 0  # of clients that have died
        self.gateway = None
        self.killed = False
        self.lost = LostOffsets()
        self.start_gateway()
        self.watcher = Watcher(self.disk, self.data, BUDGET_BYTES)
        self.producer = Producer(self.fed, self.data, "lines", self.tap, when_full == "reject")
        self.started_s = time.monotonic()

    # --- The gateway and its clients ---

    def start_gateway(self):
        self.gateway = Gateway(self.data, self.config).must_start()

    def start_clients(self):
        self.clients = [PahoClient(self.fed, self.gateway.port, stream, client_id=stream,
                                   make_payload=lambda number, stream=stream: payload(stream, number),
                                   may_publish=self.tap.is_set) for stream in STREAMS]

    def end_clients(self):
        for client in self.clients:
            client.kill()
            self.unanswered += client.in_flight()
        self.clients = []

    def check_log(self):
        for line in self.gateway.text().splitlines():
            if self.killed and (self.lost.explain(line) or self.lost.take_torn(line)):
                continue
            require(" error: " not in line and " critical: " not in line, f"serve says: {line}")

    def check(self):
        require(self.gateway.running(), f"serve has ended by itself: {self.gateway.text()}")
        self.watcher.check()
        self.producer.check()
        for client in self.clients:
            client.check()

    def kill_and_go_on(self):
        with self.producer.starting:
            self.gateway.kill()
            self.check_log()
            self.killed = True
            self.end_clients()
            self.start_gateway()
        self.start_clients()

    def wait_for(self, condition, what):
        """Until then all goes well."""
        def come():
            self.check()
            return condition()
        wait_until(come, what)

    def wait_for_bytes(self, wanted_bytes):
        """Until so much is acknowledged. It may take as long as it likes, but never stand still."""
        last_bytes, deadline_s = self.fed.bytes, time.monotonic() + PATIENCE_S
        while self.fed.bytes < wanted_bytes:
            self.check()
            if self.fed.bytes > last_bytes:
                last_bytes, deadline_s = self.fed.bytes, time.monotonic() + PATIENCE_S
            require(time.monotonic() < deadline_s, f"nothing is acknowledged any more: {self.gateway.text()}")
            time.sleep(0.005)

    # --- The end ---

    def stop_feeding(self):
        self.tap.clear()
        self.wait_for(lambda: self.producer.idle.is_set() and not any(c.in_flight() for c in self.clients),
                      "the acknowledgement of what is in flight")
        self.producer.end()
        self.end_clients()
        self.unanswered += self.producer.unanswered

    def check_view(self, view):
        """Against what was acknowledged."""
        for stream, number in self.fed.snapshot().items():
            if stream.split("/")[0] == view.topic:
                require(view.last_found[stream] >= number,
                        f"{stream} {view.last_found[stream] + 1} to {number} are missing, though acknowledged")

    def read_all(self):
        """Every topic, from its log's start to its end."""
        self.check_log()
        views = []
        for topic in TOPICS:
            view = read_topic(self.data, topic, self.lost)
            for partition, (start, end) in describe(self.data, topic).items():
                name = f"{topic}-{partition}"
                found = (view.first_offset.get(partition, end), view.next_offset.get(partition, end))
                require(found == (self.lost.behind(name, start), end),
                        f"{name} is from {start} to {end}, read were {found}")
            self.check_view(view)
            views.append(view)
        return views

    def verify(self):
        done = run("verify", self.data)
        lines = done.out.decode().splitlines()
        findings = [line for line in lines if line.startswith(("fault:", "lost:", "unreadable:"))]
        bad = [line for line in findings if not self.lost.explain(line)]
        require(done.code == (4 if findings else 0) and not bad, f"verify ends with {done.code}: {bad} {done.err}")

    def finish(self):
        self.verify()
        self.gateway.stop()
        self.check_log()
        self.gateway = None
        self.verify()
        self.watcher.end()
        self.disk.end()

    def summary(self):
        mib = 1 << 20
        return (f"{self.fed.bytes / mib:.0f} MiB in {self.fed.count} records, "
                f"at most {self.watcher.most_taken_bytes / mib:.2f} MiB taken and "
                f"{self.watcher.most_sum_bytes / mib:.2f} MiB in files ({self.watcher.looks} looks), "
                f"{self.lost.count()} offsets torn, {time.monotonic() - self.started_s:.0f} s")

    def abandon(self):
        self.tap.clear()
        if self.gateway is not None:
            self.gateway.abandon()


class Test:
    def __init__(self, folder, seed, rounds):
        self.random = random.Random(seed)
        self.folder = folder
        self.goal_bytes = rounds * BUDGET_BYTES
        self.store = None
        self.followers = []
        self.summaries = []

    def open_store(self, when_full):
        self.store = Store(self.folder, self.random, when_full, self.goal_bytes)
        self.store.start_clients()
        return self.store

    # --- Dropping ---

    def run_dropping(self):
        store = self.open_store("drop_oldest")
        store.tap.set()
        stuck = self.start_stuck(store)
        store.wait_for_bytes(self.random.uniform(0.5, 0.6) * self.goal_bytes)
        store.kill_and_go_on()
        for process in stuck:
            process.kill()
            process.communicate()
        store.wait_for_bytes(self.goal_bytes)
        require(store.producer.refused == 0, "a produce was refused, though there is something to drop")
        store.stop_feeding()
        views = store.read_all()
        for view in views:
            require(min(view.first_offset.values()) > 0, f"of {view.topic} nothing was dropped")
        kept_bytes = sum(view.bytes for view in views)
        require(kept_bytes >= LEAST_KEPT_BYTES, f"only {kept_bytes} bytes are left")
        store.finish()
        kept_mib = kept_bytes / (1 << 20)
        self.summaries.append(f"drop_oldest: {store.summary()}, {kept_mib:.1f} MiB of records left")

    def start_stuck(self, store):
        """Consumers whose output nobody reads: they stand still in segments whose files are removed meanwhile. Each has
        shown a record before this goes on: one that is still starting when the gateway is killed would find none, open
        the store itself, and stand still with it."""
        stuck = []
        for step in range(1, 6):
            store.wait_for_bytes(step / 10 * self.goal_bytes)
            started = [start_consume(store.data, topic) for topic in TOPICS]
            for process in started:
                readable, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
                require(readable, f"a consumer of {process.args} is shown nothing: {store.gateway.text()}")
                if not process.stdout.readline():
                    raise Failure(f"a consumer ends without a record: {process.stderr.read()!r}")
            stuck += started
        return stuck

    # --- Rejecting ---

    def wait_for_full(self, store):
        """A produce is refused, nothing is acknowledged any more, and clients wait."""
        refused = store.producer.refused
        state = {"count": -1, "since_s": 0.0}

        def full():
            for follower in self.followers:
                follower.check()
            if store.fed.count != state["count"]:
                state.update(count=store.fed.count, since_s=time.monotonic())
            return store.producer.refused > refused and time.monotonic() - state["since_s"] > QUIET_S

        store.wait_for(full, "appends that are refused")

    def wait_for_followers(self, store):
        def shown():
            for follower in self.followers:
                follower.check()
            found = {}
            for follower in self.followers:
                found.update(dict(follower.view.last_found))
            return all(found.get(stream, 0) >= number for stream, number in store.fed.snapshot().items())

        store.wait_for(shown, "what followers are shown")

    def give_room(self, store):
        """What is in flight goes on by itself, while nothing else comes that might overtake the followers."""
        store.tap.clear()
        store.wait_for(store.producer.idle.is_set, "the last produce")
        require(any(client.in_flight() for client in store.clients), "no client waits for room")
        for topic in TOPICS:
            run_ok("topic", "alter", "--data", store.data, topic, "--config", f"retention.bytes={KEPT_BYTES}")
        store.wait_for(lambda: not any(client.in_flight() for client in store.clients),
                       "that it goes on by itself, once there is room")
        for topic in TOPICS:
            run_ok("topic", "alter", "--data", store.data, topic, "--config", "retention.bytes=-1")
        store.tap.set()

    def run_rejecting(self):
        store = self.open_store("reject")
        self.followers = [Follower(store.data, topic) for topic in TOPICS]
        store.tap.set()
        fills, killed, killed_full = 0, False, False
        while store.fed.bytes < self.goal_bytes:
            if not killed and store.fed.bytes > self.goal_bytes / 2:
                killed = True
                time.sleep(self.random.uniform(0, MOST_LOAD_S))  # the random moment
                store.kill_and_go_on()
            self.wait_for_full(store)
            fills += 1
            if not killed_full and fills > 1:
                killed_full = True
                store.kill_and_go_on()
                self.wait_for_full(store)
            self.wait_for_followers(store)
            self.give_room(store)
        require(killed and killed_full, "it was not killed")
        store.stop_feeding()
        self.wait_for_followers(store)
        self.check_shown(store)
        store.finish()
        self.summaries.append(f"reject: {store.summary()}, {fills} times full, {store.producer.refused} refused")

    def check_shown(self, store):
        """What followers were shown from offset 0 on is whole; what is left of it in the log is the same."""
        views = store.read_all()
        for follower, view in zip(self.followers, views):
            follower.end()
            require(follower.failure is None, f"a follower: {follower.failure}")
            shown = follower.view
            shown.check_gaps(store.lost)
            store.check_view(shown)
            require(set(shown.first_offset.values()) == {0}, f"{view.topic}: shown from {shown.first_offset} on")
            require(shown.next_offset == view.next_offset,
                    f"{view.topic}: shown to {shown.next_offset}, in the log to {view.next_offset}")
        twice = sum(follower.view.found_twice for follower in self.followers)
        require(twice <= store.unanswered, f"{twice} records are there twice, {store.unanswered} were sent again")
        self.followers = []

    def run(self):
        try:
            self.run_dropping()
            self.run_rejecting()
        finally:
            for follower in self.followers:
                follower.end()
            if self.store is not None:
                self.store.abandon()

    def summary(self):
        return "\n".join(self.summaries)


def main():
    options = parser()
    options.add_argument("--rounds", type=int, default=10)
    options = options.parse_args()
    return run_test("budget", options.seed, lambda folder: Test(folder, options.seed, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
