"""`python -m polybot campaign`: many seeded windows in virtual time, and a verdict per strategy.

Owns the worker processes, what is done already, progress, and the report.  One process per run: a run that
crashes takes nobody with it and is named with its seed; a result that is there is not computed again.
    plan -> (result file there? done) -> process -> result file: done | none: failed
Ctrl-C and SIGTERM end the workers; what they had finished stays.  Called by polybot.cli.

Exit codes: 0 every run has a result and every ledger agrees, 1 not so.
"""

import faulthandler
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from polybot.assembly import build_engine
from polybot.backtest.interrupts import interruptible
from polybot.backtest.jobs import core_count
from polybot.campaign_report import judge, report_mapping, table_lines, windows_csv
from polybot.campaign_run import RunPlan, RunResult, enabled_strategies, perform, plan_runs, read_result
from polybot.clock import SystemClock, wall_clock
from polybot.config import Config

__all__ = ["EXIT_FAILED", "EXIT_OK", "run"]

EXIT_OK, EXIT_FAILED = 0, 1
NS = 1_000_000_000
# A worker told to end has no business of its own; after so many seconds it is killed.
END_WAIT_S = 5.0
# Differences of one run that are printed; all of them are in its result file.
SHOWN_MAX = 5

Work = Callable[[RunPlan], None]


def run(config: Config, *, out: TextIO | None = None, work: Work = perform) -> int:
    """Play the campaign of this configuration and report; returns the exit code.

    `work` plays one run in a worker process.  Raises ConfigError before anything is written.
    """
    build_engine(config)
    plans = plan_runs(config)
    return _Campaign(config, plans, out=out or sys.stdout, work=work).run()


