"""Cuts the power below `tidemark serve` under load and checks what is left, round after round.

The data folder is on a disk that loses what was not flushed (tests/power/, a FUSE file system). Each
round mounts what the cut before has left, starts the gateway, checks the log, lets stock MQTT clients
publish and consumers follow, and cuts the power at a random moment; in some rounds another time while
the gateway recovers, and in some on a disk that refuses O_DIRECT. With the power all processes go. After every cut

- all holds that log_check.py says
- what the consumers were shown is in the log, at the same offsets
- the gateway starts by itself and tells of no damage but a commit that was being written

Whether the cut is real is shown by two control writers on the same disk: one never flushes, and has
to lose records in most rounds; one flushes after each record, and must lose none.
"""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from crash_test import CrashTest, parser, run_test
from gateway import Failure, Gateway, require, wait_until
from log_check import Follower
from mqtt_clients import LoadClients, MosquittoPub, PahoClient
from power_disk import ControlWriter, PowerDisk

MOST_LOAD_S = 0.5  # from the first acknowledgement to the cut
NOT_DIRECT = "direct I/O is refused here"
LEAST_WRITTEN = 10  # records of each control writer: enough that there is something to lose


class Test(CrashTest):
    def __init__(self, folder, seed, rounds):
        self.mount = os.path.join(folder, "mount")
        super().__init__(folder, seed, os.path.join(self.mount, "data"))
        self.rounds = rounds
        self.image = os.path.join(folder, "image")
        self.disk = None
        self.direct = True  # the disk takes O_DIRECT
        self.clients = []
        self.followers = []
        self.writers = []
        self.shown = {}  # by topic, partition and offset: what a consumer was shown
        self.cuts = 0
        self.cuts_while_starting = 0
        self.rounds_with_loss = 0
        self.flushed_records = 0
        self.costs = {}

    def mount_disk(self):
        self.direct = self.random.random() < 0.75
        self.disk = PowerDisk(self.mount, self.image, self.random.randrange(2**32), self.direct)
        self.check.take_cut()

    def cut(self):
        for key, value in self.disk.cut().items():
            self.costs[key] = self.costs.get(key, 0) + value
        self.cuts += 1

    def unmount(self):
        self.disk.end()
        self.disk = None

    # --- A round ---

    def cut_while_starting(self):
        """A cut while the gateway makes its store, or recovers."""
        self.mount_disk()
        self.gateway = Gateway(self.data, self.config)
        time.sleep(self.random.uniform(0, 0.15))  # the random moment
        self.cut()
        self.gateway.abandon()
        self.keep_gateway_log()
        self.unmount()
        self.cuts_while_starting += 1

    def keep_gateway_log(self):
        """For whoever looks for the cause of a failure."""
        with open(os.path.join(self.folder, "serve.log"), "a", encoding="utf-8") as file:
            file.write(f"{self.gateway.text()}\n--- cut {self.cuts}\n")
        self.gateway = None

    def start_clients(self, number):
        kind = self.random.choice(["single", "spread"])
        load = LoadClients(self.acknowledgements, self.port_file, kind)
        self.clients.append(load)
        if number % 4 == 1:
            self.clients.append(PahoClient(self.acknowledgements, self.gateway.port, "single/paho"))
        if number % 4 == 3:
            self.clients.append(MosquittoPub(self.acknowledgements, self.gateway.port, "spread/pub"))
        self.followers = [Follower(self.data, topic, os.path.join(self.folder, f"followed-{topic}"), "end")
                          for topic in ("single", "spread")]
        return load

    def start_writers(self, number):
        self.writers = [ControlWriter(os.path.join(self.mount, f"{name}-{number}"), name == "flushed")
                        for name in ("unflushed", "flushed")]

    def wait_for_load(self, load, number):
        """In every other round a consumer has been shown something, too; in the others it may not have started."""
        before = self.acknowledgements.count
        may_cut_at_once = number % 2 == 0

        def flows():
            load.check()
            for writer in self.writers:
                require(writer.failure is None, f"a control writer fails: {writer.failure}")
            require(self.gateway.running(), f"serve has ended by itself: {self.gateway.text()}")
            return (self.acknowledgements.count > before
                    and all(writer.written >= LEAST_WRITTEN for writer in self.writers)
                    and (may_cut_at_once or any(b"\n" in follower.read() for follower in self.followers)))

        wait_until(flows, f"an acknowledgement, {LEAST_WRITTEN} records of each control writer, "
                          "and what a consumer shows")
        # Not to wait for something: this is the random moment.
        time.sleep(self.random.uniform(0, MOST_LOAD_S))

    def end_processes(self):
        """With the power they all go; at times some live on a little with a disk that is dead."""
        if self.random.random() < 0.3:
            time.sleep(self.random.uniform(0, 0.1))
        self.gateway.kill()
        self.keep_gateway_log()
        for client in self.clients:
            client.kill()
        self.clients = []
        for follower in self.followers:
            follower.kill()
        for writer in self.writers:
            writer.end()

    def take_followed(self):
        """Whole lines only: the last one may have been cut off with its process."""
        for follower in self.followers:
            for line in follower.read().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    partition, offset = line.split(b" ", 2)[:2]
                    self.shown[follower.topic, int(partition), int(offset)] = line
        self.followers = []

    def check_shown(self, when):
        missing = dict(self.shown)
        for (topic, partition), view in self.check.views.items():
            for line in view.bytes.splitlines(keepends=True):
                at = (topic, partition, int(line.split(b" ", 2)[1]))
                shown = missing.pop(at, line)
                require(shown == line, f"{when}: {at}: a consumer was shown {shown!r}, now it is {line!r}")
        require(not missing, f"{when}: shown to a consumer, and gone: {sorted(missing)[:3]}")

    def check_writers(self, number):
        for writer in self.writers:
            name = "flushed" if writer.flushes else "unflushed"
            folder = os.path.join(self.image, f"{name}-{number}")
            left = writer.left(folder)
            if writer.flushes:
                require(left >= writer.written, f"round {number}: the disk has lost what was flushed: {left} of "
                                                f"{writer.written} records are left")
                self.flushed_records += writer.written
            else:
                self.rounds_with_loss += left < writer.written
        self.writers = []

    def round(self, number):
        if self.random.random() < 0.3:
            self.cut_while_starting()
        self.mount_disk()
        if self.random.random() < 0.5:
            self.start_gateway()
        if number > 1:  # either beside the gateway, or a reader is the first to open the folder
            self.check.verify(f"after {self.cuts} cuts")
            self.check_shown(f"after {self.cuts} cuts")
        if self.gateway is None:
            self.start_gateway()
        self.start_writers(number)
        self.wait_for_load(self.start_clients(number), number)
        before_cut = self.gateway.text()
        counts = self.disk.counts()
        self.cut()
        self.end_processes()
        self.unmount()
        self.check.take_gateway_log(before_cut)
        require(before_cut.count(NOT_DIRECT) == (0 if self.direct else 1),
                f"what serve says of direct I/O does not fit the disk: {before_cut}")
        require(counts["durable_writes"] > 0, f"the disk was asked for no durable write: {counts}")
        self.take_followed()
        self.check_writers(number)

    def finish(self):
        self.mount_disk()
        self.start_gateway()
        self.check.verify("at the end")
        self.check_shown("at the end")
        self.stop_gateway()
        self.check.verify("after the clean stop")
        require(self.rounds_with_loss * 2 > self.rounds,
                f"the writer that never flushes has lost something in {self.rounds_with_loss} of {self.rounds} "
                "rounds only: these are no power cuts")
        require(self.shown, "no consumer was shown anything")
        self.unmount()

    def run(self):
        try:
            for number in range(1, self.rounds + 1):
                self.round(number)
            self.finish()
        finally:
            for process in (*self.clients, *self.followers):
                with contextlib.suppress(Failure):  # one is told already
                    process.kill()
            if self.gateway is not None:
                self.gateway.abandon()
                self.keep_gateway_log()
            if self.disk is not None:
                with contextlib.suppress(Failure):
                    self.disk.end()

    def summary(self):
        lost = ", ".join(f"{self.costs[f'{what}_lost']} of {self.costs[what]} {words}"
                         for what, words in (("units", "sectors and pages"), ("sizes", "sizes"),
                                             ("names", "changes of names")))
        return (f"{self.cuts} power cuts, {self.cuts_while_starting} of them while starting; "
                f"{self.check.summary()}; {len(self.shown)} shown to consumers; lost with the power: {lost}; the "
                f"writer that never flushes lost records in {self.rounds_with_loss} of {self.rounds} rounds, the one "
                f"that flushes none of {self.flushed_records}")


def main():
    options = parser()
    options.add_argument("--rounds", type=int, default=5)
    options = options.parse_args()
    return run_test("power", options.seed, lambda folder: Test(folder, options.seed, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
