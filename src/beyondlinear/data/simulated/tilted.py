"""Simulations whose labels are linear by construction: no model can honestly beat the linear Bayes
rule.

They are controls for signal removal. Whatever a model reaches above `uns["bayes_accuracy"]`, or at
all once the linear signal is gone, is written into the data by the removal and not by the biology.

`simulated_bernoulli`, `simulated_zero_inflated` and `simulated_counts` tilt the law of class_0
exponentially, p₁(x) ∝ p₀(x)·exp(θᵀx) over the whole law with its zeros, so that log p₁(x)/p₀(x) =
θᵀx + intercept exactly. `simulated_clusters` draws the labels of a clustered data set from one
logistic model of its genes. All give equal priors, `uns["theta"]` (n_genes,) and `uns["intercept"]`
of the Bayes rule θᵀx + intercept > 0, in the units of x, and `uns["bayes_accuracy"]`, its balanced
accuracy on new samples. A log or a scaling that is not affine bends the rule: use these data sets
untransformed.
"""

from collections.abc import Callable
from typing import Annotated

import anndata as ad
import numpy as np
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import expit, logit

from beyondlinear.data.simulated.gaussian import (
    GeneCount,
    SampleCount,
    as_dataset,
    fill_genes,
    gene_ids,
    two_classes,
)
from beyondlinear.runtime.errors import DataError
from beyondlinear.runtime.seeds import stream

BAYES_SAMPLES = 2**16
"""Monte Carlo size for `bayes_accuracy`; its standard error is then below 0.001."""

SignalStrength = Annotated[float, Field(gt=0, le=10)]  # at 10 the classes are nearly separate
# (random, gene, is_class_1) -> values
DrawGene = Callable[[np.random.Generator, int, np.ndarray], np.ndarray]


def simulated_bernoulli(
    n_samples: SampleCount = 2000,
    n_genes: GeneCount = 30,
    signal: SignalStrength = 1.8,
    seed: int = 0,
) -> ad.AnnData:
    """Genes that are detected (1) or not (0): Bernoulli(q) in class_0, Bernoulli(σ(logit q + θ)) in
    class_1.

    q is uniform on [0.2, 0.8] per gene (`var["detected_0"]`, class_1's in `var["detected_1"]`).
    Every gene carries as much, up or down: `signal` is the standard deviation of θᵀx in class_0
    whatever n_genes, and the Bayes accuracy, by Monte Carlo, is near Φ(signal/2). x is (n_samples,
    n_genes) float32.
    """
    detected = stream(seed, "dataset", "bernoulli", "laws").uniform(0.2, 0.8, n_genes)
    theta = _theta("bernoulli", np.sqrt(detected * (1 - detected)), signal, seed)
    detected_1, log_normaliser = tilt_bernoulli(detected, theta)

    def draw(random: np.random.Generator, gene: int, is_class_1: np.ndarray) -> np.ndarray:
        rate = np.where(is_class_1, detected_1[gene], detected[gene])
        return random.random(len(is_class_1)) < rate

    laws = {"detected_0": detected, "detected_1": detected_1}
    return _tilted("bernoulli", n_samples, draw, theta, log_normaliser, laws, seed)


def simulated_zero_inflated(
    n_samples: SampleCount = 2000,
    n_genes: GeneCount = 30,
    signal: SignalStrength = 1.8,
    seed: int = 0,
) -> ad.AnnData:
    """Zero-inflated Gamma genes, like TPM: a share of exact zeros, else Gamma(shape 2, rate 1),
    tilted as a whole.

    The law of class_0 is π₀δ₀ + (1 − π₀)·Gamma(k, β) with π₀ uniform on [0.3, 0.8] per gene. Times
    e^{θx} the zeros keep their weight and x^{k−1}e^{−βx} becomes x^{k−1}e^{−(β−θ)x}, so for θ < β
    the normaliser is M = π₀ + (1 − π₀)(β/(β − θ))^k and class_1 follows π₁δ₀ + (1 − π₁)·Gamma(k, β
    − θ) with π₁ = π₀/M. Hence log p₁(x)/p₀(x) = θx − log M, for zeros too. `var` holds
    zero_share_0, zero_share_1 and rate_1; `signal` and the Bayes accuracy as in
    `simulated_bernoulli`. x is (n_samples, n_genes) float32. Raises DataError where θ ≥ β.
    """
    shape = 2.0
    rate = 1.0
    zero_share = stream(seed, "dataset", "zero_inflated", "laws").uniform(0.3, 0.8, n_genes)
    # E x and E x² of Gamma(k, β) are k/β and k(k + 1)/β²
    mean = (1 - zero_share) * shape / rate
    mean_square = (1 - zero_share) * shape * (shape + 1) / rate**2
    variance = mean_square - mean**2
    theta = _theta("zero_inflated", np.sqrt(variance), signal, seed)
    if theta.max() >= rate:
        raise DataError(
            f"dataset.signal: {signal} over {n_genes} genes needs a tilt of {theta.max():.3g},"
            f" and a Gamma law of rate {rate:g} can only be tilted by less than {rate:g};"
            " lower dataset.signal or raise dataset.n_genes"
        )
    zero_share_1, rate_1, log_normaliser = tilt_zero_inflated_gamma(zero_share, shape, rate, theta)

    def draw(random: np.random.Generator, gene: int, is_class_1: np.ndarray) -> np.ndarray:
        share_here = np.where(is_class_1, zero_share_1[gene], zero_share[gene])
        rate_here = np.where(is_class_1, rate_1[gene], rate)
        is_zero = random.random(len(is_class_1)) < share_here
        values = random.standard_gamma(shape, len(is_class_1)) / rate_here
        return np.where(is_zero, 0.0, values)

    laws = {"zero_share_0": zero_share, "zero_share_1": zero_share_1, "rate_1": rate_1}
    return _tilted("zero_inflated", n_samples, draw, theta, log_normaliser, laws, seed)


