"""A `tidemark serve` of its own for tests that drive real processes, and the commands beside it."""

import collections
import os
import signal
import subprocess
import threading
import time

# For anything that must come; nothing takes so long unless something is wrong.
PATIENCE_S = float(os.environ.get("PATIENCE_S", "60"))

Finished = collections.namedtuple("Finished", "code out err")


class Failure(Exception):
    """What was expected has not happened."""


class Skip(Exception):
    """What the test needs is not to be had here."""


def require(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(condition, what, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while not condition():
        require(time.monotonic() < deadline, f"waited in vain for: {what}")
        time.sleep(0.005)


def command_path():
    path = os.environ.get("TIDEMARK_BIN") or os.path.join(os.environ["TIDEMARK_BUILD"], "tidemark")
    require(os.access(path, os.X_OK), f"there is no {path}")
    return path


def run(*arguments, stdin=b"", patience_s=PATIENCE_S):
    """Runs `tidemark ARGUMENTS`. A code below 0 is a signal."""
    try:
        done = subprocess.run([command_path(), *arguments], input=stdin, capture_output=True,
                              timeout=patience_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"tidemark {arguments} hangs; its output ends with {(error.stdout or b'')[-200:]!r}, "
                      f"{(error.stderr or b'')[-500:]!r}") from error
    return Finished(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def run_ok(*arguments, stdin=b""):
    """Runs a command that must succeed; returns what it printed."""
    done = run(*arguments, stdin=stdin)
    require(done.code == 0, f"tidemark {arguments} ended with {done.code}: {done.err}")
    return done.out


class Gateway:
    """A running `tidemark serve`. Everything it says on stderr is kept in `lines`."""

    def __init__(self, data, config=None, mqtt="127.0.0.1:0"):
        self.lines = []
        self.port = None
        self._changed = threading.Condition()
        arguments = [command_path(), "serve", "--data", data]
        if mqtt is not None:  # otherwise as the config says
            arguments += ["--mqtt", mqtt]
        if config is not None:
            arguments += ["--config", config]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            text = line.decode(errors="replace").rstrip("\n")
            with self._changed:
                self.lines.append(text)
                if text.startswith("ready mqtt="):
                    self.port = int(text.rsplit(":", 1)[1])
                self._changed.notify_all()
        with self._changed:
            self.lines.append(None)  # the end
            self._changed.notify_all()

    def text(self):
        return "\n".join(line for line in self.lines if line is not None)

    def started(self):
        """Waits until it is ready (True) or has ended without (False)."""
        with self._changed:
            settled = self._changed.wait_for(
                lambda: self.port is not None or (self.lines and self.lines[-1] is None), PATIENCE_S)
        require(settled, f"serve neither starts nor ends: {self.text()}")
        if self.port is None:
            self.process.wait(PATIENCE_S)
        return self.port is not None

    def must_start(self):
        require(self.started(), f"serve has not started (code {self.process.returncode}): {self.text()}")
        return self

    def running(self):
        return self.process.poll() is None

    def _end(self, number):
        self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise Failure(f"serve does not end: {self.text()}") from error
        self._reader.join(PATIENCE_S)
        return self.process.returncode

    def kill(self):
        require(self.running(), f"serve ended by itself with {self.process.returncode}: {self.text()}")
        code = self._end(signal.SIGKILL)
        require(code == -signal.SIGKILL, f"serve ended with {code} before it was killed: {self.text()}")

    def stop(self):
        require(self.running(), f"serve ended by itself with {self.process.returncode}: {self.text()}")
        code = self._end(signal.SIGTERM)
        require(code == 0, f"serve ended with {code} on SIGTERM: {self.text()}")

    def abandon(self):
        """After a failure: leaves no process behind."""
        if self.running():
            self._end(signal.SIGKILL)
