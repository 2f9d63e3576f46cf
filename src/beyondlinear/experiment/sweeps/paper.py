"""All experiments of Heil, Crawford & Greene (2023), one after another: `beyondlinear paper`."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from beyondlinear.runtime.errors import ConfigError, choices
from beyondlinear.runtime.progress import duration

# those that need no data first
EXPERIMENTS = ("fig4", "s1", "fig3a", "fig2a", "s3", "fig3b", "fig3c", "s2", "s4", "fig2b")
SIMULATED = ("fig4", "s1")
PAIRS = ("fig2a", "fig2b", "s3")

# the whole, looked at in minutes: a stand-in for the data, one seed, two fractions, few epochs
PILOT = [
    "seed=0",
    "split.fractions=[0.5,1.0]",
    "split.folds=3",
    "trainer.max_epochs=3",
    "trainer.threads=1",
    "leak_probes.trees=4",
    "hydra/launcher=local",
    "results.store=outputs/pilot",
]
PILOT_SIMULATED = ["dataset.n_samples=200", "dataset.n_genes=60"]
PILOT_DATA = ["dataset=stand_in", "dataset.n_samples=660", "dataset.n_genes=60"]


@dataclass(frozen=True)
class PaperStep:
    """One experiment and how it ended.

    overrides: those of its command; code: its exit code
    """

    name: str
    overrides: list[str]
    code: int
    seconds: float


def overrides_of(name: str, overrides: Sequence[str], pilot: bool) -> list[str]:
    """What `beyondlinear run` is given for an experiment.

    :raises ConfigError: a name that no experiment of the paper has
    """
    if name not in EXPERIMENTS:
        raise ConfigError(
            f"--only {name}: no experiment of the paper. {choices(name, EXPERIMENTS)}"
        )
    smaller = _pilot(name) if pilot else []
    return [f"experiment={name}", *smaller, *overrides]


def _pilot(name: str) -> list[str]:
    smaller = [*PILOT, f"hydra.sweep.dir=multirun/pilot/{name}"]
    smaller += PILOT_SIMULATED if name in SIMULATED else PILOT_DATA
    if name not in (*SIMULATED, "s4"):
        smaller += ["tuning.trials=2", "tuning.inner_folds=2"]
    if name in PAIRS:
        smaller += ["task.classes=[Blood,Brain],[Blood,Skin]", "dataset.n_tissues=6"]
    if name == "s3":
        smaller += ["split.fractions=[0.05,0.1]"]
    return smaller


def paper(names: Sequence[str], overrides: Sequence[str], pilot: bool) -> int:
    """Run the experiments; one that fails does not keep the next from being run.

    :returns: exit code: 0, or 1 where one failed
    :raises ConfigError: a name that no experiment of the paper has
    """
    planned = {name: overrides_of(name, overrides, pilot) for name in names or EXPERIMENTS}
    steps: list[PaperStep] = []
    for number, (name, words) in enumerate(planned.items(), 1):
        print(f"\n{number} of {len(planned)}: {_command(words)}", flush=True)
        started = time.monotonic()
        # a process of its own: Hydra composes once in a process
        command = [sys.executable, "-m", "beyondlinear.cli", "run", *words]
        code = subprocess.run(command, check=False).returncode
        steps.append(PaperStep(name, words, code, time.monotonic() - started))
        if code == 130:
            raise KeyboardInterrupt
    _print(steps)
    return 1 if any(step.code for step in steps) else 0


def _print(steps: Sequence[PaperStep]) -> None:
    print("\nexperiment  result   time")
    for step in steps:
        result = "FAILED" if step.code else "done"
        print(f"{step.name:<10}  {result:<7}  {duration(step.seconds)}")
    failed = [step for step in steps if step.code]
    if failed:
        print(
            f"{len(failed)} of {len(steps)} failed; the same command continues. By themselves:",
            file=sys.stderr,
        )
        for step in failed:
            print(f"  {_command(step.overrides)}", file=sys.stderr)


def _command(overrides: Sequence[str]) -> str:
    return shlex.join(["beyondlinear", "run", *overrides])
