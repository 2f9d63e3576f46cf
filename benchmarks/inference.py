"""How well the statistics of the report hold where the truth is known.

false positives: two equally good models by construction; share of data sets with p < .05 (nominal
.05), by the plain t-test over folds and by the corrected one, and how often the posterior says
"better" with probability > .95
coverage: share of 95 % intervals of one model's balanced accuracy (cluster bootstrap) that hold the
truth (nominal .95)
excess: labels drawn from a linear model over clusters of samples, so that there is no signal beyond
it; the share of data sets where a model after `class_means` removal exceeds labels drawn from the
null model that was fitted (one-sided p_t < .05; nominal .05)

python benchmarks/inference.py [--sets 2000] [--sections comparison interval excess]
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import beta, t
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from beyondlinear.models.linear.null_model import FoldedRows, fit_null_model
from beyondlinear.removal.class_means import remove_class_means
from beyondlinear.report.statistics import bootstrap, compare, holm

P = 5  # genes of each of the two models


def data_set(
    rng: np.random.Generator, n_groups: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x: two blocks of P genes that are equally informative, each with an effect of the group; y;
    groups."""
    groups = np.repeat(np.arange(n_groups), size)
    y = rng.integers(0, 2, len(groups))
    y[:2] = 0, 1
    x = rng.normal(size=(len(y), 2 * P)) + 0.5 * (y[:, None] - 0.5)
    return x + 0.5 * (size > 1) * rng.normal(size=(n_groups, 2 * P))[groups], y, groups


