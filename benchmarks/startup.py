"""What is paid before and beside training: start-up, an empty run, a fit's overhead, and imports by
module.

    python benchmarks/startup.py [--repeats 5]

Every row is a whole process, the median of several, in seconds on the clock and of the processor
(which a loaded machine disturbs less). Empty run: all its fits are in the store. A fit's overhead:
runs of 50 and of 5 fits of logistic_regression, 100 samples × 20 genes, one epoch, no tracker; the
difference over 45, so what a run pays once is left out. Training is 2 updates of it. Once with the
optimum of the same problem (the default, which is a second, certified fit), once without. Limits:
an interpreter that does nothing; one that imports torch, or Lightning.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from results import keep
from rich.console import Console
from rich.table import Table

TRAIN = str(Path(__file__).parent.parent / "train.py")
SMALL = [
    "model=logistic_regression",
    "dataset=simulated_mixed",
    "dataset.n_samples=100",
    "dataset.n_genes=20",
    "trainer.max_epochs=1",
    "trainer.epochs_without_validation=1",
    "trainer.threads=1",
    "logger=none",
]
TENTHS = "split.fractions=[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0]"
NO_OPTIMUM = "model.report_optimum=null"


def timed(words: list[str], directory: str) -> tuple[float, float]:
    """Seconds of `python WORDS`, on the clock and of the processor."""
    start = time.monotonic()
    child = subprocess.Popen([sys.executable, *words], cwd=directory, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"python {' '.join(words)} ended with status {status}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime


def import_times(module: str, directory: str) -> list[tuple[str, float]]:
    """Seconds of an import by top-level package, without what it imports of others; largest
    first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        cwd=directory,
        capture_output=True,
        text=True,
    )
    seconds: Counter[str] = Counter()
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", done.stderr):
        seconds[name.split(".")[0]] += int(own) / 1e6  # type: ignore[assignment]
    return seconds.most_common()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def add(what: str, wall: float, processor: float, goal: float | None = None) -> None:
        rows.append(
            {"what": what, "s": round(wall, 3), "processor s": round(processor, 3), "goal s": goal}
        )

    with tempfile.TemporaryDirectory() as directory:
        first = [TRAIN, *SMALL, "results.store=done"]
        timed(first, directory)
        whole: dict[str, tuple[list[str], float | None]] = {
            "python train.py --help": ([TRAIN, "--help"], 1.0),
            "python train.py --cfg job": ([TRAIN, "--cfg", "job"], 1.5),
            "empty run": (first, None),
            "limit: python -c pass": (["-c", "pass"], None),
            "limit: import torch": (["-c", "import torch"], None),
            "limit: import pytorch_lightning": (["-c", "import pytorch_lightning"], None),
            "import beyondlinear.experiment.run": (
                ["-c", "import beyondlinear.experiment.run"],
                None,
            ),
        }
        taken = [
            {name: timed(words, directory) for name, (words, _) in whole.items()}
            for _ in range(given.repeats)
        ]
        for name, (_, goal) in whole.items():
            add(name, *(median(t[name][i] for t in taken) for i in (0, 1)), goal)
        for name, more in (
            ("a fit's overhead", [NO_OPTIMUM]),
            ("a fit's overhead, optimum reported", []),
        ):
            slopes = []
            for i in range(given.repeats):
                few, many = (
                    timed(
                        [TRAIN, *SMALL, *more, *f, f"results.store=made{len(more)}{i}{len(f)}"],
                        directory,
                    )
                    for f in ([], [TENTHS])
                )
                slopes.append([(m - f) / 45 for f, m in zip(few, many, strict=True)])
            add(name, *(median(s[i] for s in slopes) for i in (0, 1)), None if more == [] else 0.05)
        imports = import_times("beyondlinear.experiment.run", directory)
    table = Table(title="start-up and overhead, seconds", header_style="bold")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*("–" if v is None else str(v) for v in row.values()))
    largest = ", ".join(f"{name} {seconds:.2f}" for name, seconds in imports[:8])
    table.caption = f"imports of a run by package, seconds with the cost of measuring: {largest}"
    Console(width=100).print(table)
    keep(given.json, rows, imports={name: round(seconds, 3) for name, seconds in imports[:20]})


if __name__ == "__main__":
    main()
