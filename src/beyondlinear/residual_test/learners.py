"""Learners of what the linear model leaves, each trained on some rows and judged on others, with the linear logits as offset.

Each gives scores that are added to the offset; `linear` is the second linear model that the others must beat.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from beyondlinear.linear.law import log_loss
from beyondlinear.metrics import softmax


@dataclass(frozen=True)
class Training:
    """x: (n, n_genes) float32; offset: (n, n_classes) logits; codes: (n,); seed: of whatever is random."""

    x: np.ndarray
    offset: np.ndarray
    codes: np.ndarray
    seed: int

    @property
    def residuals(self) -> np.ndarray:
        return one_hot(self.codes, self.offset.shape[1]) - softmax(self.offset)


Learner = Callable[[Training, np.ndarray], np.ndarray]


def linear(data: Training, new: np.ndarray) -> np.ndarray:
    """Ridge regression of the residuals on the genes, as strong as it takes to halve the leading direction."""
    inner = data.x @ data.x.T
    inner /= data.x.shape[1]
    strength = len(data.x) / 2
    weights = np.linalg.solve(inner + strength * np.eye(len(inner), dtype=inner.dtype), data.residuals)
    return (new @ data.x.T / data.x.shape[1]) @ weights


def pairs(data: Training, new: np.ndarray, kept: int = 10) -> np.ndarray:
    """The products of two genes with the largest scores, weighted by how far they stand out."""
    out = np.zeros((len(new), data.offset.shape[1]))
    e = softmax(data.offset)
    for c in range(out.shape[1]):
        r, v = data.residuals[:, c].astype(np.float32), (e[:, c] * (1 - e[:, c])).astype(np.float32)
        deviation = np.sqrt((data.x**2).T @ (v[:, None] * data.x**2))
        z = np.triu(data.x.T @ (r[:, None] * data.x) / np.maximum(deviation, 1e-12))
        flat = np.argpartition(np.abs(z).ravel(), -kept - 1)[-kept - 1 :]
        flat = flat[np.argsort(-np.abs(z).ravel()[flat])]
        threshold = abs(z.ravel()[flat[-1]])
        for at in flat[:-1]:
            i, j = divmod(int(at), z.shape[1])
            strength = np.sign(z[i, j]) * (abs(z[i, j]) - 0.9 * threshold) / deviation[i, j]
            out[:, c] += strength * (new[:, i] * new[:, j] - float((data.x[:, i] * data.x[:, j]).mean()))
    return out


def forest(data: Training, new: np.ndarray) -> np.ndarray:
    """A random forest regression of the residuals."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(
        100, min_samples_leaf=5, max_features="sqrt", random_state=data.seed % 2**32, n_jobs=1
    )
    return model.fit(data.x, data.residuals).predict(new).reshape(len(new), -1)


def net(data: Training, new: np.ndarray, width: int = 64, epochs: int = 40, batch: int = 64) -> np.ndarray:
    """A small net with two hidden layers on top of the offset, trained by cross-entropy for a fixed number of epochs."""
    generator = torch.Generator().manual_seed(data.seed % 2**63)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(data.seed % 2**63)
        network = nn.Sequential(
            *(nn.Linear(data.x.shape[1], width), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, data.offset.shape[1])),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-3)
        x, offset = torch.from_numpy(data.x), torch.from_numpy(data.offset.astype(np.float32))
        codes, loss = torch.from_numpy(data.codes), nn.CrossEntropyLoss()
        network.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(x), generator=generator).split(batch):
                optimizer.zero_grad()
                loss(network(x[rows]) + offset[rows], codes[rows]).backward()
                optimizer.step()
        network.eval()
        with torch.no_grad():
            return network(torch.from_numpy(new)).double().numpy()


LEARNERS: dict[str, Learner] = {"linear": linear, "pairs": pairs, "forest": forest, "net": net}


@dataclass(frozen=True)
class HeldOut:
    """score: standardised score statistic of the learner's held-out scores; gain: by how much they lower the held-out log-loss
    of the offset, each fold scaled by what is best for the others."""

    score: float
    gain: float


def held_out(
    learner: Learner, x: np.ndarray, offsets: dict[int, np.ndarray], codes: np.ndarray, folds: np.ndarray, seed: int
) -> HeldOut:
    """Train on all folds but one, judge on that one, for each in turn.

    :param offsets: `law.nested_offsets`
    """
    offset = np.empty_like(next(iter(offsets.values())))
    f = np.zeros_like(offset)
    for fold, logits in offsets.items():
        fit, new = folds != fold, folds == fold
        offset[new] = logits[new]
        f[new] = learner(Training(x[fit], logits[fit], codes[fit], seed + fold), x[new])
    f -= f.mean(1, keepdims=True)
    e = softmax(offset)
    residuals = one_hot(codes, offset.shape[1]) - e
    scores, gains = [], []
    for fold in np.unique(folds):
        here = folds == fold
        # the mean of f under the law carries no information on which sample is which class
        g = f[here] - (e[here] * f[here]).sum(1, keepdims=True)
        variance = (e[here] * g**2).sum()
        scores.append((residuals[here] * g).sum() / np.sqrt(variance) if variance > 0 else 0.0)
        a = best_scale(offset[~here], f[~here], codes[~here])
        gains.append(
            (log_loss(offset[here], codes[here]) - log_loss(offset[here] + a * f[here], codes[here])) * here.sum()
        )
    return HeldOut(float(np.sum(scores) / np.sqrt(len(scores))), float(np.sum(gains) / len(codes)))


def best_scale(offset: np.ndarray, f: np.ndarray, codes: np.ndarray) -> float:
    """a ≥ 0 with the smallest log-loss of offset + a·f, by Newton's method."""
    a, truth = 0.0, one_hot(codes, offset.shape[1])
    for _ in range(30):
        e = softmax(offset + a * f)
        mean = (e * f).sum(1)
        slope = ((e - truth) * f).sum()
        curvature = ((e * f**2).sum(1) - mean**2).sum()
        if curvature <= 0:
            return a
        step = slope / curvature
        new = max(0.0, a - float(np.clip(step, -1 - a, 1 + a)))
        if abs(new - a) < 1e-8:
            return new
        a = new
    return a


def one_hot(codes: np.ndarray, n_classes: int) -> np.ndarray:
    return np.eye(n_classes)[codes]
