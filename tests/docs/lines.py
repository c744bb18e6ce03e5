"""Every command line and every piece of Python that stands in README.md and docs/, word for word.

Owns what counts as one: a line of a code block, or a whole `...` in the text, whose first word is a program named
here; in a code block also a word with options behind it.  Must not run anything.  Called by the tests of this folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Line", "command_lines", "is_command", "plain", "python_pieces"]

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = frozenset(
    [
        "adduser",
        "apt",
        "apt-get",
        "awk",
        "bash",
        "cat",
        "cd",
        "chmod",
        "chown",
        "chromium",
        "chronyc",
        "cp",
        "curl",
        "df",
        "docker",
        "echo",
        "env",
        "export",
        "find",
        "free",
        "git",
        "gpg",
        "grep",
        "groupadd",
        "head",
        "htop",
        "install",
        "jq",
        "journalctl",
        "kill",
        "less",
        "ln",
        "loginctl",
        "logrotate",
        "ls",
        "make",
        "mkdir",
        "mount",
        "mv",
        "nano",
        "nohup",
        "ntpdate",
        "openssl",
        "pip",
        "pip3",
        "pkill",
        "podman",
        "polybot",
        "printf",
        "ps",
        "pytest",
        "python",
        "python3",
        "ray",
        "read",
        "rm",
        "rsync",
        "ruff",
        "scp",
        "screen",
        "script",
        "sed",
        "setsid",
        "sh",
        "sqlite3",
        "ss",
        "ssh",
        "ssh-keygen",
        "sshd",
        "su",
        "sudo",
        "sysctl",
        "systemctl",
        "systemd-analyze",
        "systemd-creds",
        "systemd-run",
        "tail",
        "tar",
        "tee",
        "timedatectl",
        "tmux",
        "top",
        "touch",
        "ufw",
        "umask",
        "useradd",
        "usermod",
        "uv",
        "vi",
        "vim",
        "watch",
        "wget",
        "xz",
        "zstd",
    ]
)
ASSIGNMENTS = re.compile(r"(?:[A-Z][A-Z0-9_]*=(?:'[^']*'|\"[^\"]*\"|\S*) +)*")
PYTHON = re.compile(r"(from|import) [\w.]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One command line: its page (path below the project), line number, and words without the remark behind."""

    page: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.number}: {self.text}"


def pages() -> dict[str, str]:
    """README.md and every page of docs/, by its path."""
    paths = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def command_lines() -> list[Line]:
    """All of them, in the order of the pages."""
    return [line for page, text in pages().items() for line in _lines(page, text)]


def _lines(page: str, text: str) -> list[Line]:
    found = []
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fence = "" if fence else line[3:] or "text"
        elif fence in ("", "text", "sh", "bash") and (fence or line.startswith("    ")):
            words = re.sub(r"\s{2,}#.*", "", line.strip())
            if (is_command(words) or re.match(r"[a-z][\w-]* --?[a-z]", words)) and not words.startswith(
                "polybot "
            ):  # that is output
                found.append(Line(page, number, words))
        elif not fence:
            quoted = (words.strip() for words in re.findall(r"`([^`]+)`", line))
            found += [Line(page, number, words) for words in quoted if " " in words and is_command(words)]
    return [line for line in found if "[key=value" not in line.text]


def plain(words: str) -> str:
    """The same line whichever way it calls the interpreter of .venv."""
    return words.replace(".venv/bin/python", "python")


def is_command(words: str) -> bool:
    """Whether the first word after assignments is a program's name, or a path to one."""
    words = words.lstrip("(")
    rest = words[ASSIGNMENTS.match(words).end() :]  # type: ignore[union-attr]
    first = rest.partition(" ")[0]
    return first in PROGRAMS or first.endswith(("bin/python", ".sh"))


def python_pieces() -> dict[str, str]:
    """Python for a notebook or a prompt, by its first line: ```python blocks, indented blocks, `from polybot ...`."""
    found = {}
    for page, text in pages().items():
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        blocks += [block for block in _indented(text) if PYTHON.match(block)]
        blocks += [piece for piece in re.findall(r"`([^`\n]+)`", text) if PYTHON.match(piece) and ";" in piece]
        for block in blocks:
            found[f"{page}: {block.partition(chr(10))[0]}"] = block
    return found


def _indented(text: str) -> list[str]:
    """Blocks of lines that begin with four spaces, without them."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text + "\n", re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n") for block in blocks]
