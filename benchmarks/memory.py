"""Peak memory of one run against the size of its matrix.

    python benchmarks/memory.py [--n 20000 --p 5000]

Each row is a run in a process of its own: the peak resident memory of the whole process, less that of a process that only
imports what the run needs, over the bytes of the matrix. The limit is 1 (the matrix itself) + 1 (the parts of a fit, a
scaled copy). One epoch of logistic_regression on one fold: model state is negligible, the way of the data is what counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
IMPORTS = "import beyondlinear.run, beyondlinear.data.simulated, anndata, scipy.stats"


def peak(*arguments: str, directory: str) -> float:
    """Peak resident memory in bytes of `python ARGUMENTS`, as the operating system accounts for it."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=directory, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"python {' '.join(arguments)} ended with status {status}")
    return usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--p", type=int, default=5_000)
    given = parser.parse_args()
    matrix = given.n * given.p * 4
    table = Table(title=f"{given.n:,} × {given.p:,} float32: {matrix / 1e6:,.0f} MB")
    for column in ("run", "peak above imports, MB", "over the matrix"):
        table.add_column(column, justify="left" if column == "run" else "right")
    data = [f"dataset.n_samples={given.n}", f"dataset.n_genes={given.p}"]
    common = [
        "dataset=simulated_noise",
        *data,
        "model=logistic_regression",
        "trainer.max_epochs=1",
        "split.only_folds=[0]",
        "logger=none",
    ]
    with tempfile.TemporaryDirectory() as directory:
        base = peak("-c", IMPORTS, directory=directory)
        load = f"from beyondlinear.data.simulated import simulated_noise as s; a = s({given.n}, {given.p})"
        rows = {"the dataset alone": peak("-c", f"{IMPORTS}\n{load}", directory=directory)}
        for label, more in (
            ("nothing scaled, nothing removed", ["scale=none"]),
            ("standardised", []),
            ("standardised, signal_removal=split", ["signal_removal=split"]),
            ("standardised, signal_removal=full", ["signal_removal=full"]),
        ):
            rows[label] = peak(str(ROOT / "train.py"), *common, *more, directory=directory)
    for label, value in rows.items():
        table.add_row(label, f"{(value - base) / 1e6:,.0f}", f"{(value - base) / matrix:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
