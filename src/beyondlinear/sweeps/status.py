"""What became of each run and fit of a sweep: read from states, records and the scheduler, never from exit codes."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from beyondlinear.errors import ResultsError
from beyondlinear.results import Store, read_json
from beyondlinear.sweeps.slurm import end_of, queue_of
from beyondlinear.sweeps.state import clock_of, is_alive, read_plan, read_state

# in the order of the table
STATUSES = ("running", "waiting", "failed", "died", "stopped", "missing", "finished")
UNDER_WAY = ("running", "waiting")
SHOWN = 40


@dataclass
class Run:
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


class Queue:
    """SLURM's queue, asked once and only where a run needs it."""

    def __init__(self, jobs: Iterable[str]) -> None:
        self.jobs = {job.split("_")[0] for job in jobs}
        self.tasks = queue_of(self.jobs) if self.jobs else {}

    def state(self, task: str) -> str | None:
        """e.g. RUNNING; None: it is not in the queue. UNKNOWN: the scheduler does not answer."""
        return "UNKNOWN" if self.tasks is None else self.tasks.get(task)


def runs_of(directory: Path) -> tuple[list[Run], list[str]]:
    """Every run that was planned or begun in a sweep or run directory, and the command that planned it.

    :raises ResultsError: a directory that does not exist, or in which nothing was ever begun
    """
    if not directory.is_dir():
        raise ResultsError(f"{directory} is not a directory")
    planned = read_plan(directory)
    states = {}
    for path in sorted(directory.rglob("state.json"), key=lambda p: p.stat().st_mtime):
        said = read_state(path)
        if said is not None:
            states[said["id"]] = (path, said)
    tasks = _submitted(directory)
    runs = {r["id"]: Run(r["id"], r["overrides"]) for r in (planned or {}).get("runs", [])}
    if not runs and not states:
        raise ResultsError(
            f"{directory} holds no sweep and no run: give a directory that train.py wrote (multirun/…, outputs/runs/…)"
        )
    runs |= {i: Run(i, said["overrides"]) for i, (_, said) in states.items() if i not in runs}
    queue = Queue([*(said["job"] for _, said in states.values() if said.get("job")), *tasks.values()])
    clock = clock_of(directory)
    stores: dict[str, Store] = {}
    for run in runs.values():
        if run.id in states:
            path, said = states[run.id]
            run.directory = path.parent
            _of_state(run, said, path.stat().st_mtime, clock, queue)
            _count(run, stores)
        if run.id in tasks and (run.id not in states or run.status in ("stopped", "died")):
            _of_queue(run, tasks[run.id], queue)
        if run.status == "finished" and run.fits["failed"]:
            run.status = "failed"
        elif run.status == "finished" and run.fits["missing"]:
            run.status, run.reason = "missing", f"{run.fits['missing']} of its records are gone from the store"
    return list(runs.values()), list((planned or {}).get("command", []))


def _of_state(run: Run, said: dict[str, Any], beat: float, clock: float, queue: Queue) -> None:
    run.status, run.reason = said["status"], said.get("reason") or ""
    run.where = f"SLURM {said['job']}" if said.get("job") else f"{said.get('host')}:{said.get('pid')}"
    if run.status != "running":
        return
    if said.get("job"):
        state = queue.state(said["job"])
        if state is None:
            run.status, run.reason = "died", f"SLURM job {said['job']} is over: {end_of(said['job'])}"
        elif state == "PENDING":
            run.status, run.reason = "waiting", "in SLURM's queue, to go on where it was"
    elif not is_alive(said, beat, clock):
        run.status, run.reason = "died", f"its process {said.get('pid')} on {said.get('host')} is gone"


def _of_queue(run: Run, task: str, queue: Queue) -> None:
    state = queue.state(task)
    if state is not None:
        run.status, run.where = "waiting", f"SLURM {task}"
        run.reason = f"in SLURM's queue ({state.lower()})"
    elif run.status == "missing":
        run.reason = f"SLURM job {task} is over: {end_of(task)}"


def _submitted(directory: Path) -> dict[str, str]:
    """The SLURM task that has each run, by the run's id; the latest submission counts."""
    found: dict[str, str] = {}
    for path in sorted(directory.glob("slurm/submitted_*.json")):
        found |= {run: task for task, runs in read_json(path)["tasks"].items() for run in runs}
    return found


