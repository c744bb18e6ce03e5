"""Who may look: every reason to refuse a request, the token's file, and where the page may be served."""

import os
import stat
from dataclasses import replace

import pytest

from polybot.errors import ConfigError
from polybot.telemetry.dashboard.access import (
    CODE_S,
    MAX_CODES,
    Ask,
    Gate,
    bearer_of,
    check_host,
    load_token,
    token_path,
)

TOKEN = "t0ken_" * 8
GOOD = Ask(method="GET", path="/api/watch", host="127.0.0.1:8765", bearer=TOKEN)
FIRST = Ask(method="GET", path="/", host="localhost:9000", query_token=TOKEN)
LINE = Ask(method="GET", path="/live", host="127.0.0.1:8765", origin="http://127.0.0.1:8765", is_websocket=True)


class Clock:
    """Monotonic time that a test moves."""

    ns = 0

    def __call__(self) -> int:
        self.ns += 1_000_000_000
        return self.ns


@pytest.fixture
def gate() -> Gate:
    return Gate(TOKEN, requests_per_s=1.0, mono_ns=Clock())


def status(gate: Gate, ask: Ask) -> int:
    refusal = gate.judge(ask)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize("ask", [GOOD, FIRST, replace(GOOD, method="HEAD"), replace(GOOD, host="[::1]:8765")])
def test_the_token_opens_by_header_and_in_the_printed_address(gate: Gate, ask: Ask) -> None:
    assert status(gate, ask) == 200


def test_the_cookie_opens_the_page_and_its_websocket_and_is_not_the_token(gate: Gate) -> None:
    assert TOKEN not in gate.cookie_value
    for ask in (replace(GOOD, bearer="", cookie=gate.cookie_value), replace(LINE, cookie=gate.cookie_value)):
        assert status(gate, ask) == 200
    assert status(gate, replace(GOOD, bearer=gate.cookie_value)) == 401
    assert status(gate, replace(GOOD, bearer="", cookie=TOKEN)) == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_nothing_but_looking_is_possible(gate: Gate, method: str) -> None:
    assert status(gate, replace(GOOD, method=method)) == 405


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8765", "127.0.0.1.evil.example:8765", "localhost.evil.example",
     "192.168.0.7:8765", "0.0.0.0:8765", "[::]:8765", "127.0.0.1:8765@evil.example", "127.0.0.1:0",
     "127.0.0.1:99999", "127.0.0.2", "localhost:", "localhost:\u00b2", "localhost:\u0663"],
)  # fmt: skip
def test_another_hosts_name_is_refused_whatever_it_brings(gate: Gate, host: str) -> None:
    assert status(gate, replace(GOOD, host=host)) == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "https://127.0.0.1:8765", "http://127.0.0.1:9999", "http://127.0.0.1",
     "http://localhost:8765", "http://127.0.0.1:8765.evil.example", "file://"],
)  # fmt: skip
def test_another_sites_origin_is_refused_whatever_it_brings(gate: Gate, origin: str) -> None:
    assert status(gate, replace(GOOD, origin=origin)) == 403
    assert status(gate, replace(LINE, origin=origin, cookie=gate.cookie_value)) == 403


