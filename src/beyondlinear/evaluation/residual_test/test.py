"""The residual-prediction test: is there signal that the certified linear model cannot use?

Null hypothesis: the labels follow one multinomial logistic model of the expression (`NullModel`).
Its calibrated out-of-fold logits are the offset; what is left, r = y − e, is searched for
products of genes (`scores.py`) and offered to learners that are judged on held-out folds
(`learners.py`), a second linear one among them. The null distribution is a parametric bootstrap:
labels drawn from the null model, the model refitted and recalibrated on every draw, everything else
repeated (Shah & Bühlmann 2018, 10.1111/rssb.12234; Janková et al. 2020,
10.1111/rssb.12371).

Estimation takes strength from a model, and a refit takes it once more. The model that is drawn from
is therefore given back what refits on its own draws lose. The test is approximate; its size is
measured, not proved: benchmarks/residual_test.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from beyondlinear.evaluation.residual_test.learners import LEARNERS, held_out, one_hot
from beyondlinear.evaluation.residual_test.scores import Expression, score_statistics
from beyondlinear.evaluation.residual_test.significance import LabellingScores, Statistic, judge
from beyondlinear.models.linear.null_model import (
    GRID,
    FoldedRows,
    NullModel,
    fit_null_model,
    log_loss,
    nested_offsets,
    with_frequencies,
)
from beyondlinear.models.probabilities import softmax
from beyondlinear.runtime.errors import OptimumError, SignalTestError, choices
from beyondlinear.runtime.seeds import stream, stream_seed

SCORES = ("pairs", "many_pairs", "components")
# share of the constant's log-loss below which the linear model leaves nothing to use
REDUNDANT = 0.02
FEWEST = 10.0  # sum of residual variances, in samples, below which nothing can be tested
_DRAWS = 6  # from the null model, to see how much of its spread a refit keeps
LEVEL = 0.05

Conclusion = Literal["signal beyond linear", "none found", "redundant"]


@dataclass(frozen=True)
class ResidualTestResult:
    """What one residual-prediction test found.

    verdict: what it says at level .05; p_value: of the best of the statistics; gains: by
    how much each learner lowers the held-out log-loss of the linear model; linear_log_loss,
    constant_log_loss: of that model, out of fold, and of none; left: sum of residual variances in
    samples; strength: by how much the null model's logits were multiplied.
    """

    verdict: Conclusion
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
        """Of JSON's types, for the record."""
        return asdict(self)