def _count(run: Run, stores: dict[str, Store]) -> None:
    assert run.directory is not None
    lists = sorted(run.directory.glob("fits_*.json"), key=lambda p: p.stat().st_mtime)
    if not lists:
        return
    listing = read_json(lists[-1])
    store = stores.setdefault(listing["store"], Store(listing["store"]))
    reasons: Counter[str] = Counter()
    for fit in listing["fits"]:
        status = store.status(fit["key"]) or "missing"
        run.fits[status] += 1
        if status == "failed":
            reasons[str((store.get(fit["key"]) or {}).get("reason"))] += 1
    if reasons and not run.reason:
        (reason, n), more = reasons.most_common(1)[0], len(reasons) - 1
        run.reason = f"{n} fits: {reason}" + (f" (and {more} other reasons)" if more else "")


def redo(run: Run, script: str) -> str:
    """The command that makes what is missing of this run, and nothing else."""
    more = ["hydra.mode=RUN", *([f"hydra.run.dir={run.directory}"] if run.directory is not None else [])]
    return shlex.join(["python", script, *run.overrides, *more])


def summary(runs: Sequence[Run]) -> str:
    """e.g. 24 runs: 1 running, 2 failed, 21 finished; fits: 1,050 done, 12 skipped, 3 failed of 1,200."""
    by_status = Counter(run.status for run in runs)
    fits: Counter[str] = sum((run.fits for run in runs), Counter())
    words = ", ".join(f"{by_status[s]:,} {s}" for s in STATUSES if by_status[s])
    made = ", ".join(f"{fits[s]:,} {s}" for s in ("done", "skipped", "failed", "missing") if fits[s])
    return f"{len(runs):,} runs: {words}" + (f"; fits listed so far: {made} of {fits.total():,}" if fits else "")


def view(directory: Path, runs: Sequence[Run], command: Sequence[str]) -> Group:
    """The table of the runs that are not finished, and how to make what is missing."""
    parts: list[Any] = [f"{directory}: {summary(runs)}"]
    open_runs = sorted((r for r in runs if not r.is_complete), key=lambda r: STATUSES.index(r.status))
    if open_runs:
        table = Table(header_style="bold")
        for name in ("status", "run", "fits", "where", "why"):
            table.add_column(name, overflow="fold")
        same = set.intersection(*(set(r.overrides) for r in runs)) if len(runs) > 1 else set()
        for run in open_runs[:SHOWN]:
            made = f"{run.fits['done'] + run.fits['skipped']} of {run.fits.total()}" if run.fits else "–"
            name = " ".join(o for o in run.overrides if o not in same) or "the run"
            table.add_row(run.status, _plain(name), made, _plain(run.where), _plain(run.reason))
        parts.append(table)
        if len(open_runs) > SHOWN:
            parts.append(f"… {len(open_runs) - SHOWN:,} more")
    redone = [r for r in open_runs if r.status not in UNDER_WAY]
    script = command[0] if command else "train.py"
    if redone and command:
        parts.append(
            f"What is missing, and nothing else, is made by the same command:\n  {shlex.join(['python', *command])}"
        )
    if redone:
        some = redone[:5]
        parts.append("One of these runs by itself:\n" + "\n".join(f"  {redo(r, script)}" for r in some))
        if len(redone) > len(some):
            parts.append(f"  … {len(redone) - len(some):,} more")
    return Group(*(_plain(p) if isinstance(p, str) else p for p in parts))


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(re.sub(r"[\x00-\x08\x0b-\x1f]", "", text))


def exit_code(runs: Sequence[Run]) -> int:
    """0: all finished; 3: still under way; 1: something has to be made again."""
    if any(not r.is_complete and r.status not in UNDER_WAY for r in runs):
        return 1
    return 3 if any(not r.is_complete for r in runs) else 0


def show(directories: Sequence[str], console: Console, watch: float | None = None) -> int:
    """Print the status of directories, again and again if `watch` is given (seconds), until nothing is under way.

    :raises ResultsError: a directory that holds no run
    """
    import time

    from rich.live import Live

    def look() -> tuple[Group, int]:
        found = [(Path(d), *runs_of(Path(d))) for d in directories]
        code = max((exit_code(runs) for _, runs, _ in found), key=lambda c: {0: 0, 1: 1, 3: 2}[c])
        return Group(*(view(d, runs, command) for d, runs, command in found)), code

    shown, code = look()
    if watch is None or not console.is_terminal:
        console.print(shown)
        while watch is not None and code == 3:
            time.sleep(watch)
            shown, code = look()
            console.print(shown)
        return code
    with Live(shown, console=console, auto_refresh=False) as live:
        while code == 3:
            time.sleep(watch)
            shown, code = look()
            live.update(shown, refresh=True)
    return code
