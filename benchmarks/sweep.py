"""What a run of a sweep costs besides its fits: one process a run, against processes that make
many.

    python benchmarks/sweep.py --runs 100 --json sweep.json

The runs are logistic regressions on a small simulation (two fits each), so that nearly all of their
time is start-up. Peer: a process a run, as `python train.py` in a shell loop and as Hydra's stock
submitit launcher starts them. Limit: the same fits in one run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
SMALL = [
    "model=logistic_regression",
    "dataset.n_samples=200",
    "dataset.n_genes=100",
    "trainer.max_epochs=3",
    "trainer.threads=1",
    "logger=none",
    "split.folds=2",
    "model.report_optimum=null",
]


def seconds_of(directory: Path, *words: str) -> float:
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "train.py"), *words]
    subprocess.run(
        command, cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    n = arguments.runs
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        alone = sorted(seconds_of(directory, *SMALL, f"seed={10_000 + i}") for i in range(3))[1]
        launcher = ["hydra/launcher=local", f"hydra.launcher.processes={arguments.processes}"]
        few = seconds_of(directory, "-m", *SMALL, f"seed=range(0,{arguments.processes})", *launcher)
        many = seconds_of(directory, "-m", *SMALL, f"seed=range(20000,{20_000 + n})", *launcher)
        fractions = [round(0.5 + 0.5 * (i + 1) / n, 4) for i in range(n)]
        one = seconds_of(directory, *SMALL, f"split.fractions={fractions}".replace(" ", ""))
    slope = (many - few) / (n - arguments.processes)
    p = arguments.processes
    rows = [
        {
            "way": "a process a run, one after another",
            "runs": 3,
            "s a run": alone,
            "1,000 runs, min": 1000 * alone / 60,
        },
        {
            "way": f"a process a run, {p} at a time",
            "runs": 3,
            "s a run": alone / p,
            "1,000 runs, min": 1000 * alone / p / 60,
        },
        {
            "way": f"hydra/launcher=local, {p} processes",
            "runs": n,
            "s a run": slope,
            "1,000 runs, min": (few + 1000 * slope) / 60,
        },
        {
            "way": "limit: the same fits in one run",
            "runs": 1,
            "s a run": one / n,
            "1,000 runs, min": 1000 * one / n / 60,
        },
    ]
    table = Table(header_style="bold")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "way" else "right")
    for row in rows:
        table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=120).print(table)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
