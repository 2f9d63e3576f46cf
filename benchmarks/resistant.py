"""Which removal keeps every model at chance on labels that are linear by construction, and keeps non-linear signal?

    python benchmarks/resistant.py data
    python benchmarks/resistant.py ratio --json ratio.json

data: every candidate on every data set, held out; ratio: one Gaussian cluster at falling numbers of training rows per gene,
judged on 2,000 new rows. Entries are mean ± standard error over folds and seeds; `kept` is the share of validation rows that
stay, `Bayes` the balanced accuracy, on the very rows that stay, of the rule that knows the true law: what the candidate leaves
to be found, by whatever model. At 0.5 nothing can be found but chance; for candidates that move genes it is that of the raw rows.

What each kind of candidate can claim, where the labels follow a linear law P(y | x) = σ(θᵀx + b):
- class means (split, projection, LEACE): linear models are at chance, no other model need be. `split` moves each row by its own
  label (oracle), which any model that knows grids, clusters or lengths can read.
- quantiles and dithering: one gene's grid or skew is hidden; what genes say together (clusters) is not.
- thinning: a row of class y stays with probability ∝ min_k(e_k/τ_k)/(e_y/τ_y), e the linear model's probabilities, out of fold
  for training rows. Among those that stay P(y | x) = τ_y for every x (matching weights: Li & Greene 2013,
  10.1515/ijb-2012-0030; propensity: Rosenbaum & Rubin 1983, 10.1093/biomet/70.1.41), so that no model of any kind beats chance,
  up to the error of e. τ is uniform, or the classes' frequencies ("at class frequencies"). `true law` shows the claim without that error.
- weights: the same weights without leaving rows out; only for models and scores that take weights.
- thinning, then an eraser fitted on the training rows that stay: linear models find nothing of the error of e either.
Where the linear model is perfect (`mixed`) no row has a match: thinning is refused ("–"). No candidate could do otherwise and
keep its claim: these labels are those of a steep linear law as well.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
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

from beyondlinear.data.simulated import simulated_mixed, simulated_noise
from beyondlinear.data.tilted import simulated_bernoulli, simulated_clusters, simulated_counts, simulated_zero_inflated
from beyondlinear.errors import RemovalError
from beyondlinear.linear.law import FoldedRows, LinearLaw, balanced_bayes, fit_law, softmax
from beyondlinear.removal.class_means import remove_class_means
from beyondlinear.removal.erasers import Eraser, fit_leace, fit_projection
from beyondlinear.seeds import stream

MODELS = ("random forest", "RBF-SVM", "logistic regression", "‖x − mean‖²")
FEW = 10  # training rows of a class without which nothing is fitted
NEW_ROWS = 2000


@dataclass(frozen=True)
class Rows:
    """x: (n, n_genes) float64; codes: (n,) 0 or 1; truth: (n, 2) the true P(y | x); weight: (n,)."""

    x: np.ndarray
    codes: np.ndarray
    truth: np.ndarray
    weight: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(self.x[rows], self.codes[rows], self.truth[rows], self.weight[rows])

    def moved(self, x: np.ndarray) -> "Rows":
        return replace(self, x=x)


@dataclass(frozen=True)
class Fold:
    """Standardised on the training rows `fit`."""

    fit: Rows
    validation: Rows
    random: np.random.Generator

    @cached_property
    def law(self) -> LinearLaw:
        n, k = len(self.fit.codes), min(5, int(np.bincount(self.fit.codes).min()))
        bins = np.empty(n, dtype=np.int64)
        bins[np.lexsort((self.random.random(n), self.fit.codes))] = np.arange(n) % k
        return fit_law(FoldedRows(self.fit.x, bins), self.fit.codes, 2, for_new_rows=True)

    @cached_property
    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the linear model: (n, 2) of the training rows, out of fold, and of the validation rows."""
        new = self.validation.x @ self.law.coefficients + self.law.intercepts
        return softmax(self.law.out_of_fold), softmax(new)


Pair = tuple[Rows, Rows]
Candidate = Callable[[Fold], Pair]
Fitter = Callable[[np.ndarray, np.ndarray, int], Eraser]


