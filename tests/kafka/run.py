"""The cases of tests/kafka/run.sh: one line each, and at the end how many have passed."""
import pathlib
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import from_kafka  # noqa: E402
import to_kafka  # noqa: E402
from broker import Broker  # noqa: E402


class Results:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def fail(self, name, error):
        self.failed += 1
        print(f"FAILED {name}: {error}", flush=True)
        traceback.print_exc(file=sys.stdout)

    def run(self, name, case, *arguments):
        """Runs one case; what it returns, or None if it has failed."""
        try:
            result = case(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.fail(name, error)
            return None
        self.passed += 1
        print(f"ok     {name}", flush=True)
        return result


def main():
    results = Results()
    with tempfile.TemporaryDirectory(prefix="tidemark-kafka-") as scratch:
        scratch = pathlib.Path(scratch)
        broker = Broker(scratch / "kafka")
        for cases in (to_kafka, from_kafka):
            try:
                cases.run(results, scratch, broker)
            except Exception as error:  # pylint: disable=broad-except
                results.fail(f"{cases.__name__} did not come to its end", error)
            finally:
                broker.kill()
    print(f"{results.passed} passed, {results.failed} failed", flush=True)
    return 0 if results.failed == 0 and results.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
