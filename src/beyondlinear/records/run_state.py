"""What a run says of itself while it lives, and what a sweep planned: the files that `beyondlinear
status` reads.

A run directory holds `state.json`: who runs it, where, since when, and how it ended. Its
modification time is the run's pulse, so that a run whose machine vanished is told from one that
takes long. A sweep directory holds `sweep.json`, the runs that were asked for. Neither is needed
for a result: those are read from records alone.
"""

import contextlib
import hashlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import NotRequired, TypedDict, cast

from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import now, read_json, write_json

PULSE = 20.0  # seconds between two beats of a run
LOST = 180.0  # without a beat for so long, a run on another machine is taken for dead


class ProcessRecord(TypedDict):
    """Where a process is."""

    host: str  # name of the machine
    pid: int  # on that machine
    born: str | None  # start in clock ticks since boot: a pid is given out again
    job: str | None  # SLURM job, 123 or 123_4; None: outside of SLURM


class StateRecord(ProcessRecord):
    """What `state.json` of a run directory holds."""

    id: str  # see `run_id`
    overrides: list[str]  # what was asked for, as KEY=VALUE
    status: str  # running | finished | failed | stopped
    started: str  # ISO 8601, UTC
    ended: NotRequired[str | None]  # ISO 8601, UTC
    reason: NotRequired[str | None]  # of a failure or a stop


class PlannedRun(TypedDict):
    """One run that a sweep was asked for."""

    id: str  # see `run_id`
    overrides: list[str]  # KEY=VALUE


class SweepPlan(TypedDict):
    """What `sweep.json` of a sweep directory holds."""

    command: list[str]  # that began the sweep
    planned: str  # ISO 8601, UTC
    runs: list[PlannedRun]  # all that were asked for


class Stopped(BaseException):
    """A run told to stop by its scheduler. No Exception: a fit must not take it for its own
    failure.

    signal: what the signal's own handler is to be called with, when everything is put down
    """

    def __init__(self, message: str, signal: tuple[int, FrameType | None] | tuple[()] = ()) -> None:
        super().__init__(message)
        self.signal = signal


def run_id(overrides: Iterable[str]) -> str:
    """Eight hex digits that name a run of a sweep by what was asked for, in any order."""
    return hashlib.sha256("\n".join(sorted(map(str, overrides))).encode()).hexdigest()[:8]


def slurm_job() -> str | None:
    """123 or 123_4 within a SLURM job, else None."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def process() -> ProcessRecord:
    """Where this process is."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "born": born(os.getpid()),
        "job": slurm_job(),
    }


def born(pid: int) -> str | None:
    """Start time of a process on this machine in clock ticks since boot, or None where there is
    none."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else after_name[19]


def is_alive(who: ProcessRecord, last_beat: float, clock: float) -> bool:
    """Whether a process still lives.

    :param who: what it wrote about itself (see `process`)
    :param last_beat, clock: when it was last heard of and the time now, both by the clock of the
        file system
    """
    if who.get("host") == platform.node() and Path("/proc/self/stat").exists():
        return who.get("born") is not None and born(int(who["pid"])) == who["born"]
    return clock - last_beat < LOST


def clock_of(directory: Path) -> float:
    """The time now by the clock of the file system that holds `directory`, which may be a
    server's."""
    path = directory / f".clock_{platform.node()}_{os.getpid()}_{threading.get_ident()}"
    try:
        path.touch()
        return path.stat().st_mtime
    except OSError:  # a full or read-only disk: the machine's own clock has to do
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


class Pulse:
    """Touches a file every PULSE seconds while the context lasts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Pulse":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _beat(self) -> None:
        while not self.over.wait(PULSE):
            try:
                os.utime(self.path)
            except OSError:  # it is for whoever looks; the run does not depend on it
                continue


class RunState:
    """Writes `state.json` of a run directory at the run's start and end.

    A disk that is full makes the state old, never the run fail: the records say themselves that
    they cannot be written.
    """

    def __init__(self, directory: Path, overrides: Sequence[str]) -> None:
        self.path = directory / "state.json"
        self.overrides = list(overrides)
        self.started = now()

    def __enter__(self) -> "RunState":
        self._write("running")
        self.pulse = Pulse(self.path).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self.pulse.__exit__()
        if error is None:
            self._write("finished", ended=now())
        elif isinstance(error, Exception):
            self._write("failed", ended=now(), reason=reason_of(error))
        else:
            self._write("stopped", ended=now(), reason=_who_stopped(error))

    def _write(self, status: str, ended: str | None = None, reason: str | None = None) -> None:
        state: StateRecord = {
            "id": run_id(self.overrides),
            "overrides": self.overrides,
            "status": status,
            "started": self.started,
            "ended": ended,
            "reason": reason,
            **process(),
        }
        try:
            write_json(self.path, state)
        except ResultsError:
            return


def _who_stopped(error: BaseException) -> str:
    if str(error):
        return str(error)
    return "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def reason_of(error: BaseException) -> str:
    """The error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    is_ours = type(error).__module__.startswith("beyondlinear")
    return text if is_ours and text else f"{type(error).__name__}: {text}"


def plan(directory: Path, runs: Sequence[Sequence[str]], command: Sequence[str]) -> None:
    """Write down the runs of a sweep. A part of what was planned before leaves the plan as it is:
    it is a repair.

    :raises ResultsError: the directory cannot be written
    """
    planned: list[PlannedRun] = [
        {"id": run_id(overrides), "overrides": list(overrides)} for overrides in runs
    ]
    earlier = read_plan(directory)
    if earlier is not None and {r["id"] for r in planned} <= {r["id"] for r in earlier["runs"]}:
        return
    content: SweepPlan = {"command": list(command), "planned": now(), "runs": planned}
    write_json(directory / "sweep.json", content)


def read_plan(directory: Path) -> SweepPlan | None:
    """What `plan` wrote, or None.

    :raises ResultsError: a file that cannot be read
    """
    path = directory / "sweep.json"
    return cast(SweepPlan, read_json(path)) if path.exists() else None


def read_state(path: Path) -> StateRecord | None:
    """A run's `state.json`, or None where it is not readable just now."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast(StateRecord, state) if isinstance(state, dict) and "status" in state else None
