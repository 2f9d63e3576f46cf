"""Waiting for the tasks of a SLURM job array, a line for each run that ends.

What became of a task is read from the file that it leaves and from the queue. A scheduler that does
not answer is asked again later: it restarts, and the jobs go on meanwhile.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from beyondlinear.experiment.sweeps.jobs import SweepRun
from beyondlinear.experiment.sweeps.slurm_queue import array_of, end_of, queue_of
from beyondlinear.runtime.progress import duration

log = logging.getLogger(__name__)

# seconds that a task may be out of the queue without its answer on the disk (file servers are slow)
GONE = 30.0


@dataclass
class SubmittedTask:
    """One task of the array as the submitting process sees it.

    answers: file in which the task says what it made; told: numbers of the runs that a line was
    printed for; out_since: when it was first seen out of the queue, seconds of the monotonic clock
    """

    id: str
    runs: Sequence[SweepRun]
    answers: Path
    told: set[int] = field(default_factory=set)
    out_since: float | None = None

    def answer(self) -> tuple[dict[int, str | None], bool]:
        """Reasons by run number so far (None: the run succeeded), and whether the task is over."""
        try:
            content = json.loads(self.answers.read_text())
        except (OSError, ValueError):
            return {}, False
        reasons = {int(number): reason for number, reason in content["reasons"].items()}
        return reasons, bool(content["over"])


class SlurmProgress:
    """The runs that have ended, why those that failed did, and a line for each."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names
        self.reasons: dict[int, str | None] = {}
        self.started = time.monotonic()
        self.last_line = ""

    def run_done(self, number: int, reason: str | None) -> None:
        """:param reason: why the run failed; None: it did not"""
        self.reasons[number] = reason
        n_runs, n_done = len(self.names), len(self.reasons)
        left = (time.monotonic() - self.started) / n_done * (n_runs - n_done)
        ending = "done" if reason is None else f"FAILED: {reason}"
        more = f"; about {duration(left)} left" if n_done < n_runs else ""
        log.info("run %d of %d  %s: %s%s", n_done, n_runs, self.names[number], ending, more)

    def queue_seen(self, states: Sequence[str | None]) -> None:
        """:param states: that of each task that is not over; None: it is not in the queue"""
        n_running = Counter(states)["RUNNING"]
        line = f"{n_running} tasks running, {len(states) - n_running} waiting"
        if line != self.last_line:
            log.info("%s", line)
            self.last_line = line


def wait(
    tasks: Sequence[SubmittedTask], names: Mapping[int, str], poll: float
) -> dict[int, str | None]:
    """Until every task has answered or is out of the queue; a line for each run that ends, by its
    name.

    :param names: of every run, by its number
    :param poll: seconds between two looks
    :returns: why each run failed, by its number; None: it did not
    """
    progress = SlurmProgress(names)
    open_tasks = list(tasks)
    jobs = {array_of(task.id) for task in tasks}
    while open_tasks:
        queue = queue_of(jobs)
        open_tasks = [task for task in open_tasks if not _is_over(task, queue, poll, progress)]
        if queue is not None and open_tasks:
            progress.queue_seen([queue.get(task.id) for task in open_tasks])
        if open_tasks:
            time.sleep(poll)
    return progress.reasons


def _is_over(
    task: SubmittedTask, queue: Mapping[str, str] | None, poll: float, progress: SlurmProgress
) -> bool:
    """Whether a task has ended, in an answer or out of the queue; says which of its runs have."""
    answers, over = task.answer()
    for run in task.runs:
        if run.number in answers and run.number not in task.told:
            task.told.add(run.number)
            progress.run_done(run.number, answers[run.number])
    if over:
        return True
    if queue is None or task.id in queue:
        task.out_since = None
        return False
    now = time.monotonic()
    if task.out_since is None:
        task.out_since = now
    if now - task.out_since <= min(GONE, 3 * poll):
        return False
    end = end_of(task.id)
    for run in task.runs:
        if run.number not in progress.reasons:
            progress.run_done(run.number, f"SLURM job {task.id} ended without it: {end}")
    return True
