"""A disk that is full or slow for one process, below one folder, while a switch is on.

How: a small library (C, compiled by the test, LD_PRELOAD) stands before the process's write, fsync and fallocate.  What
goes to files below the folder fails with ENOSPC, or sleeps first; sockets, pipes and other folders are not touched.  So
the program under test and its system calls are the real ones; the kernel's own writeback and memory maps are not
reached.  The switch is a file: it can be turned over while the process runs.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SickDisk"]

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* 0: leave it alone; 1: it is to be delayed; 2: it is to fail */
static int judge(int fd) {
    const char *folder = getenv("SICK_FOLDER"), *full = getenv("SICK_FULL"), *slow = getenv("SICK_SLOW");
    struct stat facts;
    if (!folder || !full || !slow || fstat(fd, &facts) || !S_ISREG(facts.st_mode)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (strncmp(path, folder, strlen(folder))) return 0;
    if (!access(full, F_OK)) return 2;
    return !access(slow, F_OK);
}

static int sick(int fd) {
    int kept = errno, found = judge(fd);
    if (found == 1) {
        struct timespec pause = {0, SLOW_NS};
        nanosleep(&pause, 0);
    }
    errno = kept;
    return found == 2;
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (sick(fd)) { errno = ENOSPC; return -1; }
    return real(fd, data, size);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (sick(fd)) { errno = ENOSPC; return -1; }
    return real(fd);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static int (*real)(int, off_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "posix_fallocate");
    return sick(fd) ? ENOSPC : real(fd, at, size);
}
"""


@dataclass(frozen=True)
class SickDisk:
    """The library and its switches; `environ` goes to the process."""

    library: Path
    folder: Path
    full: Path
    slow: Path

    @classmethod
    def below(cls, folder: Path, *, work: Path, slow_ms: int) -> "SickDisk":
        """Compile; `folder` is what gets sick, `work` holds library and switches; each call is delayed by slow_ms."""
        work.mkdir()
        source, library = work / "sick.c", work / "sick.so"
        source.write_text(SOURCE)
        flags = ["-O1", "-shared", "-fPIC", f"-DSLOW_NS={slow_ms}000000L"]
        subprocess.run(["cc", *flags, "-o", str(library), str(source), "-ldl"], check=True)
        return cls(library, folder, work / "full", work / "slow")

    @property
    def environ(self) -> dict[str, str]:
        """What makes a process meet it."""
        return {
            "LD_PRELOAD": str(self.library),
            "SICK_FOLDER": f"{self.folder}/",
            "SICK_FULL": str(self.full),
            "SICK_SLOW": str(self.slow),
        }

    def turn(self, switch: Path, *, on: bool) -> None:
        """Turn a switch on or off."""
        if on:
            switch.touch()
        else:
            switch.unlink(missing_ok=True)
