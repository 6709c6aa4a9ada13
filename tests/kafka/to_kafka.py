"""What Tidemark has written, under Kafka's tools and in Kafka's broker."""
import re
import shutil
import subprocess

from broker import dump_log_segments, java, kafka_side
from records import (BUILD, TIMEOUT_S, check, check_dumped_log, consume, expect_same, parse,
                     tidemark)

TOPICS = {"plain": 2, "zstd": 2, "headers": 1, "nulls": 1, "large": 1, "appendtime": 1, "single": 1,
          "empty": 2, "compacted": 1}
GROUP = "uplink"


def write_round(data, number, how):
    """One round of records of all shapes; what they are."""
    done = subprocess.run([BUILD / "prog_kafka_shapes", data, str(number), how],
                          capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    check(done.returncode == (-9 if how == "killed" else 0), f"{done.returncode}: {done.stderr}")
    return parse(done.stdout)


class Written:
    """A store with records of all shapes in it, killed twice while it was written."""

    def __init__(self, scratch):
        self.data = scratch / "store"
        self.killed = scratch / "killed"  # as the second kill has left it
        self.records = {}
        for number, how in enumerate(["killed", "killed", "clean"]):
            self.records |= write_round(self.data, number, how)
            if number == 1:
                shutil.copytree(self.data, self.killed)
        # A group's cursors: in Kafka's own topic for them.
        tidemark("consume", "--data", self.data, "plain", "-c", "1000", "--group", GROUP)
        # What compaction has left, which is the store's to say.
        self.shown = consume(self.data, TOPICS)
        self.whole = {place: fields for place, fields in self.records.items()
                      if place[0] != "compacted"}

    def logs(self, folder):
        return sorted(log for topic in TOPICS for log in folder.glob(f"{topic}-*/*.log"))

    def indexes(self):
        return sorted(index for topic in TOPICS for index in self.data.glob(f"{topic}-*/*index"))


def check_shown(written):
    """What `tidemark consume` shows: all, and of the compacted topic each key's last at least."""
    expect_same(written.whole, {place: fields for place, fields in written.shown.items()
                                if place[0] != "compacted"})
    compacted = {place: fields for place, fields in written.shown.items()
                 if place[0] == "compacted"}
    all_updates = {place: fields for place, fields in written.records.items()
                   if place[0] == "compacted"}
    check(len(compacted) < len(all_updates) / 2 + 1000, f"{len(compacted)}: not compacted")
    expect_same({place: all_updates[place] for place in compacted}, compacted)
    last = {}
    for place, fields in sorted(all_updates.items()):
        last[fields[1]] = place
    gone = [place for place in last.values() if place not in compacted]
    check(not gone, f"the last records of keys are gone: {gone}")
    check(len(last) == 50, f"{len(last)} keys")


def check_dumps(written):
    with_append_time = {place: ("-", *fields[1:]) if place[0] == "appendtime" else fields
                        for place, fields in written.shown.items()}
    text = dump_log_segments(written.logs(written.data), "--deep-iteration", "--print-data-log")
    check_dumped_log(text, with_append_time)


def check_dumps_of_killed(written):
    """What stands in the segments of a store that was killed and not opened since. The rest is in
    its journal."""
    text = dump_log_segments(written.logs(written.killed), "--deep-iteration", "--print-data-log")
    offsets = {}
    for part in text.split("Dumping ")[1:]:
        topic, partition = part.split("\n", 1)[0].split("/")[-2].rsplit("-", 1)
        for offset in re.findall(r"^\| offset: (\d+) ", part, re.M):
            offsets[(topic, int(partition), int(offset))] = True
    check(offsets, "nothing was in a segment")
    check_dumped_log(text, {place: written.records[place] for place in offsets})


def check_index_sanity(written):
    indexes = written.indexes()
    text = dump_log_segments(indexes, "--index-sanity-check")
    passed = text.count(" passed sanity check.") + text.count(".index is empty.")
    check(passed == len(indexes), f"{passed} of {len(indexes)} have passed: {text}")
    check(any(index.suffix == ".index" and index.stat().st_size >= 24 for index in indexes),
          "no offset index with entries to speak of")


def check_indexes_against_logs(written):
    text = dump_log_segments(written.indexes(), "--verify-index-only")
    unexpected = [line for line in text.splitlines()
                  if line and not line.startswith("Dumping ") and not line.endswith(" is empty.")]
    check(not unexpected, "\n".join(unexpected[:10]))


# --- In the broker ---

def exchange_folder(written, broker):
    """The stopped broker finds Tidemark's whole data folder where its own was: its topics keep
    their ids, and the folder says which cluster it belongs to."""
    shutil.move(broker.logs, broker.folder / "logs.own")
    # It refuses to start beside a folder that is none of a partition.
    shutil.copytree(written.data, broker.logs, ignore=shutil.ignore_patterns("quarantine"))
    shutil.copy(broker.folder / "logs.own" / "meta.properties", broker.logs / "meta.properties")
    for topic, partitions in {**TOPICS, "__consumer_offsets": 1}.items():
        for partition in range(partitions):
            name = f"{topic}-{partition}/partition.metadata"
            shutil.copy(broker.folder / "logs.own" / name, broker.logs / name)


def check_broker_reads(written, broker):
    expect_same(written.shown, parse(kafka_side("read", broker.bootstrap, "uncommitted", *TOPICS)))


def check_console_consumer(written, broker):
    wanted = {place: fields for place, fields in written.shown.items() if place[0] == "headers"}
    text = java("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
                broker.bootstrap, "--topic", "headers", "--from-beginning", "--max-messages",
                str(len(wanted)), "--timeout-ms", "60000", "--formatter-property",
                "print.offset=true", "--formatter-property", "print.key=true")
    lines = text.splitlines()
    check(len(lines) == len(wanted), f"{len(lines)} lines for {len(wanted)} records")
    for line in lines:
        offset, key, value = line.split("\t")
        _, wanted_key, wanted_value, _ = wanted[("headers", 0, int(offset.split(":")[1]))]
        check((key.encode().hex(), value.encode().hex()) == (wanted_key, wanted_value), line)


def check_cursors(written, broker):
    text = kafka_side("cursors", broker.bootstrap, GROUP)
    wanted = [line.split() for line in tidemark(
        "group", "describe", "--data", written.data, GROUP).splitlines()[1:]]
    check(sorted(line.split("\t") for line in text.splitlines()) ==
          sorted([topic, partition, offset] for topic, partition, offset, *_ in wanted),
          f"{text} is not {wanted}")
    check("1000" in text, text)


def check_same_files(written, broker, kinds):
    for kind in kinds:
        files = sorted(file for topic in TOPICS for file in written.data.glob(f"{topic}-*/*{kind}"))
        check(files, f"no {kind}")
        for file in files:
            other = broker.logs / file.relative_to(written.data)
            check(other.read_bytes() == file.read_bytes(),
                  f"{other} has {other.stat().st_size} bytes, {file} {file.stat().st_size}")


def check_took_over_cleanly(written, broker):
    """Without recovery, and without a change in any file."""
    log = broker.log_text()
    check("since clean shutdown file was found" in log, "the stop was not a clean one for it")
    for word in ("recovering segment", "orrupt", "stray", "Resetting", "Malformed"):
        lines = [line for line in log.splitlines() if word in line]
        check(not lines, lines[:3])
    check_same_files(written, broker, [".log", ".index", ".timeindex"])


def take_away_all_but_logs(written, broker):
    (broker.logs / ".kafka_cleanshutdown").unlink()
    for file in broker.logs.glob("*-offset-checkpoint"):
        file.unlink()
    for topic in TOPICS:
        for file in broker.logs.glob(f"{topic}-*/*"):
            if file.suffix != ".log" and file.name != "partition.metadata":
                file.unlink()


def check_recovered(written, broker):
    log = broker.log_text()
    check("since no clean shutdown file was found" in log, "the broker has not recovered")
    check_same_files(written, broker, [".log", ".index", ".timeindex"])


def create_topics(broker):
    topics = [f"{topic} {partitions} compression.type=producer"
              for topic, partitions in TOPICS.items() if topic != "compacted"]
    topics.append("compacted 1 cleanup.policy=compact,min.cleanable.dirty.ratio=1")
    kafka_side("create", broker.bootstrap, stdin="\n".join(topics))


def run(results, scratch, broker):
    written = results.run("Tidemark writes all shapes, and is killed twice", Written, scratch)
    if written is None:
        return
    results.run("tidemark consume shows what was written", check_shown, written)
    results.run("DumpLogSegments: every log of the store", check_dumps, written)
    results.run("DumpLogSegments: the logs of a killed store", check_dumps_of_killed, written)
    results.run("DumpLogSegments: index sanity", check_index_sanity, written)
    results.run("DumpLogSegments: indexes against their logs", check_indexes_against_logs, written)

    broker.start()
    create_topics(broker)
    # Makes the topic of cursors in the broker.
    kafka_side("cursors", broker.bootstrap, GROUP)
    broker.stop()
    exchange_folder(written, broker)
    broker.start()
    results.run("a broker takes the folder over", check_broker_reads, written, broker)
    results.run("its console consumer", check_console_consumer, written, broker)
    results.run("a group goes on in the broker", check_cursors, written, broker)
    broker.stop()
    results.run("the broker has changed nothing", check_took_over_cleanly, written, broker)

    take_away_all_but_logs(written, broker)
    broker.start()
    results.run("a broker recovers the logs alone", check_broker_reads, written, broker)
    broker.stop()
    results.run("its recovery makes the same indexes", check_recovered, written, broker)
