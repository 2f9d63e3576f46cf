"""Logistic regression and squared-hinge SVM with a ridge penalty, solved to a certified optimum.

Two classes have one score vector and K ≥ 3 have K, as in scikit-learn. Minimised over coefficients W of the prepared genes
and intercepts b, which are not penalised, with ω_i the class weight of sample i (mean 1):

    F(W, b) = (1/n) Σ_i ω_i · loss(W'x_i + b, y_i) + (λ/2) ‖W‖²

scikit-learn's LogisticRegression(C=1/(λ·n)) minimises n/λ times this. `relative_penalty` is λ over the mean squared distance
of a row from the mean row, so that it means the same for any number of genes and any scale.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from beyondlinear.errors import ConfigError, OptimumError
from beyondlinear.linear import newton
from beyondlinear.linear.losses import make_loss
from beyondlinear.linear.reduction import Gram, Reduction, in_blocks, reduce, reduce_gram, transposed_product
from beyondlinear.metrics import softmax
from beyondlinear.training import FitData, Outcome, Training
from beyondlinear.view import dense

Penalty = Annotated[float, Field(ge=0)]
_SAFETY = 0.5  # the solver aims below the tolerance, so that the check on the genes themselves finds it kept
_OF_LENGTH = 1e-5  # at which share of their length the coefficients are known
_DRIFT = 1e-2  # a Newton step at an optimum is tiny against the solution; where there is none it never gets so


@dataclass(frozen=True)
class Optimum:
    """A certified solution. coefficients: (n_genes, k) float64 of the prepared genes, None where only inner products are
    known; intercepts: (k,), for x as it is, not centred."""

    penalty: float
    coefficients: Tensor | None
    intercepts: Tensor
    objective: float
    relative_gradient: float
    steps: int


class _FitPart:
    """The fit part, reduced once for all penalties."""

    def __init__(self, data: FitData, loss: str, class_weights: bool) -> None:
        data.saw("weights", data.fit.rows)
        self.data, self.codes = data, torch.from_numpy(data.fit.codes)
        self.gram: Gram | None = data.gram
        self.reduction: Reduction = reduce(dense(data.fit.x)) if self.gram is None else reduce_gram(self.gram.fit)
        if self.reduction.z.shape[1] == 0:
            raise OptimumError(
                f"no gene varies over the {len(self.codes)} samples of the fit part, so a linear model has nothing to fit"
            )
        per_class = torch.from_numpy(data.class_weights()) if class_weights else torch.ones(data.n_classes).double()
        self.name, self.per_class = loss, per_class
        z = self.reduction.z
        self.problem = newton.Problem(z, z.float(), make_loss(loss, self.codes, data.n_classes), per_class[self.codes])

    def weighted_loss(self, scores: Tensor, codes: Tensor) -> Tensor:
        """(m,) mean weighted losses of (n, m, k) scores."""
        loss = make_loss(self.name, codes, self.data.n_classes)
        return (self.per_class[codes] @ loss.value(scores)) / len(codes)

    def scores(self, part: str, coefficients: Tensor, intercepts: Tensor) -> Tensor:
        """(n_part, m, k) scores of "tune" or "validation" for (rank, m, k) coefficients and (m, k) intercepts."""
        rank, m, k = coefficients.shape
        flat = coefficients.reshape(rank, m * k)
        if self.gram is not None:
            rows = self.reduction.row_weights(flat)
            raw = self.gram.others[part] @ rows - (self.gram.fit @ rows).mean(0)
        else:
            x = dense(self.data.validation_x if part == "validation" else self.data.tune.x)  # type: ignore[union-attr]
            genes = self.reduction.gene_coefficients(flat, dense(self.data.fit.x))
            raw = in_blocks(x, genes) - self.reduction.centre @ genes  # type: ignore[operator]
        return raw.view(-1, m, k) + intercepts

    def certify(self, solution: newton.Solution, penalty: float) -> Optimum:
        """Check one solution against the genes themselves, where they are at hand."""
        v, b = solution.coefficients[:, 0], solution.intercepts[0]
        relative = float(solution.relative_gradient[0])
        genes = None
        theta = solution.theta
        objective = self.problem.value(theta, self.problem.scores(theta), torch.tensor([penalty], dtype=torch.float64))
        if self.gram is None:
            x = dense(self.data.fit.x)
            genes = self.reduction.gene_coefficients(v, x)
            b = b - self.reduction.centre @ genes  # type: ignore[operator]
            pull = self.problem.loss.gradient((in_blocks(x, genes) + b)[:, None])[:, 0]
            pull *= self.problem.weights[:, None] / len(x)
            slope = transposed_product(x, pull) - torch.outer(self.reduction.centre, pull.sum(0)) + penalty * genes  # type: ignore[arg-type]
            norm = float(torch.cat([slope, pull.sum(0, keepdim=True)]).norm())
            relative = norm / self.problem.reference()
        return Optimum(penalty, genes, b, float(objective), relative, int(solution.steps.sum()))


@dataclass(frozen=True)
class RidgeModel:
    """A linear model at its optimum. conf/model/ridge_logistic.yaml explains the keys."""

    loss: Literal["logistic", "squared_hinge"]
    penalty: Penalty | None = None
    relative_penalty: Penalty | None = None
    largest: Annotated[float, Field(gt=0)] = 1.0
    smallest: Annotated[float, Field(gt=0)] = 1e-8
    n_penalties: Annotated[int, Field(ge=1)] = 25
    without_tune: Annotated[float, Field(gt=0)] = 1e-2
    patience: Annotated[int, Field(ge=1)] | None = 8
    class_weights: bool = True
    tolerance: Annotated[float, Field(gt=0, le=1e-2)] = 1e-6
    keep_coefficients: bool = False

    def __post_init__(self) -> None:
        if self.penalty is not None and self.relative_penalty is not None:
            raise ConfigError("model.penalty and model.relative_penalty are both set; set one of them, or none")
        if self.smallest > self.largest:
            raise ConfigError(f"model.smallest: {self.smallest} is above model.largest: {self.largest}")

    def grid(self) -> np.ndarray:
        """(n_penalties,) relative penalties, log-spaced, falling."""
        return np.geomspace(self.largest, self.smallest, self.n_penalties)

    def at(self, relative_penalty: float) -> "RidgeModel":
        """The same model with its penalty chosen."""
        return replace(self, penalty=None, relative_penalty=relative_penalty)

    @property
    def is_chosen(self) -> bool:
        return self.penalty is not None or self.relative_penalty is not None

    def minima(self, data: FitData) -> list[dict[str, float]]:
        """The certified minimum of F on the fit part at every penalty of the grid."""
        fit = _FitPart(data, self.loss, self.class_weights)
        penalties = torch.from_numpy(self.grid() * fit.reduction.mean_square)
        found = newton.solve(fit.problem, penalties, _SAFETY * self.tolerance)
        objectives = fit.problem.value(found.theta, fit.problem.scores(found.theta), penalties)
        return [{"penalty": a, "objective": b} for a, b in zip(penalties.tolist(), objectives.tolist(), strict=True)]

    def path_losses(self, data: FitData, part: str, codes: np.ndarray) -> list[dict[str, float]]:
        """One path over the grid: the weighted loss of "tune" or "validation" at each penalty, from the largest on.

        The path ends early once the loss has been above its best for `patience` penalties in a row.
        :param codes: the true classes of that part
        """
        return self._path(_FitPart(data, self.loss, self.class_weights), part, codes)[0]

    def _path(
        self, fit: _FitPart, part: str, codes: np.ndarray
    ) -> tuple[list[dict[str, float]], newton.Solution | None]:
        found: list[dict[str, float]] = []
        best: newton.Solution | None = None
        lowest, since, grid = np.inf, 0, self.grid()
        penalties = torch.from_numpy(grid * fit.reduction.mean_square)
        for s in newton.path(fit.problem, penalties, _SAFETY * self.tolerance):
            objectives = fit.problem.value(
                s.theta, fit.problem.scores(s.theta), penalties[len(found) :][: len(s.steps)]
            )
            losses = fit.weighted_loss(fit.scores(part, s.coefficients, s.intercepts), torch.from_numpy(codes))
            for i, loss in enumerate(losses.tolist()):
                at = len(found)
                relative = float(s.relative_gradient[i])
                found.append(
                    {
                        "penalty": float(penalties[at]),
                        "relative_penalty": float(grid[at]),
                        "loss": loss,
                        "objective": float(objectives[i]),
                        "relative_gradient": relative,
                    }
                )
                if relative <= self.tolerance and loss < lowest:
                    lowest, since, best = loss, 0, s.one(i)
                else:
                    since += 1
            if self.patience is not None and since >= self.patience:
                break
        return found, best

    def fit(self, data: FitData, training: Training, logger: Any = False, on_epoch: Any = None) -> Outcome:
        """Solve on data.fit; without a penalty of its own, the one with the lowest weighted tune loss.

        :raises OptimumError: no gene varies, no optimum exists (no penalty on separable data), or none could be certified
        """
        fit = _FitPart(data, self.loss, self.class_weights)
        scale, chosen_by = fit.reduction.mean_square, "the config"
        losses: list[dict[str, float]] = []
        solution = None
        if self.is_chosen:
            penalty = self.penalty if self.penalty is not None else self.relative_penalty * scale  # type: ignore[operator]
        elif data.tune is not None:
            chosen_by = "the lowest weighted loss of the tune part"
            data.saw("penalty", data.tune.rows)
            losses, solution = self._path(fit, "tune", data.tune.codes)
            if solution is None:
                raise OptimumError("no penalty of the path could be solved to model.tolerance; standardise the genes")
            penalty = (
                min((x for x in losses if x["relative_gradient"] <= self.tolerance), key=lambda x: x["loss"])[
                    "relative_penalty"
                ]
                * scale
            )
        else:
            chosen_by = "model.without_tune (there is no tune part)"
            penalty = self.without_tune * scale
        if solution is None:
            solution = newton.solve(fit.problem, torch.tensor([penalty], dtype=torch.float64), _SAFETY * self.tolerance)
        solution = newton.polish(fit.problem, solution, penalty, _SAFETY * self.tolerance, _OF_LENGTH)
        optimum = fit.certify(solution, penalty)
        self._refuse(fit, solution, optimum)
        validation = _two_columns(fit.scores("validation", solution.coefficients, solution.intercepts))
        tune = None
        if data.tune is not None:
            tune = _two_columns(fit.scores("tune", solution.coefficients, solution.intercepts))
        extra = {}
        if self.keep_coefficients and optimum.coefficients is not None:
            extra = {"coefficients": optimum.coefficients.numpy(), "intercepts": optimum.intercepts.numpy()}
        logistic = self.loss == "logistic"
        shift = data.log_frequencies() if self.class_weights else 0.0
        return Outcome(
            scores=validation,
            probabilities=softmax(validation + shift) if logistic else None,
            tune_scores=tune,
            hyperparameters={
                "penalty": penalty,
                "relative_penalty": penalty / scale,
                "C": 1 / (penalty * len(data.fit)) if penalty else None,
                "penalty_chosen_by": chosen_by,
            },
            training={
                "epochs": None,
                "objective": optimum.objective,
                "relative_gradient": optimum.relative_gradient,
                "certified_on": "genes" if optimum.coefficients is not None else "inner products",
                "newton_steps": optimum.steps,
                "path": losses,
                "beats_constant": self._beats_constant(fit, tune, data),
            },
            arrays=extra,
            optimum=optimum,
        )

    def _refuse(self, fit: _FitPart, solution: newton.Solution, optimum: Optimum) -> None:
        if optimum.penalty == 0 and (
            bool(fit.problem.separated(solution).all())
            or fit.problem.drift(solution) > _DRIFT
            or not fit.problem.unique(solution, _SAFETY * self.tolerance)
        ):
            raise OptimumError(
                f"model.penalty: 0 has no {'' if self.loss == 'logistic' else 'unique '}optimum on this fit part: its "
                f"{len(fit.codes)} samples are linearly separable, wholly or in part, or its genes differ too much in scale to "
                "tell; give a penalty above 0, null to have it chosen, or scale=standardise"
            )
        if not optimum.relative_gradient <= self.tolerance:
            raise OptimumError(
                f"the optimum could not be certified: relative gradient {optimum.relative_gradient:.1e} after "
                f"{optimum.steps} Newton steps, model.tolerance is {self.tolerance:g}; use a larger penalty or standardise the "
                "genes (scale=standardise)"
            )

    def _beats_constant(self, fit: _FitPart, tune: np.ndarray | None, data: FitData) -> bool | None:
        if tune is None or data.tune is None:
            return None
        codes = torch.from_numpy(data.tune.codes)
        k = fit.problem.loss.n_vectors
        scores = torch.from_numpy(tune[:, 1:] - tune[:, :1] if k == 1 else tune)[:, None]
        return bool(fit.weighted_loss(scores, codes) < fit.weighted_loss(torch.zeros_like(scores), codes))


def _two_columns(scores: Tensor) -> np.ndarray:
    """(n, 1, k) scores as (n, n_classes); one vector s becomes −s/2 and s/2, whose softmax is its sigmoid."""
    s = scores[:, 0].numpy()
    return np.c_[-s / 2, s / 2] if s.shape[1] == 1 else s
