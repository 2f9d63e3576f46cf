"""The main jobs, as a user types them, by the package of before and by this one.

    python benchmarks/main_jobs.py --before ../before [--after .] [--repeat 3] [--jobs demo verdict]
    python benchmarks/main_jobs.py --before ../before --small         tiny settings, to try it out

A *tree* is a clone with train.py and src/. Each job is a whole command in a new process, in an
empty folder with an empty store, so imports, records, audit and table are all in its time. The two
trees take turns, and who begins changes with each round. Before the first round each tree makes
each job once in its tiny form, untimed: its functions are then compiled and its files read.
Override names that have changed are translated for a tree that has the old ones.

demo        `experiment=demo`, whole: 8 runs, 40 fits
fig4_tenth  `experiment=fig4` at a tenth of the genes and half of the samples, narrowed to one seed
            and two fractions (0.2 and 1): 24 runs, 240 fits
verdict     `experiment=verdict` on 1,000 samples × 500 genes (two classes, 100 donors, a linear
            effect and one product of two genes), launched by hydra/launcher=local with one thread a
            run; narrowed to 3 folds, fraction 1, two draws of the control, 39 bootstrap draws
            without the forest, 20 trees in the leak probe: 45 runs, 135 fits, one test
tuning      nested tuning of logistic_regression on 500 samples × 500 genes: 25 random trials × 4
            inner folds × 5 outer folds
prepare     `beyondlinear prepare recount3` of 2,000 runs × 63,856 genes from a mirror on this disk

With --tables DIR the first round's tables are kept as CSV, and the balanced accuracies of the two
trees are compared cell by cell.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from recount3_tree import N_GENES, write_tree
from results import keep
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
CELL = ["dataset", "model", "signal_removal", "fraction"]

# new name → old name, for a tree from before the rooms
OLD_KEYS = {"leak_probes.": "meters.", "residual_test.": "test."}
OLD_REMOVALS = {
    "class_means": "split",
    "class_means_before_split": "full",
    "leace": "train",
    "projection": "train_projection",
    "matching": "resistant",
}
# `python -m` of a module without a main guard would do nothing
COMMAND_LINE = "from beyondlinear.cli import main; main()"


@dataclass(frozen=True)
class Job:
    """A command; `train`: by train.py, else by the command line `beyondlinear`."""

    words: list[str]
    train: bool
    sweep: str | None = None  # its sweep folder, whose table is compared


@dataclass(frozen=True)
class Timing:
    wall_s: float
    cpu_s: float  # of all its processes


def is_old(tree: Path) -> bool:
    """Whether a tree still has the names from before the rooms."""
    return not (tree / "src/beyondlinear/runtime").is_dir()


def translated(words: list[str], tree: Path) -> list[str]:
    """The same overrides in the words of this tree."""
    if not is_old(tree):
        return words
    old_words = []
    for word in words:
        for new, old in OLD_KEYS.items():
            if word.startswith(new):
                word = old + word.removeprefix(new)
        key, equals, value = word.partition("=")
        if key == "signal_removal":
            word = key + equals + ",".join(OLD_REMOVALS.get(v, v) for v in value.split(","))
        old_words.append(word)
    return old_words


def call(tree: Path, words: list[str], train: bool, folder: Path) -> Timing:
    """Make one command in `folder` and wait for all its processes.

    :raises SystemExit: the command failed; its last lines are printed
    """
    start = [str(tree / "train.py")] if train else ["-c", COMMAND_LINE]
    command = [sys.executable, *start, *translated(words, tree)]
    environment = os.environ | {"PYTHONPATH": str(tree / "src")}
    log = folder / "log.txt"
    with log.open("w") as out:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
    if status:
        end = "\n".join(log.read_text().splitlines()[-20:])
        raise SystemExit(f"{' '.join(command)} ended with status {status}:\n{end}")
    return Timing(seconds, usage.ru_utime + usage.ru_stime)


def write_made_up(folder: Path, n_samples: int, n_genes: int) -> list[str]:
    """An expression table with its metadata, and the overrides that read them: half of the samples
    of each class, ten samples a donor, the class linear in ten genes and in one product of two."""
    random = np.random.default_rng(17)
    x = random.standard_normal((n_samples, n_genes)).astype(np.float32)
    logit = 0.5 * x[:, :10].sum(axis=1) + x[:, 10] * x[:, 11]
    label = np.where(logit > np.median(logit), "case", "control")
    samples = [f"s{i:04d}" for i in range(n_samples)]
    genes = [f"g{j:04d}" for j in range(n_genes)]
    expression = pd.DataFrame(x, index=pd.Index(samples, name="sample"), columns=genes)
    expression.to_parquet(folder / "expression.parquet")
    metadata = pd.DataFrame(
        {"label": label, "donor": [f"d{i // 10}" for i in range(n_samples)]},
        index=expression.index,
    )
    metadata.to_csv(folder / "samples.csv")
    return [
        "dataset=file",
        f"dataset.expression={folder / 'expression.parquet'}",
        f"dataset.metadata={folder / 'samples.csv'}",
        "task.label=label",
        "split=group",
        "split.group=donor",
    ]


def demo(data: Path, small: bool) -> Job:
    words = ["experiment=demo"]
    if small:
        words += ["dataset.n_samples=80", "dataset.n_genes=20", "split.folds=2"]
        words += ["trainer.max_epochs=2", "leak_probes.trees=4"]
    return Job(words, train=True, sweep="multirun/demo")


def fig4_tenth(data: Path, small: bool) -> Job:
    words = ["experiment=fig4", "seed=0", "leak_probes.trees=20"]
    if small:
        words += ["dataset.n_samples=80", "dataset.n_genes=20", "split.fractions=[1.0]"]
        words += ["split.folds=2", "trainer.max_epochs=2", "model=logistic_regression"]
    else:
        words += ["dataset.n_samples=500", "dataset.n_genes=500", "split.fractions=[0.2,1.0]"]
    return Job(words, train=True, sweep="multirun/fig4")


def verdict(data: Path, small: bool) -> Job:
    folder = data / ("verdict_small" if small else "verdict")
    folder.mkdir(exist_ok=True)
    size = (120, 20) if small else (1_000, 500)
    words = ["-m", "experiment=verdict", *write_made_up(folder, *size)]
    words += ["hydra/launcher=local", "trainer.threads=1", "split.fractions=[1.0]"]
    words += ["residual_test.statistics=[pairs,many_pairs,components]"]
    if small:
        words += ["split.folds=2", "control.draw=0", "residual_test.draws=19"]
        words += ["model=ridge_logistic,three_layer", "signal_removal=class_means"]
        words += ["trainer.max_epochs=2", "leak_probes.trees=4"]
    else:
        words += ["split.folds=3", "control.draw=0,1", "residual_test.draws=39"]
        words += ["leak_probes.trees=20"]
    return Job(words, train=True, sweep="multirun/verdict")


def tuning(data: Path, small: bool) -> Job:
    words = ["model=logistic_regression", "dataset=simulated_mixed", "tuning=random"]
    if small:
        words += ["dataset.n_samples=80", "dataset.n_genes=20", "tuning.trials=3", "split.folds=2"]
    else:
        words += ["dataset.n_samples=500", "dataset.n_genes=500"]
    return Job([*words, "hydra.run.dir=run"], train=True, sweep="run")


def prepare(data: Path, small: bool) -> Job:
    n_runs, n_genes = (60, 200) if small else (2_000, N_GENES)
    mirror = data / f"recount3_{n_runs}_{n_genes}"
    if not mirror.exists():
        write_tree(mirror, n_runs, n_genes)
    words = ["prepare", "recount3", f"dataset.mirror={mirror}", "dataset.cache=cache"]
    if small:
        words += ["task.min_groups_per_class=3"]
    return Job(words, train=False)


JOBS: dict[str, Callable[[Path, bool], Job]] = {
    "demo": demo,
    "fig4_tenth": fig4_tenth,
    "verdict": verdict,
    "tuning": tuning,
    "prepare": prepare,
}


def keep_table(tree: Path, sweep: str, folder: Path, csv: Path) -> None:
    """Gather a sweep with the tree's own command line; removals get their new names."""
    csv.parent.mkdir(parents=True, exist_ok=True)
    call(tree, ["results", sweep, "--csv", str(csv.absolute())], False, folder)
    table = pd.read_csv(csv)
    new_names = {old: new for new, old in OLD_REMOVALS.items()}
    table["signal_removal"] = table.signal_removal.replace(new_names)
    table.to_csv(csv, index=False)


