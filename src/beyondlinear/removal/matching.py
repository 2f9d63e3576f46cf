"""Removal by matching: no gene is touched; samples leave until the linear model can no longer tell
the classes apart.

If the labels follow a linear null model e(x) = P(y | x), e is their propensity score, and the label
is independent of the expression given e (Rosenbaum & Rubin 1983, 10.1093/biomet/70.1.41). A sample
of class y stays with probability min_k e_k(x) / e_y(x) (matching weights: Li & Greene 2013,
10.1515/ijb-2012-0030). Among those that stay P(y | x) is then uniform for every x, so that no model
whatever can beat chance, clusters, grids and skewed genes or not. If the labels follow no linear
model, P(y | x) among those that stay is proportional to p(y | x) / e_y(x): what the linear model
leaves, and nothing else.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from beyondlinear.models.linear.null_model import FoldedRows, NullModel, fit_null_model
from beyondlinear.models.probabilities import softmax
from beyondlinear.removal.modes import (
    FEW,
    LabelFreeRemoval,
    LabelsOf,
    Removal,
    Rows,
    few_samples,
)
from beyondlinear.runtime.errors import OptimumError, RemovalError
from beyondlinear.runtime.seeds import stream
from beyondlinear.tasks.group_assignment import assign

REDUNDANT = "redundant"  # how the reason begins where the linear model leaves nothing to look at


class MatchingRemoval(Removal):
    """Matching by a linear null model that is fitted on the train part; rows of the train part are
    judged out of fold.

    Which rows stay depends on each row's own label (oracle, as evaluation is); the null model sees
    the train part alone. conf/signal_removal/matching.yaml explains the keys.
    """

    labels_of: LabelsOf = "every part"
    learns = True
    thins = True

    def __init__(
        self,
        folds: Annotated[int, Field(ge=2)] = 5,
        otherwise: Literal["refuse", "projection"] = "refuse",
        seed: int = 0,
        null_model: NullModel | None = None,
    ) -> None:
        self.folds = folds
        self.otherwise = otherwise
        self.seed = seed
        self.null_model = null_model
        self.train_positions = np.empty(0, dtype=np.int64)

    def fit(self, train: Rows) -> Removal:
        """The matching; or, where it is redundant and `otherwise` asks for it, the projection.

        :raises RemovalError: no linear null model could be certified, or it leaves fewer than 10
            samples of a class
        """
        n_classes = len(train.classes)
        folds = min(self.folds, len(np.unique(train.groups)))
        shares = np.full(folds, 1 / folds)
        random = stream(self.seed, "thinning", "folds")
        fold_of_row = assign(train.groups, train.codes, n_classes, shares, random)
        try:
            folded = FoldedRows(train.x, fold_of_row)
            null_model = fit_null_model(folded, train.codes, n_classes, for_new_rows=True)
        except OptimumError as e:
            raise RemovalError(f"matching needs a linear model of {train.description}. {e}") from e
        fitted = MatchingRemoval(self.folds, self.otherwise, self.seed, null_model)
        fitted.train_positions = train.positions
        n_left = np.bincount(train.codes[fitted.rows_to_keep(train)], minlength=n_classes)
        if n_left.min() >= FEW:
            return fitted
        if self.otherwise == "projection":
            return _ProjectionInstead("projection").fit(train)
        rarest = int(n_left.argmin())
        n_before = int((train.codes == rarest).sum())
        raise RemovalError(
            f"{REDUNDANT}: the linear model is so sure of its classes that of class"
            f" '{train.classes[rarest]}' only {n_left[rarest]} of {n_before} samples of"
            f" {train.description} have a match in the others (at least {FEW} are needed); nothing"
            " is left for another model to show"
        )

    def rows_to_keep(self, rows: Rows) -> np.ndarray:
        """(n,) bool, drawn with the matching weights min_k e_k(x) / e_y(x)."""
        model = self.null_model
        assert model is not None
        if np.array_equal(rows.positions, self.train_positions):
            logits = model.out_of_fold
        else:
            logits = rows.x @ model.coefficients + model.intercepts
        propensities = softmax(logits)
        own_propensity = propensities[np.arange(len(rows.codes)), rows.codes]
        # one number a sample for the whole run: every model, fold and fraction thins by the same
        n_samples = int(rows.positions.max(initial=-1)) + 1
        uniform = stream(self.seed, "thinning").random(n_samples)[rows.positions]
        stays: np.ndarray = uniform * own_propensity < propensities.min(1)
        return stays

    def transform(self, rows: Rows) -> list[str]:
        """Changes nothing; warns where few samples of a class stay.

        :raises RemovalError: no sample of a class stays
        """
        n_classes = len(rows.classes)
        n_before = np.bincount(rows.codes, minlength=n_classes)
        n_left = np.bincount(rows.codes[self.rows_to_keep(rows)], minlength=n_classes)
        emptied = np.flatnonzero((n_left == 0) & (n_before > 0))
        if len(emptied):
            raise RemovalError(
                f"{REDUNDANT}: of class '{rows.classes[emptied[0]]}' no sample of"
                f" {rows.description} has a match in the other classes; the linear model leaves"
                " nothing for another one to show"
            )
        few = few_samples(rows.classes, n_left)
        if not few:
            return []
        return [f"matching leaves fewer than {FEW} samples of a class in {rows.description}: {few}"]


class _ProjectionInstead(LabelFreeRemoval):
    """The projection where matching would leave nothing; says so beside every result."""

    def fit(self, train: Rows) -> "_ProjectionInstead":
        fitted = _ProjectionInstead(self.method)
        fitted.eraser = super().fit(train).eraser
        return fitted

    def transform(self, rows: Rows) -> list[str]:
        warnings = super().transform(rows)
        if rows.name == "train":
            warnings.append(
                "matching is redundant (the linear model is too sure of its classes), projected"
                " instead: only linear models are sure to be at chance now"
            )
        return warnings
