"""Logistic regression and squared-hinge SVM with a ridge penalty, solved to a certified optimum.

Two classes have one score vector and K ≥ 3 have K, as in scikit-learn. Minimised over coefficients
W of the prepared genes and intercepts b, which are not penalised, with ω_i the class weight of
sample i (mean 1):

    F(W, b) = (1/n) Σ_i ω_i · loss(W'x_i + b, y_i) + (λ/2) ‖W‖²

scikit-learn's LogisticRegression(C=1/(λ·n)) minimises n/λ times this. `relative_penalty` is λ over
the mean squared distance of a row from the mean row, so that it means the same for any number of
genes and any scale.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from pytorch_lightning.loggers import Logger
from torch import nn

from beyondlinear.models.interface import (
    FitData,
    FitResult,
    ModelProperties,
    Optimum,
    TrainerConfig,
)
from beyondlinear.models.linear import newton
from beyondlinear.models.linear.reduced_problem import ReducedProblem
from beyondlinear.models.probabilities import softmax
from beyondlinear.runtime.errors import ConfigError, OptimumError

Penalty = Annotated[float, Field(ge=0)]
# the solver aims below the tolerance, so that the check on the genes themselves finds it kept
_SAFETY = 0.5
_OF_LENGTH = 1e-5  # at which share of their length the coefficients are known
# a Newton step at an optimum is tiny against the solution; where there is none it never gets so
_DRIFT = 1e-2


@dataclass(frozen=True)
class RidgeModel:
    """A linear model at its optimum. conf/model/ridge_logistic.yaml explains the keys."""

    loss: Literal["logistic", "squared_hinge"]
    penalty: Penalty | None = None
    relative_penalty: Penalty | None = None
    largest: Annotated[float, Field(gt=0)] = 1.0
    smallest: Annotated[float, Field(gt=0)] = 1e-8
    n_penalties: Annotated[int, Field(ge=1)] = 25
    without_validation: Annotated[float, Field(gt=0)] = 1e-2
    patience: Annotated[int, Field(ge=1)] | None = 8
    class_weights: bool = True
    tolerance: Annotated[float, Field(gt=0, le=1e-2)] = 1e-6
    keep_coefficients: bool = False

    reads_scaled_rows: ClassVar[bool] = False
    can_pretrain: ClassVar[bool] = False
    report_optimum: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.penalty is not None and self.relative_penalty is not None:
            raise ConfigError(
                "model.penalty and model.relative_penalty are both set; set one of them, or none"
            )
        if self.smallest > self.largest:
            raise ConfigError(
                f"model.smallest: {self.smallest} is above model.largest: {self.largest}"
            )

    @property
    def properties(self) -> ModelProperties:
        return ModelProperties(
            linear=True,
            certified=True,
            probabilities=self.loss == "logistic",
            coefficients=True,
        )

    @property
    def tuned_by(self) -> Literal["path"] | None:
        return None if self.is_chosen else "path"

    @property
    def needs_no_genes(self) -> bool:
        return not self.keep_coefficients

    def runs_on_one_thread(self, trainer: TrainerConfig, n_genes: int, n_classes: int) -> bool:
        return False

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
        """The certified minimum of F on the train part at every penalty of the grid."""
        train = ReducedProblem(data, self.loss, self.class_weights)
        penalties = torch.from_numpy(self.grid() * train.reduction.mean_square)
        solved = newton.solve(train.problem, penalties, _SAFETY * self.tolerance)
        scores = train.problem.scores(solved.theta)
        objectives = train.problem.value(solved.theta, scores, penalties)
        return [
            {"penalty": penalty, "objective": objective}
            for penalty, objective in zip(penalties.tolist(), objectives.tolist(), strict=True)
        ]

    def path_losses(self, data: FitData, part: str, codes: np.ndarray) -> list[dict[str, float]]:
        """One path over the grid: the weighted loss of "validation" or "test" at each penalty, from
        the largest on.

        The path ends early once the loss has been above its best for `patience` penalties in a row.
        :param codes: the true classes of that part
        """
        train = ReducedProblem(data, self.loss, self.class_weights)
        steps, _ = self._path(train, part, codes)
        return steps

    def _path(
        self, train: ReducedProblem, part: str, codes: np.ndarray
    ) -> tuple[list[dict[str, float]], newton.Solution | None]:
        """Each penalty's losses, and the solution of the lowest; None where none was solved to the
        tolerance."""
        grid = self.grid()
        penalties = torch.from_numpy(grid * train.reduction.mean_square)
        true_classes = torch.from_numpy(codes)
        steps: list[dict[str, float]] = []
        best: newton.Solution | None = None
        lowest_loss = np.inf
        steps_since_best = 0
        # newton solves several penalties at once: a solution holds the next few of the grid
        for solved in newton.path(train.problem, penalties, _SAFETY * self.tolerance):
            train_scores = train.problem.scores(solved.theta)
            these_penalties = penalties[len(steps) : len(steps) + len(solved.steps)]
            objectives = train.problem.value(solved.theta, train_scores, these_penalties)
            part_scores = train.scores(part, solved.coefficients, solved.intercepts)
            losses = train.weighted_loss(part_scores, true_classes)
            for i, loss in enumerate(losses.tolist()):
                at = len(steps)
                relative_gradient = float(solved.relative_gradient[i])
                steps.append(
                    {
                        "penalty": float(penalties[at]),
                        "relative_penalty": float(grid[at]),
                        "loss": loss,
                        "objective": float(objectives[i]),
                        "relative_gradient": relative_gradient,
                    }
                )
                if relative_gradient <= self.tolerance and loss < lowest_loss:
                    lowest_loss = loss
                    steps_since_best = 0
                    best = solved.one(i)
                else:
                    steps_since_best += 1
            if self.patience is not None and steps_since_best >= self.patience:
                break
        return steps, best

    def fit(
        self,
        data: FitData,
        trainer: TrainerConfig,
        logger: Logger | list[Logger] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        start: nn.Module | None = None,
        checkpoint: Path | None = None,
    ) -> FitResult:
        """Solve on data.train; without a penalty of its own, the one with the lowest weighted
        validation loss. There are no epochs to log, to tell of or to save.

        :raises OptimumError: no gene varies, no optimum exists (no penalty on separable data), or
            none could be certified
        """
        train = ReducedProblem(data, self.loss, self.class_weights)
        scale = train.reduction.mean_square
        rows_used = {"weights": data.train.rows}
        if self.class_weights:
            rows_used["class weights"] = data.train.rows
        path: list[dict[str, float]] = []
        solution: newton.Solution | None = None
        chosen_by = "the config"
        if self.penalty is not None:
            penalty = self.penalty
        elif self.relative_penalty is not None:
            penalty = self.relative_penalty * scale
        elif data.validation is not None:
            path, solution = self._path(train, "validation", data.validation.codes)
            penalty = self._best_of(path)["relative_penalty"] * scale
            chosen_by = "the lowest weighted loss of the validation part"
            rows_used["penalty"] = data.validation.rows
        else:
            penalty = self.without_validation * scale
            chosen_by = "model.without_validation (there is no validation part)"
        tolerance = _SAFETY * self.tolerance
        if solution is None:
            penalties = torch.tensor([penalty], dtype=torch.float64)
            solution = newton.solve(train.problem, penalties, tolerance)
        solution = newton.polish(train.problem, solution, penalty, tolerance, _OF_LENGTH)
        optimum = train.certify(solution, penalty)
        self._refuse(train, solution, optimum)

        test_scores = train.class_scores("test", solution)
        validation_scores = None
        if data.validation is not None:
            validation_scores = train.class_scores("validation", solution)
        probabilities = None
        if self.loss == "logistic":
            shift = data.log_frequencies() if self.class_weights else 0.0
            probabilities = softmax(test_scores + shift)
        arrays = {}
        if self.keep_coefficients and optimum.coefficients is not None:
            arrays["coefficients"] = optimum.coefficients.numpy()
            arrays["intercepts"] = optimum.intercepts.numpy()
        return FitResult(
            scores=test_scores,
            probabilities=probabilities,
            validation_scores=validation_scores,
            rows_used=rows_used,
            hyperparameters={
                "penalty": penalty,
                "relative_penalty": penalty / scale,
                "C": 1 / (penalty * len(data.train)) if penalty else None,
                "penalty_chosen_by": chosen_by,
            },
            training={
                "epochs": None,
                "objective": optimum.objective,
                "relative_gradient": optimum.relative_gradient,
                "certified_on": "genes" if optimum.coefficients is not None else "inner products",
                "newton_steps": optimum.steps,
                "path": path,
                "beats_constant": self._beats_constant(train, validation_scores, data),
            },
            arrays=arrays,
            optimum=optimum,
        )

    def _best_of(self, path: list[dict[str, float]]) -> dict[str, float]:
        """The step of a path with the lowest loss, among those that were solved.

        :raises OptimumError: none was
        """
        solved = [step for step in path if step["relative_gradient"] <= self.tolerance]
        if not solved:
            raise OptimumError(
                "no penalty of the path could be solved to model.tolerance; standardise the genes"
            )
        return min(solved, key=lambda step: step["loss"])

    def _refuse(self, train: ReducedProblem, solution: newton.Solution, optimum: Optimum) -> None:
        """:raises OptimumError: there is no optimum, or this is not one to the tolerance"""
        has_no_optimum = optimum.penalty == 0 and (
            bool(train.problem.separated(solution).all())
            or train.problem.drift(solution) > _DRIFT
            or not train.problem.unique(solution, _SAFETY * self.tolerance)
        )
        if has_no_optimum:
            kind = "" if self.loss == "logistic" else "unique "
            raise OptimumError(
                f"model.penalty: 0 has no {kind}optimum on"
                f" this train part: its {len(train.codes)} samples are linearly separable, wholly"
                " or in part, or its genes differ too much in scale to tell; give a penalty above"
                " 0, null to have it chosen, or scale=standardise"
            )
        if not optimum.relative_gradient <= self.tolerance:
            raise OptimumError(
                "the optimum could not be certified: relative gradient"
                f" {optimum.relative_gradient:.1e} after {optimum.steps} Newton steps,"
                f" model.tolerance is {self.tolerance:g}; use a larger penalty or standardise the"
                " genes (scale=standardise)"
            )

    def _beats_constant(
        self, train: ReducedProblem, scores: np.ndarray | None, data: FitData
    ) -> bool | None:
        """Whether the validation loss of these scores is below that of equal scores for all
        classes."""
        if scores is None or data.validation is None:
            return None
        codes = torch.from_numpy(data.validation.codes)
        if train.problem.loss.n_vectors == 1:
            scores = scores[:, 1:] - scores[:, :1]
        ours = torch.from_numpy(scores)[:, None]
        constant = torch.zeros_like(ours)
        return bool(train.weighted_loss(ours, codes) < train.weighted_loss(constant, codes))
