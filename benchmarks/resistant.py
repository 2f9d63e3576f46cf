"""Which removal keeps every model at chance on labels that are linear by construction, and keeps
non-linear signal?

    python benchmarks/resistant.py data
    python benchmarks/resistant.py ratio --json ratio.json

data: every candidate on every data set, held out; ratio: one Gaussian cluster at falling numbers of
training rows per gene, judged on 2,000 new rows. Entries are mean ± standard error over folds and
seeds; `kept` is the share of test rows that stay; `Bayes` is the balanced accuracy, on the very
rows that stay, of the rule that knows the true law: what thinning leaves to be found, by whatever
model (0.5: nothing). For candidates that move genes it is that of the raw rows.

What each kind of candidate can claim where the labels follow a linear law P(y | x) = σ(θᵀx + b):
- class means (split, projection, LEACE): linear models are at chance, no other model need be.
  `split` moves each test row by its own label (oracle); models that know grids, clusters or lengths
  read it.
- quantiles and dithering: one gene's grid or skew is hidden; what genes say together (clusters) is
  not.
- thinning: a row of class y stays with probability min_k(e_k/τ_k)/(e_y/τ_y), e the linear model's
  probabilities, out of fold for training rows. Among those that stay P(y | x) = τ_y for every x
  (matching weights: Li & Greene 2013, 10.1515/ijb-2012-0030; propensity: Rosenbaum & Rubin 1983,
  10.1093/biomet/70.1.41), so no model of any kind beats chance, up to the error of e. τ is uniform,
  or the classes' frequencies. Labels of test rows choose which of them are judged, and move none.
  `true law` shows the claim without the error of e.
- weights: the same without leaving rows out; only for models and scores that take weights.
- thinning, then an eraser fitted on the training rows that stay: linear models are at chance
  although e has an error. Where the linear model is perfect (`mixed`) no row has a match: thinning
  is refused ("–"). No candidate could do otherwise and keep its claim: these labels are those of a
  steep linear law as well.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from beyondlinear.data.simulated.gaussian import simulated_mixed, simulated_noise
from beyondlinear.data.simulated.tilted import (
    simulated_bernoulli,
    simulated_clusters,
    simulated_counts,
    simulated_zero_inflated,
)
from beyondlinear.models.linear.null_model import (
    FoldedRows,
    NullModel,
    balanced_bayes,
    fit_null_model,
)
from beyondlinear.models.probabilities import softmax
from beyondlinear.removal.class_means import remove_class_means
from beyondlinear.removal.erasers import Eraser, fit_leace, fit_projection
from beyondlinear.runtime.errors import RemovalError
from beyondlinear.runtime.seeds import stream

MODELS = ("random forest", "RBF-SVM", "logistic regression", "‖x − mean‖²")
FEW = 10  # training rows of a class without which nothing is fitted
NEW_ROWS = 2000
HALF = np.full(2, 0.5)


@dataclass(frozen=True)
class Rows:
    """x: (n, n_genes) float64; codes: (n,) 0 or 1; truth: (n, 2) the true P(y | x); weight:
    (n,)."""

    x: np.ndarray
    codes: np.ndarray
    truth: np.ndarray
    weight: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(self.x[rows], self.codes[rows], self.truth[rows], self.weight[rows])


@dataclass(frozen=True)
class Fold:
    """Training and test rows, standardised on the training rows."""

    train: Rows
    test: Rows
    random: np.random.Generator

    @cached_property
    def null_model(self) -> NullModel:
        n = len(self.train.codes)
        bins = np.empty(n, dtype=np.int64)
        bins[np.lexsort((self.random.random(n), self.train.codes))] = np.arange(n) % 5
        rows = FoldedRows(self.train.x, bins)
        return fit_null_model(rows, self.train.codes, 2, for_new_rows=True)

    @cached_property
    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the linear model: (n, 2) of the training rows, out of fold, and of the test rows."""
        new = self.test.x @ self.null_model.coefficients + self.null_model.intercepts
        return softmax(self.null_model.out_of_fold), softmax(new)

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> "Fold":
        """Both parts' genes through one map."""
        train = replace(self.train, x=move(self.train.x))
        test = replace(self.test, x=move(self.test.x))
        return Fold(train, test, self.random)


def split(f: Fold, rescale: bool = False) -> Fold:
    def removed(rows: Rows) -> Rows:
        x = remove_class_means(rows.x, rows.codes, 2)
        n = np.bincount(rows.codes)
        root = np.sqrt(n / (n - 1))[rows.codes][:, None] if rescale else 1.0
        return replace(rows, x=x.mean(0) + (x - x.mean(0)) * root)

    return Fold(removed(f.train), removed(f.test), f.random)