@dataclass(slots=True)
class _Campaign:
    """One campaign under way."""

    config: Config
    plans: Sequence[RunPlan]
    out: TextIO
    work: Work
    clock: SystemClock = field(default_factory=wall_clock)
    results: dict[str, RunResult] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    running: dict[int, tuple[RunPlan, BaseProcess]] = field(default_factory=dict)  # by sentinel
    played: int = 0  # windows computed by this process's workers
    started_ns: int = 0

    def run(self) -> int:
        folder = self.plans[0].folder
        folder.mkdir(parents=True, exist_ok=True)
        waiting = self._take_finished()
        self._say(*self._head(len(waiting)))
        self.started_ns = self.clock.mono_ns()
        is_interrupted = False
        try:
            with interruptible() as told:
                self._play(waiting, told)
        except KeyboardInterrupt:
            is_interrupted = True
        finally:
            self._end_workers()
            _remove_if_empty(folder / "work")
        if is_interrupted:
            kept = f"{len(self.results)} of {len(self.plans)} runs are kept"
            self._say("", f"interrupted: {kept}; the same command goes on from there")
            raise KeyboardInterrupt
        return self._report(folder)

    # -- runs ---------------------------------------------------------------------------------------

    def _take_finished(self) -> list[RunPlan]:
        """Read the results that are there; returns the plans that must be played."""
        waiting = []
        for plan in self.plans:
            result = None if self.config.campaign.fresh else read_result(plan.result_path)
            if result is None:
                waiting.append(plan)
            else:
                self.results[plan.name] = result
        return waiting

    def _play(self, waiting: list[RunPlan], told: int) -> None:
        """Play what waits; raises KeyboardInterrupt when a signal comes first (`told` becomes readable)."""
        workers = self._workers()
        while waiting or self.running:
            while waiting and len(self.running) < workers:
                self._start(waiting.pop(0))
            ready = connection.wait([told, *self.running])
            if told in ready:
                raise KeyboardInterrupt
            for sentinel in ready:
                assert isinstance(sentinel, int)
                self._finish(*self.running.pop(sentinel))

    def _workers(self) -> int:
        return self.config.campaign.workers or core_count()

    def _start(self, plan: RunPlan) -> None:
        """Start a worker; it inherits that Ctrl-C is blocked, which is the parent's to act on."""
        plan.result_path.unlink(missing_ok=True)
        resource_tracker.ensure_running()  # it would unblock the signal in the middle of a start
        process = multiprocessing.get_context("spawn").Process(
            target=_worker, args=(plan, self.work), name=plan.name, daemon=True
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
            self.running[process.sentinel] = plan, process
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _finish(self, plan: RunPlan, process: BaseProcess) -> None:
        """Take what an ended worker left: its result, or why there is none."""
        process.join()
        result = read_result(plan.result_path)
        if process.exitcode != 0 or result is None:
            self.failures[plan.name] = f"exit code {process.exitcode}: {_last_line(plan.error_path)}"
            self._say(f"{plan.name} (seed {plan.config.venue.seed}) FAILED: {self.failures[plan.name]}")
        else:
            self.results[plan.name] = result
            plan.error_path.unlink(missing_ok=True)
        process.close()
        self.played += plan.config.run.markets
        self._progress()

    def _end_workers(self) -> None:
        """End who still works; a result that was just written counts."""
        for plan, process in self.running.values():
            process.terminate()
            process.join(END_WAIT_S)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
            result = read_result(plan.result_path)
            if result is not None:
                self.results[plan.name] = result
            shutil.rmtree(plan.work_dir, ignore_errors=True)
            plan.error_path.unlink(missing_ok=True)
            plan.result_path.with_suffix(".part").unlink(missing_ok=True)
        self.running.clear()

    # -- what the operator sees ---------------------------------------------------------------------

    def _say(self, *lines: str) -> None:
        clear = "\r\x1b[K" if self.out.isatty() else ""
        self.out.write(clear + "\n".join(lines) + "\n")
        self.out.flush()

    def _head(self, waiting: int) -> list[str]:
        config, campaign = self.config, self.config.campaign
        seeds = sorted({plan.config.venue.seed for plan in self.plans})
        halts = (
            "as configured"
            if campaign.keep_halts
            else "OFF (campaign.keep_halts=false): only at the whole bankroll, so that a loser keeps being measured"
        )
        together = (
            "each alone in a daemon of its own (campaign.solo=true)"
            if campaign.solo
            else "together in one daemon: the first order of a window sets the side of all (campaign.solo=true: alone)"
        )
        return [
            f"campaign on the embedded venue, SIMULATED: {config.asset.name} {config.interval.name}, "
            f"makers={config.venue.makers}, risk={config.risk.name}, model/vol={config.model.vol.name}",
            f"{campaign.windows:,} windows in runs of {campaign.windows_per_run}, seeds {seeds[0]} to {seeds[-1]}, "
            f"starting within {campaign.start_spread_h} h from {campaign.first_day}",
            f"strategies: {', '.join(enabled_strategies(config))}; {together}",
            f"loss halts: {halts}",
            f"results: {self.plans[0].folder}  ({len(self.plans) - waiting} of {len(self.plans)} runs are there; "
            f"{self._workers()} workers)",
        ]

    def _progress(self) -> None:
        all_windows = sum(plan.config.run.markets for plan in self.plans)
        known = sum(result.windows_asked for result in self.results.values())
        gone_s = (self.clock.mono_ns() - self.started_ns) / NS
        failed = [plan.config.run.markets for plan in self.plans if plan.name in self.failures]
        left_s = gone_s / self.played * (all_windows - known - sum(failed))
        text = (
            f"{known:,} of {all_windows:,} windows, {len(self.failures)} runs failed, "
            f"{_duration(gone_s)} gone, about {_duration(left_s)} left"
        )
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{text}")
            self.out.flush()
        else:
            self._say(text)

    def _report(self, folder: Path) -> int:
        results = [self.results[plan.name] for plan in self.plans if plan.name in self.results]
        verdicts = judge(self.config, results)
        failures = [f"{name}: {why}" for name, why in self.failures.items()]
        campaign = self.config.campaign
        stem = f"seeds{campaign.first_seed}_windows{campaign.windows}" + ("_solo" if campaign.solo else "")
        report = json.dumps(report_mapping(verdicts, failures, results), indent=1) + "\n"
        (folder / f"report_{stem}.json").write_text(report)
        (folder / f"report_{stem}.csv").write_text(windows_csv(results))
        differing = [result for result in results if result.differences]
        self._say(
            "",
            *table_lines(self.config, verdicts),
            "",
            f"ledger: {len(results) - len(differing)} of {len(results)} runs agree with the venue to the micro-USD",
            *(line for result in differing for line in _difference_lines(result)),
            *_unsettled_lines(results),
            f"runs failed: {len(failures)}",
            *(f"  {line}" for line in failures),
            f"written: {folder}/report_{stem}.json, .csv",
        )
        return EXIT_FAILED if failures or differing else EXIT_OK


# -- the worker's side ------------------------------------------------------------------------------


def _worker(plan: RunPlan, work: Work) -> None:
    """Play one run; what goes wrong is written beside the result."""
    fd = os.open(plan.error_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.dup2(fd, 2)
    os.close(fd)
    faulthandler.enable()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    work(plan)


def _end_with(sentinel: int) -> None:
    """Nobody reads a result when the parent is gone."""
    connection.wait([sentinel])
    os._exit(EXIT_FAILED)


# -- small parts ------------------------------------------------------------------------------------


def _difference_lines(result: RunResult) -> list[str]:
    lines = [f"  {result.name} (seed {result.seed}): {line}" for line in result.differences[:SHOWN_MAX]]
    more = len(result.differences) - SHOWN_MAX
    return [*lines, f"  {result.name}: {more} more"] if more > 0 else lines


def _unsettled_lines(results: Sequence[RunResult]) -> list[str]:
    """Windows that were asked for and have no PnL: refused ones, and those without an outcome."""
    lines = []
    for result in results:
        missing = result.windows_asked - sum(window.settled for window in result.windows)
        if missing:
            lines.append(
                f"  {result.name} (seed {result.seed}): {missing} windows not settled, counted nowhere"
            )
    return lines


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "no word"


def _remove_if_empty(folder: Path) -> None:
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