def simulated_counts(
    n_samples: SampleCount = 2000,
    n_genes: GeneCount = 30,
    signal: SignalStrength = 1.8,
    seed: int = 0,
) -> ad.AnnData:
    """Read counts: Poisson(λ) in class_0, Poisson(λe^θ) in class_1, λ log-uniform on [0.2, 20] per
    gene.

    log p₁(x)/p₀(x) = θx − λ(e^θ − 1). `var` holds the rates (mean counts) rate_0 and rate_1;
    `signal` and the Bayes accuracy as in `simulated_bernoulli`. x is (n_samples, n_genes) float32,
    whole numbers.
    """
    random_rates = stream(seed, "dataset", "counts", "laws")
    rate = np.exp(random_rates.uniform(np.log(0.2), np.log(20.0), n_genes))
    theta = _theta("counts", np.sqrt(rate), signal, seed)
    rate_1, log_normaliser = tilt_poisson(rate, theta)

    def draw(random: np.random.Generator, gene: int, is_class_1: np.ndarray) -> np.ndarray:
        return random.poisson(np.where(is_class_1, rate_1[gene], rate[gene]))

    laws = {"rate_0": rate, "rate_1": rate_1}
    return _tilted("counts", n_samples, draw, theta, log_normaliser, laws, seed)


def simulated_clusters(
    n_samples: SampleCount = 2000,
    n_genes: GeneCount = 50,
    n_clusters: Annotated[int, Field(ge=1)] = 8,
    cluster_sd: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3.0,
    signal: SignalStrength = 3.0,
    seed: int = 0,
) -> ad.AnnData:
    """Gaussian clusters, as tissues or studies make them, labelled by ONE logistic model of a
    random direction.

    Genes have standard deviation 1 within a cluster, and cluster means are N(0, cluster_sd²) per
    gene. Clusters (`obs["cluster"]`) are equally large up to one sample. Labels are drawn, y ~
    Bernoulli(σ(θᵀx + intercept)), so class sizes vary; θ gives the logit the standard deviation
    `signal` over all clusters together and the intercept equal priors. `bayes_accuracy` E[max(p, 1
    − p)] is exact, by quadrature over θᵀx, whose law is a mixture of normals. x is (n_samples,
    n_genes) float32. Raises DataError where a class gets fewer than two samples.
    """
    random_centres = stream(seed, "dataset", "clusters", "centres")
    centres = cluster_sd * random_centres.standard_normal((n_clusters, n_genes))
    direction = stream(seed, "dataset", "clusters", "theta").standard_normal(n_genes)
    # variance of directionᵀx between and within clusters, where genes are N(0, 1)
    variance = np.var(centres @ direction) + direction @ direction
    theta = signal * direction / np.sqrt(variance)
    intercept, bayes_accuracy = _logistic_mixture(centres @ theta, float(np.linalg.norm(theta)))

    random_members = stream(seed, "dataset", "clusters", "members")
    cluster = random_members.permutation(np.arange(n_samples) % n_clusters)
    logits = np.full(n_samples, intercept)

    def draw(gene: int) -> np.ndarray:
        noise = stream(seed, "dataset", "clusters", gene).standard_normal(n_samples)
        values = centres[cluster, gene] + noise
        logits[:] += theta[gene] * values
        return values

    x = fill_genes(n_samples, n_genes, draw)
    is_class_1 = stream(seed, "dataset", "clusters", "labels").random(n_samples) < expit(logits)
    n_class_1 = int(is_class_1.sum())
    if min(n_class_1, n_samples - n_class_1) < 2:
        raise DataError(
            f"dataset.n_samples: of {n_samples} samples {n_class_1} were drawn as class_1,"
            " and each class needs two; raise dataset.n_samples or change the seed"
        )
    known = {
        "bayes_accuracy": bayes_accuracy,
        "bayes_rule": "linear",
        "theta": theta,
        "intercept": intercept,
    }
    dataset = as_dataset(x, is_class_1, gene_ids("clusters", n_genes), known)
    dataset.obs["cluster"] = [f"cluster_{i}" for i in cluster]
    return dataset


