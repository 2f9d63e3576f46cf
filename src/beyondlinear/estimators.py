"""scikit-learn classifiers behind the same door as the networks: same parts, same record."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from beyondlinear.training import FitData, Outcome, Training
from beyondlinear.view import dense


@dataclass(frozen=True)
class EstimatorModel:
    """A scikit-learn classifier with `predict_proba` or `decision_function`, fitted on the fit part.

    The tune part stops nothing here; it serves to calibrate the probabilities (Platt), which a forest's vote shares,
    being exactly 0 or 1 at times, and the distances of a kernel machine need before a log-loss has a meaning.
    """

    estimator: Callable[..., Any]

    def fit(self, data: FitData, training: Training, logger: Any = False, on_epoch: Any = None) -> Outcome:
        accepted = inspect.signature(self.estimator).parameters
        extra = {"random_state": data.seed("estimator") % 2**32, "n_jobs": training.threads}
        estimator = self.estimator(**{k: v for k, v in extra.items() if k in accepted})
        data.saw("weights", data.fit.rows)
        estimator.fit(dense(data.fit.x), data.fit.codes)
        return Outcome(
            scores=_scores(estimator, dense(data.validation_x)),
            probabilities=None,
            tune_scores=_scores(estimator, dense(data.tune.x)) if data.tune is not None else None,
            hyperparameters={k: v for k, v in estimator.get_params().items() if k not in extra},
            training={"epochs": None},
        )


def _scores(estimator: Any, x: np.ndarray) -> np.ndarray:
    """Distances where the estimator gives them; else the log of its vote shares, so that differences are log-odds, a share of
    0 counting as half a vote in 500."""
    if not hasattr(estimator, "predict_proba"):
        distances = estimator.decision_function(x)
        return np.c_[-distances, distances] if distances.ndim == 1 else distances
    return np.log(np.maximum(estimator.predict_proba(x), 1e-3))
