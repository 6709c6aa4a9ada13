"""What bench/report reads: rows of figures, and the goals that they are held against."""

import json
import statistics
import sys

import report_jobs
from report_jobs import LIMIT, OURS

KEY = ("work", "case", "unit", "system", "setting")
NEEDED = KEY + ("better", "samples")

WORKS = {
    "a": "One durable append at a time",
    "b": "Records in flight, durable",
    "c": "Bulk ingest without waiting, on one processor",
    "d": "Sequential reading, on one processor",
    "e": "Reading one record by its offset",
    "f": "First record at or after a time",
    "g": "From start to ready after a kill",
    "h": "Bytes of a reading",
    "i": "Resident memory",
    "j": "MQTT messages",
    report_jobs.WORK: "Jobs of tidemark bench",
}


# --- rows


def check(row, path):
    missing = [name for name in NEEDED if name not in row]
    if missing:
        sys.exit(f"report: {path}: a row has no {', '.join(missing)}")
    if not row["samples"]:
        sys.exit(f"report: {path}: a row of work {row['work']} has no samples")


def load(paths):
    """All rows, those of the same key merged in order, and what is known of the machines."""
    rows, machines = {}, []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError) as error:
            sys.exit(f"report: {path}: {error}")
        if report_jobs.is_bench(content):
            try:
                content = {"rows": report_jobs.rows(content),
                           "machine": report_jobs.machine(content)}
            except (KeyError, TypeError, ValueError) as error:
                sys.exit(f"report: {path}: not what tidemark bench prints: {error!r}")
        if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
            sys.exit(f"report: {path}: there are no rows")
        machines.append(content.get("machine", {}))
        for row in content["rows"]:
            check(row, path)
            key = tuple(row[name] for name in KEY)
            if key in rows:
                rows[key]["samples"] = rows[key]["samples"] + row["samples"]
            else:
                rows[key] = dict(row)
    return finish(list(rows.values())), machines


def works_of(rows):
    """The letters first."""
    return sorted({row["work"] for row in rows}, key=lambda work: (len(work), work))


def finish(rows):
    for row in rows:
        row["median"] = statistics.median(row["samples"])
        alike = [other for other in rows
                 if all(other[name] == row[name] for name in ("work", "case", "unit"))]
        reference = find(alike, row["work"], row["case"], row["unit"], OURS)
        # Jobs of tidemark bench are not the same work in another system.
        compared = reference and row["work"] != report_jobs.WORK
        row["ratios"] = pairs(row, reference) if compared else []
    return rows


def find(rows, work, case, unit, system, setting=""):
    """The first row of a system; the case may be the beginning of one."""
    for row in rows:
        if (row["work"] == work and row["system"] == system and row["unit"] == unit
                and row["case"].startswith(case) and setting in row["setting"]):
            return row
    return None


def pairs(above, below):
    """Round by round, so that a slow minute slows both."""
    return [a / b for a, b in zip(above["samples"], below["samples"]) if b]


def groups(rows, work):
    """(case, unit) -> rows, in order."""
    found = {}
    for row in rows:
        if row["work"] == work:
            found.setdefault((row["case"], row["unit"]), []).append(row)
    return found


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def spread(values):
    if len(values) < 2:
        return ""
    return f"{number(min(values))} to {number(max(values))}"


def in_brackets(values):
    text = spread(values)
    return f" ({text})" if text else ""


# --- goals


def best_peer(rows, ours, embedded_only=True):
    """The best of the others at the same work, among those that promise as much."""
    others = [row for row in rows
              if row["work"] == ours["work"] and row["case"] == ours["case"]
              and row["unit"] == ours["unit"] and row["system"] not in (OURS, LIMIT, "zstd itself")]
    if embedded_only and ours["work"] in "ab":
        others = [row for row in others if "no sync" not in row["setting"]]
    if not others:
        return None
    return (max if ours["better"] == "higher" else min)(others, key=lambda row: row["median"])


def ratio_goal(goals, what, above, below, limit):
    if above and below:
        values = pairs(above, below)
        if values:
            against = f"{below['system']} ({below['setting']})"
            goals.append((what, against, values, "at least", limit))


