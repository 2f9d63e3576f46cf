"""Removal by thinning: no gene is touched; samples leave until the linear model can no longer tell the classes apart.

If the labels follow a linear law e(x) = P(y | x), e is their propensity score, and the label is independent of the expression
given e (Rosenbaum & Rubin 1983, 10.1093/biomet/70.1.41). A sample of class y stays with probability min_k e_k(x) / e_y(x)
(matching weights: Li & Greene 2013, 10.1515/ijb-2012-0030). Among those that stay P(y | x) is then uniform for every x, so
that no model whatever can beat chance, clusters, grids and skewed genes or not. If the labels follow no linear law, P(y | x)
among those that stay is proportional to p(y | x) / e_y(x): what the linear model leaves, and nothing else.
"""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from beyondlinear.balance import assign
from beyondlinear.errors import OptimumError, RemovalError
from beyondlinear.linear.law import FoldedRows, LinearLaw, fit_law
from beyondlinear.metrics import softmax
from beyondlinear.removal.modes import FEW, LabelFreeRemoval, LabelsOf, Removal, Rows
from beyondlinear.seeds import stream

REDUNDANT = "redundant"  # how the reason begins where the linear model leaves nothing to look at


class ThinningRemoval(Removal):
    """Thinning by a linear law that is fitted on the fit part; rows of the fit part are judged out of fold.

    Which rows stay depends on each row's own label (oracle, as evaluation is); the law itself sees the fit part alone.
    conf/signal_removal/resistant.yaml explains the keys.
    """

    labels_of: LabelsOf = "every part"
    learns = True
    thins = True

    def __init__(
        self,
        folds: Annotated[int, Field(ge=2)] = 5,
        otherwise: Literal["refuse", "projection"] = "refuse",
        seed: int = 0,
        law: LinearLaw | None = None,
    ) -> None:
        self.folds, self.otherwise, self.seed, self.law = folds, otherwise, seed, law
        self.fitted_on = np.empty(0, dtype=np.int64)

    def learn(self, fit: Rows) -> Removal:
        """The thinning; or, where it is redundant and `otherwise` asks for it, the projection.

        :raises RemovalError: no linear law could be certified, or it leaves fewer than 10 samples of a class"""
        k = len(fit.classes)
        n_groups = len(np.unique(fit.groups))
        folds = min(self.folds, n_groups)
        bins = assign(fit.groups, fit.codes, k, np.full(folds, 1 / folds), stream(self.seed, "thinning", "folds"))
        try:
            law = fit_law(FoldedRows(fit.x, bins), fit.codes, k, for_new_rows=True)
        except OptimumError as e:
            raise RemovalError(f"thinning needs a linear law of {fit.where}. {e}") from e
        learnt = ThinningRemoval(self.folds, self.otherwise, self.seed, law)
        learnt.fitted_on = fit.positions
        left = np.bincount(fit.codes[learnt.kept(fit)], minlength=k)
        if left.min() < FEW and self.otherwise == "projection":
            return _Instead("projection").learn(fit)
        if left.min() < FEW:
            c = int(left.argmin())
            raise RemovalError(
                f"{REDUNDANT}: the linear model is so sure of its classes that of class '{fit.classes[c]}' only {left[c]} of "
                f"{int((fit.codes == c).sum())} samples of {fit.where} have a match in the others (at least {FEW} are needed); "
                "nothing is left for another model to show"
            )
        return learnt

    def kept(self, rows: Rows) -> np.ndarray:
        assert self.law is not None
        law: LinearLaw = self.law
        if np.array_equal(rows.positions, self.fitted_on):
            logits = law.out_of_fold
        else:
            logits = rows.x @ law.coefficients + law.intercepts
        e = softmax(logits)
        own = e[np.arange(len(e)), rows.codes]
        # one number a sample for the whole run: every model, fold and fraction thins by the same
        chance = stream(self.seed, "thinning").random(int(rows.positions.max(initial=-1)) + 1)[rows.positions]
        stays: Any = chance * own < e.min(1)
        return stays

    def remove(self, rows: Rows) -> list[str]:
        stays = self.kept(rows)
        left = np.bincount(rows.codes[stays], minlength=len(rows.classes))
        if (left[np.unique(rows.codes)] == 0).any():
            c = int(np.flatnonzero((left == 0) & (np.bincount(rows.codes, minlength=len(left)) > 0))[0])
            raise RemovalError(
                f"{REDUNDANT}: of class '{rows.classes[c]}' no sample of {rows.where} has a match in the other classes; the "
                "linear model leaves nothing for another one to show"
            )
        few = [f"{c} {n}" for c, n in zip(rows.classes, left, strict=True) if 0 < n < FEW]
        return [f"thinning leaves fewer than {FEW} samples of a class in {rows.where}: {', '.join(few)}"] if few else []


class _Instead(LabelFreeRemoval):
    """The projection where thinning would leave nothing; says so beside every result."""

    def learn(self, fit: Rows) -> "_Instead":
        learnt = _Instead(self.method)
        learnt.eraser = super().learn(fit).eraser
        return learnt

    def remove(self, rows: Rows) -> list[str]:
        said = super().remove(rows)
        if rows.name == "fit":
            said.append(
                "thinning is redundant (the linear model is too sure of its classes), projected instead: only linear models "
                "are sure to be at chance now"
            )
        return said
