"""A disk whose power can be cut (prog_power_disk), mounted; and writers that prove that the cut is real."""

import os
import queue
import subprocess
import threading
import time

from gateway import PATIENCE_S, Failure, Skip, require

CANNOT_MOUNT = 77


class PowerDisk:
    """Mounts what `image` holds at `mount`; gone again after end(), whatever state it is in. `direct`:
    takes O_DIRECT."""

    def __init__(self, mount, image, seed, direct=True):
        program = os.path.join(os.environ["TIDEMARK_BUILD"], "prog_power_disk")
        if not os.path.exists(program):
            raise Skip("prog_power_disk is not built: libfuse3-dev is missing")
        if not os.path.exists("/dev/fuse"):
            raise Skip("there is no /dev/fuse")
        os.makedirs(mount, exist_ok=True)
        os.makedirs(image, exist_ok=True)
        self.mount = mount
        arguments = [program, mount, image, str(seed)] + ([] if direct else ["no-direct"])
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            first = self._answer()
        except Failure as failure:
            if self._process.wait(PATIENCE_S) == CANNOT_MOUNT:
                said = self._process.stderr.read().decode(errors="replace").strip()
                raise Skip(f"a FUSE file system cannot be mounted here: {said}") from failure
            raise
        require(first == "mounted", f"prog_power_disk says: {first}")

    def _read(self):
        for line in self._process.stdout:
            self._answers.put(line.decode().rstrip("\n"))
        self._answers.put(None)

    def _answer(self):
        try:
            answer = self._answers.get(timeout=PATIENCE_S)
        except queue.Empty as empty:
            raise Failure("prog_power_disk does not answer") from empty
        require(answer is not None, "prog_power_disk has ended")
        return answer

    def _ask(self, command, word):
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        answer = self._answer()
        require(answer.split(" ")[0] == word, f"prog_power_disk answers to {command!r}: {answer}")
        return {key: int(value) for key, value in (field.split("=") for field in answer.split(" ")[1:])}

    def cut(self):
        """What was lost; from now on every call on the mount fails."""
        return self._ask("cut", "cut")

    def fail_flush(self, name_ending):
        self._ask(f"fail-flush {name_ending}", "armed")

    def counts(self):
        return self._ask("counts", "counts")

    def end(self):
        """Whoever still has a file open there finds it dead."""
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if os.path.ismount(self.mount) or self._is_dead():
            subprocess.run(["fusermount3", "-u", "-z", self.mount], check=False)
        said = self._process.stderr.read().decode(errors="replace")
        require(self._process.returncode == 0 and not said,
                f"prog_power_disk has ended with {self._process.returncode}: {said}")

    def _is_dead(self):
        try:
            os.stat(self.mount)
        except OSError:
            return True
        return False


class ControlWriter:
    """Appends numbered records to a file of its own, until its disk is dead: a thread of ours.

    The file's name is flushed before it begins. `flushes`: after each record, as one does who wants to
    keep it; otherwise never.
    """

    PAUSE_S = 0.001

    def __init__(self, folder, flushes):
        self.flushes = flushes
        self.written = 0  # records that the file system has taken, and flushed if asked to
        self.failure = None
        self._folder = folder
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def record(number):
        return b"%010d %s\n" % (number, b"%010d" % (number * 2_654_435_761 % 10**10) * 100)  # about two sectors

    def _run(self):
        try:
            self._write()
        except OSError as error:
            self.failure = error  # the cut

    def _write(self):
        os.makedirs(self._folder)
        file = os.open(os.path.join(self._folder, "records"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        try:
            for folder in (self._folder, os.path.dirname(self._folder)):
                self._flush_folder(folder)
            while not self._stop:
                data = self.record(self.written)
                require(os.write(file, data) == len(data), "a short write")
                if self.flushes:
                    os.fsync(file)
                self.written += 1
                time.sleep(self.PAUSE_S)  # not for the disk's sake: leaves the processor to others
        finally:
            os.close(file)

    @staticmethod
    def _flush_folder(path):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def end(self):
        self._stop = True
        self._thread.join(PATIENCE_S)
        require(not self._thread.is_alive(), "a control writer hangs")

    def left(self, folder):
        """How many records are there without a hole, in what has become of its folder."""
        try:
            with open(os.path.join(folder, "records"), "rb") as file:
                found = file.read()
        except FileNotFoundError:
            return 0
        number = at = 0
        while found.startswith(self.record(number), at):
            at += len(self.record(number))
            number += 1
        return number