def largest_difference(before: Path, after: Path) -> tuple[float, str]:
    """Between the mean balanced accuracies of the same cell, and which cell that is."""
    means = [
        pd.read_csv(path).groupby(CELL, dropna=False).balanced_accuracy.mean()
        for path in (before, after)
    ]
    difference = (means[1] - means[0]).abs()
    if difference.isna().any():
        missing = difference.index[difference.isna()][0]
        return float("nan"), f"only one of the tables has {missing}"
    return float(difference.max()), ", ".join(map(str, difference.idxmax()))


def measure(
    job: Job, trees: dict[str, Path], repeat: int, tables: Path | None, name: str
) -> dict[str, list[Timing]]:
    """Time a job in both trees by turns."""
    timings: dict[str, list[Timing]] = {side: [] for side in trees}
    for number in range(repeat):
        sides = list(trees) if number % 2 == 0 else list(trees)[::-1]
        for side in sides:
            with tempfile.TemporaryDirectory() as directory:
                folder = Path(directory)
                timing = call(trees[side], job.words, job.train, folder)
                timings[side].append(timing)
                print(f"{name}, {side}: {timing.wall_s:.1f} s", file=sys.stderr, flush=True)
                if tables is not None and job.sweep is not None and number == 0:
                    keep_table(trees[side], job.sweep, folder, tables / f"{name}_{side}.csv")
    return timings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, metavar="DIR")
    parser.add_argument("--after", type=Path, default=ROOT, metavar="DIR")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="tiny settings, to try it out")
    parser.add_argument("--data", type=Path, help="where made-up data stay (default: nowhere)")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="keep and compare the tables")
    parser.add_argument("--json")
    given = parser.parse_args()
    trees = {"before": given.before.absolute(), "after": given.after.absolute()}
    for tree in trees.values():
        if not (tree / "train.py").is_file():
            parser.error(f"{tree} has no train.py")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        data = (given.data or Path(directory)).absolute()
        data.mkdir(parents=True, exist_ok=True)
        for name in given.jobs:
            for tree in trees.values():
                with tempfile.TemporaryDirectory() as folder:
                    first = JOBS[name](data, True)
                    call(tree, first.words, first.train, Path(folder))
            job = JOBS[name](data, given.small)
            timings = measure(job, trees, given.repeat, given.tables, name)
            wall = {side: median(t.wall_s for t in taken) for side, taken in timings.items()}
            cpu = {side: median(t.cpu_s for t in taken) for side, taken in timings.items()}
            ratios = [
                after.wall_s / before.wall_s
                for before, after in zip(timings["before"], timings["after"], strict=True)
            ]
            rows.append(
                {
                    "job": name,
                    "before s": round(wall["before"], 1),
                    "after s": round(wall["after"], 1),
                    "after / before": round(median(ratios), 2),
                    "from": round(min(ratios), 2),
                    "to": round(max(ratios), 2),
                    "processor, before s": round(cpu["before"], 1),
                    "processor, after s": round(cpu["after"], 1),
                }
            )
            if given.tables is not None and job.sweep is not None:
                paths = [given.tables / f"{name}_{side}.csv" for side in trees]
                largest, cell = largest_difference(*paths)
                print(f"{name}: balanced accuracies differ by at most {largest:.4f} ({cell})")
            keep(given.json, rows, repeat=given.repeat, small=given.small)
    table = Table(
        header_style="bold",
        title=f"whole commands, medians of {given.repeat}; ratios of the same round",
    )
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "job" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
