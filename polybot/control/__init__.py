"""The operator's hand on a running daemon: a local socket, the commands behind it, and the command line's end of it."""
