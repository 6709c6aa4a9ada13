"""Gives `tidemark` garbage in every place that takes something in.

The answer must be a clear error or a repair: never a crash, never a hang, and everything that was intact
stays readable. Four parts: the command line and the config (garbage_words.py), the MQTT port
(garbage_mqtt.py), and the files of a data folder (garbage_files.py).
"""

import argparse
import concurrent.futures
import shutil
import sys
import tempfile
import time

from garbage_context import Context
from garbage_files import data_folder_cases
from garbage_mqtt import mqtt_cases
from garbage_words import command_line_cases, config_cases
from gateway import Failure

WORKERS = 6  # cases at the same time; they mostly wait for flushes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true", help="print each case and how long it took")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="tidemark-garbage.")
    context = Context(folder, options.seed)
    failures = []
    try:
        cases = (command_line_cases(context) + config_cases(context) + mqtt_cases(context) +
                 data_folder_cases(context))
        cases = [case for case in cases if options.only in case[0]]

        def attempt(case):
            began = time.monotonic()
            try:
                case[1]()
                if options.verbose:
                    print(f"{time.monotonic() - began:6.2f} s  {case[0]}", flush=True)
                return None
            except Failure as failure:
                return f"{case[0]}: {failure}"
            except Exception as error:  # pylint: disable=broad-except
                return f"{case[0]}: {type(error).__name__}: {error}"

        with concurrent.futures.ThreadPoolExecutor(max_workers=WORKERS) as pool:
            failures = [failure for failure in pool.map(attempt, cases) if failure]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"{len(cases)} cases, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
