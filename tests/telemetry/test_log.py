"""Logs: key=value facts, no locals in tracebacks, secrets masked in file, stderr and JSON alike."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from polybot.config import TelemetryConfig
from polybot.telemetry.log import LogSetup, configure_logging
from polybot.telemetry.redact import Redactor

KEY = "0x4c0883a69102937d6231471b5dbb6204fe512961708279f3a1b5c0de8f00ba12"
ORDER_HASH = "0x" + "9f" * 32


class Logs:
    """Configured logging and what came out of it."""

    def __init__(self, out_dir: Path, *, as_json: bool = False, level: str = "INFO") -> None:
        self.stderr = io.StringIO()
        self.path = out_dir / "log" / ("polybot.jsonl" if as_json else "polybot.log")
        self.plain_path = out_dir / "log" / "polybot.log"
        settings = TelemetryConfig(out_dir=str(out_dir), log_json=as_json, log_level=level)  # type: ignore[arg-type]
        self.setup: LogSetup = configure_logging(settings, Redactor(KEY), stderr=self.stderr)

    def text(self) -> str:
        return self.read(self.path)

    def errors(self) -> str:
        assert self.setup.flush()
        return self.stderr.getvalue()

    def read(self, path: Path) -> str:
        assert self.setup.flush()
        return path.read_text()


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path)
    yield made
    made.setup.close()


@pytest.fixture
def json_logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path, as_json=True)
    yield made
    made.setup.close()


def sign(private_key: str) -> None:
    padding = private_key * 2
    raise RuntimeError(f"cannot sign with {private_key}, {len(padding)} characters")


def test_facts_follow_the_message_as_key_value(logs: Logs) -> None:
    logger.bind(host="a b").info("reconnected", attempt=2, order_id=ORDER_HASH)
    line = logs.text()
    assert line.endswith(f' reconnected host="a b" attempt=2 order_id={ORDER_HASH}\n')
    assert "Z INFO tests.telemetry.test_log:" in line


def test_a_secret_is_masked_in_message_fact_and_traceback(logs: Logs) -> None:
    logger.info("key {key} used", key=KEY)
    try:
        sign(KEY)
    except RuntimeError:
        logger.exception("failed", raw=KEY[2:].upper())
    for text in (logs.text(), logs.errors()):
        assert "4c0883" not in text.lower()
        assert "cannot sign with [redacted], 132 characters" in text


def test_tracebacks_show_no_local_variables(logs: Logs) -> None:
    canary = "local-" + "canary"
    try:
        sign(canary)
    except RuntimeError:
        logger.exception("failed")
    shown = logs.text().replace(f"cannot sign with {canary}", "")
    assert "Traceback" in shown
    assert canary not in shown


def test_json_lines_have_the_same_facts_and_no_secret(json_logs: Logs) -> None:
    logger.warning("refused", order_seq=12, key=KEY, note='say "x"')
    try:
        sign(KEY)
    except RuntimeError:
        logger.exception("failed")
    documents = [json.loads(line) for line in json_logs.text().splitlines()]
    assert documents[0]["level"] == "WARNING"
    assert documents[0]["facts"] == {"order_seq": 12, "key": "[redacted]", "note": 'say "x"'}
    assert "RuntimeError" in documents[1]["exception"]
    assert "4c0883" not in json_logs.text()
    assert "refused order_seq=12 key=[redacted]" in json_logs.read(json_logs.plain_path)


def test_stdlib_logging_goes_the_same_way(logs: Logs) -> None:
    logging.getLogger("some.library").warning("lost %s of %d {braces}", KEY, 3)
    text = logs.text()
    assert "WARNING" in text
    assert "lost [redacted] of 3 {braces}" in text
    assert "test_log" in text


@pytest.mark.parametrize("library", ["httpx", "httpcore", "aiohttp.access"])
def test_libraries_that_log_urls_are_quiet_below_warning(library: str, logs: Logs) -> None:
    logging.getLogger(library).info("HTTP Request: POST https://api/bot1/sendMessage")
    logging.getLogger(library).warning("slow")
    assert "HTTP Request" not in logs.text()
    assert "slow" in logs.text()


def test_stderr_has_warnings_only(logs: Logs) -> None:
    logger.info("quiet")
    logger.warning("loud")
    assert "quiet" not in logs.errors()
    assert "loud" in logs.errors()


def test_uncaught_exceptions_are_logged_and_scrubbed(logs: Logs) -> None:
    try:
        sign(KEY)
    except RuntimeError as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
    assert "uncaught exception" in logs.text()
    assert "4c0883" not in logs.text() + logs.errors()


def test_uncaught_exceptions_of_threads_are_logged_and_scrubbed(logs: Logs) -> None:
    thread = threading.Thread(target=sign, args=(KEY,), name="worker")
    thread.start()
    thread.join()
    assert "uncaught exception thread=worker" in logs.text()
    assert "4c0883" not in logs.text() + logs.errors()


def test_the_level_is_a_setting(tmp_path: Path) -> None:
    made = Logs(tmp_path, level="WARNING")
    logger.info("quiet")
    logger.warning("loud")
    made.setup.close()
    assert "quiet" not in made.text()
    assert "loud" in made.text()


def test_a_restart_appends(tmp_path: Path) -> None:
    for word in ("first", "second"):
        made = Logs(tmp_path)
        logger.info(word)
        made.setup.close()
    assert "first" in made.text()
    assert "second" in made.text()


def test_close_restores_hooks_and_root_handlers(tmp_path: Path) -> None:
    before = (sys.excepthook, threading.excepthook, list(logging.getLogger().handlers))
    Logs(tmp_path).setup.close()
    assert (sys.excepthook, threading.excepthook, list(logging.getLogger().handlers)) == before
