"""What a trained model's scores are worth on the test part, and what the optimum's are."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from beyondlinear.evaluation.metrics import evaluate
from beyondlinear.models.interface import FitData, FitResult, Model, Part, TrainerConfig
from beyondlinear.models.linear.optimality_gap import optimum_of
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.models.probabilities import platt_scaling
from beyondlinear.records.record import OptimumRecord
from beyondlinear.runtime.errors import OptimumError


@dataclass(frozen=True)
class FitScores:
    """metrics: by name, NaN where not defined; confusion: (n_classes, n_classes), rows true,
    columns predicted; probabilities: (n_test, n_classes), None where scores were not calibrated;
    calibration_rows: what the calibration was fitted on, None where there was none."""

    metrics: dict[str, float | None]
    confusion: np.ndarray
    probabilities: np.ndarray | None
    calibration_rows: np.ndarray | None
    notes: list[str]


def score_fit(result: FitResult, validation: Part | None, test: Part) -> FitScores:
    """Score a trained model on the test part; scores that are no log-probabilities are calibrated
    on the validation part (Platt 1999)."""
    probabilities = result.probabilities
    calibration_rows = None
    notes: list[str] = []
    if probabilities is None and validation is not None and result.validation_scores is not None:
        calibration_rows = validation.rows
        probabilities = platt_scaling(result.validation_scores, validation.codes, result.scores)
        notes = ["probabilities by Platt scaling on the validation part"]
    elif probabilities is None:
        notes = ["no log-loss: there is no validation part to calibrate the scores on"]
    evaluation = evaluate(result.scores, test.codes, probabilities, notes)
    return FitScores(
        metrics=dict(evaluation.metrics),
        confusion=evaluation.confusion,
        probabilities=probabilities,
        calibration_rows=calibration_rows,
        notes=evaluation.notes,
    )


def certified_optimum(
    model: Model, result: FitResult, data: FitData, test: Part, trainer: TrainerConfig
) -> OptimumRecord:
    """The certified optimum of the problem that a linear network was trained on, scored on the same
    test part; or why there is none."""
    n, n_genes = data.train.x.shape
    n_score_vectors = 1 if data.n_classes == 2 else data.n_classes
    size = n * min(n, n_genes) * n_score_vectors
    if size > (model.report_optimum or 0):
        return {
            "reason": (
                f"not solved: its size, {size:.1e}, is above model.report_optimum;"
                " model=ridge_logistic or ridge_svm solve it"
            )
        }
    assert isinstance(model, NetworkModel)  # no other model reports an optimum
    dense = data.dense()
    try:
        optimum, found = optimum_of(model, dense, trainer, result)
    except OptimumError as e:
        return {"reason": str(e)}
    record = cast(OptimumRecord, found)
    record["metrics"] = score_fit(optimum, dense.validation, test).metrics
    return record
