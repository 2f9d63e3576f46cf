"""Convex losses of linear scores, many problems at once: values, gradients and curvatures.

Scores have shape (n_samples, n_problems, n_vectors). Two classes are one score vector, as in
scikit-learn (the second class is the positive one); K ≥ 3 classes are K score vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Curvature:
    """The generalised Hessian of each sample's loss in its own scores.

    diagonal: (n_samples, n_problems, n_vectors); times: maps directions of that shape to the
    Hessian times them.
    """

    diagonal: Tensor
    times: Callable[[Tensor], Tensor]


class Loss(Protocol):
    n_vectors: int
    smooth: bool

    def value(self, scores: Tensor) -> Tensor:
        """(n_samples, n_problems) losses."""

    def gradient(self, scores: Tensor) -> Tensor:
        """Their derivatives by the scores, of the scores' shape."""

    def curvature(self, scores: Tensor, precision: torch.dtype) -> Curvature:
        """Second derivatives, for directions of the given precision."""

    def separated(self, scores: Tensor) -> Tensor:
        """(n_problems,) bool: every sample lies strictly on its class's side."""


class _TwoClasses:
    """One score vector, t = ±1."""

    n_vectors = 1

    def __init__(self, codes: Tensor) -> None:
        self.sign = (2.0 * codes.double() - 1)[:, None, None]

    def separated(self, scores: Tensor) -> Tensor:
        return (self.sign * scores > 0).all(2).all(0)


class _SeveralClasses:
    """A score vector a class; truth: (n_samples, 1, n_classes), 1 at a sample's own class."""

    def __init__(self, codes: Tensor, n_classes: int) -> None:
        self.n_vectors = n_classes
        self.codes = codes
        self.truth = torch.nn.functional.one_hot(codes, n_classes)[:, None, :]

    def separated(self, scores: Tensor) -> Tensor:
        own = _of_class(scores, self.codes)
        others = scores.scatter(
            2, self.codes[:, None, None].expand(-1, scores.shape[1], 1), -torch.inf
        )
        return (own > others.amax(2)).all(0)


class BinaryLogistic(_TwoClasses):
    """log(1 + exp(−t·s)) with t = ±1."""

    smooth = True

    def value(self, scores: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-self.sign * scores)[..., 0]

    def gradient(self, scores: Tensor) -> Tensor:
        return -self.sign * torch.sigmoid(-self.sign * scores)

    def curvature(self, scores: Tensor, precision: torch.dtype) -> Curvature:
        p = torch.sigmoid(scores)
        d = (p * (1 - p)).to(precision)
        return Curvature(d, lambda u: d * u)


class Softmax(_SeveralClasses):
    """−log softmax(s)_y over K vectors."""

    smooth = True

    def value(self, scores: Tensor) -> Tensor:
        return scores.logsumexp(2) - _of_class(scores, self.codes)

    def gradient(self, scores: Tensor) -> Tensor:
        return scores.softmax(2) - self.truth

    def curvature(self, scores: Tensor, precision: torch.dtype) -> Curvature:
        p = scores.softmax(2).to(precision)

        def times(u: Tensor) -> Tensor:
            pu = p * u
            return pu.sub_(p * pu.sum(2, keepdim=True))

        return Curvature(p * (1 - p), times)


class BinarySquaredHinge(_TwoClasses):
    """max(0, 1 − t·s)² with t = ±1."""

    smooth = False

    def value(self, scores: Tensor) -> Tensor:
        return (1 - self.sign * scores).clamp(min=0).square()[..., 0]

    def gradient(self, scores: Tensor) -> Tensor:
        return -2 * self.sign * (1 - self.sign * scores).clamp(min=0)

    def curvature(self, scores: Tensor, precision: torch.dtype) -> Curvature:
        d = 2 * (self.sign * scores < 1).to(precision)
        return Curvature(d, lambda u: d * u)


class SquaredHinge(_SeveralClasses):
    """Σ_{j≠y} max(0, 1 − s_y + s_j)² / (K − 1): Weston & Watkins (1999), squared, scaled as the
    hinge of linear_svm."""

    smooth = False

    def __init__(self, codes: Tensor, n_classes: int) -> None:
        super().__init__(codes, n_classes)
        self.own = self.truth.bool()

    def _short(self, scores: Tensor) -> Tensor:
        """What each other class lacks of the margin; 0 for the true class and where the margin is
        kept."""
        margin = 1 + scores - _of_class(scores, self.codes)[..., None]
        return margin.clamp_(min=0).masked_fill_(self.own, 0.0)

    def value(self, scores: Tensor) -> Tensor:
        return self._short(scores).square().sum(2) / (self.n_vectors - 1)

    def gradient(self, scores: Tensor) -> Tensor:
        g = self._short(scores).mul_(2 / (self.n_vectors - 1))
        return torch.where(self.own, -g.sum(2, keepdim=True), g)

    def curvature(self, scores: Tensor, precision: torch.dtype) -> Curvature:
        a = (self._short(scores) > 0).to(precision) * (2 / (self.n_vectors - 1))
        total = a.sum(2, keepdim=True)

        def times(u: Tensor) -> Tensor:
            moved = a * (u - _of_class(u, self.codes)[..., None])
            return torch.where(self.own, -moved.sum(2, keepdim=True), moved)

        return Curvature(torch.where(self.own, total, a), times)


def make_loss(name: str, codes: Tensor, n_classes: int) -> Loss:
    """ "logistic" or "squared_hinge", over two or more classes."""
    if n_classes == 2:
        return BinaryLogistic(codes) if name == "logistic" else BinarySquaredHinge(codes)
    return Softmax(codes, n_classes) if name == "logistic" else SquaredHinge(codes, n_classes)


def _of_class(values: Tensor, codes: Tensor) -> Tensor:
    """(n_samples, n_problems) values at each sample's own class."""
    return values.gather(2, codes[:, None, None].expand(-1, values.shape[1], 1))[..., 0]
