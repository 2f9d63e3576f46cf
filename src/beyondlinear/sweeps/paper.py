"""All experiments of Heil, Crawford & Greene (2023), one after another: `beyondlinear paper`."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beyondlinear.errors import ConfigError, choices
from beyondlinear.progress import duration

# those that need no data first
EXPERIMENTS = ("fig4", "s1", "fig3a", "fig2a", "s3", "fig3b", "fig3c", "s2", "s4", "fig2b")
SIMULATED = ("fig4", "s1")
PAIRS = ("fig2a", "fig2b", "s3")

# the whole, looked at in minutes: a stand-in for the data, one seed, two fractions, few epochs
PILOT = [
    *("seed=0", "split.fractions=[0.5,1.0]", "split.folds=3", "trainer.max_epochs=3", "trainer.threads=1"),
    *("meters.trees=4", "hydra/launcher=local", "results.store=outputs/pilot"),
]
PILOT_SIMULATED = ["dataset.n_samples=200", "dataset.n_genes=60"]
PILOT_DATA = ["dataset=stand_in", "dataset.n_samples=660", "dataset.n_genes=60"]


@dataclass(frozen=True)
class Step:
    """One experiment and how it ended."""

    name: str
    command: list[str]
    code: int
    seconds: float


def commands(names: Sequence[str], overrides: Sequence[str], pilot: bool) -> list[tuple[str, list[str]]]:
    """The command of each experiment.

    :raises ConfigError: a name that no experiment of the paper has
    """
    for name in names:
        if name not in EXPERIMENTS:
            raise ConfigError(f"--only {name}: no experiment of the paper. {choices(name, EXPERIMENTS)}")
    return [(name, ["train.py", f"experiment={name}", *(_pilot(name) if pilot else []), *overrides]) for name in names]


def _pilot(name: str) -> list[str]:
    more = [*PILOT, f"hydra.sweep.dir=multirun/pilot/{name}"]
    more += PILOT_SIMULATED if name in SIMULATED else PILOT_DATA
    if name not in (*SIMULATED, "s4"):
        more += ["tuning.trials=2", "tuning.inner_folds=2"]
    if name in PAIRS:
        more += ["task.classes=[Blood,Brain],[Blood,Skin]", "dataset.n_tissues=6"]
    if name == "s3":
        more += ["split.fractions=[0.05,0.1]"]
    return more


def paper(names: Sequence[str], overrides: Sequence[str], pilot: bool) -> int:
    """Run the experiments; one that fails does not keep the next from being run.

    :returns: exit code: 0, or 1 where one failed
    :raises ConfigError: no train.py in this directory
    """
    if not Path("train.py").is_file():
        raise ConfigError(
            f"there is no train.py in {Path.cwd()}: give the command in the directory of beyondlinear's train.py and conf/"
        )
    steps: list[Step] = []
    planned = commands(names or EXPERIMENTS, overrides, pilot)
    for number, (name, command) in enumerate(planned, 1):
        print(f"\n{number} of {len(planned)}: python {shlex.join(command)}", flush=True)
        started = time.monotonic()
        code = subprocess.run([sys.executable, *command], check=False).returncode
        steps.append(Step(name, command, code, time.monotonic() - started))
        if code == 130:
            raise KeyboardInterrupt
    print("\nexperiment  result   time")
    for step in steps:
        print(f"{step.name:<10}  {'done' if step.code == 0 else 'FAILED':<7}  {duration(step.seconds)}")
    failed = [s for s in steps if s.code]
    if failed:
        print(f"{len(failed)} of {len(steps)} failed; the same command continues. By themselves:", file=sys.stderr)
        for step in failed:
            print(f"  python {shlex.join(step.command)}", file=sys.stderr)
    return 1 if failed else 0
