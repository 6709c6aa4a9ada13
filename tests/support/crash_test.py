"""What the tests have in common that end a `serve` under load: its folder, and how they are run."""

import argparse
import faulthandler
import os
import random
import shutil
import tempfile

from gateway import Failure, Gateway, Skip
from log_check import CONFIG, LogCheck
from mqtt_clients import Acknowledgements

SKIPPED = 77
# Where a test stands then is told. ctest ends it soon after, without a word; one with many ROUNDS goes on.
HANGS_S = 840


class CrashTest:
    """One gateway after the other on the same `data`; its clients outlive it, and find it by the port file."""

    def __init__(self, folder, seed, data):
        self.random = random.Random(seed)
        self.folder = folder
        self.data = data
        self.config = os.path.join(folder, "config.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG)
        self.port_file = os.path.join(folder, "port")
        self.acknowledgements = Acknowledgements()
        self.check = LogCheck(self.data, self.acknowledgements)
        self.gateway = None

    def start_gateway(self):
        self.gateway = Gateway(self.data, self.config).must_start()
        # Somebody may be reading the old one.
        port = self.port_file + ".new"
        with open(port, "w", encoding="utf-8") as file:
            file.write(str(self.gateway.port))
        os.replace(port, self.port_file)

    def stop_gateway(self):
        """A clean stop. Nothing that it has said may tell of damage."""
        self.gateway.stop()
        self.check.take_gateway_log(self.gateway.text())
        self.gateway = None


def parser():
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    return options


def run_test(name, seed, make_test):
    """`make_test(folder)`, with run() and summary(). Returns the code to exit with."""
    print(f"{name}: seed {seed} (SEED={seed} repeats its random choices)", flush=True)
    faulthandler.dump_traceback_later(HANGS_S)
    folder = tempfile.mkdtemp(prefix=f"tidemark-{name}.")
    test = make_test(folder)
    try:
        test.run()
    except Skip as reason:
        print(f"skipped: {reason}")
        shutil.rmtree(folder)
        return SKIPPED
    except Failure as failure:
        print(f"FAILED: {failure}\nWhat is left is kept, and what serve said: {folder}")
        return 1
    print(test.summary())
    shutil.rmtree(folder)
    return 0
