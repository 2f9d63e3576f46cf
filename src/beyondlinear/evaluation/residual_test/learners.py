"""Learners of what the linear model leaves, each trained on some rows and judged on others, with
the linear logits as offset.

Each gives scores that are added to the offset; `linear` is the second linear model that the others
must beat.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from beyondlinear.models.linear.null_model import log_loss
from beyondlinear.models.probabilities import softmax


@dataclass(frozen=True)
class TrainingRows:
    """What a learner is trained on.

    x: (n, n_genes) float32; offset: (n, n_classes) logits of the linear model; codes: (n,) class of
    each row; seed: of whatever is random.
    """

    x: np.ndarray
    offset: np.ndarray
    codes: np.ndarray
    seed: int

    @property
    def residuals(self) -> np.ndarray:
        """(n, n_classes) r = y − e: what the linear model's probabilities leave of the labels."""
        return one_hot(self.codes, self.offset.shape[1]) - softmax(self.offset)


Learner = Callable[[TrainingRows, np.ndarray], np.ndarray]


def linear(data: TrainingRows, new: np.ndarray) -> np.ndarray:
    """Ridge regression of the residuals on the genes, as strong as it takes to halve the leading
    direction."""
    n, n_genes = data.x.shape
    inner_products = data.x @ data.x.T
    inner_products /= n_genes
    penalty = n / 2 * np.eye(n, dtype=inner_products.dtype)
    weights = np.linalg.solve(inner_products + penalty, data.residuals)
    return (new @ data.x.T / n_genes) @ weights


def pairs(data: TrainingRows, new: np.ndarray, kept: int = 10) -> np.ndarray:
    """The products of two genes with the largest scores, weighted by how far they stand out.

    The score of a product is z = Σ r x_i x_j / √(Σ v (x_i x_j)²) with r = y − e and v = e(1 − e),
    as in `scores.py`; the first one that is not kept is the threshold.
    """
    x = data.x
    squares = x**2
    probabilities = softmax(data.offset)
    n_classes = data.offset.shape[1]
    out = np.zeros((len(new), n_classes))
    for c in range(n_classes):
        r = data.residuals[:, c].astype(np.float32)
        e = probabilities[:, c]
        v = (e * (1 - e)).astype(np.float32)
        deviation = np.sqrt(squares.T @ (v[:, None] * squares))
        z = np.triu(x.T @ (r[:, None] * x) / np.maximum(deviation, 1e-12))
        sizes = np.abs(z).ravel()
        largest = np.argpartition(sizes, -kept - 1)[-kept - 1 :]
        largest = largest[np.argsort(-sizes[largest])]
        threshold = sizes[largest[-1]]
        for at in largest[:-1]:
            i, j = divmod(int(at), z.shape[1])
            excess = abs(z[i, j]) - 0.9 * threshold
            strength = np.sign(z[i, j]) * excess / deviation[i, j]
            mean_product = float((x[:, i] * x[:, j]).mean())
            out[:, c] += strength * (new[:, i] * new[:, j] - mean_product)
    return out


def forest(data: TrainingRows, new: np.ndarray) -> np.ndarray:
    """A random forest regression of the residuals."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(
        100, min_samples_leaf=5, max_features="sqrt", random_state=data.seed % 2**32, n_jobs=1
    )
    model.fit(data.x, data.residuals)
    return model.predict(new).reshape(len(new), -1)


def net(
    data: TrainingRows, new: np.ndarray, width: int = 64, epochs: int = 40, batch: int = 64
) -> np.ndarray:
    """A small net with two hidden layers on top of the offset, trained by cross-entropy for a fixed
    number of epochs."""
    generator = torch.Generator().manual_seed(data.seed % 2**63)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(data.seed % 2**63)
        n_genes = data.x.shape[1]
        n_classes = data.offset.shape[1]
        network = nn.Sequential(
            nn.Linear(n_genes, width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, n_classes),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-3)
        cross_entropy = nn.CrossEntropyLoss()
        x = torch.from_numpy(data.x)
        offset = torch.from_numpy(data.offset.astype(np.float32))
        codes = torch.from_numpy(data.codes)
        network.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(x), generator=generator).split(batch):
                optimizer.zero_grad()
                logits = network(x[rows]) + offset[rows]
                cross_entropy(logits, codes[rows]).backward()
                optimizer.step()
        network.eval()
        with torch.no_grad():
            return network(torch.from_numpy(new)).double().numpy()


LEARNERS: dict[str, Learner] = {"linear": linear, "pairs": pairs, "forest": forest, "net": net}


@dataclass(frozen=True)
class HeldOut:
    """What a learner makes of rows that it was not trained on.

    score: standardised score statistic of its held-out scores; gain: by how much they lower the
    held-out log-loss of the offset, each fold scaled by what is best for the others.
    """

    score: float
    gain: float


def held_out(
    learner: Learner,
    x: np.ndarray,
    offsets: dict[int, np.ndarray],
    codes: np.ndarray,
    folds: np.ndarray,
    seed: int,
) -> HeldOut:
    """Train on all folds but one, judge on that one, for each in turn.

    :param x: (n, n_genes) float32
    :param offsets: of each fold, (n, n_classes) logits: `null_model.nested_offsets`
    :param codes: (n,) class of each row
    :param folds: (n,) fold of each row
    """
    offset = np.empty_like(next(iter(offsets.values())))
    f = np.zeros_like(offset)  # the learner's held-out scores
    for fold, logits in offsets.items():
        new = folds == fold
        train = ~new
        rows = TrainingRows(x[train], logits[train], codes[train], seed + fold)
        offset[new] = logits[new]
        f[new] = learner(rows, x[new])
    f -= f.mean(1, keepdims=True)
    e = softmax(offset)
    residuals = one_hot(codes, offset.shape[1]) - e
    scores = []
    gains = []  # summed over the rows of each fold
    for fold in np.unique(folds):
        here = folds == fold
        # the mean of f under the null model carries no information on which sample is which class
        g = f[here] - (e[here] * f[here]).sum(1, keepdims=True)
        variance = (e[here] * g**2).sum()
        scores.append((residuals[here] * g).sum() / np.sqrt(variance) if variance > 0 else 0.0)
        a = best_scale(offset[~here], f[~here], codes[~here])
        without = log_loss(offset[here], codes[here])
        with_scores = log_loss(offset[here] + a * f[here], codes[here])
        gains.append((without - with_scores) * here.sum())
    score = float(np.sum(scores) / np.sqrt(len(scores)))
    gain = float(np.sum(gains) / len(codes))
    return HeldOut(score, gain)


def best_scale(offset: np.ndarray, f: np.ndarray, codes: np.ndarray) -> float:
    """a ≥ 0 with the smallest log-loss of offset + a·f, by Newton's method."""
    a = 0.0
    truth = one_hot(codes, offset.shape[1])
    for _ in range(30):
        e = softmax(offset + a * f)
        mean = (e * f).sum(1)
        slope = ((e - truth) * f).sum()
        curvature = ((e * f**2).sum(1) - mean**2).sum()  # the variance of f under e
        if curvature <= 0:
            return a
        step = float(np.clip(slope / curvature, -1 - a, 1 + a))
        new = max(0.0, a - step)
        if abs(new - a) < 1e-8:
            return new
        a = new
    return a


def one_hot(codes: np.ndarray, n_classes: int) -> np.ndarray:
    return np.eye(n_classes)[codes]