def erased(f: Fold, fitter: Callable[[np.ndarray, np.ndarray, int], Eraser] = fit_leace) -> Fold:
    return f.moved(fitter(f.train.x, f.train.codes, 2).apply)


def held_out_leace(f: Fold) -> Fold:
    """The eraser sees one half of the training rows, models the other."""
    order = f.random.permutation(len(f.train.codes))
    half, rest = order[::2], order[1::2]
    apply = fit_leace(f.train.x[half], f.train.codes[half], 2).apply
    return replace(f, fit=f.train.take(rest)).moved(apply)


def quantiles(known: np.ndarray, x: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
    """Normal quantiles of x per gene among `known` rows; ties in their middle, or drawn at
    random."""
    found = np.empty(x.shape)
    for g in range(x.shape[1]):
        ordered = np.sort(known[:, g])
        low, high = (
            np.searchsorted(ordered, x[:, g]),
            np.searchsorted(ordered, x[:, g], side="right"),
        )
        place = 0.5 if random is None else random.random(len(x))
        found[:, g] = (low + place * np.maximum(high - low, 1)) / len(known)
    return norm.ppf(np.clip(found, 0.25 / len(known), 1 - 0.25 / len(known)))


def ranked(f: Fold, at_random: bool = True) -> Fold:
    return f.moved(lambda x: quantiles(f.train.x, x, f.random if at_random else None))


def conditional_quantiles(f: Fold, strata: int = 10) -> Fold:
    """Each gene becomes its random quantile among training rows of the same tenth of the linear
    model's score."""
    edges = np.quantile(f.probabilities[0][:, 1], np.arange(1, strata) / strata)
    of_train, of_test = (np.searchsorted(edges, e[:, 1]) for e in f.probabilities)
    done = []
    for rows, own in ((f.train, of_train), (f.test, of_test)):
        x = np.empty(rows.x.shape)
        for s in np.unique(own):
            known = f.train.x[of_train == s]
            x[own == s] = quantiles(known if len(known) else f.train.x, rows.x[own == s], f.random)
        done.append(replace(rows, x=x))
    return Fold(done[0], done[1], f.random)


def dithered(f: Fold) -> Fold:
    """Uniform noise as wide as a gene's grid: the smallest step between values that at least 1 % of
    the training rows share; where only one is shared (zeros among measured values), the typical
    distance of the others from it.
    """
    width = np.zeros(f.train.x.shape[1])
    for g, gene in enumerate(f.train.x.T):
        values, counts = np.unique(gene, return_counts=True)
        shared = values[counts >= max(2, 0.01 * len(gene))]
        if len(shared) > 1:
            width[g] = np.diff(shared).min()
        elif len(shared) == 1 and len(values) > 1:
            width[g] = np.median(np.abs(gene[gene != shared[0]] - shared[0]))
    return f.moved(lambda x: x + width * (f.random.random(x.shape) - 0.5))


def matching(e: np.ndarray, codes: np.ndarray, target: np.ndarray = HALF) -> np.ndarray:
    """(n,) in [0, 1]: min_k(e_k/τ_k) / (e_y/τ_y), for probabilities e (n, n_classes) and target
    shares τ (n_classes,)."""
    ratio = e / target
    return ratio.min(1) / np.maximum(ratio[np.arange(len(e)), codes], 1e-300)


def weighted(f: Fold, target: np.ndarray = HALF, true_law: bool = False) -> Fold:
    """Each row with the probability of staying as its weight, and what is then true of its label: ∝
    p_y τ_y/e_y."""
    done = []
    laws = (f.train.truth, f.test.truth) if true_law else f.probabilities
    for rows, e in zip((f.train, f.test), laws, strict=True):
        left = rows.truth * target / np.maximum(e, 1e-300)
        weight = matching(e, rows.codes, target)
        done.append(replace(rows, truth=left / left.sum(1, keepdims=True), weight=weight))
    return _enough(Fold(done[0], done[1], f.random))


def thinned(f: Fold, target: np.ndarray = HALF, true_law: bool = False) -> Fold:
    def drawn(rows: Rows) -> Rows:
        stays = f.random.random(len(rows.codes)) < rows.weight
        return replace(rows, weight=np.ones(len(stays))).take(stays)

    w = weighted(f, target, true_law)
    return _enough(Fold(drawn(w.train), drawn(w.test), f.random))


def _enough(f: Fold) -> Fold:
    """:raises RemovalError: less than 10 training rows or 2 test rows of a class"""
    left, found = (np.bincount(r.codes, r.weight, 2) for r in (f.train, f.test))
    if left.min() < FEW or found.min() < 2:
        raise RemovalError(
            f"redundant: of the training rows {left[0]:.0f} and {left[1]:.0f} have a match"
        )
    return f


def thinned_or_projected(f: Fold) -> Fold:
    try:
        return thinned(f)
    except RemovalError:
        return erased(f, fit_projection)


CANDIDATES: dict[str, Callable[[Fold], Fold]] = {
    "none": lambda f: f,
    "split": split,
    "split, residuals rescaled": lambda f: split(f, rescale=True),
    "projection": lambda f: erased(f, fit_projection),
    "LEACE": erased,
    "LEACE of a held-out half": held_out_leace,
    "quantiles, then split": lambda f: split(ranked(f, at_random=False)),
    "random quantiles, then split": lambda f: split(ranked(f)),
    "random quantiles, then projection": lambda f: erased(ranked(f), fit_projection),
    "random quantiles, then LEACE": lambda f: erased(ranked(f)),
    "dithering, then split": lambda f: split(dithered(f)),
    "dithering, then LEACE": lambda f: erased(dithered(f)),
    "conditional quantiles": conditional_quantiles,
    "conditional quantiles, then LEACE": lambda f: erased(conditional_quantiles(f)),
    "thinning": thinned,
    "thinning at class frequencies": lambda f: thinned(
        f, np.bincount(f.train.codes) / len(f.train.codes)
    ),
    "thinning, then LEACE": lambda f: erased(thinned(f)),
    "thinning, then projection": lambda f: erased(thinned(f), fit_projection),
    "weights": weighted,
    "thinning or, where refused, projection": thinned_or_projected,
    "thinning, true law": lambda f: thinned(f, true_law=True),
}
IN_RATIO = ["none", "LEACE", *[c for c in CANDIDATES if "thinning" in c or c == "weights"]]


def overlapping(n: int, p: int, seed: int) -> ad.AnnData:
    """Gaussian genes; logit = 2.2·(θᵀx + (x₁x₂ + x₃² + x₄² − 2)/√5), both parts of unit variance:
    neither tells all."""
    random = stream(seed, "overlapping")
    x, theta = random.standard_normal((n, p)), random.standard_normal(p)
    beyond = (x[:, 0] * x[:, 1] + x[:, 2] ** 2 + x[:, 3] ** 2 - 2) / np.sqrt(5)
    chance = expit(2.2 * (x @ theta / np.linalg.norm(theta) + beyond))
    made = ad.AnnData(x.astype(np.float32))
    made.obs["label"] = np.where(random.random(n) < chance, "class_1", "class_0")
    made.obs["truth"] = chance
    return made


DATA: dict[str, Callable[[int, int, int], ad.AnnData]] = {
    "bernoulli": lambda n, p, seed: simulated_bernoulli(n, min(p, 30), seed=seed),
    "zero-inflated": lambda n, p, seed: simulated_zero_inflated(n, min(p, 30), seed=seed),
    "counts": lambda n, p, seed: simulated_counts(n, min(p, 30), seed=seed),
    "one cluster": lambda n, p, seed: simulated_clusters(n, p, 1, seed=seed),
    "eight clusters": lambda n, p, seed: simulated_clusters(n, p, 8, seed=seed),
    "noise 95/5": lambda n, p, seed: simulated_noise(n // 2, 6 * p, 0.05, seed),
    "mixed": lambda n, p, seed: simulated_mixed(n * 3 // 10, 10 * p, seed),
    "mixed with overlap": overlapping,
}


def rows_of(made: ad.AnnData) -> Rows:
    x, codes = (
        np.asarray(made.X, dtype=np.float64),
        (made.obs["label"] == "class_1").to_numpy().astype(np.int64),
    )
    if "theta" in made.uns:
        one = expit(x @ made.uns["theta"] + made.uns["intercept"])
    elif "truth" in made.obs:
        one = made.obs["truth"].to_numpy()
    else:
        one = (
            codes.astype(float)
            if made.uns["bayes_rule"] == "non-linear"
            else np.full(len(codes), codes.mean())
        )
    return Rows(x, codes, np.c_[1 - one, one], np.ones(len(codes)))


def folds_of(a: argparse.Namespace, setting: str) -> Iterator[Fold]:
    """Of a data set, or of one cluster with so many training rows a gene: four genes for each of
    --p, small sets repeated."""
    ratio = 0.0 if setting in DATA else float(setting)
    for seed in range(a.seeds * (8 if 0 < ratio < 5 else 1)):
        n = max(4 * FEW, round(ratio * 4 * a.p))
        made = (
            simulated_clusters(n + NEW_ROWS, 4 * a.p, 1, seed=seed)
            if ratio
            else DATA[setting](a.n, a.p, seed)
        )
        whole = rows_of(made)
        cut = StratifiedKFold(a.folds, shuffle=True, random_state=seed).split(whole.x, whole.codes)
        for k, (train, test) in enumerate(
            [(np.arange(n), np.arange(n, n + NEW_ROWS))] if ratio else cut
        ):
            mean, sd = whole.x[train].mean(0), whole.x[train].std(0)
            scaled = replace(whole, x=(whole.x - mean) / np.where(sd > 0, sd, 1))
            yield Fold(scaled.take(train), scaled.take(test), stream(seed, "resistant", k))


def scores(fit: Rows, test: Rows, trees: int, seed: int) -> dict[str, float]:
    """Balanced accuracy of each model and the AUC of the squared length, turned the way it points
    in the training rows."""
    weight = (
        fit.weight / np.bincount(fit.codes, fit.weight)[fit.codes] + 1e-12
    )  # the classes weigh the same
    forest = RandomForestClassifier(trees, min_samples_leaf=5, random_state=seed, n_jobs=1)
    found = {}
    for name, model in zip(
        MODELS, (forest, SVC(), LogisticRegression(C=0.1, max_iter=2000)), strict=False
    ):
        hit = model.fit(fit.x, fit.codes, weight / weight.mean()).predict(test.x) == test.codes
        hits, all_ = (np.bincount(test.codes, test.weight * w) for w in (hit, 1.0))
        found[name] = float((hits / all_).mean())
    centre = fit.x.mean(0)
    there, here = (
        roc_auc_score(r.codes, ((r.x - centre) ** 2).sum(1), sample_weight=r.weight)
        for r in (fit, test)
    )
    return found | {MODELS[3]: float(here if there >= 0.5 else 1 - here)}


def judged(name: str, f: Fold, trees: int, seed: int = 0) -> list[dict]:
    """One entry a model; without value where the candidate is refused."""
    try:
        left = CANDIDATES[name](f)
    except RemovalError:
        return [
            {"candidate": name, "model": m, "value": None, "bayes": None, "kept": 0.0}
            for m in MODELS
        ]
    v = left.test
    bayes = balanced_bayes(v.truth[stream(seed, "bayes").random(len(v.codes)) < v.weight])
    about = {"bayes": bayes, "kept": float(v.weight.sum() / len(f.test.codes))}
    return [
        {"candidate": name, "model": m, "value": s, **about}
        for m, s in scores(left.train, v, trees, seed).items()
    ]


def show(rows: list[dict]) -> None:
    def cell(values: list[float]) -> str:
        error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}" if len(values) > 1 else ""
        return f"{np.mean(values):.3f}{error}" if values else "–"

    for data in dict.fromkeys(r["data"] for r in rows):
        table = Table(title=data, title_justify="left")
        for column in ("candidate", *MODELS, "Bayes", "kept"):
            table.add_column(column, justify="left" if column == "candidate" else "right")
        here = [r for r in rows if r["data"] == data]
        for candidate in dict.fromkeys(r["candidate"] for r in here):
            of = [r for r in here if r["candidate"] == candidate]
            done = [r for r in of if r["value"] is not None]
            cells = [cell([r["value"] for r in done if r["model"] == m]) for m in MODELS]
            bayes = f"{np.mean([r['bayes'] for r in done]):.3f}" if done else "–"
            refused = (
                f" ({(len(of) - len(done)) // len(MODELS)} refused)"
                if 0 < len(done) < len(of)
                else ""
            )
            table.add_row(
                candidate + refused, *cells, bayes, f"{np.mean([r['kept'] for r in of]):.2f}"
            )
        Console(width=None if sys.stdout.isatty() else 150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["data", "ratio"], default="data")
    for name, default in (("n", 2000), ("p", 50), ("folds", 3), ("seeds", 2), ("trees", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA), metavar="NAME")
    parser.add_argument(
        "--ratios", nargs="+", default=["40", "10", "2", "0.5"], help="training rows a gene"
    )
    parser.add_argument("--candidates", nargs="+", choices=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    rows: list[dict] = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for setting in a.data if a.what == "data" else a.ratios:
            title = setting if a.what == "data" else f"{setting} training rows a gene"
            for f in folds_of(a, setting):
                for name in a.candidates or (CANDIDATES if a.what == "data" else IN_RATIO):
                    rows += [{"data": title, **r} for r in judged(name, f, a.trees)]
            print(f"{title}: done", file=sys.stderr, flush=True)
            if a.json:
                a.json.write_text(json.dumps(rows, indent=1))
    show(rows)


if __name__ == "__main__":
    main()
