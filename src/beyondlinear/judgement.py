"""What a trained model's scores are worth on the validation part, and what the best linear model's are."""

from dataclasses import replace
from typing import Any

import numpy as np

from beyondlinear.classifier import NetworkModel
from beyondlinear.errors import OptimumError
from beyondlinear.linear.gap import optimum_of
from beyondlinear.metrics import Evaluation, evaluate, platt_scaling
from beyondlinear.parts import Bench, Prepared
from beyondlinear.training import FitData, Outcome


def judge(
    bench: Bench, outcome: Outcome, data: FitData, prepared: Prepared, record: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Score the outcome against the validation labels; completes the record and returns the predictions."""
    validation = prepared.parts["validation"]
    probabilities, judged, notes = _evaluate(outcome, data, validation.codes)
    record |= {
        "hyperparameters": outcome.hyperparameters,
        "training": outcome.training,
        "metrics": judged.metrics,
        "confusion": judged.confusion.tolist(),
        "notes": notes,
    }
    predictions = {
        "sample_id": bench.samples.sample_ids[validation.rows],
        "code": validation.codes,
        "classes": np.array(bench.samples.classes),
        "scores": outcome.scores,
    }
    return predictions | ({"probabilities": probabilities} if probabilities is not None else {})


def _evaluate(outcome: Outcome, data: FitData, codes: np.ndarray) -> tuple[np.ndarray | None, Evaluation, list[str]]:
    probabilities, notes = outcome.probabilities, []
    if _is_calibrated(outcome):
        assert data.tune is not None
        assert outcome.tune_scores is not None
        data.saw("calibration", data.tune.rows)
        probabilities = platt_scaling(outcome.tune_scores, data.tune.codes, outcome.scores)
        notes = ["probabilities by Platt scaling on the tune part"]
    elif probabilities is None:
        notes = ["no log-loss: there is no tune part to calibrate the scores on"]
    judged = evaluate(outcome.scores, codes, probabilities, notes)
    return probabilities, judged, judged.notes


def _is_calibrated(outcome: Outcome) -> bool:
    return outcome.probabilities is None and outcome.tune_scores is not None


def certified_optimum(
    bench: Bench, model: NetworkModel, outcome: Outcome, data: FitData, prepared: Prepared
) -> dict[str, Any]:
    """The certified optimum of the same fit, judged on the same validation part."""
    n, n_genes = data.fit.x.shape
    size = n * min(n, n_genes) * (1 if data.n_classes == 2 else data.n_classes)
    if size > (model.report_optimum or 0):
        reason = f"not solved: its size, {size:.1e}, is above model.report_optimum; model=ridge_logistic or ridge_svm solve it"
        return {"reason": reason}
    try:
        data = replace(data.dense(), saw=lambda step, rows: None)  # the ledger is the network's
        best, said = optimum_of(model, data, bench.training, outcome)
    except OptimumError as e:
        return {"reason": str(e)}
    return said | {"metrics": _evaluate(best, data, prepared.parts["validation"].codes)[1].metrics}