def value_goal(goals, what, row, relation, limit):
    if row:
        goals.append((what, "", row["samples"], relation, limit))


def best_of_ours(rows, work, case, unit):
    found = [row for row in rows if row["work"] == work and row["system"] == OURS
             and row["unit"] == unit and row["case"].startswith(case)]
    return max(found, key=lambda row: row["median"]) if found else None


def collect_goals(rows):
    """(what, against what, values, "at least" or "at most", limit)"""
    goals = []
    one = find(rows, "a", "1 partition", "records/s", OURS)
    ratio_goal(goals, "(a) one durable append at a time, by the raw device's", one,
               find(rows, "a", "1 partition", "records/s", LIMIT), 0.95)
    ratio_goal(goals, "(a) the same, by the best peer's", one, one and best_peer(rows, one), 1.5)
    for case in ("64 in flight, 1 partition", "64 in flight, 64 partitions"):
        many = find(rows, "b", case, "records/s", OURS)
        ratio_goal(goals, f"(b) {case}, by the best embedded peer's", many,
                   many and best_peer(rows, many), 10)
    flood = find(rows, report_jobs.WORK, "4096-in-flight", "records/s", OURS, "64 partitions")
    value_goal(goals, "(b2) 4,096 in flight, 64 partitions, records/s", flood, "at least", 3e6)
    ratio_goal(goals, "(b2) the same, by what is taken in when nothing is waited for", flood,
               find(rows, report_jobs.WORK, "buffered", "records/s", OURS, "64 partitions"), 0.8)
    bulk = best_of_ours(rows, "c", "", "records/s")
    ratio_goal(goals, "(c) bulk ingest, by the best embedded peer's", bulk,
               bulk and best_peer(rows, bulk), 8)
    value_goal(goals, "(d) records read a second, not compressed",
               find(rows, "d", "all of", "records/s", OURS, "not compressed"), "at least", 20e6)
    ratio_goal(goals, "(d) zstd batches, by zstd's own speed",
               find(rows, "d", "all of", "records/s", OURS, "zstd"),
               find(rows, "d", "all of", "records/s", "zstd itself"), 0.8)
    starts = [row for row in rows if row["work"] == "g" and row["system"] == OURS
              and row["case"].startswith("log of")]
    for row in starts:
        value_goal(goals, f"(g) {row['case']}, ms", row, "at most", 1000)
    if len(starts) > 1:
        starts.sort(key=lambda row: row.get("x") or 0)
        values = pairs(starts[-1], starts[0])
        goals.append(("(g) the largest log by the smallest", "", values, "at most", 1.5))
    for row in rows:
        if row["work"] == "h" and row["system"] == OURS:
            if row["unit"] == "bytes stored per reading":
                value_goal(goals, f"(h) bytes stored per reading, {row['case']}", row, "at most", 16)
            if "per byte" in row["unit"] and "window" in row["case"]:
                value_goal(goals, "(h) bytes to the device per byte stored and journalled, within "
                           "a window of 1 s", row, "at most", 1.3)
    value_goal(goals, "(i) MiB resident, serve, idle, 100 topics",
               find(rows, "i", "server, idle", "MiB", OURS), "at most", 8)
    collect_message_goals(rows, goals)
    return goals


def collect_message_goals(rows, goals):
    def messages(case, system):
        return find(rows, "j", case, "messages/s", system)

    case = "QoS 1, 100 connections"
    ratio_goal(goals, f"(j) {case}, by mosquitto's", messages(case, OURS),
               messages(case, "mosquitto"), 3)
    case = "QoS 1, 1 connection"
    ratio_goal(goals, f"(j) {case}, by what is in flight for each flush", messages(case, OURS),
               messages(case, LIMIT), 0.8)
    for case in ("QoS 0, 1 connection", "QoS 0, 100 connections", "QoS 0, 1,000 connections"):
        ratio_goal(goals, f"(j) {case}, by mosquitto's", messages(case, OURS),
                   messages(case, "mosquitto"), 3)


def met(values, relation, limit):
    median = statistics.median(values)
    return median >= limit if relation == "at least" else median <= limit
