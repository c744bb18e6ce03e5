"""Settings of the dashboard: where its page is served, how often it looks, what it keeps and whom it lets in.

Owns names, units, defaults and ranges of the section `dashboard`; conf/dashboard/default.yaml repeats the
defaults with a comment each.  Read by the daemon (which may start the dashboard as a process of its own) and
by the command `dashboard`: nothing here changes how polybot trades.
"""

from dataclasses import dataclass

from polybot.config_schema import matching, ranged

__all__ = ["DashboardConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardConfig:
    """The page's server and its bounds."""

    enabled: bool = False  # the daemon starts it beside itself
    host: str = matching("127.0.0.1", r"[\w.:\[\]-]{1,64}", "an address of this machine alone: 127.0.0.1 or ::1")
    port: int = ranged(8_765, 0, 65_535)  # 0: any free one
    ports_count: int = ranged(10, 1, 100)  # that are tried, upwards from `port`
    watch_ms: int = ranged(500, 100, 60_000)  # wall; between two looks at a daemon
    daemons_count: int = ranged(8, 1, 64)  # followed at once
    viewers_count: int = ranged(8, 1, 64)  # pages open at once; more are refused
    events_count: int = ranged(400, 10, 10_000)  # kept of each daemon
    windows_count: int = ranged(12, 1, 200)  # whose curves are kept of each daemon
    points_count: int = ranged(600, 60, 10_000)  # of one curve; of more the last in each stretch is kept
    looks_count: int = ranged(40, 1, 1_000)  # whole answers kept, so that a page's numbers can be checked
    requests_per_s: float = ranged(50.0, 1.0, 1_000.0)  # wall, of all viewers together
    send_s: float = ranged(10.0, 0.1, 300.0)  # wall; a viewer that takes nothing for so long is let go
    feed_warn_s: float = ranged(2.0, 0.1, 600.0)  # venue; an older feed is amber
    feed_bad_s: float = ranged(5.0, 0.1, 600.0)  # venue; an older feed is red
