"""Records as lines of text, from whoever has written or read them, and how to compare them."""
import base64
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("TIDEMARK_BUILD", "build/release")
TIDEMARK = BUILD / "tidemark"
TIMEOUT_S = 120


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def tidemark(*arguments, code=0):
    """What the command prints on stdout; it must end with this exit code."""
    done = subprocess.run([TIDEMARK, *map(str, arguments)], capture_output=True, timeout=TIMEOUT_S,
                          stdin=subprocess.DEVNULL, check=False)
    check(done.returncode == code, f"tidemark {' '.join(map(str, arguments))} ended with "
          f"{done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


def parse(text):
    """Lines of prog_kafka_shapes and KafkaSide: {(topic, partition, offset): the other fields}."""
    records = {}
    for line in text.splitlines():
        topic, partition, offset, *fields = line.split("\t")
        place = (topic, int(partition), int(offset))
        check(place not in records, f"twice: {place}")
        records[place] = tuple(fields)
    return records


def _hex(entry, name):
    if f"{name}_base64" in entry:
        return base64.b64decode(entry[f"{name}_base64"]).hex()
    return "-" if entry[name] is None else entry[name].encode().hex()


def parse_json(text):
    """The same of what `tidemark consume --json` and `dump --json` print."""
    records = {}
    for line in text.splitlines():
        entry = json.loads(line)
        headers = ",".join(_hex(header, "key") + "=" + _hex(header, "value")
                           for header in entry["headers"])
        place = (entry["topic"], entry["partition"], entry["offset"])
        check(place not in records, f"twice: {place}")
        records[place] = (str(entry["timestamp"]), _hex(entry, "key"), _hex(entry, "value"), headers)
    return records


def consume(data, topics):
    """All that `tidemark consume` shows of these topics."""
    return parse_json("".join(tidemark("consume", "--data", data, topic, "-e", "--json")
                              for topic in topics))


def expect_same(wanted, got):
    """A timestamp of - in `wanted` is any."""
    missing = wanted.keys() - got.keys()
    check(not missing, f"{len(missing)} of {len(wanted)} missing, the first: {sorted(missing)[:3]}")
    more = got.keys() - wanted.keys()
    check(not more, f"{len(more)} more than there are, the first: {sorted(more)[:3]}")
    for place, fields in wanted.items():
        same = fields[1:] == got[place][1:] and fields[0] in ("-", got[place][0])
        check(same, f"{place} is {got[place]}, not {fields}")


_DUMPED = re.compile(r"^\| offset: (\d+) (\w+): (-?\d+) keySize: (-?\d+) valueSize: (-?\d+)", re.M)


def check_dumped_log(text, wanted):
    """Kafka's dump of .log files against {(topic, partition, offset): fields}: every batch is
    valid, every record has its offset, timestamp and sizes, and none is missing or too much."""
    seen = set()
    batches = 0
    for part in text.split("Dumping ")[1:]:
        folder = pathlib.Path(part.split("\n", 1)[0]).parent.name
        topic, partition = folder.rsplit("-", 1)
        batches += len(re.findall(r"^baseOffset: .* isvalid: true$", part, re.M))
        check("isvalid: false" not in part, f"a batch of {folder} is not valid")
        for complaint in ("Non-consecutive", "Misaligned", "at end of", "mismatch", "corrupt"):
            check(complaint not in part, f"{complaint} in the dump of {folder}")
        for offset, kind, timestamp, key_size, value_size in _DUMPED.findall(part):
            place = (topic, int(partition), int(offset))
            check(place in wanted, f"{place} is not a record of ours")
            check(place not in seen, f"{place} is there twice")
            seen.add(place)
            time, key, value, _ = wanted[place]
            check(time in ("-", timestamp), f"{place} has time {timestamp}, not {time}")
            check(kind == ("LogAppendTime" if time == "-" else "CreateTime"), f"{place}: {kind}")
            for size, field in ((key_size, key), (value_size, value)):
                check(int(size) == (-1 if field == "-" else len(field) // 2), f"{place}: {size}")
    check(seen == wanted.keys(), f"{len(wanted) - len(seen)} records are missing")
    check(batches > 0, "no batch at all")