def matching(e: np.ndarray, codes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1]: min_k(e_k/τ_k) / (e_y/τ_y), for probabilities e (n, n_classes) and target shares τ (n_classes,)."""
    ratio = e / target
    return ratio.min(1) / np.maximum(ratio[np.arange(len(e)), codes], 1e-300)


def none(f: Fold) -> Pair:
    return f.fit, f.validation


def split(f: Fold, rescale: bool = False) -> Pair:
    def removed(rows: Rows) -> Rows:
        x = remove_class_means(rows.x, rows.codes, 2)
        if rescale:
            n = np.bincount(rows.codes)
            x = x.mean(0) + (x - x.mean(0)) * np.sqrt(n / (n - 1))[rows.codes][:, None]
        return rows.moved(x)

    return removed(f.fit), removed(f.validation)


def erased(f: Fold, fitter: Fitter) -> Pair:
    eraser = fitter(f.fit.x, f.fit.codes, 2)
    return f.fit.moved(eraser.apply(f.fit.x)), f.validation.moved(eraser.apply(f.validation.x))


def held_out_leace(f: Fold) -> Pair:
    """The eraser sees one half of the training rows, models the other."""
    half = np.zeros(len(f.fit.x), dtype=bool)
    for c in (0, 1):
        of_class = f.random.permutation(np.flatnonzero(f.fit.codes == c))
        half[of_class[: len(of_class) // 2]] = True
    eraser, rest = fit_leace(f.fit.x[half], f.fit.codes[half], 2), f.fit.take(~half)
    return rest.moved(eraser.apply(rest.x)), f.validation.moved(eraser.apply(f.validation.x))


def quantiles(known: np.ndarray, x: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
    """Normal quantiles of x per gene among `known` rows; ties in their middle, or drawn at random."""
    found = np.empty(x.shape)
    for g in range(x.shape[1]):
        ordered = np.sort(known[:, g])
        low, high = np.searchsorted(ordered, x[:, g]), np.searchsorted(ordered, x[:, g], side="right")
        place = 0.5 if random is None else random.random(len(x))
        found[:, g] = (low + place * np.maximum(high - low, 1)) / len(known)
    return norm.ppf(np.clip(found, 0.25 / len(known), 1 - 0.25 / len(known)))


def ranked(f: Fold, at_random: bool) -> Fold:
    random = f.random if at_random else None
    fit, validation = (rows.moved(quantiles(f.fit.x, rows.x, random)) for rows in (f.fit, f.validation))
    return Fold(fit, validation, f.random)


def conditional_quantiles(f: Fold, strata: int = 10) -> Pair:
    """Each gene becomes its random quantile among training rows of the same tenth of the linear model's score."""
    score = [np.diff(np.log(np.maximum(e, 1e-300)), axis=1)[:, 0] for e in f.probabilities]
    edges = np.quantile(score[0], np.arange(1, strata) / strata)
    stratum = [np.searchsorted(edges, s) for s in score]
    done = []
    for rows, own in zip((f.fit, f.validation), stratum, strict=True):
        x = np.empty(rows.x.shape)
        for s in np.unique(own):
            known = f.fit.x[stratum[0] == s]
            x[own == s] = quantiles(known if len(known) else f.fit.x, rows.x[own == s], f.random)
        done.append(rows.moved(x))
    return done[0], done[1]


def dithered(f: Fold) -> Fold:
    """Uniform noise as wide as a gene's grid: the smallest step between values that at least 1 % of the training rows share;
    where only one is shared (zeros among measured values), the typical distance of the others from it."""
    width = np.zeros(f.fit.x.shape[1])
    for g, gene in enumerate(f.fit.x.T):
        values, counts = np.unique(gene, return_counts=True)
        shared = values[counts >= max(2, 0.01 * len(gene))]
        if len(shared) > 1:
            width[g] = np.diff(shared).min()
        elif len(shared) == 1 and len(values) > 1:
            width[g] = np.median(np.abs(gene[gene != shared[0]] - shared[0]))
    fit, validation = (r.moved(r.x + width * (f.random.random(r.x.shape) - 0.5)) for r in (f.fit, f.validation))
    return Fold(fit, validation, f.random)


def thinned(f: Fold, frequencies: bool = False, law: str = "out of fold") -> Pair:
    """:raises RemovalError: fewer than 10 training rows of a class stay, or none of the validation rows"""
    target = np.bincount(f.fit.codes) / len(f.fit.codes) if frequencies else np.full(2, 0.5)
    e = (f.fit.truth, f.validation.truth) if law == "true" else f.probabilities
    if law == "in sample":
        e = (softmax(f.fit.x @ f.law.coefficients + f.law.intercepts), e[1])
    stays = [
        f.random.random(len(r.codes)) < matching(p, r.codes, target)
        for r, p in zip((f.fit, f.validation), e, strict=True)
    ]
    left, found = (
        np.bincount(r.codes[s], minlength=2) for r, s in zip((f.fit, f.validation), stays, strict=True)
    )
    if left.min() < FEW or found.min() < 2:
        raise RemovalError(f"redundant: of the training rows {left[0]} and {left[1]} have a match in the other class")
    return f.fit.take(stays[0]), f.validation.take(stays[1])


def weighted(f: Fold) -> Pair:
    """Every row stays, with the probability of thinning as its weight."""
    weights = [
        matching(e, r.codes, np.full(2, 0.5)) for r, e in zip((f.fit, f.validation), f.probabilities, strict=True)
    ]
    return replace(f.fit, weight=weights[0] + 1e-12), replace(f.validation, weight=weights[1] + 1e-12)


def thinned_then(f: Fold, fitter: Fitter, frequencies: bool = False) -> Pair:
    return erased(Fold(*thinned(f, frequencies), f.random), fitter)


def thinned_or(f: Fold, fitter: Fitter) -> Pair:
    try:
        return thinned_then(f, fitter)
    except RemovalError:
        return erased(f, fitter)


