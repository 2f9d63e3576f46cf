"""Runs of a sweep in several processes on this machine.

A process takes the next run when it has made one, so start-up (imports, 5 s) is paid once a
process. One that is killed costs the run that it was making and is replaced; the others go on.
"""

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle

from beyondlinear.experiment.sweeps.jobs import Jobs, SweepRun, names_of, sweep_directory
from beyondlinear.runtime.errors import ConfigError, Terminated, exit_code_of
from beyondlinear.runtime.progress import duration

log = logging.getLogger(__name__)


def make_locally(
    jobs: Jobs, runs: Sequence[SweepRun], processes: int | None = None
) -> dict[int, str | None]:
    """Make runs in `processes` processes; None: as many as cores hold at trainer.threads each.

    :returns: why each run failed, by its number; None: it did not
    :raises ConfigError: processes is no number from 1
    """
    n = _number_of_processes(jobs, len(runs), processes)
    logs = sweep_directory(jobs.config) / "processes"
    logs.mkdir(exist_ok=True)
    log.info(
        "%d runs in %d processes of %d threads; what they say is in %s",
        len(runs),
        n,
        _threads(jobs),
        logs,
    )
    progress = SweepProgress(names_of(runs))
    waiting: queue.SimpleQueue[SweepRun] = queue.SimpleQueue()
    for run in runs:
        waiting.put(run)
    packed = cloudpickle.dumps(jobs)
    reasons: dict[int, str | None] = {}
    workers = [LocalWorker(packed, logs / f"{i}.log", waiting, reasons, progress) for i in range(n)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():  # a join without a limit would not let Ctrl-C through
                worker.join(0.2)
    except BaseException:
        for worker in workers:
            worker.stop()
        raise
    return reasons


class SweepProgress:
    """One line a finished run, with an estimate of what is left."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.n_runs = len(names)
        self.n_done = 0
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def run_done(self, number: int, reason: str | None, seconds: float) -> None:
        with self.lock:
            self.n_done += 1
            left = (time.monotonic() - self.started) / self.n_done * (self.n_runs - self.n_done)
            ending = f"FAILED: {reason}" if reason is not None else f"done in {duration(seconds)}"
            more = f"; about {duration(left)} left" if self.n_done < self.n_runs else ""
            log.info(
                "run %d of %d  %s: %s%s", self.n_done, self.n_runs, self.names[number], ending, more
            )


class LocalWorker(threading.Thread):
    """Keeps one process busy."""

    def __init__(
        self,
        packed: bytes,
        log_file: Path,
        waiting: "queue.SimpleQueue[SweepRun]",
        reasons: dict[int, str | None],
        progress: SweepProgress,
    ) -> None:
        super().__init__(daemon=True)
        self.packed = packed
        self.log_file = log_file
        self.waiting = waiting
        self.reasons = reasons
        self.progress = progress
        self.stopping = False
        self.process: multiprocessing.process.BaseProcess | None = None

    def run(self) -> None:
        """Until nothing waits: a run to the process, its answer to `reasons`."""
        connection: Connection | None = None
        while not self.stopping:
            try:
                run = self.waiting.get_nowait()
            except queue.Empty:
                break
            if connection is None:
                connection = self._begin()
            started = time.monotonic()
            try:
                connection.send(run)
                reason = connection.recv()
            except (EOFError, OSError):  # the process is gone
                connection.close()
                connection = None
                reason = self._why_gone()
            self.reasons[run.number] = reason
            if not self.stopping:
                self.progress.run_done(run.number, reason, time.monotonic() - started)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.send(None)
            connection.close()
        if self.process is not None:
            self.process.join()

    def stop(self) -> None:
        """Interrupt the process: what its fit had computed is recorded, or kept as a checkpoint."""
        self.stopping = True
        if self.process is None or not self.process.is_alive():
            return
        with contextlib.suppress(OSError, TypeError):
            os.kill(self.process.pid, signal.SIGINT)  # type: ignore[arg-type]
        self.process.join(10)
        self.process.kill()

    def _begin(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(there, self.packed, str(self.log_file)), daemon=True
        )
        self.process.start()
        there.close()
        return here

    def _why_gone(self) -> str:
        assert self.process is not None
        self.process.join(5)
        code = self.process.exitcode
        if code == 128 + signal.SIGTERM:
            code = -signal.SIGTERM
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            guess = " (out of memory?)" if name == "SIGKILL" else ""
            return f"its process was killed by {name}{guess}"
        return f"its process ended with exit code {code}; see {self.log_file}"


def _serve(connection: Connection, packed: bytes, log_file: str) -> None:
    """In the other process: make runs until told to end, or until the one who tells is gone."""
    out = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(out, 1)
    os.dup2(out, 2)
    jobs: Jobs = cloudpickle.loads(packed)
    try:
        run = connection.recv()
        while run is not None:
            connection.send(jobs.make(run))
            run = connection.recv()
    except Terminated as e:
        sys.exit(exit_code_of(e))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def _threads(jobs: Jobs) -> int:
    return int(jobs.config.trainer.threads)


def _number_of_processes(jobs: Jobs, n_runs: int, processes: int | None) -> int:
    if processes is None:
        processes = max(1, _cores() // _threads(jobs))
    elif not isinstance(processes, int) or processes < 1:
        raise ConfigError(
            f"hydra.launcher.processes: {processes!r} is no number of processes; give one from 1,"
            " or null"
        )
    return min(n_runs, processes)


def _cores() -> int:
    """Cores that this process may use; all of the machine's where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
