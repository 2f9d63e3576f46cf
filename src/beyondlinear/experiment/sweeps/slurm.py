"""Runs of a sweep in the tasks of a SLURM job array, through submitit.

A task makes several runs in one process, one after another.
"""

import contextlib
import logging
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from hydra.core.utils import filter_overrides

from beyondlinear.experiment.sweeps.jobs import Jobs, SweepRun, names_of, sweep_directory
from beyondlinear.experiment.sweeps.slurm_queue import array_of
from beyondlinear.experiment.sweeps.slurm_wait import SubmittedTask, wait
from beyondlinear.records.run_state import Stopped, run_id
from beyondlinear.runtime.errors import ConfigError, ResultsError
from beyondlinear.runtime.files import write_json

if TYPE_CHECKING:
    from submitit import SlurmExecutor
    from submitit.helpers import DelayedSubmission

log = logging.getLogger(__name__)


@dataclass
class RunsOfTask:
    """The runs of one task. Called in the task; submitit calls `checkpoint` when the time limit is
    near.

    answers: file in which it says what it made; reasons: why each run that is made failed, by its
    number; None: it did not
    """

    jobs: Jobs
    runs: list[SweepRun]
    answers: str
    reasons: dict[int, str | None] = field(default_factory=dict)

    def __call__(self) -> None:
        """Make the runs that are not made yet; each answer is on the disk before the next run
        begins."""
        resubmit = _stop_at_signal()
        try:
            for run in self.runs:
                if run.number not in self.reasons:
                    self.reasons[run.number] = self.jobs.make(run)
                    self._answer(over=False)
        except Stopped as e:
            try:
                resubmit(*e.signal)  # requeues and leaves, or raises: too many times
            except Exception as error:
                missing = [run.number for run in self.runs if run.number not in self.reasons]
                self.reasons[missing[0]] = f"{e}; {error}"
        self._answer(over=True)

    def checkpoint(self) -> "DelayedSubmission":
        """The same runs, with what is known of them: what is done is not looked at again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _answer(self, over: bool) -> None:
        reasons = {str(number): reason for number, reason in self.reasons.items()}
        with contextlib.suppress(ResultsError):  # a full disk: the records tell
            write_json(Path(self.answers), {"reasons": reasons, "over": over})


def _stop_at_signal() -> Callable[..., object]:
    """Let submitit's signal end the run first, as an exception: its handler would leave in the
    middle of a write.

    :returns: submitit's own handler, to be called when everything is put down
    """
    from submitit import JobEnvironment

    number = JobEnvironment._usr_sig()
    theirs = signal.getsignal(number)
    assert callable(theirs)

    def handler(signum: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Stopped(
            "told to stop by SLURM, at its time limit or for another job", (signum, frame)
        )

    signal.signal(number, handler)
    return theirs


def make_on_slurm(
    jobs: Jobs,
    runs: Sequence[SweepRun],
    *,
    runs_per_task: int | None,
    max_tasks: int,
    poll: float,
    max_num_timeout: int,
    **options: object,
) -> dict[int, str | None]:
    """Submit the runs as an array and wait for it; the keys are those of
    conf/hydra/launcher/slurm.yaml.

    :param options: those of `_set_up`
    :returns: why each run failed, by its number; None: it did not
    :raises ConfigError: no SLURM here, a key that cannot be, or sbatch's refusal
    """
    import submitit

    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise ConfigError(
            "hydra/launcher=slurm: there is no sbatch on this machine. Give the command on a login"
            " node of the cluster, or use hydra/launcher=local"
        )
    directory = sweep_directory(jobs.config)
    folder = directory / "slurm"
    executor = submitit.SlurmExecutor(folder=folder / "%A", max_num_timeout=max_num_timeout)
    _set_up(executor, directory.name, **options)  # type: ignore[arg-type]
    tasks = _submit(executor, folder, jobs, _shares(runs, runs_per_task, max_tasks))
    array = array_of(tasks[0].id)
    most = max(len(task.runs) for task in tasks)
    log.info(
        f"{len(runs)} runs in {len(tasks)} tasks of SLURM job {array}, {most} runs each at most"
    )
    log.info(
        f"`beyondlinear status {directory}` looks at them from anywhere; Ctrl-C leaves them alone,"
        f" `scancel {array}` ends them"
    )
    try:
        return wait(tasks, names_of(runs), poll)
    except KeyboardInterrupt:
        log.info(
            "\nSLURM job %s goes on without you; the same command waits for what is missing then",
            array,
        )
        raise


def _shares(
    runs: Sequence[SweepRun], runs_per_task: int | None, max_tasks: int
) -> list[list[SweepRun]]:
    """The runs of each task, dealt out in turn, so that a model that is slow does not fill one task
    with its seeds."""
    n_per_task = runs_per_task or _divided_up(len(runs), max_tasks)
    n_tasks = _divided_up(len(runs), n_per_task)
    return [list(runs[first::n_tasks]) for first in range(n_tasks)]


def _divided_up(n: int, by: int) -> int:
    """n / by, rounded up."""
    return -(-n // by)


def _set_up(
    executor: "SlurmExecutor",
    sweep_name: str,
    *,
    partition: str | None,
    account: str | None,
    qos: str | None,
    constraint: str | None,
    time: int,
    memory: float,
    cpus: int,
    gpus: int,
    parallel: int,
    signal_delay: int,
    setup: Sequence[str],
    more: Mapping[str, object],
) -> None:
    """Tell submitit what a task needs. conf/hydra/launcher/slurm.yaml explains the keys.

    :raises ConfigError: a signal before the start
    """
    if signal_delay >= 60 * time:
        raise ConfigError(
            f"hydra.launcher.signal_delay: {signal_delay} s before a limit of {time} min is before"
            " the start; lower it"
        )
    optional = {
        "partition": partition,
        "account": account,
        "qos": qos,
        "constraint": constraint,
        "gpus_per_node": gpus or None,
    }
    executor.update_parameters(
        job_name=re.sub(r"\W+", "_", sweep_name) or "beyondlinear",
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
        **{key: value for key, value in optional.items() if value is not None},
    )


def _submit(
    executor: "SlurmExecutor", folder: Path, jobs: Jobs, shares: Sequence[list[SweepRun]]
) -> list[SubmittedTask]:
    """Submit one array, a task for each share of the runs, and write down which task has which.

    :raises ConfigError: sbatch's refusal
    """
    from submitit.core.utils import FailedJobError

    stamp = _now()
    files = [folder / f"answer_{stamp}_{i}.json" for i in range(len(shares))]
    try:
        with executor.batch():
            submitted = [
                executor.submit(RunsOfTask(jobs, share, str(file)))
                for share, file in zip(shares, files, strict=True)
            ]
    except FailedJobError as e:
        lines = str(e).splitlines()
        refusal = [line for line in lines if "error" in line.lower()] or lines[-1:]
        raise ConfigError(
            f"hydra/launcher=slurm: sbatch refused: {' '.join(refusal).strip()}"
        ) from e
    tasks = [
        SubmittedTask(job.job_id, share, file)
        for job, share, file in zip(submitted, shares, files, strict=True)
    ]
    runs_of_tasks = {
        task.id: [run_id(filter_overrides(run.overrides)) for run in task.runs] for task in tasks
    }
    submission = {"job": array_of(tasks[0].id), "tasks": runs_of_tasks}
    write_json(folder / f"submitted_{stamp}.json", submission)
    return tasks


def _now() -> str:
    return datetime.now().strftime("%Y%m%d-%H%M%S")