CANDIDATES: dict[str, Candidate] = {
    "none": none,
    "split (oracle)": split,
    "split, residuals rescaled (oracle)": lambda f: split(f, rescale=True),
    "projection": lambda f: erased(f, fit_projection),
    "LEACE": lambda f: erased(f, fit_leace),
    "LEACE of a held-out half": held_out_leace,
    "quantiles, then split (oracle)": lambda f: split(ranked(f, False)),
    "random quantiles, then split (oracle)": lambda f: split(ranked(f, True)),
    "random quantiles, then projection": lambda f: erased(ranked(f, True), fit_projection),
    "random quantiles, then LEACE": lambda f: erased(ranked(f, True), fit_leace),
    "dithering, then split (oracle)": lambda f: split(dithered(f)),
    "dithering, then LEACE": lambda f: erased(dithered(f), fit_leace),
    "conditional quantiles": conditional_quantiles,
    "conditional quantiles, then LEACE": lambda f: erased(Fold(*conditional_quantiles(f), f.random), fit_leace),
    "thinning": thinned,
    "thinning at class frequencies": lambda f: thinned(f, frequencies=True),
    "thinning, then LEACE": lambda f: thinned_then(f, fit_leace),
    "thinning, then projection": lambda f: thinned_then(f, fit_projection),
    "thinning at class frequencies, then LEACE": lambda f: thinned_then(f, fit_leace, True),
    "weights": weighted,
    "thinning or, where refused, projection": lambda f: thinned_or(f, fit_projection),
    "thinning, in-sample law": lambda f: thinned(f, law="in sample"),
    "thinning, true law": lambda f: thinned(f, law="true"),
}
IN_RATIO = ("none", "LEACE", "thinning", "thinning, then LEACE", "thinning, then projection", "weights") + (
    "thinning, in-sample law",
    "thinning, true law",
)


def overlapping(n: int, p: int, seed: int) -> ad.AnnData:
    """Gaussian genes, logit = 1.7·θᵀx + 1.7·(x₁x₂ + x₃x₄ + x₅² − 1)/2: a linear part that is not perfect, and more than that."""
    random = stream(seed, "overlapping")
    x, theta = random.standard_normal((n, p)), random.standard_normal(p)
    beyond = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + x[:, 4] ** 2 - 1
    chance = expit(1.7 * x @ theta / np.linalg.norm(theta) + 1.7 * beyond / 2)
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
    x, codes = np.asarray(made.X, dtype=np.float64), (made.obs["label"] == "class_1").to_numpy().astype(np.int64)
    if "theta" in made.uns:
        one = expit(x @ made.uns["theta"] + made.uns["intercept"])
    elif "truth" in made.obs:
        one = made.obs["truth"].to_numpy()
    else:
        one = codes.astype(float) if made.uns["bayes_rule"] == "non-linear" else np.full(len(codes), codes.mean())
    return Rows(x, codes, np.c_[1 - one, one], np.ones(len(codes)))


def scores(fit: Rows, validation: Rows, trees: int, seed: int) -> dict[str, float]:
    """Balanced accuracy of each model and the AUC of the squared length, turned the way it points in the training rows."""
    weight = fit.weight / np.bincount(fit.codes, fit.weight)[fit.codes]  # the classes weigh the same
    models = (
        RandomForestClassifier(trees, min_samples_leaf=5, random_state=seed, n_jobs=1),
        SVC(),
        LogisticRegression(C=0.1, max_iter=2000),
    )
    found = {}
    for name, model in zip(MODELS, models, strict=False):
        hit = model.fit(fit.x, fit.codes, weight / weight.mean()).predict(validation.x) == validation.codes
        recalls = [np.average(hit[validation.codes == c], weights=validation.weight[validation.codes == c]) for c in (0, 1)]
        found[name] = float(np.mean(recalls))
    centre = fit.x.mean(0)
    there, here = (
        roc_auc_score(r.codes, ((r.x - centre) ** 2).sum(1), sample_weight=r.weight) for r in (fit, validation)
    )
    return found | {MODELS[3]: float(here if there >= 0.5 else 1 - here)}


def judged(name: str, f: Fold, trees: int, seed: int) -> list[dict]:
    """One entry a model; without value where the candidate is refused."""
    try:
        fit, validation = CANDIDATES[name](f)
    except RemovalError:
        return [{"candidate": name, "model": m, "value": None, "bayes": None, "kept": 0.0} for m in MODELS]
    kept = validation.weight.sum() / len(f.validation.codes)
    bayes = balanced_bayes(validation.truth)
    if name == "weights":
        of = stream(seed, "weights").random(len(validation.codes)) < validation.weight
        bayes = balanced_bayes(validation.truth[of])
    found = scores(fit, validation, trees, seed)
    return [{"candidate": name, "model": m, "value": v, "bayes": bayes, "kept": kept} for m, v in found.items()]


def standardised(fit: Rows, validation: Rows, random: np.random.Generator) -> Fold:
    mean, sd = fit.x.mean(0), fit.x.std(0)
    sd[sd == 0] = 1
    return Fold(fit.moved((fit.x - mean) / sd), validation.moved((validation.x - mean) / sd), random)
