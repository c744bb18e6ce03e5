"""Everything the operator sees and the analyst reads: CSV files, console, latency, logs, redaction.

Fed by TelemetryInbox (producer's end, never blocks), written by TelemetryWriter on its own thread.
"""

from polybot.telemetry.banner import banner_lines
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.log import LogSetup, configure_logging
from polybot.telemetry.redact import Redactor
from polybot.telemetry.thread import TelemetryThread
from polybot.telemetry.writer import TelemetryWriter

__all__ = [
    "Console",
    "LogSetup",
    "Redactor",
    "TelemetryInbox",
    "TelemetryThread",
    "TelemetryWriter",
    "banner_lines",
    "configure_logging",
]
