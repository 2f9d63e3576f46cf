"""The three simulations of Heil, Crawford & Greene (2023): linear and non-linear signal, linear
signal, none.

Every data set has two classes, `obs["label"]` "class_0" and "class_1", in random row order, and
gene ids that say what a gene is. `uns["bayes_accuracy"]` is the best balanced accuracy that any
model can reach on new samples, `uns["bayes_rule"]` the shape of the rule that reaches it: "linear",
"non-linear" or "none".

Each gene has a random stream of its own: more genes leave the earlier ones as they were, and
`simulated_linear` is the linear part of `simulated_mixed` at the same seed and number of samples.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Annotated

import anndata as ad
import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import norm

from beyondlinear.runtime.errors import DataError
from beyondlinear.runtime.seeds import stream

SHIFT = 6.0
"""Distance of the class means of a linear gene, in within-class standard deviations."""

# buffered, because writing single columns of a row-major matrix is an order of magnitude slower
GENES_A_BLOCK = 64

SampleCount = Annotated[int, Field(ge=2)]
GeneCount = Annotated[int, Field(ge=1)]


def simulated_mixed(
    n_samples: SampleCount = 1000, n_genes: Annotated[int, Field(ge=2)] = 5000, seed: int = 0
) -> ad.AnnData:
    """Half of the genes with linear, half with non-linear signal: either half alone tells the
    classes apart.

    A linear gene is N(0, 1) in class_0 and N(6, 1) in class_1, a non-linear gene N(0, 1) and N(±6,
    1) with the sign drawn per value. x is (n_samples, n_genes) float32; of an odd number of genes
    the linear part gets one more, of an odd number of samples class_0. `bayes_accuracy` is that of
    the linear genes alone: a lower bound, and 1.0 to double precision from 8 linear genes on.
    """
    n_linear = n_genes - n_genes // 2
    is_class_1 = two_classes(n_samples, n_samples // 2, seed)
    parts = {"linear": n_linear, "nonlinear": n_genes - n_linear}
    return _gaussian(
        is_class_1,
        parts,
        seed,
        {"bayes_accuracy": _linear_accuracy(n_linear), "bayes_rule": "non-linear"},
    )


def simulated_linear(
    n_samples: SampleCount = 1000, n_genes: GeneCount = 2500, seed: int = 0
) -> ad.AnnData:
    """Linear signal only: every gene is N(0, 1) in class_0 and N(6, 1) in class_1; x is (n_samples,
    n_genes) float32.

    `bayes_accuracy` is exact: Φ(3·√n_genes).
    """
    is_class_1 = two_classes(n_samples, n_samples // 2, seed)
    known = {"bayes_accuracy": _linear_accuracy(n_genes), "bayes_rule": "linear"}
    return _gaussian(is_class_1, {"linear": n_genes}, seed, known)


def simulated_noise(
    n_samples: SampleCount = 1000,
    n_genes: GeneCount = 5000,
    minority: Annotated[float, Field(gt=0, le=0.5)] = 0.5,
    seed: int = 0,
) -> ad.AnnData:
    """No signal: every gene is N(0, 1) in both classes; x is (n_samples, n_genes) float32.

    The paper's text has 5,000 genes, its code used 2,500. `minority` is the share of class_1,
    rounded to whole samples (a half goes to class_0); 0.05 of 1,000 samples is the 950/50 control
    that shows what removal does to a rare class. Raises DataError where the share leaves class_1
    without a sample.
    """
    n_class_1 = ceil(n_samples * minority - 0.5)
    if n_class_1 < 1:
        raise DataError(
            f"dataset.minority: a share of {minority} of {n_samples} samples leaves class_1 empty; "
            f"raise it to {1 / n_samples:.3g} or more, or raise dataset.n_samples"
        )
    is_class_1 = two_classes(n_samples, n_class_1, seed)
    return _gaussian(
        is_class_1, {"noise": n_genes}, seed, {"bayes_accuracy": 0.5, "bayes_rule": "none"}
    )


def two_classes(n_samples: int, n_class_1: int, seed: int) -> np.ndarray:
    """Which rows are class_1: (n_samples,) bool, exactly `n_class_1` of them, in random order."""
    return stream(seed, "dataset", "labels").permutation(
        np.arange(n_samples) >= n_samples - n_class_1
    )


def fill_genes(n_samples: int, n_genes: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """x, (n_samples, n_genes) float32, C-contiguous; `draw(gene)` gives one gene's (n_samples,)
    values.

    Nothing of the size of x is held beside it.
    """
    x = np.empty((n_samples, n_genes), dtype=np.float32)
    block = np.empty((min(GENES_A_BLOCK, n_genes), n_samples), dtype=np.float32)
    for start in range(0, n_genes, GENES_A_BLOCK):
        stop = min(start + GENES_A_BLOCK, n_genes)
        for gene in range(start, stop):
            block[gene - start] = draw(gene)
        x[:, start:stop] = block[: stop - start].T
    return x


def as_dataset(
    x: np.ndarray, is_class_1: np.ndarray, genes: Sequence[str], known: dict[str, object]
) -> ad.AnnData:
    """The data set with sample ids, string labels, gene ids and what is `known` about it in
    `uns`."""
    obs = pd.DataFrame(
        {"label": np.where(is_class_1, "class_1", "class_0").astype(object)},
        index=[f"sample_{i:04d}" for i in range(len(x))],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=list(genes)), uns=known)


def gene_ids(kind: str, n_genes: int) -> list[str]:
    return [f"{kind}_{i:04d}" for i in range(n_genes)]


def _gaussian(
    is_class_1: np.ndarray, parts: dict[str, int], seed: int, known: dict[str, object]
) -> ad.AnnData:
    """Unit-variance Gaussian genes, so many of each kind in `parts`: linear, nonlinear or noise."""
    genes = [(kind, i) for kind, n_genes in parts.items() for i in range(n_genes)]

    def draw(gene: int) -> np.ndarray:
        kind, i = genes[gene]
        random = stream(seed, "dataset", kind, i)
        values = random.standard_normal(len(is_class_1), dtype=np.float32)
        if kind == "linear":
            values[is_class_1] += SHIFT
        elif kind == "nonlinear":
            values[is_class_1] += SHIFT * random.choice([-1.0, 1.0], size=int(is_class_1.sum()))
        return values

    x = fill_genes(len(is_class_1), len(genes), draw)
    ids = [gene_id for kind, n_genes in parts.items() for gene_id in gene_ids(kind, n_genes)]
    return as_dataset(x, is_class_1, ids, known)


def _linear_accuracy(n_linear: int) -> float:
    """Balanced accuracy of Σx against its midpoint for independent N(0, 1) against N(6, 1)
    genes."""
    return float(norm.cdf(SHIFT / 2 * np.sqrt(n_linear)))
