"""A checkout of its own in which command lines of the documents are carried out as their reader would: by a shell.

Owns processes, what they print, their ends, the terminal some of them need, and the record of what became of each
line.  A line is given word for word; only what stands for something else in it (an address, the name of a log) is put
in by `where`.  Must not know which lines there are.  Called by the stories.
"""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.docs.lines import ROOT, plain, python_pieces

__all__ = ["Broken", "Running", "Stage", "lay_out"]

LIMIT_S = 300.0  # for one step on the slowest machine
LOOK_S = 0.05
SHELL = shutil.which("bash") or "/bin/sh"
ROWS, COLUMNS = 40, 140
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER")


class Broken(Exception):
    """A line did not do what its page says."""


@dataclass
class Running:
    """One line at work: its process, and where its output goes."""

    line: str
    process: "subprocess.Popen[bytes]"
    output: Path
    terminal: int = -1
    seen: int = 0  # characters already looked through by `shows`

    def text(self) -> str:
        """All it has printed so far, both streams."""
        return self.output.read_text(errors="replace")


@dataclass
class Stage:
    """The folder `checkout` is the reader's; `done` says of each line what became of it: "" when all was well."""

    name: str
    checkout: Path
    done: dict[str, str]
    where: dict[str, str] = field(default_factory=dict)
    begun: list[Running] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)  # of the reader's environment
    also: str = ""  # settings behind every line from now on: what stands for a server that cannot be reached

    # -- lines ------------------------------------------------------------------------------------

    def ends(self, line: str, *, code: int = 0, says: str = "", feed: str = "") -> str:
        """Carry a line out to its end; returns what it printed."""
        running = self.start(line, feed=feed)
        return self.finish(running, code=code, says=says)

    def together(self, *lines: str, feed: str = "") -> str:
        """Carry several out in one shell, as they follow each other in a sentence."""
        said = self.ends("\n".join(lines), feed=feed)
        self.done.update(dict.fromkeys(map(plain, lines), self.done.pop(plain("\n".join(lines)))))
        return said

    def lives(self, line: str, says: str, *, code: int = 0) -> str:
        """Start an endless one, wait for its sign of life, press Ctrl-C; returns what it printed."""
        return self.interrupt(self.start(line, says=says), code=code)

    def start(self, line: str, *, says: str = "", feed: str = "", watch: str = "") -> Running:
        """Start a line and leave it running; `says` is waited for in its output, or in the file `watch`."""
        output = self._output()
        with output.open("wb") as file:
            process = subprocess.Popen(
                [SHELL, "-c", self._words(line)],
                cwd=self.checkout,
                env=self._env(),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdin is not None
        process.stdin.write(feed.encode())
        process.stdin.close()
        running = Running(line, process, self.checkout / watch if watch else output)
        self.begun.append(running)
        self.done[plain(line)] = "still running"
        if says:
            self.shows(running, says)
        return running

    def shows(self, running: Running, says: str) -> "re.Match[str]":
        """Wait until it has printed what matches `says`, behind what was waited for before."""
        for _ in range(int(LIMIT_S / LOOK_S)):
            ended = running.process.poll() is not None
            text = running.text() if running.output.exists() else ""
            if match := re.search(says, text[running.seen :]):
                running.seen += match.end()
                return match
            if ended:
                self._fail(running, f"ended with {running.process.returncode} before it said {says!r}")
            self._look(running)
        self._fail(running, f"did not say {says!r} within {LIMIT_S:g} s")

    def interrupt(self, running: Running, *, code: int = 0, says: str = "") -> str:
        """Ctrl-C: the signal goes to all processes of the line, as from a terminal."""
        os.killpg(running.process.pid, signal.SIGINT)
        return self.finish(running, code=code, says=says)

    def finish(self, running: Running, *, code: int = 0, says: str = "") -> str:
        """Wait for the end, which must be with exit code `code` and after saying `says`; returns what it printed."""
        try:
            running.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._fail(running, f"did not end within {LIMIT_S:g} s")
        text = running.text()
        if running.process.returncode != code:
            self._fail(running, f"exit code {running.process.returncode}, documented {code}")
        if not re.search(says, text):
            self._fail(running, f"did not say {says!r}")
        self.done[plain(running.line)] = ""
        return text

    def on_terminal(self, line: str, says: str, keys: str) -> str:
        """Carry a line out on a terminal, wait for what it shows, press `keys`; it must end with 0."""
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (ROWS, COLUMNS))
        process = subprocess.Popen(
            [SHELL, "-c", self._words(line)],
            cwd=self.checkout,
            env={**self._env(), "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(master, False)
        running = Running(line, process, self._output(), terminal=master)
        self.begun.append(running)
        self.done[plain(line)] = "still running"
        self.shows(running, says)
        os.write(master, keys.encode())
        for _ in range(int(LIMIT_S / LOOK_S)):
            if process.poll() is not None:
                break
            self._look(running)
        return self.finish(running)

    # -- Python -----------------------------------------------------------------------------------

    def python(self, *titles: str, before: str = "") -> str:
        """Carry out pieces of the documents' Python in one interpreter, one after the other."""
        pieces = python_pieces()
        program = "\n".join([before, *(pieces[title] for title in titles)])
        for word, meaning in self.where.items():
            program = program.replace(word, meaning)
        name = f"snippet_{self.name}_{len(self.begun):03}.py"
        (self.checkout / name).write_text(program)
        try:
            return self.ends(f".venv/bin/python {name}")
        finally:
            said = self.done.pop(f"python {name}")
            self.done.update(dict.fromkeys(titles, said))

    # -- within -----------------------------------------------------------------------------------

    def _output(self) -> Path:
        """A file for what the next line prints, beside the checkout."""
        path = self.checkout.parent / f"{self.name}-{len(self.begun):03}.txt"
        path.touch()
        return path

    def end_all(self) -> None:
        """Whatever still runs was started here and is ended."""
        for running in self.begun:
            if running.process.poll() is None:
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
            if running.terminal >= 0:
                os.close(running.terminal)

    def _words(self, line: str) -> str:
        """The line as it is carried out; its own process in place of the shell, as a terminal's job would be."""
        for word, meaning in self.where.items():
            line = line.replace(word, meaning)
        is_one = re.match(r"(\.venv/bin/)?(python|make) ", line) and "&&" not in line
        return f"exec {line} {self.also}" if is_one else line

    def _env(self) -> dict[str, str]:
        """The reader's environment: his own PATH with .venv in front, nothing of the test's."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        path = f"{self.checkout}/.venv/bin:{kept.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **self.variables}

    def _look(self, running: Running) -> None:
        """Wait a moment; drain its terminal."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is still at work
            running.process.wait(LOOK_S)
        if running.terminal >= 0:
            with running.output.open("ab") as file:
                try:
                    while chunk := os.read(running.terminal, 65_536):
                        file.write(chunk)
                except OSError:
                    return  # nothing more for now, or its other end is closed

    def _fail(self, running: Running, why: str) -> NoReturn:
        self.done[plain(running.line)] = f"{why}\n{running.text()[-3_000:]}"
        raise Broken(f"{running.line}: {why}")


def lay_out(folder: Path, shared: Path | None) -> Path:
    """A checkout that shares the project's files by links, and .venv; what is written stays in it."""
    checkout = folder / "main"
    (checkout / ".venv" / ".stamps").mkdir(parents=True)
    for name in _names(ROOT):
        (checkout / name).symlink_to(ROOT / name)
    for name in os.listdir(sys.prefix):
        if name != ".stamps":
            (checkout / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    for stamp in ("venv", "runtime", "dev", "built"):  # it is built
        (checkout / ".venv" / ".stamps" / stamp).touch()
    if shared is not None:
        (folder / "shared").symlink_to(shared)
    return checkout


def _names(root: Path) -> Iterable[str]:
    """What a clone has; no leftovers of somebody's own runs."""
    wanted = ("polybot", "conf", "docs", "deploy", "tests", "bench", "Makefile", "setup.py", "pyproject.toml")
    files = [path.name for path in root.iterdir() if path.is_file() and path.suffix in (".md", ".lock", ".in")]
    return [name for name in (*wanted, *files) if (root / name).exists()]
