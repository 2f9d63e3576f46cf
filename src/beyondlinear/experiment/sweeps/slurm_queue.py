"""What SLURM says of its tasks: `squeue`, which every cluster has, and `sacct` for the name of an
end."""

import getpass
import re
import subprocess
from collections.abc import Set

_ANSWER_SECONDS = 60  # after which the scheduler is taken for silent


def queue_of(jobs: Set[str]) -> dict[str, str] | None:
    """State of each task that is in the queue, by its id, e.g. {"12_3": "RUNNING"}; None: the
    scheduler does not answer.

    :param jobs: ids of job arrays, e.g. {"12"}
    """
    user = getpass.getuser()
    lines = _ask(["squeue", "--noheader", "--array", "--format=%i %T", "--user", user])
    if lines is None:
        return None
    states = {}
    for line in lines:
        words = line.split()
        if len(words) == 2 and array_of(words[0]) in jobs:
            states[words[0]] = words[1]
    return states


def end_of(task: str) -> str:
    """How SLURM says that a task ended: CANCELLED, OUT_OF_MEMORY, NODE_FAIL …"""
    accounting = ["sacct", "--noheader", "--parsable2", "--allocations"]
    lines = _ask([*accounting, "--format=State,ExitCode", "--jobs", task])
    if lines and lines[0].strip("|"):
        return " exit code ".join(lines[0].split("|")[:2])
    # no accounting here: the controller remembers a job for some minutes
    lines = _ask(["scontrol", "show", "job", task]) or []
    end = re.search(r"JobState=(\S+) Reason=(\S+)", " ".join(lines))
    return f"{end[1]} ({end[2]})" if end else "SLURM remembers nothing of it"


def array_of(task: str) -> str:
    """The job array of a task: 12 of 12_3."""
    return task.partition("_")[0]


def _ask(command: list[str]) -> list[str] | None:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.splitlines() if answer.returncode == 0 else None
