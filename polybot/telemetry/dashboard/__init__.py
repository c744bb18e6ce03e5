"""The dashboard: a process beside the daemon, which looks through its control socket and shows a page."""
