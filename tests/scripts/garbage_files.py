"""Garbage in place of the files of a data folder that was stopped cleanly or killed."""

import os
import shutil

import garbage_context  # pylint: disable=unused-import # where `gateway` is found
from gateway import Failure, Gateway, require, run, run_ok

# Small segments, so that there are sealed ones.
TOPIC_SETTINGS = ["segment.bytes=24KiB", "compression.type=none", "index.interval.bytes=1"]
TOPIC = "garden"
PARTITIONS = 2
SESSIONS = 6  # each leaves a batch in every partition; two make a segment
RECORDS_PER_SESSION = 200
BLOCK = 4096

SERVE_SAID = "    serve said: "


class Base:
    """A store with known records; `killed`: the last of them are in the journal only."""

    def __init__(self, context, killed):
        self.data = os.path.join(context.folder, "killed" if killed else "clean")
        settings = [word for setting in TOPIC_SETTINGS for word in ("--config", setting)]
        gateway = Gateway(self.data, context.config).must_start()
        gateway.stop()
        run_ok("topic", "create", "--data", self.data, TOPIC, "--partitions", str(PARTITIONS), *settings)
        for session in range(SESSIONS):
            for partition in range(PARTITIONS):
                self._produce(partition, session)
        self.packed_end = SESSIONS * RECORDS_PER_SESSION
        self.end = self.packed_end
        if killed:
            gateway = Gateway(self.data, context.config).must_start()
            for partition in range(PARTITIONS):
                self._produce(partition, SESSIONS)
            self.end += RECORDS_PER_SESSION
            self.records = self._read()
            gateway.kill()
        else:
            self.records = self._read()
        for partition in range(PARTITIONS):
            require(len(self.records[partition]) == self.end, "the base store is not as expected")
        self.segments = [self._bases(partition) for partition in range(PARTITIONS)]
        require(len(self.segments[0]) == SESSIONS // 2, f"strange segments: {self.segments}")

    def _produce(self, partition, session):
        lines = "".join(f"{partition} {session} {i} " + "x" * (i % 60) + "\n"
                        for i in range(RECORDS_PER_SESSION))
        run_ok("produce", "--data", self.data, TOPIC, "-p", str(partition), stdin=lines.encode())

    def _read(self):
        """By partition: (timestamp, value) of each offset."""
        records = [[] for _ in range(PARTITIONS)]
        for line in run_ok("consume", "--data", self.data, TOPIC, "-e", "-f", r"%p %o %T %s\n").splitlines():
            partition, offset, timestamp, value = line.split(b" ", 3)
            require(int(offset) == len(records[int(partition)]), "the base store has a hole")
            records[int(partition)].append((int(timestamp), value))
        return records

    def _bases(self, partition):
        names = os.listdir(os.path.join(self.data, f"{TOPIC}-{partition}"))
        return sorted(int(name[:-4]) for name in names if name.endswith(".log"))


class Damage:
    """One way to damage a data folder, and what may follow from it."""

    def __init__(self, name, do, lost=None, may_refuse=False, quarantined=False, silent=False,
                 clean_only=False):
        self.name = name
        self.do = do  # (folder, random, base)
        self.lost = lost or (lambda base: {})  # by partition: (first, end) of what may be lost
        self.may_refuse = may_refuse
        self.quarantined = quarantined
        self.silent = silent  # the loss cannot be told from nothing having been written
        self.clean_only = clean_only  # after a kill nothing would be different


def overwrite(path, rng, begin=0, end=None):
    size = os.path.getsize(path)
    end = size if end is None else min(end, size)
    with open(path, "r+b") as file:
        file.seek(begin)
        file.write(rng.randbytes(end - begin))


def flip(path, rng, begin=0, end=None):
    size = os.path.getsize(path)
    require(size > 0, f"{path} is empty already")
    at = rng.randrange(begin, size if end is None else min(end, size))
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


def cut(path, length):
    os.truncate(path, length)


def replace_by_folder(path):
    if os.path.lexists(path):
        os.remove(path)
    os.mkdir(path)


def replace_by_text(path):
    if os.path.lexists(path):
        os.remove(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write("This is not what you are looking for.\n")


def no_loss(_base):
    return {}


def tail_loss(base):
    """What only the journal holds."""
    return {p: (base.packed_end, base.end) for p in range(PARTITIONS)}


def journal_damages():
    slot_bytes = (4 << 20) // 32
    slot_a, slot_b, ring = 2 * BLOCK, 2 * BLOCK + slot_bytes, 2 * BLOCK + 2 * slot_bytes

    def journal(act):
        return lambda folder, rng, base: act(os.path.join(folder, "journal"), rng)

    def first_commits(path, rng):
        overwrite(path, rng, ring + BLOCK // 2, ring + 3 * BLOCK)

    return [
        Damage("journal, superblock copy 1", journal(lambda p, r: overwrite(p, r, 0, BLOCK))),
        Damage("journal, superblock copy 2", journal(lambda p, r: overwrite(p, r, BLOCK, 2 * BLOCK))),
        Damage("journal, both superblocks", journal(lambda p, r: overwrite(p, r, 0, 2 * BLOCK)), tail_loss,
               quarantined=True),
        Damage("journal, slot A", journal(lambda p, r: overwrite(p, r, slot_a, slot_b))),
        Damage("journal, slot B", journal(lambda p, r: overwrite(p, r, slot_b, ring))),
        Damage("journal, both slots", journal(lambda p, r: overwrite(p, r, slot_a, ring)), tail_loss),
        Damage("journal, one bit of slot A", journal(lambda p, r: flip(p, r, slot_a, slot_a + 100))),
        # Without one readable commit the ring looks as if nothing had been written since the checkpoint.
        Damage("journal, ring", journal(lambda p, r: overwrite(p, r, ring)), tail_loss, silent=True),
        Damage("journal, first commits", journal(first_commits), tail_loss),
        Damage("journal, all", journal(overwrite), tail_loss, quarantined=True),
        Damage("journal, zeros", journal(lambda p, r: (cut(p, 0), cut(p, 4 << 20))), tail_loss,
               quarantined=True),
        Damage("journal, cut in half", journal(lambda p, r: cut(p, 2 << 20)), tail_loss),
        Damage("journal, cut to a block", journal(lambda p, r: cut(p, BLOCK)), tail_loss),
        Damage("journal, cut to 100 bytes", journal(lambda p, r: cut(p, 100)), tail_loss),
        Damage("journal, empty", journal(lambda p, r: cut(p, 0)), tail_loss),
        Damage("journal, missing", journal(lambda p, r: os.remove(p)), tail_loss),
        Damage("journal, longer", journal(lambda p, r: cut(p, 5 << 20))),
        Damage("journal, a folder", journal(lambda p, r: replace_by_folder(p)), tail_loss, may_refuse=True),
    ]


def manifest_damages():
    def manifests(act, names=("manifest", "manifest.backup")):
        def do(folder, rng, _base):
            for name in names:
                act(os.path.join(folder, name), rng)
        return do

    one, two = ("manifest",), ("manifest.backup",)
    lost_identity = lambda folder, rng, base: (
        manifests(overwrite)(folder, rng, base),
        overwrite(os.path.join(folder, "journal"), rng, 0, 2 * BLOCK))
    return [
        Damage("manifest, garbage", manifests(overwrite, one)),
        Damage("manifest, one bit", manifests(flip, one)),
        Damage("manifest, empty", manifests(lambda p, r: cut(p, 0), one)),
        Damage("manifest, missing", manifests(lambda p, r: os.remove(p), one)),
        Damage("manifest, a folder", manifests(lambda p, r: replace_by_folder(p), one), may_refuse=True),
        Damage("manifest.backup, garbage", manifests(overwrite, two)),
        Damage("manifest.backup, missing", manifests(lambda p, r: os.remove(p), two)),
        Damage("both manifests, garbage", manifests(overwrite)),
        Damage("both manifests, text", manifests(lambda p, r: replace_by_text(p))),
        Damage("both manifests, missing", manifests(lambda p, r: os.remove(p))),
        Damage("both manifests and both superblocks", lost_identity, tail_loss, may_refuse=True),
    ]


def segment_damages():
    damages = []

    def path(folder, base, which, suffix):
        return os.path.join(folder, f"{TOPIC}-0", f"{base.segments[0][which]:020d}.{suffix}")

    def of_segment(which):
        def lost(base):
            bases = base.segments[0]
            following = bases[which + 1] if 0 <= which < len(bases) - 1 else base.packed_end
            return {0: (bases[which], following)}
        return lost

    acts = {
        "garbage": overwrite,
        "one bit": flip,
        "cut short": lambda p, r: cut(p, os.path.getsize(p) * 2 // 3),
        "empty": lambda p, r: cut(p, 0),
        "missing": lambda p, r: os.remove(p),
        "garbage behind": lambda p, r: open(p, "ab").write(r.randbytes(5000)),
    }
    for which, name in ((0, "first"), (-1, "last")):
        for act_name, act in acts.items():
            # The last one is not sealed.
            for suffix in ("log", "index", "timeindex") + (("seal",) if which == 0 else ()):
                loses = suffix == "log" and act_name != "garbage behind"
                # The first segment is sealed: what is wrong there is found by who reads it.
                cuts = suffix == "log" and which == -1 and act_name == "cut short"
                damages.append(Damage(
                    f"{name} .{suffix}, {act_name}",
                    lambda folder, rng, base, w=which, a=act, s=suffix: a(path(folder, base, w, s), rng),
                    of_segment(which) if loses else no_loss, quarantined=cuts, clean_only=which == 0))
    damages.append(Damage("first .log, a folder",
                          lambda folder, rng, base: replace_by_folder(path(folder, base, 0, "log")),
                          of_segment(0), may_refuse=True))
    return damages


def other_damages():
    def in_partition(name, act):
        return lambda folder, rng, base: act(os.path.join(folder, f"{TOPIC}-0", name), rng)

    def in_folder(name, act):
        return lambda folder, rng, base: act(os.path.join(folder, name), rng)

    def strangers(folder, rng, _base):
        for name in ("stranger", "stranger-0", f"{TOPIC}-9", f"{TOPIC}-x"):
            os.mkdir(os.path.join(folder, name))
        for name in ("core", f"{TOPIC}-0/notes.log", f"{TOPIC}-0/5.log", f"{TOPIC}-0/{'7' * 30}.log",
                     "stranger-0/partition.metadata", f"{TOPIC}-0/00000000000000000000.log.deleted"):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(rng.randbytes(3000))

    def dead_link(path, _rng):
        if os.path.lexists(path):
            os.remove(path)
        os.symlink("/nowhere/at/all", path)

    write = lambda p, r: open(p, "wb").write(r.randbytes(3000))
    remove = lambda p, r: os.remove(p)
    return [
        Damage("partition.metadata, garbage", in_partition("partition.metadata", overwrite)),
        Damage("partition.metadata, missing", in_partition("partition.metadata", remove)),
        Damage("leader-epoch-checkpoint, garbage", in_partition("leader-epoch-checkpoint", write)),
        Damage("leader-epoch-checkpoint, missing", in_partition("leader-epoch-checkpoint", remove)),
        Damage("owner, garbage", in_folder("owner", write)),
        Damage("owner, missing", in_folder("owner", remove)),
        Damage("owner, a folder", in_folder("owner", lambda p, r: replace_by_folder(p)), may_refuse=True),
        Damage("socket, plain file", in_folder("tidemark.sock", lambda p, r: replace_by_text(p)),
               may_refuse=True),
        Damage("socket, dead link", in_folder("tidemark.sock", dead_link), may_refuse=True),
        Damage("socket, a folder", in_folder("tidemark.sock", lambda p, r: replace_by_folder(p)),
               may_refuse=True),
        Damage("exports, garbage", in_folder("recovery-point-offset-checkpoint", write)),
        Damage("quarantine, plain file", in_folder("quarantine", write)),
        Damage("strangers", strangers),
        Damage("a partition's folder, missing",
               lambda folder, rng, base: shutil.rmtree(os.path.join(folder, f"{TOPIC}-0")),
               lambda base: {0: (0, base.packed_end)}),
        Damage("a partition's folder, a file",
               lambda folder, rng, base: (shutil.rmtree(os.path.join(folder, f"{TOPIC}-0")),
                                          write(os.path.join(folder, f"{TOPIC}-0"), rng)),
               lambda base: {0: (0, base.end)}, may_refuse=True),
        Damage("nothing at all", lambda folder, rng, base: None),
    ]


class DamagedStore:
    def __init__(self, context, base, damage, label):
        self.context = context
        self.base = base
        self.damage = damage
        self.label = label
        self.allowed = damage.lost(base)
        self.folder = os.path.join(context.new_folder(), "data")
        self.gateway = None
        self.said = ""

    def may_be_lost(self, partition, offset):
        first, end = self.allowed.get(partition, (0, 0))
        return first <= offset < end

    def fail(self, text):
        raise Failure(f"{text}\n{SERVE_SAID}{self.said[-1500:]}")

    def check(self):
        shutil.copytree(self.base.data, self.folder,
                        ignore=lambda _folder, names: [n for n in names if n == "tidemark.sock"])
        self.damage.do(self.folder, self.context.random(self.label), self.base)
        self.gateway = Gateway(self.folder, self.context.config)
        try:
            started = self.gateway.started()
            self.said = self.gateway.text()
            if not started:
                self.check_refusal()
                return
            seen = self.read()
            self.check_lookups(seen)
            self.check_append()
            self.check_quarantine()
            self.said = self.gateway.text()
            self.gateway.stop()
            self.said = self.gateway.text()
            again = self.read()
            if any(again.get(key) != value for key, value in seen.items()):
                self.fail("another opening shows something else")
        except Failure as failure:
            if SERVE_SAID in str(failure):
                raise
            self.fail(str(failure))
        finally:
            self.gateway.abandon()

    def check_refusal(self):
        code = self.gateway.process.returncode
        if code < 0:
            self.fail(f"ended by signal {-code}")
        if not self.damage.may_refuse:
            self.fail(f"refused with code {code}")
        last = self.said.splitlines()[-1] if self.said else ""
        if code != 1 or not last.startswith("tidemark: ") or self.folder not in last:
            self.fail(f"no clear error (code {code}): {last}")

    def read(self):
        """Everything that can be read, checked against what was written."""
        done = run("consume", "--data", self.folder, TOPIC, "-e", "-f", r"%p %o %s\n")
        if done.code not in (0, 1):
            self.fail(f"consume ended with {done.code}: {done.err}")
        found = {}
        for line in done.out.splitlines():
            partition, offset, value = line.split(b" ", 2)
            key = (int(partition), int(offset))
            if key in found:
                self.fail(f"{key} is there twice")
            found[key] = value
            if self.damage.silent and self.may_be_lost(*key):
                continue  # the offset may have been given away again
            if key[1] < self.base.end and value != self.base.records[key[0]][key[1]][1]:
                self.fail(f"{key} has become another record: {value[:80]}")
        missing = [(p, o) for p in range(PARTITIONS) for o in range(self.base.end) if (p, o) not in found]
        wrongly = [key for key in missing if not self.may_be_lost(*key)]
        if wrongly:
            self.fail(f"{len(wrongly)} intact records are not there, first {wrongly[0]}, last {wrongly[-1]}; "
                      f"consume (code {done.code}): {done.err[-500:]}")
        if missing and "lost" not in done.err + self.said and not self.damage.silent:
            self.fail(f"{len(missing)} records are lost without a word, first {missing[0]}")
        if done.code != 0 and not missing and not self.allowed:
            self.fail(f"consume ended with {done.code} though nothing is missing: {done.err}")
        return found

    def check_lookups(self, seen):
        """By offset and by timestamp, in a sealed segment and in the last one."""
        for partition in range(PARTITIONS):
            records = self.base.records[partition]
            for offset in (RECORDS_PER_SESSION // 2, self.base.packed_end - 3):
                if (partition, offset) not in seen:
                    continue
                at = ["-p", str(partition), "-c", "1", "-f", r"%o %s\n"]
                expected = b"%d %s\n" % (offset, records[offset][1])
                by_offset = run("consume", "--data", self.folder, TOPIC, "-o", str(offset), *at)
                if by_offset.out != expected:
                    self.fail(f"partition {partition} from offset {offset}: {by_offset}")
                when = records[offset][0]
                first = next(o for o, r in enumerate(records) if r[0] >= when and (partition, o) in seen)
                expected = b"%d %s\n" % (first, records[first][1])
                by_time = run("consume", "--data", self.folder, TOPIC, "-o", f"s@{when}", *at)
                if by_time.out != expected:
                    self.fail(f"partition {partition} from timestamp {when}, not offset {first}: {by_time}")

    def check_append(self):
        for partition in range(PARTITIONS):
            run_ok("produce", "--data", self.folder, TOPIC, "-p", str(partition), stdin=b"new\n")
            line = run_ok("consume", "--data", self.folder, TOPIC, "-p", str(partition), "-o", "-1",
                          "-c", "1", "-f", r"%o %s\n")
            offset, value = line.rstrip(b"\n").split(b" ", 1)
            if value != b"new" or (int(offset) < self.base.end and not self.damage.silent):
                self.fail(f"a new record got offset {offset}; the old ones end at {self.base.end}")

    def check_quarantine(self):
        if not self.damage.quarantined:
            return
        folder = os.path.join(self.folder, "quarantine")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        kept = [name for name in names if not name.endswith(".txt")]
        if not kept or any(name + ".txt" not in names for name in kept):
            self.fail(f"nothing (with a note) in quarantine/: {names}")


def data_folder_cases(context):
    damages = journal_damages() + manifest_damages() + segment_damages() + other_damages()
    cases = []
    for killed in (False, True):
        base = Base(context, killed)
        for damage in damages:
            if killed and damage.clean_only:
                continue
            label = f"after a {'kill' if killed else 'clean stop'}: {damage.name}"
            cases.append((label, lambda b=base, d=damage, l=label: DamagedStore(context, b, d, l).check()))
    return cases
