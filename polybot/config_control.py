"""Settings of the control socket and of the commands that use it: limits of the socket, whom a command means.

Owns names, units, defaults and ranges of the section `control`; conf/control/default.yaml repeats the
defaults with a comment each.  Read by the daemon (which serves the socket) and by the commands status,
halt, resume, flatten and kill: nothing here changes how polybot trades.
"""

from dataclasses import dataclass

from polybot.config_schema import matching, ranged

__all__ = ["ControlConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """The control socket's bounds, and the words of one command."""

    enabled: bool = True  # serve the socket
    clients: int = ranged(8, 1, 64)  # connections at once; more are closed unanswered
    requests_per_s: float = ranged(20.0, 0.1, 1_000.0)  # wall, of all clients together
    request_bytes: int = ranged(4_096, 256, 65_536)  # longest request
    recent_events_count: int = ranged(4_096, 64, 1_048_576)  # events kept for those who watch; the oldest go first
    watch_events_count: int = ranged(500, 1, 2_000)  # events in one answer; the rest comes with the next
    idle_s: float = ranged(30.0, 0.1, 3_600.0)  # wall; a client that says nothing is let go
    account: str = matching("", r"[\w.-]{0,120}", "the beginning of an account or a session, as `status` lists them")
    reason: str = ""  # kept with a halt, and with what lifts it
    json: bool = False  # commands answer in one line of JSON
    why: bool = False  # `status` shows why there was no trade (--why)
    market: str = matching("", r"[\w.-]{0,120}", "the beginning of a window's slug")  # status: why of this window
    answer_s: float = ranged(5.0, 0.1, 60.0)  # wall; how long a command waits for the daemon's answer
    stop_s: float = ranged(15.0, 1.0, 300.0)  # wall; how long `kill` waits for the daemon's end
