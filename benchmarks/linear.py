"""Certified ridge logistic regression against scikit-learn's LogisticRegressionCV: same rows, same
folds, same penalties.

    python benchmarks/linear.py
    python benchmarks/linear.py --expression X.csv.gz --metadata M.csv --label cohort --group donor

Each row solves the whole path of penalties on every inner fold, as a nested choice of the penalty
does. The optimality reached is the largest gradient norm over penalties and folds, relative to that
at zero, computed in the same way for all; scikit-learn's own tolerance is on single entries of the
gradient. It is also given the reduced matrix (the same problem in an orthogonal basis of the rows),
so that the gain is not that of the reduction alone.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from threadpoolctl import threadpool_limits

from beyondlinear.data.user_files.source import load
from beyondlinear.experiment.shared_gram import SharedGram
from beyondlinear.models.linear.losses import make_loss
from beyondlinear.models.linear.newton import Problem, Solution, solve
from beyondlinear.models.linear.reduction import reduce, reduce_gram
from beyondlinear.removal.modes import NoRemoval, Rows
from beyondlinear.tasks.splits import Splitter
from beyondlinear.tasks.task import Task

Split = tuple[np.ndarray, np.ndarray]


def simulated(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes over correlated genes, linear signal with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p)) + rng.normal(size=(n, 20)) @ rng.normal(size=(20, p)) * 0.5
    logit = x @ rng.normal(size=p)
    return x.astype(np.float32), (logit / logit.std() + rng.normal(size=n) * 0.7 > 0).astype(
        np.int64
    )


def problem(z: torch.Tensor, codes: np.ndarray) -> Problem:
    y = torch.from_numpy(codes)
    loss = make_loss("logistic", y, int(codes.max()) + 1)
    return Problem(z, z.float(), loss, torch.ones(len(y), dtype=torch.float64))


def optimality(q: Problem, theta: torch.Tensor, penalties: np.ndarray) -> float:
    slope = q.gradient(theta, q.scores(theta), torch.from_numpy(penalties))
    return float((slope.norm(dim=(0, 2)) / q.reference()).max())


def ours(
    x: np.ndarray, codes: np.ndarray, splits: list[Split], penalties: np.ndarray, shared: bool
) -> list[tuple[Problem, Solution]]:
    inner = (
        SharedGram(x, lambda name, where, g: Rows(g, codes[where], [], name, where))
        if shared
        else None
    )
    found = []
    for train, test in splits:
        parts = {"train": train, "test": test}
        reduction = (
            reduce(x[train])
            if inner is None
            else reduce_gram(inner.of(parts, parts, NoRemoval()).train)
        )
        q = problem(reduction.z, codes[train])
        found.append((q, solve(q, torch.from_numpy(penalties), 1e-6)))
    return found


def scikit_learn(
    design: np.ndarray,
    codes: np.ndarray,
    splits: list[Split],
    penalties: np.ndarray,
    tolerance: float,
    solver: str,
) -> LogisticRegressionCV:
    # mean loss + λ/2‖W‖² is scikit-learn's objective at C = 1/(λ·n)
    inverse = 1 / (penalties[::-1] * len(splits[0][0]))
    settings: dict[str, Any] = {
        "tol": tolerance,
        "max_iter": 100_000,
        "scoring": "neg_log_loss",
        "refit": False,
        "solver": solver,
    }
    return LogisticRegressionCV(Cs=inverse, cv=splits, **settings).fit(design, codes)


def reached_by(
    model: LogisticRegressionCV, design: np.ndarray, codes: np.ndarray, splits: list[Split]
) -> float:
    """Largest relative gradient over folds and penalties of scikit-learn's coefficients."""
    by_class = model.coefs_paths_
    worst = 0.0
    for fold, (train, _) in enumerate(splits):
        coefficients = np.stack(
            [by_class[c][fold] for c in sorted(by_class)], axis=-1
        )  # (penalties, genes + 1, k)
        if len(by_class) == 2:
            coefficients = coefficients[..., -1:]
        q = problem(torch.from_numpy(np.ascontiguousarray(design[train])), codes[train])
        theta = torch.from_numpy(np.ascontiguousarray(coefficients.transpose(1, 0, 2)))
        worst = max(worst, optimality(q, theta, 1 / (model.Cs_ * len(train))))
    return worst


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        ("n", 800),
        ("p", 5000),
        ("folds", 4),
        ("penalties", 25),
        ("repeats", 5),
        ("threads", 2),
        ("peers", 4),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("expression", "metadata", "group"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--label", default="label")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of scikit-learn's lbfgs")
    return parser.parse_args()


def main() -> None:
    a = arguments()
    torch.set_num_threads(a.threads)
    if a.expression:
        adata = load(expression=a.expression, metadata=a.metadata, on_nan="drop_genes")
        samples = Task(a.label).select(adata, Splitter(group=a.group).groups(adata.obs))
        x, codes, groups = samples.x, samples.codes, samples.groups
    else:
        x, codes = simulated(a.n, a.p)
        groups = np.arange(len(codes))
    deviation = x.std(0)
    x = ((x - x.mean(0)) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    fold = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % a.folds
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(a.folds)]
    penalties = np.geomspace(1, 1e-8, a.penalties) * float(
        np.square(x, dtype=np.float64).sum() / len(x)
    )
    size = f"{len(codes):,} samples × {x.shape[1]:,} genes, {codes.max() + 1} classes"
    title = f"{size}, {a.penalties} penalties × {a.folds} folds"
    table = Table(title=title)
    for column in (
        "solver",
        "median s",
        "min–max s",
        "runs",
        "times ours",
        "largest relative gradient",
    ):
        table.add_column(column, justify="left" if column == "solver" else "right")
    first: list[float] = []

    def timed(
        name: str, repeats: int, call: Callable[[], Any], gradient: Callable[[Any], float]
    ) -> None:
        seconds, found = [], None
        for _ in range(repeats):
            start = time.perf_counter()
            found = call()
            seconds.append(time.perf_counter() - start)
        first.append(median(seconds))
        print(f"{name}: {first[-1]:.2f} s", file=sys.stderr, flush=True)
        spread, ratio = f"{min(seconds):.2f}–{max(seconds):.2f}", f"{first[-1] / first[0]:.1f}"
        table.add_row(
            name, f"{first[-1]:.2f}", spread, str(repeats), ratio, f"{gradient(found):.1e}"
        )

    def largest(found: list[tuple[Problem, Solution]]) -> float:
        return max(optimality(q, s.theta, penalties) for q, s in found)

    with threadpool_limits(a.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        names = {
            "path, one Gram matrix for all folds": True,
            "path, each fold reduced by itself": False,
        }
        for name, shared in names.items():
            timed(name, a.repeats, lambda s=shared: ours(x, codes, splits, penalties, s), largest)
        genes, reduced = x.astype(np.float64), reduce(x).z.numpy()
        peers = [
            (n, s)
            for s in ("newton-cg", "lbfgs", "newton-cholesky")
            for n in ("all genes", "reduced matrix")
        ]
        designs = {"all genes": genes, "reduced matrix": reduced}
        peers.remove(("all genes", "newton-cholesky"))  # its Hessian would be genes × genes
        for name, solver in peers[: a.peers]:
            design = designs[name]
            timed(
                f"LogisticRegressionCV({solver}), {name}",
                1,
                lambda d=design, s=solver: scikit_learn(
                    d, codes, splits, penalties, a.tolerance, s
                ),
                lambda m, d=design: reached_by(m, d, codes, splits),
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
