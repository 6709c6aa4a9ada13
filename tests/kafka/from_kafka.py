"""What Kafka's broker has written, under Tidemark's commands."""
import json
import shutil

from broker import dump_log_segments, kafka_side
from records import check, check_dumped_log, consume, expect_same, parse, parse_json, tidemark

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOPICS = [f"kafka-{name}" for name in [*CODECS, "transactions", "compacted"]]
SMALL_SEGMENTS = "segment.bytes=1048576"


class Kafkas:
    """A copy of the log folder of a broker that was stopped, and what it holds."""

    def __init__(self, scratch, broker):
        kafka_side("create", broker.bootstrap, stdin="\n".join(
            [f"kafka-{codec} 2 compression.type=producer" for codec in CODECS]
            + ["kafka-transactions 2 compression.type=producer",
               f"kafka-compacted 1 cleanup.policy=compact,min.cleanable.dirty.ratio=0.01,{SMALL_SEGMENTS}"]))
        self.sent = {}
        self.fates = {}
        for place, fields in parse(kafka_side("produce", broker.bootstrap)).items():
            self.sent[place] = fields[:4]
            self.fates[place] = fields[4]
        cleaned = broker.logs / "cleaner-offset-checkpoint"
        broker.wait_until("its cleaner has run", lambda: "kafka-compacted" in cleaned.read_text())
        self.uncommitted = self.read(broker, "uncommitted")
        self.committed = self.read(broker, "committed")
        broker.stop()
        self.logs = scratch / "from-kafka"
        self.logs.mkdir()
        for topic in TOPICS:
            for folder in broker.logs.glob(f"{topic}-*"):
                shutil.copytree(folder, self.logs / folder.name)
        shutil.copy(broker.logs / "log-start-offset-checkpoint", self.logs)
        self.data = scratch / "imported"

    @staticmethod
    def read(broker, isolation):
        return parse(kafka_side("read", broker.bootstrap, isolation, *TOPICS))

    def batches(self):
        """What `tidemark dump` tells of every batch."""
        lines = tidemark("dump", "--json", *sorted(self.logs.glob("*/*.log"))).splitlines()
        return [entry for entry in map(json.loads, lines) if entry["type"] == "batch"]


def check_is_what_was_meant(kafkas):
    """That the broker has written what these cases are about."""
    codecs = {batch["codec"] for batch in kafkas.batches()}
    check(codecs == set(CODECS), f"codecs: {codecs}")
    check(any(batch["control"] for batch in kafkas.batches()), "no control batch")
    check(any(batch["producer_id"] >= 0 for batch in kafkas.batches()), "no producer's id")
    check(any(batch["producer_id"] < 0 for batch in kafkas.batches()), "only idempotent producers")
    check(list(kafkas.logs.glob("kafka-transactions-*/*.txnindex")), "no index of aborted ones")
    compacted = [place for place in kafkas.uncommitted if place[0] == "kafka-compacted"]
    sent = [place for place in kafkas.sent if place[0] == "kafka-compacted"]
    check(len(compacted) < len(sent) / 2, f"{len(compacted)} of {len(sent)}: it was not cleaned")
    aborted = [place for place, fate in kafkas.fates.items() if fate == "aborted"]
    check(kafkas.uncommitted.keys() - kafkas.committed.keys() == set(aborted), "not all aborted")


def check_dump(kafkas):
    """Every record, at its offset, with its contents; markers of transactions besides."""
    files = sorted(kafkas.logs.glob("*/*.log"))
    text = tidemark("dump", "--records", "--json", *files)
    shown = {}
    control = False
    for entry in map(json.loads, text.splitlines()):
        if entry["type"] == "batch":
            check(entry["valid"], entry)
            control = entry["control"]
            topic, partition = entry["file"].split("/")[-2].rsplit("-", 1)
        elif entry["type"] == "record" and not control:
            shown |= parse_json(json.dumps({**entry, "topic": topic, "partition": int(partition)}))
    expect_same(kafkas.uncommitted, shown)
    indexes = sorted(kafkas.logs.glob("*/*index"))
    tidemark("dump", *[index for index in indexes if index.suffix != ".txnindex"])


def import_all(kafkas):
    text = tidemark("import", "--data", kafkas.data, kafkas.logs, "--config", SMALL_SEGMENTS)
    check(len(text.splitlines()) == 13, text)
    return text


def check_consume(kafkas):
    """As Kafka's consumers with isolation.level=read_uncommitted, which is the default, see it."""
    expect_same(kafkas.uncommitted, consume(kafkas.data, TOPICS))


def check_verify(kafkas):
    text = tidemark("verify", "--deep", kafkas.data)
    check("all is in order" in text, text)


def check_dumps_of_import(kafkas):
    files = sorted(kafkas.data.glob("kafka-*/*.log"))
    wanted = dict(kafkas.uncommitted)
    text = dump_log_segments(files, "--deep-iteration", "--print-data-log",
                             "--skip-record-metadata")
    check("isvalid: false" not in text and text.count("isvalid: true") > 20, text[-2000:])
    plain = [file for file in files if "transactions" not in str(file)]
    check_dumped_log(dump_log_segments(plain, "--deep-iteration", "--print-data-log"),
                     {place: fields for place, fields in wanted.items()
                      if place[0] != "kafka-transactions"})


def check_goes_on(kafkas):
    """What is appended next has the next offset, and both are read."""
    ends = [place[2] for place in kafkas.uncommitted if place[:2] == ("kafka-gzip", 0)]
    tidemark("datagen", "thermometers", "--count", 10, "--data", kafkas.data, "--topic",
             "kafka-gzip")
    new = consume(kafkas.data, ["kafka-gzip"]).keys() - kafkas.uncommitted.keys()
    check(len(new) == 10, f"{len(new)} new records")
    check(min(place[2] for place in new if place[1] == 0) == max(ends) + 1, f"{sorted(new)[:3]}")


def run(results, scratch, broker):
    broker.start()
    kafkas = results.run("Kafka writes all shapes", Kafkas, scratch, broker)
    if kafkas is None:
        return
    results.run("all codecs, transactions and a cleaned log are there", check_is_what_was_meant,
                kafkas)
    results.run("tidemark dump shows them", check_dump, kafkas)
    if results.run("tidemark import takes them over", import_all, kafkas) is None:
        return
    results.run("tidemark verify finds all in order", check_verify, kafkas)
    results.run("tidemark consume shows what Kafka's consumers see", check_consume, kafkas)
    results.run("DumpLogSegments: the imported logs", check_dumps_of_import, kafkas)
    results.run("an imported topic goes on", check_goes_on, kafkas)