@dataclass(frozen=True)
class ResidualTest:
    """conf/residual_test/standard.yaml explains the keys."""

    statistics: Annotated[Sequence[str], Field(min_length=1)] = (
        "pairs",
        "many_pairs",
        "components",
        "forest",
    )
    draws: Annotated[int, Field(ge=19)] = 199
    n_components: Annotated[int, Field(ge=1)] = 10
    restore_strength: bool = True

    def __post_init__(self) -> None:
        learners = [name for name in LEARNERS if name != "linear"]
        known = [*SCORES, *learners]
        for name in self.statistics:
            if name not in known:
                raise SignalTestError(
                    f"residual_test.statistics: '{name}' is none. {choices(name, known)}"
                )

    def run(
        self,
        x: np.ndarray,
        codes: np.ndarray,
        n_classes: int,
        folds: np.ndarray,
        units: np.ndarray,
        seed: int,
        said: Callable[[str], None] = lambda text: None,
    ) -> ResidualTestResult:
        """Test one data set.

        :param x: (n, n_genes) float32, standardised per gene over all rows (which needs no label)
        :param codes: (n,) class of each row
        :param folds: (n,) fold of each row; groups lie in one fold
        :param units: (n,) rows of one unit share their label
        :param said: is told how far the draws are
        :raises SignalTestError: the linear model cannot be fitted or certified, or draws lose a
            class
        """
        started = time.monotonic()
        try:
            null = BootstrapNull(self, x, n_classes, folds, units)
            null_model = fit_null_model(null.rows, codes, n_classes)
        except OptimumError as e:
            raise SignalTestError(
                f"the residual-prediction test needs a certified linear model. {e}"
            ) from e
        linear = log_loss(null_model.out_of_fold, codes)
        counts = np.bincount(codes, minlength=n_classes)
        shares = counts / len(codes)
        constant = float(-(shares * np.log(shares)).sum())
        # Σ p(1 − p) over rows and classes; halved, because in two classes both tell the same
        p = softmax(null_model.out_of_fold)
        left = float((p * (1 - p)).sum() / 2)
        most = float(len(codes) * (shares * (1 - shares)).sum() / 2)
        if most < FEWEST:
            rarest = int(shares.argmin())
            raise SignalTestError(
                f"classes are too rare to test: with {counts[rarest]} of {len(codes)} samples in"
                f" class {rarest} the labels' variance is that of {most:.1f} samples,"
                f" and at least {FEWEST:.0f} are needed; leave it out (task.classes)"
            )
        if linear < REDUNDANT * constant or left < FEWEST:
            return ResidualTestResult(
                verdict="redundant",
                p_value=None,
                linear_log_loss=linear,
                constant_log_loss=constant,
                left=left,
                seconds=time.monotonic() - started,
            )
        try:
            observed = null.look(codes, null_model, stream_seed(seed, "residual test", "real"))
        except OptimumError as e:
            raise SignalTestError(
                f"{e}. Leave rare classes out (task.classes, task.min_groups_per_class)"
            ) from e
        strength = 1.0
        if self.restore_strength:
            strength = null.restore(null_model, stream_seed(seed, "residual test", "strength"))
        drawn_from = strengthened(null_model, strength)
        looks = []
        for n_done in range(1, self.draws + 1):
            draw_seed = stream_seed(seed, "residual test", "draw", n_done - 1)
            looks.append(null.draw(drawn_from, draw_seed)[1])
            if n_done % max(1, self.draws // 10) == 0:
                seconds_a_draw = (time.monotonic() - started) / n_done
                seconds_left = seconds_a_draw * (self.draws - n_done)
                said(
                    f"residual-prediction test: draw {n_done} of {self.draws},"
                    f" about {seconds_left:.0f} s left"
                )
        statistics = judge([observed, *looks])
        p_value = statistics["best"].p_value
        return ResidualTestResult(
            verdict="signal beyond linear" if p_value <= LEVEL else "none found",
            p_value=p_value,
            statistics=statistics,
            gains=observed.gains,
            linear_log_loss=linear,
            constant_log_loss=constant,
            left=left,
            strength=strength,
            draws=self.draws,
            seconds=round(time.monotonic() - started, 1),
        )


class BootstrapNull:
    """One data set, reduced once for all labellings."""

    def __init__(
        self,
        test: ResidualTest,
        x: np.ndarray,
        n_classes: int,
        folds: np.ndarray,
        units: np.ndarray,
    ) -> None:
        self.test = test
        self.n_classes = n_classes
        self.folds = folds
        self.units = units
        self.rows = FoldedRows(x, folds, units)
        self.data = Expression.of(x, test.n_components)

    def look(self, codes: np.ndarray, null_model: NullModel, seed: int) -> LabellingScores:
        """The statistics of one labelling, with the null model that was fitted to it."""
        e = softmax(null_model.out_of_fold)
        residuals = one_hot(codes, self.n_classes) - e
        values = score_statistics(self.data, residuals, e * (1 - e))
        statistics = {name: values[name] for name in self.test.statistics if name in values}
        # "pairs" is a statistic and a learner: as a statistic it is that of `scores.py`
        learners = [
            name for name in self.test.statistics if name in LEARNERS and name not in values
        ]
        gains: dict[str, float] = {}
        if not learners:
            return LabellingScores(statistics, gains)
        offsets = nested_offsets(self.rows, codes, self.n_classes, null_model)
        for name in ["linear", *learners]:
            found = held_out(LEARNERS[name], self.data.x, offsets, codes, self.folds, seed)
            gains[name] = found.gain
            if name != "linear":
                statistics[name] = found.score
                statistics[f"{name}_gain"] = found.gain - gains["linear"]
        return LabellingScores(statistics, gains)

    def draw(
        self, null_model: NullModel, seed: int, attempts: int = 20
    ) -> tuple[np.ndarray, LabellingScores]:
        """Labels drawn from a null model, and what they give when it is fitted to them anew.

        :raises SignalTestError: every draw lost a class outside some fold
        """
        for attempt in range(attempts):
            codes = null_model.draw(stream(seed, "labels", attempt), self.units)
            try:
                return codes, self.look(codes, self.refit(codes, null_model), seed)
            except OptimumError:  # a class does not reach two folds
                continue
        raise SignalTestError(
            f"in {attempts} draws from the linear law some class was missing outside a fold;"
            " leave rare classes out (task.classes, task.min_groups_per_class) or use fewer folds"
        )

    def refit(self, codes: np.ndarray, null_model: NullModel) -> NullModel:
        """Fitted to other labels, with a penalty from the five nearest that of `null_model`."""
        distances = np.abs(np.log(GRID / null_model.relative_penalty))
        nearest = int(np.argmin(distances))
        penalties = GRID[max(0, nearest - 2) : nearest + 3]
        return fit_null_model(self.rows, codes, self.n_classes, penalties)

    def restore(self, null_model: NullModel, seed: int) -> float:
        """By how much the logits must be multiplied, 1 to 3, to undo what estimation takes from
        their spread: refits on draws from the null model are as much narrower than it as it is
        narrower than the truth.
        """
        spread = _spread(null_model.logits)
        of_refits = []
        for i in range(_DRAWS):
            codes = null_model.draw(stream(seed, "labels", i), self.units)
            try:
                refitted = self.refit(codes, null_model)
            except OptimumError:
                continue
            of_refits.append(_spread(refitted.logits))
        kept = 1.0
        if of_refits and spread > 0:
            kept = float(np.mean(of_refits)) / spread
        return float(np.clip(1 / max(kept, 1e-3), 1.0, 3.0))


def _spread(logits: np.ndarray) -> float:
    """Root mean square distance of the logits from each class's mean."""
    return float(np.sqrt(((logits - logits.mean(0)) ** 2).mean()))


def strengthened(null_model: NullModel, strength: float) -> NullModel:
    """The model with its logits multiplied, about their mean, at the same class frequencies."""
    centred = null_model.logits - null_model.logits.mean(0)
    frequencies = null_model.probabilities.mean(0)
    return replace(null_model, logits=with_frequencies(strength * centred, frequencies))
