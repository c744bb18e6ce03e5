"""loguru set up once: key=value facts, no local variables in tracebacks, secrets masked in every sink.

Owns the log file under <out_dir>/log/, the warnings on stderr, the interception of stdlib logging and the
hooks for exceptions nobody caught.  Every line is rendered here, in one function per format, and scrubbed as
a whole, exception text included, before any sink sees it.  Files are written by a thread (telemetry.log_files), so that
no disk can hold up who logs.  Must not be used on the hot path (a filtered call alone costs more than the whole core).
Called by the composition root; close() undoes everything.
"""

import inspect
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

from polybot.config import TelemetryConfig
from polybot.telemetry.log_files import LineFile, LogThread, RotatingFile, StreamFile
from polybot.telemetry.redact import Redactor

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["LogSetup", "configure_logging"]

# Libraries whose INFO lines carry URLs (with the bot token) or one line per request.
QUIET_LIBRARIES = ("httpx", "httpcore", "aiohttp.access", "telegram", "apscheduler", "asyncio")
KEEP_FILES = 20
_LINE = "_line"
_Formatter = Callable[["Record"], str]
_TEMPLATE = "{extra[_line]}\n"


class LogSetup:
    """What configure_logging changed; close() puts it back."""

    def __init__(
        self, sinks: list[int], threads: list[LogThread], root_handlers: list[logging.Handler], root_level: int
    ) -> None:
        self._sinks = sinks
        self._threads = threads
        self._root_handlers = root_handlers
        self._root_level = root_level
        self._excepthook = sys.excepthook
        self._thread_hook = threading.excepthook

    @property
    def lost(self) -> int:
        """Lines that reached no file, those still on their way included."""
        return sum(thread.lost + thread.waiting for thread in self._threads)

    def flush(self) -> bool:
        """Wait for what was logged so far; False when the disk takes too long."""
        flushed = [thread.flush() for thread in self._threads]
        return all(flushed)

    def close(self) -> None:
        """Remove the sinks, write what is left, restore stdlib logging and the exception hooks."""
        for sink in self._sinks:
            logger.remove(sink)
        self._sinks = []
        for thread in self._threads:
            thread.close()
        root = logging.getLogger()
        root.handlers[:] = self._root_handlers
        root.setLevel(self._root_level)
        sys.excepthook = self._excepthook
        threading.excepthook = self._thread_hook


def configure_logging(
    settings: TelemetryConfig, redactor: Redactor, *, stderr: TextIO | None, tag: str = "", name: str = "polybot"
) -> LogSetup:
    """Send loguru and stdlib logging to <out_dir>/log/<name>.log and warnings to stderr (None: not).

    `tag` begins every line of text.  Every process needs a `name` of its own: two must not rotate one file.
    """
    logger.remove()
    text_line = _formatter(lambda record: tag + _text_line(record), redactor)
    threads = [LogThread(note=_lost_text)]
    sinks = [_add_file(settings, f"{name}.log", text_line, threads[0])]
    if settings.log_json:
        threads.append(LogThread(note=_lost_json))
        sinks.append(_add_file(settings, f"{name}.jsonl", _formatter(_json_line, redactor), threads[1]))
    if stderr is not None:
        threads.append(LogThread(note=_lost_text))
        sinks.append(_add(StreamFile(stderr), threads[-1], text_line, "WARNING"))
    root = logging.getLogger()
    setup = LogSetup(sinks, threads, list(root.handlers), root.level)
    root.handlers[:] = [_InterceptHandler()]
    root.setLevel(logging.INFO)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread
    return setup


def _add_file(settings: TelemetryConfig, name: str, formatter: "_Formatter", thread: LogThread) -> int:
    path = Path(settings.out_dir) / "log" / name
    file = RotatingFile(path, limit_bytes=settings.log_rotate_mb * 1_000_000, keep=KEEP_FILES)
    return _add(file, thread, formatter, settings.log_level)


def _add(file: LineFile, thread: LogThread, formatter: "_Formatter", level: str) -> int:
    """One sink; each has a thread of its own, so that none of them can hold up another."""
    return logger.add(
        lambda message: thread.put(file, str(message)),
        level=level,
        format=formatter,
        colorize=False,
        diagnose=False,
        backtrace=False,
        catch=True,
    )


def _lost_text(lines: int) -> str:
    return f"{lines} lines of this log were lost: it was not taken in time\n"


def _lost_json(lines: int) -> str:
    return json.dumps({"level": "WARNING", "message": _lost_text(lines).rstrip(), "lost": lines}) + "\n"


def _formatter(render: Callable[["Record"], str], redactor: Redactor) -> "_Formatter":
    """A loguru format function; the finished line is one field, so nothing is added after scrubbing."""

    def format_record(record: "Record") -> str:
        record["extra"][_LINE] = redactor.scrub(render(record))
        return _TEMPLATE

    return format_record


def _text_line(record: "Record") -> str:
    """2026-11-22T07:50:00.123Z INFO feeds.binance reconnected host=... attempt=2"""
    stamp = record["time"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    where = (record["name"] or "").removeprefix("polybot.")
    facts = "".join(f" {key}={_value_text(value)}" for key, value in _facts(record).items())
    line = f"{stamp}Z {record['level'].name} {where}:{record['line']} {record['message']}{facts}"
    problem = _exception_text(record)
    return f"{line}\n{problem}" if problem else line


def _json_line(record: "Record") -> str:
    """One JSON object per line; facts stand beside the fixed keys under `facts`."""
    document = {
        "time": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "module": record["name"],
        "line": record["line"],
        "message": record["message"],
        "facts": {
            key: value if isinstance(value, int | float | bool) else str(value)
            for key, value in _facts(record).items()
        },
        "exception": _exception_text(record) or None,
    }
    return json.dumps(document, default=str)


def _facts(record: "Record") -> dict[str, Any]:
    return {key: value for key, value in record["extra"].items() if key != _LINE}


def _value_text(value: object) -> str:
    text = str(value)
    return json.dumps(text) if text == "" or any(char in text for char in ' \t\r\n"=') else text


def _exception_text(record: "Record") -> str:
    """The traceback without local variables; loguru's own would show them."""
    problem = record["exception"]
    if problem is None or problem.value is None:
        return ""
    return "".join(traceback.format_exception(problem.type, problem.value, problem.traceback)).rstrip()


class _InterceptHandler(logging.Handler):
    """Hands stdlib records to loguru, so that there is one format and one redaction."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame, depth = inspect.currentframe(), 0
        while frame is not None and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())


def _on_uncaught(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.opt(exception=(kind, problem, trace)).critical("uncaught exception")


def _on_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    problem = args.exc_value if args.exc_value is not None else args.exc_type()
    thread = args.thread.name if args.thread is not None else "?"
    logger.opt(exception=(args.exc_type, problem, args.exc_traceback)).critical(
        "uncaught exception", thread=thread
    )
