"""Kills `tidemark serve` under load and checks what is left, round after round.

Each round starts the gateway on the same data folder, lets several connections publish (libmosquitto at
QoS 1 and 2, in some rounds paho and mosquitto_pub too), and kills it at a random moment. In every other
round the clients die with it; otherwise they connect again and send again what was not acknowledged.

After every kill all holds that log_check.py says; the gateway starts by itself and tells of no damage; and
what consumers were shown that have followed through all kills is, in the end, what the log holds.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from crash_test import CrashTest, parser, run_test
from gateway import Failure, Gateway, require, wait_until
from log_check import Follower
from mqtt_clients import LoadClients, MosquittoPub, PahoClient

MOST_LOAD_S = 0.5  # from the first acknowledgement to the kill


class Test(CrashTest):
    def __init__(self, folder, seed, rounds):
        super().__init__(folder, seed, os.path.join(folder, "data"))
        self.rounds = rounds
        self.load = None
        self.extras = []
        self.followers = []

    def start_clients(self, round_number):
        if self.load is None:
            kind = self.random.choice(["single", "spread"]) if round_number > 1 else "spread"
            self.load = LoadClients(self.acknowledgements, self.port_file, kind)
        if round_number % 4 == 1:
            self.extras.append(PahoClient(self.acknowledgements, self.gateway.port, "single/paho"))
        if round_number % 4 == 3:
            self.extras.append(MosquittoPub(self.acknowledgements, self.gateway.port, "spread/pub"))

    def wait_for_load(self):
        self.load.check()
        before = self.acknowledgements.count

        def flows():
            self.load.check()
            return self.acknowledgements.count > before and self.gateway.running()

        wait_until(flows, "an acknowledgement")
        # A follower that finds nobody to ask opens the folder itself, and may keep the next gateway out.
        wait_until(lambda: all(follower.read() for follower in self.followers), "what the followers are shown")
        # Not to wait for something: this is the random moment.
        time.sleep(self.random.uniform(0, MOST_LOAD_S))

    def kill_at_start(self):
        """A kill while it makes the store or recovers."""
        gateway = Gateway(self.data, self.config)
        time.sleep(self.random.uniform(0, 0.15))  # the random moment
        gateway.kill()

    def round(self, number):
        if self.random.random() < 0.3:
            self.kill_at_start()
        self.start_gateway()
        if number == 1:
            self.followers = [Follower(self.data, topic, os.path.join(self.folder, f"followed-{topic}"))
                              for topic in ("single", "spread")]
        self.start_clients(number)
        beside = number > 1 and self.random.random() < 0.5
        if beside:
            self.check.verify(f"round {number}, beside the gateway")
        self.wait_for_load()
        self.gateway.kill()
        self.check.take_gateway_log(self.gateway.text())
        for extra in self.extras:
            extra.kill()
        self.extras = []
        if self.random.random() < 0.5:
            self.load.kill()
            self.load = None
        if self.random.random() < 0.5:  # otherwise the gateway itself is the first to open the folder
            self.check.verify(f"after kill {number}")

    def finish(self):
        self.start_gateway()
        if self.load is not None:
            self.load.drain()
            self.load = None
        self.check.verify("at the end")
        self.wait_for_followers()
        self.check_followers()
        self.stop_gateway()
        self.check.verify("after the clean stop")

    def wait_for_followers(self):
        for follower in self.followers:
            wanted = sum(view.records for (topic, _), view in self.check.views.items() if topic == follower.topic)

            def come(follower=follower, wanted=wanted):
                code = follower.process.poll()
                require(code is None, f"the follower of {follower.topic} has ended with {code}: {follower.said}")
                return follower.read().count(b"\n") >= wanted

            try:
                wait_until(come, "its end")
            except Failure as failure:
                last = follower.read().splitlines()[-1:]
                raise Failure(f"the follower of {follower.topic} does not come to {wanted} records: {failure}; "
                              f"its last: {last}; it has said: {follower.said}") from failure

    def check_followers(self):
        for follower in self.followers:
            lines = follower.read().splitlines(keepends=True)
            for (topic, partition), view in self.check.views.items():
                if topic != follower.topic:
                    continue
                mine = b"".join(line for line in lines if line.startswith(b"%d " % partition))
                require(mine == view.bytes, f"{view.name}: a follower was shown something else")
            lost = [line for line in follower.said if "lost" in line]
            require(not lost, f"the follower of {follower.topic} says: {lost}")

    def run(self):
        try:
            for number in range(1, self.rounds + 1):
                self.round(number)
            self.finish()
        finally:
            for follower in self.followers:
                follower.end()
            for extra in self.extras:
                extra.kill()
            if self.load is not None:
                self.load.process.kill()
            if self.gateway is not None:
                self.gateway.abandon()

    def summary(self):
        segments = sum(name.endswith(".log") for _, _, names in os.walk(self.data) for name in names)
        return f"{self.rounds} kills; {self.check.summary()}; {segments} segments"


def main():
    options = parser()
    options.add_argument("--rounds", type=int, default=20)
    options = options.parse_args()
    return run_test("kill", options.seed, lambda folder: Test(folder, options.seed, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
