"""A sweep that is disturbed, and what has to be true afterwards: `status` tells it, the same
command finishes the grid, and the table is that of an undisturbed sweep, to the last bit."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from made_up import ROOT

# four runs of three fits, each of some seconds and with a checkpoint every second: a net with fewer
# genes is a compiled one, and the fits of a run would train together, without
GRID = [
    *(
        "dataset.n_samples=600",
        "dataset.n_genes=1050",
        "split.folds=3",
        "trainer.threads=1",
        "trainer.patience=50",
    ),
    *(
        "trainer.max_epochs=14",
        "trainer.stop_below=null",
        "trainer.checkpoint_minutes=0.01",
        "model=five_layer",
        "logger=none",
        "leak_probes.trees=0",
    ),
    *("signal_removal=none,class_means", "seed=0,1"),
]
SCIENCE = ["signal_removal", "seed", "fold", "balanced_accuracy", "log_loss", "epochs", "status"]


class Sweep:
    """One sweep in a directory of its own."""

    def __init__(self, directory: Path, *more: str) -> None:
        self.directory, self.dir = directory, directory / "m"
        self.command = [
            sys.executable,
            str(ROOT / "train.py"),
            "-m",
            *GRID,
            "hydra.sweep.dir=m",
            *more,
        ]

    def start(self) -> subprocess.Popen:
        self.output = open(self.directory / f"out{time.monotonic_ns()}.txt", "w+")  # noqa: SIM115
        return subprocess.Popen(
            self.command,
            cwd=self.directory,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            text=True,
            # a background job of a shell ignores Ctrl-C, and so does all that it starts
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, expect: int = 0) -> str:
        done = subprocess.run(
            self.command,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read()

    def status(self) -> tuple[int, str]:
        command = [str(Path(sys.executable).parent / "beyondlinear"), "status", "m"]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(
            command,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    def table(self) -> pd.DataFrame:
        from beyondlinear.records.table import gather

        return gather([self.dir])[SCIENCE]

    def records(self) -> int:
        return len(list((self.directory / "outputs" / "records").glob("??/*.json")))

    def states(self) -> list[dict]:
        return [json.loads(p.read_text()) for p in self.dir.glob("*/state.json")]


def until(true: Callable[[], object], seconds: float = 90, every: float = 0.2) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(every)


def equal(a: pd.DataFrame, b: pd.DataFrame) -> None:
    assert len(a) == 12
    assert set(a.status) == {"done"}
    pd.testing.assert_frame_equal(a, b, check_exact=True)
