"""scikit-learn classifiers behind the same door as the networks: same parts, same record."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from pytorch_lightning.loggers import Logger
from torch import nn

from beyondlinear.data.scaled_rows import dense
from beyondlinear.models.interface import FitData, FitResult, ModelProperties, TrainerConfig


class Estimator(Protocol):
    """What is asked of a scikit-learn classifier; besides, `predict_proba` or
    `decision_function`."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> object: ...

    def get_params(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class EstimatorModel:
    """A scikit-learn classifier with `predict_proba` or `decision_function`, fitted on the train
    part.

    The validation part stops nothing here; it serves to calibrate the probabilities (Platt), which
    a forest's vote shares, being exactly 0 or 1 at times, and the distances of a kernel machine
    need before a log-loss has a meaning.
    linear: whether its scores are linear functions of the genes, which only who chose it knows.
    """

    estimator: Callable[..., Estimator]
    linear: bool = False

    reads_scaled_rows: ClassVar[bool] = False
    can_pretrain: ClassVar[bool] = False
    needs_no_genes: ClassVar[bool] = False
    tuned_by: ClassVar[None] = None
    report_optimum: ClassVar[None] = None

    @property
    def properties(self) -> ModelProperties:
        return ModelProperties(linear=self.linear)

    def runs_on_one_thread(self, trainer: TrainerConfig, n_genes: int, n_classes: int) -> bool:
        return False

    def fit(
        self,
        data: FitData,
        trainer: TrainerConfig,
        logger: Logger | list[Logger] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        start: nn.Module | None = None,
        checkpoint: Path | None = None,
    ) -> FitResult:
        """Fit on data.train; there are no epochs to log, to tell of or to save."""
        accepted = inspect.signature(self.estimator).parameters
        extra = {"random_state": data.seeds.estimator % 2**32, "n_jobs": trainer.threads}
        estimator = self.estimator(**{k: v for k, v in extra.items() if k in accepted})
        estimator.fit(dense(data.train.x), data.train.codes)
        validation_scores = None
        if data.validation is not None:
            validation_scores = _scores(estimator, dense(data.validation.x))
        return FitResult(
            scores=_scores(estimator, dense(data.test_x)),
            probabilities=None,
            validation_scores=validation_scores,
            hyperparameters={k: v for k, v in estimator.get_params().items() if k not in extra},
            rows_used={"weights": data.train.rows},
            training={"epochs": None},
        )


def _scores(estimator: Estimator, x: np.ndarray) -> np.ndarray:
    """Distances where the estimator gives them; else the log of its vote shares, so that
    differences are log-odds, a share of 0 counting as half a vote in 500."""
    predict_proba = getattr(estimator, "predict_proba", None)
    if predict_proba is not None:
        return np.log(np.maximum(predict_proba(x), 1e-3))
    distances: np.ndarray = estimator.decision_function(x)  # type: ignore[attr-defined]
    return np.c_[-distances, distances] if distances.ndim == 1 else distances
