"""A daemon stopped by SIGSTOP: after SIGCONT the venue gets no order before polybot has compared with it again."""

import json
import signal
from datetime import UTC, datetime

import pytest
from test_halts_survive import start

SPEED = 5.0
STOPPED_S = 3.0  # wall: 15 venue seconds
DAY_S = 86_400.0


def order_times(out_dir):
    """Venue time, s since the epoch, of every order of ours that reached the venue, from its own ledger."""
    (ledger,) = (out_dir / "sim").glob("*.ledger")
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    (ours,) = [row["account"] for row in rows if row["k"] == "account"]
    return [row["t"] / 1e9 for row in rows if row["k"] in ("order", "reject") and row["account"] == ours]


def time_of(line, near_s):
    """Venue time at which a line was said, from its HH:MM:SS.mmm; `near_s` is less than half a day away."""
    said = datetime.strptime(line.split()[0], "%H:%M:%S.%f").replace(tzinfo=UTC)
    at_s = said.hour * 3_600 + said.minute * 60 + said.second + said.microsecond / 1e6
    return at_s + DAY_S * round((near_s - at_s) / DAY_S)


@pytest.mark.alone
def test_a_daemon_that_stood_still_sends_nothing_before_it_has_compared_with_the_venue(tmp_path):
    words = ("venue.makers=slow", "venue.seed=4", "run.markets=1", "telemetry.console=plain")
    daemon = start(tmp_path, f"venue.speed={SPEED:g}", *words)
    try:
        daemon.wait_for(" FILL ")  # so the venue has had an order, which a decision alone does not say
        daemon.signal(signal.SIGSTOP)
        assert daemon.lives_for(STOPPED_S)
        before = order_times(tmp_path / "logs")  # now: what was on its way when it was stopped has arrived
        assert before, "it traded"
        said = len(daemon.lines)
        daemon.signal(signal.SIGCONT)
        _, line = daemon.wait_for("entries open", after=said)
        assert any("HUNG" in told for _, told in daemon.lines[said:]), daemon.text()[-2_000:]
        opened_s = time_of(line, before[-1])
        assert [at_s for at_s in order_times(tmp_path / "logs")[len(before) :] if at_s < opened_s - 0.001] == []
        daemon.signal(signal.SIGTERM)
        code, _ = daemon.end()
        assert code == 0, daemon.text()[-2_000:]
    finally:
        daemon.close()