def centroid(x: np.ndarray, y: np.ndarray, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    a, b = (x[fit][y[fit] == c].mean(0) for c in (0, 1))
    return ((x[test] - (a + b) / 2) @ (b - a) > 0) == y[test]


def folds_of(rng: np.random.Generator, groups: np.ndarray, folds: int) -> list[np.ndarray]:
    shuffled = rng.permutation(np.unique(groups))
    return [np.flatnonzero(np.isin(groups, part)) for part in np.array_split(shuffled, folds)]


def balanced(right: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([right[y == c].mean() for c in np.unique(y)]))


def differences(
    rng: np.random.Generator, n_groups: int, size: int, folds: int, seeds: int
) -> tuple[np.ndarray, float]:
    x, y, groups = data_set(rng, n_groups, size)
    found = []
    for _ in range(seeds):
        for test in folds_of(rng, groups, folds):
            fit = np.setdiff1d(np.arange(len(y)), test)
            if len(np.unique(y[fit])) < 2:
                continue
            first, second = (
                centroid(x[:, genes], y, fit, test) for genes in (slice(0, P), slice(P, 2 * P))
            )
            found.append(balanced(first, y[test]) - balanced(second, y[test]))
    return np.array(found), len(y)


def share(hits: int, n: int) -> str:
    low, high = beta.ppf([0.025, 0.975], [hits, hits + 1], [n - hits + 1, n - hits])
    return f"{hits / n:.3f} [{np.nan_to_num(low):.3f}, {np.nan_to_num(high, nan=1.0):.3f}]"


def comparison(sets: int, console: Console) -> None:
    table = Table(
        title=f"false positives at .05, {sets:,} data sets each",
        title_justify="left",
        title_style="",
    )
    for column in (
        "groups × samples",
        "folds",
        "seeds",
        "plain t-test",
        "corrected t-test",
        "P(better) > .95",
    ):
        table.add_column(column, justify="right")
    for n_groups, size in ((40, 1), (100, 1), (400, 1), (10, 10), (20, 10), (50, 10)):
        for folds, seeds in ((5, 1), (5, 3), (10, 1), (5, 10)):
            rng = np.random.default_rng((n_groups, size, folds, seeds))
            plain = corrected = better = 0
            for _ in range(sets):
                d, n = differences(rng, n_groups, size, folds, seeds)
                found = compare(d, n * (1 - 1 / folds), n / folds)
                z = d.mean() / max(d.std(ddof=1), 1e-12) * np.sqrt(len(d))
                plain += 2 * t.sf(abs(z), len(d) - 1) < 0.05
                corrected += found.p_value < 0.05
                better += max(found.below, found.above) > 0.95
            table.add_row(
                f"{n_groups} × {size}",
                str(folds),
                str(seeds),
                share(plain, sets),
                share(corrected, sets),
                share(better, sets),
            )
    console.print(table)


def interval(sets: int, console: Console) -> None:
    table = Table(
        title=f"coverage of 95 % intervals, {sets:,} data sets each",
        title_justify="left",
        title_style="",
    )
    columns = (
        "predictions",
        "groups × samples",
        "label",
        "truth",
        "plain percentiles",
        "as reported",
        "mean width",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for n_groups in (5, 8, 10, 20, 50, 100):
        for label in ("varies in a group", "is the group's"):
            for accuracy in (0.6, 0.8, 0.95):
                rng = np.random.default_rng((n_groups, len(label), int(100 * accuracy)))
                rows = [
                    one_model(rng, n_groups, 8, accuracy, label == "is the group's")
                    for _ in range(sets)
                ]
                add(table, ("one fixed model", f"{n_groups} × 8", label), rows, accuracy)
    for n_groups, size in ((10, 10), (20, 10), (50, 10), (100, 1), (400, 1)):
        rng = np.random.default_rng((n_groups, size))
        rows = [cross_validated(rng, n_groups, size) for _ in range(sets)]
        truth = float(np.mean([value for value, *_ in rows]))
        add(table, ("5 folds, trained", f"{n_groups} × {size}", "varies in a group"), rows, truth)
    console.print(table)


Row = tuple[
    float, float, float, float, float
]  # value, low, high, and low, high of plain percentiles


def add(table: Table, names: tuple[str, str, str], rows: list[Row], truth: float) -> None:
    at = np.array(rows)
    plain = int(((at[:, 3] <= truth) & (truth <= at[:, 4])).sum())
    ours = int(((at[:, 1] <= truth) & (truth <= at[:, 2])).sum())
    width = f"{(at[:, 2] - at[:, 1]).mean():.3f}"
    table.add_row(*names, f"{truth:.3f}", share(plain, len(rows)), share(ours, len(rows)), width)


def one_model(
    rng: np.random.Generator, n_groups: int, size: int, accuracy: float, constant: bool
) -> Row:
    """Right with a probability that varies between groups as beta with mean `accuracy`."""
    groups = np.repeat(np.arange(n_groups), size)
    codes = groups % 2 if constant else np.tile(np.arange(size) % 2, n_groups)
    right = rng.random(len(groups)) < rng.beta(10 * accuracy, 10 * (1 - accuracy), n_groups)[groups]
    return judged(right, codes, groups)


def cross_validated(rng: np.random.Generator, n_groups: int, size: int) -> Row:
    x, y, groups = data_set(rng, n_groups, size)
    right = np.zeros(len(y), dtype=bool)
    for test in folds_of(rng, groups, 5):
        right[test] = centroid(x[:, :P], y, np.setdiff1d(np.arange(len(y)), test), test)
    return judged(right, y, groups)


def judged(right: np.ndarray, codes: np.ndarray, groups: np.ndarray, draws: int = 500) -> Row:
    found = bootstrap(right, codes, groups, 2, draws=draws)
    rng = np.random.default_rng(0)
    n_groups = found.n_groups
    times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)[:, groups]
    with np.errstate(invalid="ignore"):
        recall = [
            (times * (right & (codes == c))).sum(1) / (times * (codes == c)).sum(1) for c in (0, 1)
        ]
    low, high = np.quantile(np.nanmean(recall, axis=0), [0.025, 0.975])
    return found.value, found.low, found.high, float(low), float(high)


MODELS = {"nearest neighbours": lambda: KNeighborsClassifier(5), "naive Bayes": GaussianNB}


def excess(sets: int, console: Console) -> None:
    title = f"false positives of the excess over linear labels at .05, {sets:,} data sets each"
    table = Table(title=title, title_justify="left", title_style="")
    for column in ("samples", "draws", "real − linear labels", *MODELS, "either, after Holm"):
        table.add_column(column, justify="right")
    for n in (150, 500):
        rng = np.random.default_rng(n)
        most = [exceeded(rng, n, 10) for _ in range(sets)]
        for draws in (3, 5, 10):
            d = np.array(
                [real - control[:draws].mean(0) for real, control in most]
            )  # (sets, models)
            sd = np.array([control[:draws].std(0, ddof=1) for _, control in most])
            p = t.sf(d / (sd * np.sqrt(1 + 1 / draws)), draws - 1)
            found = [*(p < 0.05).sum(0), (np.array([holm(row) for row in p]).min(1) < 0.05).sum()]
            means = " and ".join(f"{m:+.3f}" for m in d.mean(0))
            table.add_row(str(n), str(draws), means, *(share(int(hits), sets) for hits in found))
    console.print(table)


def exceeded(rng: np.random.Generator, n: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """(models,) balanced accuracy after removal with labels of a true linear law, (draws, models)
    with those of its fit."""
    clusters = rng.integers(0, 6, n)
    x = (2 * rng.normal(size=(6, P))[clusters] + rng.normal(size=(n, P))).astype(np.float32)
    folds = rng.permutation(np.arange(n) % 5)
    logits = (x - x.mean(0)) @ rng.normal(size=P) * 0.7
    codes = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    null_model = fit_null_model(FoldedRows((x - x.mean(0)) / x.std(0), folds), codes, 2)
    units = np.arange(n)
    drawn = [null_model.draw(rng, units) for _ in range(draws)]
    control = np.array([after_removal(x, labels, folds) for labels in drawn])
    return after_removal(x, codes, folds), control


def after_removal(x: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(models,) mean over folds; the class means are taken out of each part with its own labels."""
    found = np.zeros((5, len(MODELS)))
    for fold in range(5):
        parts = [
            (remove_class_means(x[rows], codes[rows], 2), codes[rows])
            for rows in (folds != fold, folds == fold)
        ]
        for m, model in enumerate(MODELS.values()):
            found[fold, m] = balanced(
                model().fit(*parts[0]).predict(parts[1][0]) == parts[1][1], parts[1][1]
            )
    return found.mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=2000)
    sections = {"comparison": comparison, "interval": interval, "excess": excess}
    parser.add_argument("--sections", nargs="+", choices=sections, default=tuple(sections))
    arguments = parser.parse_args()
    console = Console(width=140)
    for section in arguments.sections:
        sections[section](arguments.sets, console)


if __name__ == "__main__":
    main()
