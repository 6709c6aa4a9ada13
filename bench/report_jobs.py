"""Rows of what `tidemark bench --output-format=json` has printed (docs/bench.md)."""

OURS = "Tidemark"
LIMIT = "raw device"
WORK = "bench"

# What a chart may go along, and how it is called there.
AXES = {"partitions": "partitions", "iodepth": "records in flight"}
# An axis needs so many places; fewer are jobs that happen to be alike.
LEAST_PLACES = 3
NOT_COMPARED = ("name", "topic", "directory")
NS_PER_MS = 1e6
# One record in so many waited longer than what stands there.
TAIL = {"50.000000": 2, "90.000000": 10, "99.000000": 100, "99.900000": 1000, "99.990000": 10_000}


def is_bench(content):
    return isinstance(content, dict) and "tidemark version" in content and "jobs" in content


def machine(content):
    return {"versions": {OURS: content["tidemark version"]}}


def rows(content):
    """A job that failed has no row."""
    jobs = [job for job in content["jobs"] if job["error"] is None]
    found = []
    for job in jobs:
        axes = [axis for axis in AXES if job["through"] != "device" and sweeps(jobs, job, axis)]
        for way in ("append", "read", "write"):
            if way in job:
                found += alone(job, way) if not axes else along(job, way, axes)
    return found


def sweeps(jobs, job, axis):
    """Whether there are jobs that differ from this one along the axis alone."""
    mine = rest(job, axis)
    places = {other["job options"][axis] for other in jobs if rest(other, axis) == mine}
    return len(places) >= LEAST_PLACES


def rest(job, axis):
    return {key: value for key, value in job["job options"].items()
            if key != axis and key not in NOT_COMPARED}


def told(count, what):
    """As "1 record in flight", "64 records in flight"."""
    noun, space, more = what.partition(" ")
    return f"{int(count):,} {noun[:-1] if int(count) == 1 else noun}{space}{more}"


def setting_of(job, without=""):
    options = job["job options"]
    words = [options["rw"]]
    if job["through"] != "device":
        words += [options["durability"], options["compression"]]
        words += ["thread-safe class"] if job["through"] == "threads" else []
    if int(options["numjobs"]) > 1:
        words.append(told(options["numjobs"], "threads"))
    for axis, name in AXES.items():
        if axis != without and (axis == "iodepth" or job["through"] != "device"):
            words.append(told(options[axis], name if job["through"] != "device" else
                              "blocks in flight"))
    words.append(options["workload"] or f"{options['recordsize']} bytes")
    return ", ".join(words)


def row(job, case, setting, unit, value, better="higher", **more):
    system = LIMIT if job["through"] == "device" else OURS
    return {"work": WORK, "case": case, "system": system, "setting": setting, "unit": unit,
            "better": better, "samples": [value], "notes": "", **more}


def unit_of(way):
    return {"append": "records/s", "read": "records read/s", "write": "blocks/s"}[way]


def latency(job, way, percentile):
    times = job[way]["clat_ns"]
    return times["percentile"][percentile] / NS_PER_MS if times["N"] else None


def alone(job, way):
    found = [row(job, job["jobname"], setting_of(job), unit_of(way), job[way]["records_per_s"])]
    for percentile, one_in in TAIL.items():
        value = latency(job, way, percentile)
        # Of fewer records the percentile is the greatest, and says nothing more.
        if value is not None and job[way]["clat_ns"]["N"] >= one_in:
            found.append(row(job, f"{way}, one in {one_in:,} waits longer", job["jobname"], "ms",
                             value, "lower", x=one_in,
                             series=f"records, of which one waits longer ({way})"))
    return found


def along(job, way, axes):
    found = []
    for axis in axes:
        place = int(job["job options"][axis])
        case = told(place, AXES[axis])
        more = {"x": place, "series": AXES[axis]}
        setting = setting_of(job, without=axis)
        found.append(row(job, case, setting, unit_of(way), job[way]["records_per_s"], **more))
        for name, percentile in (("median", "50.000000"), ("p99", "99.000000")):
            value = latency(job, way, percentile)
            if value is not None:
                found.append(row(job, case, setting, f"ms, {name} ({way})", value, "lower", **more))
    return found
