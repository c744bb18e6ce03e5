"""Pre-flight checks: everything a run needs, looked at before it begins, each failure with its fix."""
