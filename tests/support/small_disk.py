"""A small file system of a test's own, and a watcher of what is really taken on it."""

import os
import subprocess
import threading

from gateway import Failure, Skip, require

WATCH_PAUSE_S = 0.002
BLOCK_BYTES = 512  # of st_blocks, whatever the file system


class SmallDisk:
    """A tmpfs of a size. The process must have a mount namespace of its own (`unshare -m`)."""

    def __init__(self, mount, size_bytes):
        os.makedirs(mount, exist_ok=True)
        self.mount = mount
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tidemark", mount],
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise Skip(f"a tmpfs cannot be mounted here: {done.stderr.decode(errors='replace').strip()}")

    def taken_bytes(self):
        """All blocks in use, those of deleted files that somebody has open included."""
        about = os.statvfs(self.mount)
        return (about.f_blocks - about.f_bfree) * about.f_frsize

    def end(self):
        done = subprocess.run(["umount", self.mount], capture_output=True, check=False)
        require(done.returncode == 0, f"umount: {done.stderr.decode(errors='replace').strip()}")


def blocks_below(folder):
    """The blocks of every file, in bytes. None: a file has gone meanwhile, so that it is no sum of one moment."""
    total = 0
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                below = blocks_below(entry.path)
                if below is None:
                    return None
                total += below
            else:
                total += os.lstat(entry.path).st_blocks * BLOCK_BYTES
    except FileNotFoundError:
        return None
    return total


class Watcher:
    """Looks all the time whether a folder on a disk of its own takes more than it may."""

    def __init__(self, disk, folder, most_bytes):
        self.most_taken_bytes = 0  # by statvfs
        self.most_sum_bytes = 0  # of all files
        self.looks = 0
        self.sums = 0
        self._disk = disk
        self._folder = folder
        self._most_bytes = most_bytes
        self._failure = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(WATCH_PAUSE_S):
            self.most_taken_bytes = max(self.most_taken_bytes, self._disk.taken_bytes())
            self.looks += 1
            total = blocks_below(self._folder)
            if total is not None:
                self.most_sum_bytes = max(self.most_sum_bytes, total)
                self.sums += 1

    def check(self):
        # A sum of files is none of one moment: what is removed here and written there counts twice.
        if self.most_taken_bytes > self._most_bytes:
            raise Failure(f"the store takes {self.most_taken_bytes} bytes of the disk, its files "
                          f"{self.most_sum_bytes}; it may have {self._most_bytes}")

    def end(self):
        self._stop.set()
        self._thread.join()
        self.check()
        require(self.looks > 0 and self.sums > 0, "nobody has looked")
