"""Tape to engine to simulated fills: the strategies of this configuration on recorded windows.

    reel    what happens in which order: markets opened, events in pieces, markets dropped; never an outcome too early
    world   the windows of a reel as the live cycle would live them: strikes, closes, outcomes, what is refused and why
    play    one pass: the engine of polybot.assembly, the pump and the desk
    run     one run of tapes into a Result; session: the same of what a session's engine was given
    result  the folder of a run: run.json and tables; the same for a live or paper session

Must not decide: every decision is the engine's, every fill the execution core's.  Called by the command `backtest`, by
sweeps, by the report and by programs.
"""

__all__: list[str] = []
