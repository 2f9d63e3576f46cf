"""Runs of a sweep in the tasks of a SLURM job array, through submitit.

A task makes several runs in one process. What became of a task is read from the files that it leaves and from `squeue`,
which every cluster has; `sacct`, which not every cluster has, is asked for the name of the end alone. A scheduler that does
not answer is asked again later: it restarts, and the jobs go on meanwhile.
"""

import contextlib
import json
import logging
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.utils import filter_overrides

from beyondlinear.errors import ConfigError, ResultsError
from beyondlinear.progress import duration
from beyondlinear.results import write_json
from beyondlinear.sweeps.jobs import Jobs, names_of, sweep_directory
from beyondlinear.sweeps.state import Stopped, run_id

log = logging.getLogger(__name__)

Run = tuple[int, list[str]]
GONE = 30.0  # seconds that a task may be out of the queue without its answer on the disk (file servers are slow)


@dataclass
class Pack:
    """The runs of one task. Called in the task; submitit calls `checkpoint` when the time limit is near."""

    jobs: Jobs
    runs: list[Run]
    answers: str
    reasons: dict[int, str | None] = field(default_factory=dict)

    def __call__(self) -> None:
        """Make the runs that are not made yet; each answer is on the disk before the next run begins."""
        resubmit = _stop_at_signal()
        try:
            for number, overrides in self.runs:
                if number not in self.reasons:
                    self.reasons[number] = self.jobs.make(number, overrides)
                    self._answer(over=False)
        except Stopped as e:
            try:
                resubmit(*e.signal)  # requeues and leaves, or raises: too many times
            except Exception as error:
                number = next(number for number, _ in self.runs if number not in self.reasons)
                self.reasons[number] = f"{e}; {error}"
        self._answer(over=True)

    def checkpoint(self) -> Any:
        """The same pack, with what it knows: runs that are done are not looked at again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _answer(self, over: bool) -> None:
        with contextlib.suppress(ResultsError):  # a full disk: the records tell
            write_json(Path(self.answers), {"reasons": {str(k): v for k, v in self.reasons.items()}, "over": over})


def _stop_at_signal() -> Any:
    """Let submitit's signal end the run first, as an exception: its handler would leave in the middle of a write."""
    from submitit import JobEnvironment

    number = JobEnvironment._usr_sig()
    theirs = signal.getsignal(number)

    def handler(signum: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Stopped("told to stop by SLURM, at its time limit or for another job", (signum, frame))

    signal.signal(number, handler)
    return theirs


def make_on_slurm(
    jobs: Jobs,
    runs: Sequence[Run],
    partition: str | None,
    account: str | None,
    qos: str | None,
    constraint: str | None,
    time: int,
    memory: float,
    cpus: int,
    gpus: int,
    runs_per_task: int | None,
    max_tasks: int,
    parallel: int,
    max_num_timeout: int,
    signal_delay: int,
    setup: Sequence[str],
    more: Mapping[str, Any],
    poll: float,
) -> dict[int, str | None]:
    """Submit the runs as an array and wait for it; the keys are those of conf/hydra/launcher/slurm.yaml.

    :returns: why each run failed, by its number; None: it did not
    :raises ConfigError: no SLURM here, a key that cannot be, or sbatch's refusal
    """
    import submitit

    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise ConfigError(
            "hydra/launcher=slurm: there is no sbatch on this machine. Give the command on a login node of the cluster, or use "
            "hydra/launcher=local"
        )
    if signal_delay >= 60 * time:
        raise ConfigError(
            f"hydra.launcher.signal_delay: {signal_delay} s before a limit of {time} min is before the start; lower it"
        )
    directory = sweep_directory(jobs.config)
    folder = directory / "slurm"
    n = runs_per_task or -(-len(runs) // max_tasks)
    n_tasks = -(-len(runs) // n)
    # in turn, so that a model that is slow does not fill one task with its seeds
    shares = [[(number, list(overrides)) for number, overrides in runs[i::n_tasks]] for i in range(n_tasks)]
    stamp = f"{_now()}"
    packs = [Pack(jobs, share, str(folder / f"answer_{stamp}_{i}.json")) for i, share in enumerate(shares)]
    executor = submitit.SlurmExecutor(folder=folder / "%A", max_num_timeout=max_num_timeout)
    optional = {"partition": partition, "account": account, "qos": qos, "constraint": constraint}
    if gpus:
        optional["gpus_per_node"] = gpus  # type: ignore[assignment]
    try:
        executor.update_parameters(
            job_name=re.sub(r"\W+", "_", directory.name) or "beyondlinear",
            time=time,
            mem=f"{round(memory * 1024)}M",
            cpus_per_task=cpus,
            nodes=1,
            ntasks_per_node=1,
            array_parallelism=parallel,
            signal_delay_s=signal_delay,
            setup=list(setup),
            stderr_to_stdout=True,
            additional_parameters=dict(more),
            **{k: v for k, v in optional.items() if v is not None},
        )
        with executor.batch():
            submitted = [executor.submit(pack) for pack in packs]
    except submitit.core.utils.FailedJobError as e:
        lines = [line for line in str(e).splitlines() if "error" in line.lower()] or str(e).splitlines()[-1:]
        raise ConfigError(f"hydra/launcher=slurm: sbatch refused: {' '.join(lines).strip()}") from e
    tasks = [Task(job.job_id, pack) for job, pack in zip(submitted, packs, strict=True)]
    array = tasks[0].id.split("_")[0]
    log.info("%d runs in %d tasks of SLURM job %s, %d runs each at most", len(runs), n_tasks, array, n)
    log.info(
        "`beyondlinear status %s` looks at them from anywhere; Ctrl-C leaves them alone, `scancel %s` ends them",
        *(directory, array),
    )
    write_json(
        folder / f"submitted_{stamp}.json",
        {
            "job": array,
            "tasks": {task.id: [run_id(filter_overrides(o)) for _, o in task.pack.runs] for task in tasks},
        },
    )
    try:
        return wait(tasks, names_of(runs), poll)
    except KeyboardInterrupt:
        log.info("\nSLURM job %s goes on without you; the same command waits for what is missing then", array)
        raise


def _now() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


@dataclass
class Task:
    """One task of the array as the submitting process sees it."""

    id: str
    pack: Pack
    told: set[int] = field(default_factory=set)
    out_since: float | None = None

    def answer(self) -> tuple[dict[int, str | None], bool]:
        """Reasons by run number so far, and whether the task is over."""
        try:
            said = json.loads(Path(self.pack.answers).read_text())
        except (OSError, ValueError):
            return {}, False
        return {int(k): v for k, v in said["reasons"].items()}, bool(said["over"])


def wait(tasks: Sequence[Task], names: Mapping[int, str], poll: float) -> dict[int, str | None]:
    """Until every task has answered or is out of the queue; a line for each run that ends, by its name."""
    n_runs = len(names)
    started, reasons, open_tasks, last_said = time.monotonic(), {}, list(tasks), ""
    while open_tasks:
        queued = queue_of({task.id.split("_")[0] for task in tasks})
        for task in list(open_tasks):
            answers, over = task.answer()
            for number, _ in task.pack.runs:
                if number in answers and number not in task.told:
                    task.told.add(number)
                    reasons[number] = answers[number]
                    left = (time.monotonic() - started) / len(reasons) * (n_runs - len(reasons))
                    ending = "done" if answers[number] is None else f"FAILED: {answers[number]}"
                    more = f"; about {duration(left)} left" if len(reasons) < n_runs else ""
                    log.info("run %d of %d  %s: %s%s", len(reasons), n_runs, names[number], ending, more)
            if over:
                open_tasks.remove(task)
                continue
            if queued is None or task.id in queued:
                task.out_since = None
                continue
            task.out_since = task.out_since or time.monotonic()
            if time.monotonic() - task.out_since > min(GONE, 3 * poll):
                open_tasks.remove(task)
                end = end_of(task.id)
                for number, _ in task.pack.runs:
                    if number not in reasons:
                        reasons[number] = f"SLURM job {task.id} ended without it: {end}"
                        log.info(
                            "run %d of %d  %s: FAILED: %s", *(len(reasons), n_runs, names[number], reasons[number])
                        )
        if queued is not None and open_tasks:
            running = sum(queued.get(t.id) == "RUNNING" for t in open_tasks)
            line = f"{running} tasks running, {len(open_tasks) - running} waiting"
            if line != last_said:
                log.info("%s", line)
                last_said = line
        if open_tasks:
            time.sleep(poll)
    return reasons


def queue_of(jobs: set[str]) -> dict[str, str] | None:
    """State of each task that is in the queue, by its id, e.g. {"12_3": "RUNNING"}; None: the scheduler does not answer."""
    lines = _ask(["squeue", "--noheader", "--array", "--format=%i %T", "--user", _user()])
    if lines is None:
        return None
    pairs = [line.split() for line in lines if len(line.split()) == 2]
    return {task: state for task, state in pairs if task.split("_")[0] in jobs}


def end_of(task: str) -> str:
    """How SLURM says that a task ended: CANCELLED, OUT_OF_MEMORY, NODE_FAIL …"""
    lines = _ask(["sacct", "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode", "--jobs", task])
    if lines and lines[0].strip("|"):
        return " exit code ".join(lines[0].split("|")[:2])
    lines = _ask(["scontrol", "show", "job", task]) or []
    found = re.search(r"JobState=(\S+) Reason=(\S+)", " ".join(lines))
    return f"{found[1]} ({found[2]})" if found else "SLURM remembers nothing of it"


def _ask(command: list[str]) -> list[str] | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


def _user() -> str:
    import getpass

    return getpass.getuser()