def tilt_bernoulli(detected: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bernoulli(q) times e^{θx}: the new detection rate and the log normaliser log(1 − q +
    q·e^θ)."""
    detected_1 = expit(logit(detected) + theta)
    log_normaliser = np.log1p(detected * np.expm1(theta))
    return detected_1, log_normaliser


def tilt_zero_inflated_gamma(
    zero_share: np.ndarray, shape: float, rate: float, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """π₀δ₀ + (1 − π₀)Gamma(shape, rate) times e^{θx}, θ < rate: the new share of zeros, rate, and
    log normaliser."""
    normaliser = zero_share + (1 - zero_share) * (rate / (rate - theta)) ** shape
    zero_share_1 = zero_share / normaliser
    return zero_share_1, rate - theta, np.log(normaliser)


def tilt_poisson(rate: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poisson(λ) times e^{θx}: the new rate λe^θ and the log normaliser λ(e^θ − 1)."""
    rate_1 = rate * np.exp(theta)
    log_normaliser = rate * np.expm1(theta)
    return rate_1, log_normaliser


def _theta(name: str, gene_sd: np.ndarray, signal: float, seed: int) -> np.ndarray:
    """The same coefficient per standard deviation for every gene, its sign random: Var θᵀx =
    signal² in class_0."""
    signs = stream(seed, "dataset", name, "theta").choice([-1.0, 1.0], size=len(gene_sd))
    return signal * signs / (gene_sd * np.sqrt(len(gene_sd)))


def _tilted(
    name: str,
    n_samples: int,
    draw: DrawGene,
    theta: np.ndarray,
    log_normaliser: np.ndarray,
    laws: dict[str, np.ndarray],
    seed: int,
) -> ad.AnnData:
    """The data set of one tilted law, with the Bayes accuracy E[max posterior] from samples of
    their own streams, half of them of each class.

    :param log_normaliser: (n_genes,) by which each gene's e^{θx} must be divided
    :param laws: columns of var
    """
    intercept = -float(log_normaliser.sum())
    logits = np.full(BAYES_SAMPLES, intercept)
    second_half = np.arange(BAYES_SAMPLES) >= BAYES_SAMPLES // 2
    for gene in range(len(theta)):
        values = draw(stream(seed, "dataset", name, "bayes", gene), gene, second_half)
        logits += theta[gene] * values
    known: dict[str, object] = {
        "bayes_accuracy": float(expit(np.abs(logits)).mean()),
        "bayes_rule": "linear",
        "theta": theta,
        "intercept": intercept,
    }
    is_class_1 = two_classes(n_samples, n_samples // 2, seed)

    def draw_gene(gene: int) -> np.ndarray:
        return draw(stream(seed, "dataset", name, gene), gene, is_class_1)

    x = fill_genes(n_samples, len(theta), draw_gene)
    dataset = as_dataset(x, is_class_1, gene_ids(name, len(theta)), known)
    for column, values in laws.items():
        dataset.var[column] = values
    return dataset


def _logistic_mixture(centres: np.ndarray, sd: float) -> tuple[float, float]:
    """Intercept b with E[σ(t + b)] = ½, and E[max(σ, 1 − σ)] at it, for t an equal mixture of
    N(centre, sd²)."""
    # trapezoids 0.004 sd wide: error < 1e-6, the kink at p = ½ included
    grid = np.linspace(-8, 8, 4001)
    weight = np.exp(-(grid**2) / 2)
    weight /= weight.sum()
    t = centres[:, None] + sd * grid

    def share_above_half(b: float) -> float:
        return float((expit(t + b) @ weight).mean() - 0.5)

    bound = float(np.abs(t).max()) + 1
    intercept = float(brentq(share_above_half, -bound, bound, xtol=1e-12))
    accuracy = float((expit(np.abs(t + intercept)) @ weight).mean())
    return intercept, accuracy
