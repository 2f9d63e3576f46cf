"""`beyondlinear status`: the runs that are not finished, why, and the command that makes what is
missing."""

import re
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from beyondlinear.experiment.sweeps.status import STATUSES, UNDER_WAY, RunStatus, runs_of

# most runs that the table shows, and most commands that are printed below it
RUNS_SHOWN = 40
COMMANDS_SHOWN = 5
# exit codes; of several directories the most pressing counts, which is the last of these
ALL_FINISHED = 0
STILL_UNDER_WAY = 3
TO_BE_MADE_AGAIN = 1
_PRESSING = (ALL_FINISHED, STILL_UNDER_WAY, TO_BE_MADE_AGAIN)


def show(directories: Sequence[str], console: Console, watch: float | None = None) -> int:
    """Print the status of directories, again and again if `watch` is given (seconds), until nothing
    is under way.

    :returns: exit code: 0 all finished, 3 still under way, 1 something has to be made again
    :raises ResultsError: a directory that holds no run
    """
    table, code = _look(directories)
    if watch is None or not console.is_terminal:
        console.print(table)
        while watch is not None and code == STILL_UNDER_WAY:
            time.sleep(watch)
            table, code = _look(directories)
            console.print(table)
        return code
    with Live(table, console=console, auto_refresh=False) as live:
        while code == STILL_UNDER_WAY:
            time.sleep(watch)
            table, code = _look(directories)
            live.update(table, refresh=True)
    return code


def _look(directories: Sequence[str]) -> tuple[Group, int]:
    """What to print of all directories, and the exit code."""
    tables = []
    codes = []
    for directory in map(Path, directories):
        runs, command = runs_of(directory)
        tables.append(status_table(directory, runs, command))
        codes.append(exit_code(runs))
    return Group(*tables), max(codes, key=_PRESSING.index)


def exit_code(runs: Sequence[RunStatus]) -> int:
    """0: all finished; 3: still under way; 1: something has to be made again."""
    incomplete = [run for run in runs if not run.is_complete]
    if any(run.status not in UNDER_WAY for run in incomplete):
        return TO_BE_MADE_AGAIN
    return STILL_UNDER_WAY if incomplete else ALL_FINISHED


def summary(runs: Sequence[RunStatus]) -> str:
    """e.g. 24 runs: 1 running, 2 failed, 21 finished; fits listed so far: 1,050 done, 12 skipped,
    3 failed of 1,065."""
    n_by_status = Counter(run.status for run in runs)
    fits: Counter[str] = sum((run.fits for run in runs), Counter())
    words = ", ".join(f"{n_by_status[s]:,} {s}" for s in STATUSES if n_by_status[s])
    text = f"{len(runs):,} runs: {words}"
    if fits:
        of_fits = ("done", "skipped", "failed", "missing")
        made = ", ".join(f"{fits[s]:,} {s}" for s in of_fits if fits[s])
        text += f"; fits listed so far: {made} of {fits.total():,}"
    return text


def status_table(directory: Path, runs: Sequence[RunStatus], command: Sequence[str]) -> Group:
    """The table of the runs that are not finished, and how to make what is missing.

    :param command: the words that planned the sweep, the program first
    """
    incomplete = [run for run in runs if not run.is_complete]
    incomplete.sort(key=lambda run: STATUSES.index(run.status))
    parts: list[RenderableType] = [_plain(f"{directory}: {summary(runs)}")]
    if incomplete:
        parts.append(_table(incomplete[:RUNS_SHOWN], _shared_overrides(runs)))
        if len(incomplete) > RUNS_SHOWN:
            parts.append(_plain(f"… {len(incomplete) - RUNS_SHOWN:,} more"))
    ended = [run for run in incomplete if run.status not in UNDER_WAY]
    program = program_of(command)
    if ended and command:
        again = shlex.join([*program, *command[1:]])
        parts.append(
            _plain(f"What is missing, and nothing else, is made by the same command:\n  {again}")
        )
    if ended:
        one = [*program, *config_dir_of(command)]
        commands = [f"  {redo(run, one)}" for run in ended[:COMMANDS_SHOWN]]
        if len(ended) > COMMANDS_SHOWN:
            commands.append(f"  … {len(ended) - COMMANDS_SHOWN:,} more")
        parts.append(_plain("\n".join(["One of these runs by itself:", *commands])))
    return Group(*parts)


def program_of(command: Sequence[str]) -> list[str]:
    """The words that start the program of a command again.

    >>> program_of(["train.py", "-m", "seed=0,1"]), program_of(["beyondlinear run", "-m"])
    (['python', 'train.py'], ['beyondlinear', 'run'])
    """
    first = command[0] if command else "train.py"
    return ["python", first] if first.endswith(".py") else first.split()


def config_dir_of(command: Sequence[str]) -> list[str]:
    """The option that named a folder of the user's own configs, without which they are not found.

    >>> config_dir_of(["train.py", "-m", "--config-dir", "mine", "model=a,b"])
    ['--config-dir', 'mine']
    """
    for i, word in enumerate(command):
        if word in ("--config-dir", "-cd"):
            return list(command[i : i + 2])
        if word.startswith("--config-dir="):
            return [word]
    return []


def redo(run: RunStatus, program: Sequence[str]) -> str:
    """The command that makes what is missing of this run, and nothing else.

    :param program: its first words, options included
    """
    words = [*program, *run.overrides, "hydra.mode=RUN"]
    if run.directory is not None:
        words.append(f"hydra.run.dir={run.directory}")
    return shlex.join(words)


def _shared_overrides(runs: Sequence[RunStatus]) -> set[str]:
    """Overrides that every run has, which tell none of several from the others."""
    if len(runs) < 2:
        return set()
    return set.intersection(*(set(run.overrides) for run in runs))


def _table(runs: Sequence[RunStatus], shared: set[str]) -> Table:
    table = Table(header_style="bold")
    for name in ("status", "run", "fits", "where", "why"):
        table.add_column(name, overflow="fold")
    for run in runs:
        own = [override for override in run.overrides if override not in shared]
        name = " ".join(own) or "the run"
        n_made = run.fits["done"] + run.fits["skipped"]
        fits = f"{n_made} of {run.fits.total()}" if run.fits else "–"
        table.add_row(run.status, _plain(name), fits, _plain(run.where), _plain(run.reason))
    return table


def _plain(text: str) -> Text:
    """Text without markup and without characters that would steer the terminal."""
    return Text(re.sub(r"[\x00-\x08\x0b-\x1f]", "", text))
