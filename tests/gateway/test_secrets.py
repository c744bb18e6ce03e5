"""The key and the API credentials appear in no repr, text, exception or log of the gateway."""

import io
import traceback
from typing import Any

from loguru import logger

from polybot.errors import VenueError
from tests.gateway.fake_http import API_KEY, PASSPHRASE, SECRET, Bench, answer, command, run_virtual

# The API key itself is in every order body ("owner"), which no repr shows either.
FORBIDDEN = ("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", SECRET, PASSPHRASE, API_KEY)


def reachable(root: object, depth: int = 6) -> list[object]:
    """Objects of the gateway reachable by attributes and containers."""
    found: list[object] = []
    seen: set[int] = set()

    def visit(item: object, left: int) -> None:
        ours = type(item).__module__.startswith("polybot.")
        if id(item) in seen or left == 0 or not (ours or isinstance(item, dict | list | tuple)):
            return
        seen.add(id(item))
        if ours:
            found.append(item)
        slots = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
        values: list[Any] = [getattr(item, name, None) for name in slots]
        values += list(getattr(item, "__dict__", {}).values())
        values += (
            list(item.values())
            if isinstance(item, dict)
            else list(item)
            if isinstance(item, list | tuple)
            else []
        )
        for value in values:
            visit(value, left - 1)

    visit(root, depth)
    return found


def test_no_repr_or_str_of_any_gateway_object_shows_a_secret() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        objects = reachable(bench.gateway)
        names = {type(item).__name__ for item in objects}
        assert {"Signer", "RequestSigner", "ApiCredentials", "ClobRest", "TrackedOrder", "Resolver"} <= names
        for item in objects:
            for secret in FORBIDDEN:
                assert secret not in repr(item) + str(item), type(item)

    run_virtual(scenario)


def test_no_exception_or_log_of_failing_calls_shows_a_secret() -> None:
    written = io.StringIO()
    sink = logger.add(written, level=0, diagnose=False, backtrace=False)

    async def scenario(bench: Bench) -> None:
        texts: list[str] = []
        for path in (
            "/version",
            "/time",
            "/api/geoblock",
            "/auth/derive-api-key",
            "/auth/ban-status/closed-only",
        ):
            for reply in (
                answer(500, {"secret": SECRET}),
                answer(200, b"{"),
                answer(200, {"secret": SECRET}),
            ):
                bench.http.script("GET", path, reply)
                try:
                    await bench.gateway.start()
                except VenueError as error:
                    texts.append("".join(traceback.format_exception(error)) + repr(error))
        await bench.start()
        for path in ("/data/orders", "/data/trades", "/balance-allowance"):
            bench.http.script("GET", path, answer(500, {"error": PASSPHRASE}))
            try:
                await bench.gateway.reconcile()
            except VenueError as error:
                texts.append("".join(traceback.format_exception(error)) + repr(error))
        assert len(texts) == 18
        for text in texts:
            assert not [secret for secret in FORBIDDEN if secret in text], text

    try:
        run_virtual(scenario)
    finally:
        logger.remove(sink)
    assert not [secret for secret in FORBIDDEN if secret in written.getvalue()]
