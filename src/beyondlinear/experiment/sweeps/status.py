"""What became of each run and fit of a sweep: read from states, records and the scheduler, never
from exit codes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from beyondlinear.experiment.sweeps.slurm_queue import array_of, end_of, queue_of
from beyondlinear.records.run_state import (
    StateRecord,
    SweepPlan,
    clock_of,
    is_alive,
    read_plan,
    read_state,
)
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError
from beyondlinear.runtime.files import read_json

# in the order of the table
STATUSES = ("running", "waiting", "failed", "died", "stopped", "missing", "finished")
UNDER_WAY = ("running", "waiting")


@dataclass
class RunStatus:
    """One run of a sweep: what was asked for, how it stands, and its fits by status."""

    id: str
    overrides: list[str]
    status: str = "missing"
    reason: str = ""
    where: str = ""
    directory: Path | None = None
    fits: Counter[str] = field(default_factory=Counter)

    @property
    def is_complete(self) -> bool:
        return self.status == "finished" and not self.fits["failed"] and not self.fits["missing"]


class SlurmQueue:
    """SLURM's queue, asked once and only where a run needs it."""

    def __init__(self, tasks: Iterable[str]) -> None:
        jobs = {array_of(task) for task in tasks}
        self.states: Mapping[str, str] | None = queue_of(jobs) if jobs else {}

    def state(self, task: str) -> str | None:
        """e.g. RUNNING; None: it is not in the queue. UNKNOWN: the scheduler does not answer."""
        return "UNKNOWN" if self.states is None else self.states.get(task)


def runs_of(directory: Path) -> tuple[list[RunStatus], list[str]]:
    """Every run that was planned or begun in a sweep or run directory, and the command that planned
    it.

    :raises ResultsError: a directory that does not exist, or in which nothing was ever begun
    """
    if not directory.is_dir():
        raise ResultsError(f"{directory} is not a directory")
    planned: SweepPlan = read_plan(directory) or {"command": [], "planned": "", "runs": []}
    states = _states(directory)
    tasks = _submitted(directory)
    runs = {run["id"]: RunStatus(run["id"], run["overrides"]) for run in planned["runs"]}
    if not runs and not states:
        raise ResultsError(
            f"{directory} holds no sweep and no run: give a directory that train.py wrote"
            " (multirun/…, outputs/runs/…)"
        )
    for run_id, state in states.items():
        if run_id not in runs:
            runs[run_id] = RunStatus(run_id, state.content["overrides"])
    jobs = [state.content.get("job") for state in states.values()]
    jobs_of_states = [job for job in jobs if job]
    queue = SlurmQueue([*jobs_of_states, *tasks.values()])
    clock = clock_of(directory)
    stores: dict[str, RecordStore] = {}
    for run in runs.values():
        state_of_run = states.get(run.id)
        if state_of_run is not None:
            run.directory = state_of_run.path.parent
            _take_state(run, state_of_run, clock, queue)
            _count_fits(run, stores)
        if run.id in tasks and (state_of_run is None or run.status in ("stopped", "died")):
            _take_queue(run, tasks[run.id], queue)
        _take_fits(run)
    return list(runs.values()), list(planned["command"])


@dataclass
class StateFile:
    """A run's `state.json`: where it lies, what it says, and when its run was last heard of (clock
    of the file system, seconds)."""

    path: Path
    content: StateRecord
    last_beat: float


def _states(directory: Path) -> dict[str, StateFile]:
    """The state of each run that has begun, by the run's id; the latest counts."""
    states = {}
    for path in sorted(directory.rglob("state.json"), key=_modified):
        content = read_state(path)
        if content is not None:
            states[content["id"]] = StateFile(path, content, _modified(path))
    return states


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _take_state(run: RunStatus, state: StateFile, clock: float, queue: SlurmQueue) -> None:
    """What the run says of itself, and whether it still lives."""
    content = state.content
    job, host, pid = content.get("job"), content.get("host"), content.get("pid")
    run.status = content["status"]
    run.reason = content.get("reason") or ""
    run.where = f"SLURM {job}" if job else f"{host}:{pid}"
    if run.status != "running":
        return
    if job:
        queued = queue.state(job)
        if queued is None:
            run.status = "died"
            run.reason = f"SLURM job {job} is over: {end_of(job)}"
        elif queued == "PENDING":
            run.status = "waiting"
            run.reason = "in SLURM's queue, to go on where it was"
    elif not is_alive(content, state.last_beat, clock):
        run.status = "died"
        run.reason = f"its process {pid} on {host} is gone"


def _take_queue(run: RunStatus, task: str, queue: SlurmQueue) -> None:
    """What the queue says of a run that has not begun, or that is to go on."""
    queued = queue.state(task)
    if queued is not None:
        run.status = "waiting"
        run.where = f"SLURM {task}"
        run.reason = f"in SLURM's queue ({queued.lower()})"
    elif run.status == "missing":
        run.reason = f"SLURM job {task} is over: {end_of(task)}"


def _take_fits(run: RunStatus) -> None:
    """A run that finished is not whole if fits of it failed or their records are gone."""
    if run.status != "finished":
        return
    if run.fits["failed"]:
        run.status = "failed"
    elif run.fits["missing"]:
        run.status = "missing"
        run.reason = f"{run.fits['missing']} of its records are gone from the store"


def _submitted(directory: Path) -> dict[str, str]:
    """The SLURM task that has each run, by the run's id; the latest submission counts."""
    task_of_run: dict[str, str] = {}
    for path in sorted(directory.glob("slurm/submitted_*.json")):
        for task, runs in read_json(path)["tasks"].items():
            task_of_run.update(dict.fromkeys(runs, task))
    return task_of_run


def _count_fits(run: RunStatus, stores: dict[str, RecordStore]) -> None:
    """Count the fits that the run listed, by status, and say why those that failed did."""
    assert run.directory is not None
    lists = sorted(run.directory.glob("fits_*.json"), key=_modified)
    if not lists:
        return
    listing = read_json(lists[-1])
    root = listing["store"]
    if root not in stores:
        stores[root] = RecordStore(root)
    reasons: Counter[str] = Counter()
    for fit in listing["fits"]:
        status = stores[root].status(fit["key"]) or "missing"
        run.fits[status] += 1
        if status == "failed":
            record = stores[root].get(fit["key"])
            reasons[str(record.get("reason") if record is not None else None)] += 1
    if reasons and not run.reason:
        [(reason, n)] = reasons.most_common(1)
        run.reason = f"{n} fits: {reason}"
        if len(reasons) > 1:
            run.reason += f" (and {len(reasons) - 1} other reasons)"