def test_a_websocket_without_an_origin_is_refused_even_with_the_token(gate: Gate) -> None:
    assert status(gate, replace(LINE, origin=None, cookie=gate.cookie_value, bearer=TOKEN)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_port_can_fetch_nothing_but_may_link_to_the_page(gate: Gate, site: str) -> None:
    assert status(gate, replace(GOOD, site=site)) == 403
    assert status(gate, replace(FIRST, site=site)) == 200


@pytest.mark.parametrize("word", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\u00e9" * 48])
def test_a_missing_or_wrong_token_is_refused_in_every_place(gate: Gate, word: str) -> None:
    for ask in (replace(GOOD, bearer=word), replace(FIRST, query_token=word), replace(GOOD, bearer="", cookie=word)):
        assert status(gate, ask) == 401
    assert gate.refused == {401: 3}


def test_the_token_in_an_address_opens_the_first_page_alone(gate: Gate) -> None:
    assert status(gate, replace(GOOD, bearer="", query_token=TOKEN)) == 401


def test_a_code_opens_once_and_not_late() -> None:
    clock = Clock()
    gate = Gate(TOKEN, requests_per_s=1_000.0, mono_ns=clock)
    ask = replace(FIRST, query_token=gate.new_code())
    assert status(gate, replace(ask, path="/metrics")) == 401
    assert status(gate, ask) == 200
    gate.use(ask)
    assert status(gate, ask) == 401
    late = replace(FIRST, query_token=gate.new_code())
    clock.ns += CODE_S * 1_000_000_000
    assert status(gate, late) == 401


def test_of_many_codes_only_the_newest_are_good() -> None:
    gate = Gate(TOKEN, requests_per_s=1_000.0, mono_ns=Clock())
    codes = [gate.new_code() for _ in range(MAX_CODES + 1)]
    assert [status(gate, replace(FIRST, query_token=code)) for code in codes] == [401] + [200] * MAX_CODES


def test_strangers_who_ask_too_often_are_put_off_and_do_not_use_up_the_viewers_share() -> None:
    gate = Gate(TOKEN, requests_per_s=10.0, mono_ns=lambda: 0)
    answers = [status(gate, replace(GOOD, bearer="guess")) for _ in range(100)]
    assert set(answers[:10]) == {401}
    assert set(answers[-50:]) == {429}
    assert status(gate, GOOD) == 200
    assert {status(gate, GOOD) for _ in range(100)} == {200, 429}


def test_an_open_path_needs_no_token_but_the_right_host(gate: Gate) -> None:
    ask = replace(GOOD, path="/healthz", bearer="", is_open=True)
    assert status(gate, ask) == 200
    assert status(gate, replace(ask, host="evil.example")) == 421


def test_the_bearer_is_read_from_its_header_alone() -> None:
    assert bearer_of({"Authorization": f"Bearer {TOKEN}"}) == TOKEN
    assert bearer_of({"Authorization": f"Basic {TOKEN}"}) == bearer_of({}) == ""


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_token_is_made_once_for_its_owner_alone_and_kept(tmp_path) -> None:
    token = load_token(tmp_path / "state")
    path = token_path(tmp_path / "state")
    assert len(token) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_token(tmp_path / "state") == token
    assert load_token(tmp_path / "other") != token


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_may_read_is_refused(tmp_path, mode: int) -> None:
    load_token(tmp_path)
    token_path(tmp_path).chmod(mode)
    with pytest.raises(ConfigError, match="may be read by others: remove it"):
        load_token(tmp_path)


@pytest.mark.parametrize("text", ["", "short", "x" * 400, "has a space " * 5, "\u00e9" * 50, "../" * 20])
def test_a_file_that_holds_no_token_is_refused(tmp_path, text: str) -> None:
    token_path(tmp_path).write_text(text)
    token_path(tmp_path).chmod(0o600)
    with pytest.raises(ConfigError, match="holds no token"):
        load_token(tmp_path)


def test_a_token_behind_a_link_is_refused(tmp_path) -> None:
    load_token(tmp_path / "there")
    os.symlink(token_path(tmp_path / "there"), token_path(tmp_path))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_token(tmp_path)


# -- where it is served ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "bound"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("localhost", "127.0.0.1")]
)
def test_it_is_served_to_this_machine(host: str, bound: str) -> None:
    assert check_host(host) == bound


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "10.0.0.1", "169.254.1.1", ""])
def test_another_address_is_refused_with_the_tunnel_as_the_fix(host: str) -> None:
    with pytest.raises(ConfigError, match="ssh -L 8765"):
        check_host(host)
