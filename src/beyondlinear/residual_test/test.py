"""The residual-prediction test: is there signal that the certified linear model cannot use?

Null hypothesis: the labels follow one multinomial logistic law of the expression. The linear model's calibrated out-of-fold
logits are the offset; what is left, r = y − e, is searched for products of genes (`scores.py`) and offered to learners that
are judged on held-out folds (`learners.py`), a second linear one among them. The null distribution is a parametric bootstrap:
labels drawn from the linear law, the linear model refitted and recalibrated on every draw, everything else repeated (Shah &
Bühlmann 2018, 10.1111/rssb.12234; Janková et al. 2020, 10.1111/rssb.12371).

Estimation takes strength from a law, and a refit takes it once more. The law that is drawn from is therefore given back what
refits on its own draws lose. The test is approximate; its size is measured, not
proved: benchmarks/residual_test.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from beyondlinear.errors import OptimumError, SignalTestError, choices
from beyondlinear.linear.law import (
    GRID,
    FoldedRows,
    LinearLaw,
    fit_law,
    log_loss,
    nested_offsets,
    with_frequencies,
)
from beyondlinear.metrics import softmax
from beyondlinear.residual_test.learners import LEARNERS, held_out, one_hot
from beyondlinear.residual_test.scores import Expression, score_statistics
from beyondlinear.seeds import stream, stream_seed

SCORES = ("pairs", "many_pairs", "components")
REDUNDANT = 0.02  # share of the constant's log-loss below which the linear model leaves nothing to use
FEWEST = 10.0  # sum of residual variances, in samples, below which nothing can be tested
_DRAWS = 6  # from the law, to see how much of its spread a refit keeps

Reading = Literal["signal beyond linear", "none found", "redundant"]


@dataclass(frozen=True)
class Statistic:
    """observed: its value; null_mean, null_sd: over the draws; p_value: (1 + #{draws ≥ observed}) / (draws + 1)."""

    observed: float
    null_mean: float
    null_sd: float
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """verdict: what the test says at level .05; p_value: of the best of the statistics; gains: by how much each learner lowers
    the held-out log-loss of the linear model; linear_log_loss, constant_log_loss: of that model, out of fold, and of none;
    left: sum of residual variances in samples; strength: by how much the law's logits were multiplied."""

    verdict: Reading
    p_value: float | None
    statistics: dict[str, Statistic] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    linear_log_loss: float = float("nan")
    constant_log_loss: float = float("nan")
    left: float = float("nan")
    strength: float = float("nan")
    draws: int = 0
    seconds: float = float("nan")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Look:
    """What one labelling gives: statistics by name, gains by learner."""

    statistics: dict[str, float]
    gains: dict[str, float]


@dataclass(frozen=True)
class ResidualTest:
    """conf/test/residual.yaml explains the keys. beside: says where the test is made, not what it finds, so no key of a test
    holds it."""

    statistics: Annotated[Sequence[str], Field(min_length=1)] = ("pairs", "many_pairs", "components", "forest")
    draws: Annotated[int, Field(ge=19)] = 199
    n_components: Annotated[int, Field(ge=1)] = 10
    restore_strength: bool = True
    beside: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        known = [*SCORES, *(name for name in LEARNERS if name != "linear")]
        for name in self.statistics:
            if name not in known:
                raise SignalTestError(f"test.statistics: '{name}' is none. {choices(name, known)}")

    def run(
        self,
        x: np.ndarray,
        codes: np.ndarray,
        n_classes: int,
        folds: np.ndarray,
        units: np.ndarray,
        seed: int,
        said: Callable[[str], None] = lambda text: None,
    ) -> Verdict:
        """:param x: (n, n_genes) float32, standardised per gene over all rows (which needs no label)
        :param folds: (n,) fold of each row; groups lie in one fold
        :param units: (n,) rows of one unit share their label
        :raises SignalTestError: the linear model cannot be fitted or certified, or draws lose a class
        """
        started = time.monotonic()
        try:
            null = NullModel(self, x, n_classes, folds, units)
            law = fit_law(null.rows, codes, n_classes)
        except OptimumError as e:
            raise SignalTestError(f"the residual-prediction test needs a certified linear model. {e}") from e
        linear = log_loss(law.out_of_fold, codes)
        shares = np.bincount(codes, minlength=n_classes) / len(codes)
        constant = float(-(shares * np.log(shares)).sum())
        p = softmax(law.out_of_fold)
        left = float((p * (1 - p)).sum() / 2)
        most = float(len(codes) * (shares * (1 - shares)).sum() / 2)
        if most < FEWEST:
            c = int(shares.argmin())
            raise SignalTestError(
                f"classes are too rare to test: with {np.bincount(codes)[c]} of {len(codes)} samples in class {c} the labels' "
                f"variance is that of {most:.1f} samples, and at least {FEWEST:.0f} are needed; leave it out (task.classes)"
            )
        known: dict[str, Any] = {"linear_log_loss": linear, "constant_log_loss": constant, "left": left}
        if linear < REDUNDANT * constant or left < FEWEST:
            return Verdict("redundant", None, **known, seconds=time.monotonic() - started)
        try:
            observed = null.look(codes, law, stream_seed(seed, "residual test", "real"))
        except OptimumError as e:
            raise SignalTestError(f"{e}. Leave rare classes out (task.classes, task.min_groups_per_class)") from e
        strength = null.restore(law, stream_seed(seed, "residual test", "strength")) if self.restore_strength else 1.0
        drawn_from = strengthened(law, strength)
        looks = []
        for b in range(self.draws):
            looks.append(null.draw(drawn_from, stream_seed(seed, "residual test", "draw", b))[1])
            if (b + 1) % max(1, self.draws // 10) == 0:
                each = (time.monotonic() - started) / (b + 1)
                said(
                    f"residual-prediction test: draw {b + 1} of {self.draws}, about {each * (self.draws - b - 1):.0f} s left"
                )
        statistics = judge([observed, *looks])
        p_value = statistics["best"].p_value
        return Verdict(
            "signal beyond linear" if p_value <= 0.05 else "none found",
            p_value,
            statistics,
            observed.gains,
            **known,
            strength=strength,
            draws=self.draws,
            seconds=round(time.monotonic() - started, 1),
        )


class NullModel:
    """One data set, reduced once for all labellings."""

    def __init__(self, test: ResidualTest, x: np.ndarray, n_classes: int, folds: np.ndarray, units: np.ndarray) -> None:
        self.test, self.n_classes, self.folds, self.units = test, n_classes, folds, units
        self.rows = FoldedRows(x, folds, units)
        self.data = Expression.of(x, test.n_components)

    def look(self, codes: np.ndarray, law: LinearLaw, seed: int) -> Look:
        """The statistics of one labelling, with its own linear law."""
        e = softmax(law.out_of_fold)
        values = score_statistics(self.data, one_hot(codes, self.n_classes) - e, e * (1 - e))
        statistics = {name: values[name] for name in self.test.statistics if name in values}
        gains: dict[str, float] = {}
        learners = [name for name in self.test.statistics if name in LEARNERS and name not in values]
        offsets = nested_offsets(self.rows, codes, self.n_classes, law) if learners else {}
        for name in ["linear", *learners] if learners else []:
            found = held_out(LEARNERS[name], self.data.x, offsets, codes, self.folds, seed)
            gains[name] = found.gain
            if name != "linear":
                statistics[name] = found.score
                statistics[f"{name}_gain"] = found.gain - gains["linear"]
        return Look(statistics, gains)

    def draw(self, law: LinearLaw, seed: int, attempts: int = 20) -> tuple[np.ndarray, Look]:
        """Labels drawn from a law, and what they give when the linear model is fitted anew."""
        for attempt in range(attempts):
            codes = law.draw(stream(seed, "labels", attempt), self.units)
            try:
                return codes, self.look(codes, self.refit(codes, law), seed)
            except OptimumError:  # a class does not reach two folds
                continue
        raise SignalTestError(
            f"in {attempts} draws from the linear law some class was missing outside a fold; leave rare classes out "
            "(task.classes, task.min_groups_per_class) or use fewer folds"
        )

    def refit(self, codes: np.ndarray, law: LinearLaw) -> LinearLaw:
        at = int(np.argmin(np.abs(np.log(GRID / law.relative_penalty))))
        return fit_law(self.rows, codes, self.n_classes, GRID[max(0, at - 2) : at + 3])

    def restore(self, law: LinearLaw, seed: int) -> float:
        """By how much the law's logits must be multiplied, 1 to 3, to undo what estimation takes from their spread: refits on
        draws from the law are as much narrower than the law as the law is narrower than the truth."""
        width = _width(law.logits)
        found = []
        for i in range(_DRAWS):
            codes = law.draw(stream(seed, "labels", i), self.units)
            try:
                found.append(_width(self.refit(codes, law).logits))
            except OptimumError:
                continue
        kept = float(np.mean(found)) / width if found and width > 0 else 1.0
        return float(np.clip(1 / max(kept, 1e-3), 1.0, 3.0))


def _width(logits: np.ndarray) -> float:
    return float(np.sqrt(((logits - logits.mean(0)) ** 2).mean()))


def strengthened(law: LinearLaw, strength: float) -> LinearLaw:
    """The law with its logits multiplied, about their mean, at the same class frequencies."""
    logits = law.logits - law.logits.mean(0)
    return replace(law, logits=with_frequencies(strength * logits, law.probabilities.mean(0)))


def judge(looks: Sequence[Look]) -> dict[str, Statistic]:
    """Each statistic of the first look against the others, and the best of them all: the largest, each standardised by its
    mean and standard deviation over the draws, against the same of each draw."""
    names = list(looks[0].statistics)
    values = np.array([[look.statistics[name] for name in names] for look in looks])
    null = values[1:]
    mean, sd = null.mean(0), null.std(0, ddof=1)
    scores = (values - mean) / np.where(sd > 0, sd, 1.0)
    judged = [name for name in names if not name.endswith("_gain")]
    best = scores[:, [names.index(name) for name in judged]].max(1)
    found = {
        name: Statistic(float(values[0, i]), float(mean[i]), float(sd[i]), rank_p_value(values[:, i]))
        for i, name in enumerate(names)
    }
    found["best"] = Statistic(float(best[0]), float(best[1:].mean()), float(best[1:].std(ddof=1)), rank_p_value(best))
    return found


def rank_p_value(values: np.ndarray) -> float:
    return float((1 + (values[1:] >= values[0]).sum()) / len(values))
