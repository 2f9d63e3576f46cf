"""Peak memory of one run against the size of its matrix.

    python benchmarks/memory.py [--n 20000 --p 5000]

Each row is a run in a process of its own: the peak resident memory of the whole process, less that
of the same run on 200 samples × 20 genes, which is the interpreter, its libraries and compiled
code, over the bytes of the matrix and of the model's state (weights, gradient, Adam's two moments,
the best weights: 5 × parameters × 4 B). One epoch on one fold, where no more is said. Limit: 1
where the matrix is read as it is, 2 where signal is removed from a copy of a fit's parts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from results import keep
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent


def peak(*arguments: str) -> float:
    """Peak resident memory in bytes of `python ARGUMENTS`, as the operating system accounts for
    it."""
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=directory, stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"python {' '.join(arguments)} ended with status {status}")
    return usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--p", type=int, default=5_000)
    parser.add_argument("--json")
    given = parser.parse_args()
    matrix = given.n * given.p * 4
    state = 5 * 4 * parameters(given.p)
    table = Table(
        title=(
            f"{given.n:,} × {given.p:,} float32: {matrix / 1e6:,.0f} MB; state of three_layer:"
            f" {state / 1e6:,.0f} MB"
        )
    )
    for column in ("run", "peak above a tiny run, MB", "over matrix + state"):
        table.add_column(column, justify="left" if column == "run" else "right")
    common = [
        "dataset=simulated_noise",
        "trainer.max_epochs=1",
        "logger=none",
        "leak_probes.trees=0",
    ]
    linear, one = ["model=logistic_regression"], ["split.only_folds=[0]"]
    deep = ["model=three_layer", "protocol.batch_size=256"]
    rows = {
        "nothing scaled, nothing removed": ([*linear, *one, "scale=none"], 0),
        "standardised": ([*linear, *one], 0),
        "standardised, 5 folds × 3 fractions": ([*linear, "split.fractions=[0.8,0.9,1.0]"], 0),
        "standardised, signal_removal=class_means": (
            [*linear, *one, "signal_removal=class_means"],
            0,
        ),
        "standardised, signal_removal=class_means_before_split": (
            [*linear, *one, "signal_removal=class_means_before_split"],
            0,
        ),
        "standardised, three_layer": ([*deep, *one], state),
    }
    kept = []
    for label, (words, of_model) in rows.items():
        big, small = (
            peak(
                str(ROOT / "train.py"),
                *common,
                *words,
                f"dataset.n_samples={n}",
                f"dataset.n_genes={p}",
            )
            for n, p in ((given.n, given.p), (200, 20))
        )
        kept.append(
            {
                "run": label,
                "MB": round((big - small) / 1e6),
                "ratio": round((big - small) / (matrix + of_model), 2),
            }
        )
        table.add_row(*map(str, kept[-1].values()))
    Console(width=100).print(table)
    keep(given.json, kept, n=given.n, p=given.p)


def parameters(p: int) -> int:
    """Of three_layer with two classes."""
    return p * (p // 2) + (p // 2) * (p // 4) + (p // 4) * 2 + p // 2 + p // 4 + 2


if __name__ == "__main__":
    main()
