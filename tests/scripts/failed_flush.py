"""A flush of the journal, or of a segment, fails below a real `tidemark serve` (tests/power/), once on a disk
that takes O_DIRECT and once on one that refuses it. From then on it must

- accept nothing, and say so: in its log, to MQTT clients (connections end, new ones are refused with code
  3), to `tidemark produce`
- acknowledge nothing more, and write nothing more to the journal
- serve reads, of everything acknowledged

and when it is started again, on the same disk and after a power cut, everything acknowledged is there, and
everything that a reader was shown.
"""

import contextlib
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from crash_test import CrashTest, parser, run_test
from gateway import PATIENCE_S, Failure, require, run, wait_until
from mqtt_clients import LoadClients
from power_disk import PowerDisk

STOPPED = "nothing is accepted until a restart"
ENDINGS = {"journal": "journal", "segment": ".log"}  # of the file whose flush fails
SERVER_UNAVAILABLE = 3  # CONNACK's code; also how mosquitto_pub then ends


class Test(CrashTest):
    def __init__(self, folder, seed, what, direct):
        self.mount = os.path.join(folder, "mount")
        super().__init__(folder, seed, os.path.join(self.mount, "data"))
        self.what = what
        self.direct = direct
        self.disk = None
        self.load = None

    def mount_disk(self):
        self.disk = PowerDisk(self.mount, os.path.join(self.folder, "image"), self.random.randrange(2**32),
                              direct=self.direct)

    def start_load(self, kind):
        self.load = LoadClients(self.acknowledgements, self.port_file, kind)
        before = self.acknowledgements.count
        wait_until(lambda: self.acknowledgements.count > before + 1000, "a thousand acknowledgements")

    def end_load(self):
        self.load.kill()
        self.load = None

    # --- What must hold once a flush has failed ---

    def check_stopped(self):
        wait_until(lambda: self.disk.counts()["failed_flushes"] == 1, "the flush that fails")
        wait_until(lambda: STOPPED in self.gateway.text(), "what serve says about it")
        said = [line for line in self.gateway.lines if line and STOPPED in line]
        # At once, and not when that file was to be used again: that would be told of its folder.
        cause = re.search(rf"{STOPPED}: io_error: ([^:]+): ", said[0])
        require(cause and cause.group(1).endswith(ENDINGS[self.what]),
                f"serve does not stop for the flush that has failed: {said}")
        self.check_mqtt_refuses()
        self.check_produce_refuses()
        self.end_load()
        self.check.verify("beside the gateway that has stopped")
        written = self.disk.counts()["durable_writes"]
        self.check_mqtt_refuses()
        self.check.verify("once more")
        require(self.disk.counts()["durable_writes"] == written, "it still writes to its journal")
        require(self.gateway.running(), f"serve has ended: {self.gateway.text()}")

    def check_mqtt_refuses(self):
        done = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.gateway.port), "-i", "late",
                               "-t", "single/late", "-q", "1", "-m", "late"],
                              capture_output=True, timeout=PATIENCE_S, check=False)
        require(done.returncode == SERVER_UNAVAILABLE,
                f"mosquitto_pub ends with {done.returncode}, not {SERVER_UNAVAILABLE}: {done.stderr}")

    def check_produce_refuses(self):
        done = run("produce", "--data", self.data, "single", stdin=b"late\n")
        require(done.code == 1 and STOPPED in done.err, f"produce ends with {done.code}: {done.err}")

    def run(self):
        try:
            self.mount_disk()
            self.start_gateway()
            self.start_load("spread" if self.what == "segment" else "single")
            self.disk.fail_flush(ENDINGS[self.what])
            self.check_stopped()
            self.gateway.kill()
            self.start_gateway()
            self.check.verify("after a restart")
            if self.random.random() < 0.5:
                self.start_load("single")
                self.end_load()
            self.check.take_gateway_log(self.gateway.text())
            self.disk.cut()
            self.gateway.kill()
            self.disk.end()
            self.mount_disk()
            self.check.take_cut()
            self.start_gateway()
            self.check.verify("after the power cut")
            self.start_load("spread")
            self.load.drain()
            self.load = None
            self.stop_gateway()
            self.check.verify("after the clean stop")
            self.disk.end()
            self.disk = None
        finally:
            self.clean_up()

    def clean_up(self):
        if self.load is not None:
            with contextlib.suppress(Failure):  # one is told already
                self.load.kill()
        if self.gateway is not None:
            self.gateway.abandon()
        if self.disk is not None:
            with contextlib.suppress(Failure):
                self.disk.end()

    def summary(self):
        return f"O_DIRECT {'taken' if self.direct else 'refused'}: {self.check.summary()}"


def main():
    options = parser()
    options.add_argument("what", choices=sorted(ENDINGS))
    options = options.parse_args()
    for direct in (True, False):
        code = run_test(f"flush-{options.what}", options.seed,
                        lambda folder, direct=direct: Test(folder, options.seed, options.what, direct))
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
