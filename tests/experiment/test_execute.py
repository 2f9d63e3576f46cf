"""The fits that are made: what another run makes is left to it, what fails or is stopped costs no
other, trackers are told."""

import csv

import numpy as np
import pytest

from beyondlinear.experiment import execute, fit
from beyondlinear.models.interface import TrainingDiverged
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.records.claims import Claims
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ResultsError

CURVE = [
    "dataset=simulated_mixed",
    "dataset.n_samples=150",
    "dataset.n_genes=40",
    "trainer.max_epochs=6",
    "split.folds=3",
    "split.fractions=[0.2,0.6,1.0]",
    "logger=none",
]


def what_counts(records, store):
    names = ("key", "metrics", "training", "tuning", "row_usage", "audit", "counts", "optimum")
    kept = []
    for record in records:
        scores = store.predictions(record["key"])["scores"].tobytes()
        kept.append({name: record.get(name) for name in names} | {"scores": scores})
    return kept


@pytest.mark.parametrize(
    "more",
    [
        ["model=linear_svm"],
        ["model=logistic_regression", "signal_removal=class_means"],
        ["model=three_layer"],
        ["model=five_layer"],
    ],
)
def test_a_fit_of_a_curve_is_the_fit_that_it_is_alone(run_here, tmp_path, more):
    curve = run_here(*CURVE, *more)
    alone = [
        record
        for number in range(3)
        for record in run_here(*CURVE, *more, f"split.only_folds=[{number}]", store="alone")
    ]
    assert len(curve) == 9
    assert what_counts(curve, RecordStore(tmp_path / "records")) == what_counts(
        alone, RecordStore(tmp_path / "alone")
    )


def test_one_that_diverges_costs_no_other(run_here, monkeypatch):
    real, fits = NetworkModel.fit, []

    def first_diverges(self, data, trainer, **more):
        fits.append(data)
        if len(fits) == 1:
            raise TrainingDiverged("the loss is nan after the training")
        return real(self, data, trainer, **more)

    monkeypatch.setattr(NetworkModel, "fit", first_diverges)
    with pytest.raises(
        ResultsError, match="1 of 9 fits failed, the first with TrainingDiverged: the loss is nan"
    ):
        run_here(*CURVE, "model=logistic_regression")
    monkeypatch.undo()
    assert [r["status"] for r in run_here(*CURVE, "model=logistic_regression")] == ["done"] * 9


def test_stopped_between_two_fits_nothing_done_is_lost(run_here, tmp_path, monkeypatch):
    real, begun = fit.score_fit, []

    def interrupted(*arguments):
        begun.append(arguments)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(fit, "score_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_here(*CURVE, "model=ridge_logistic")
    assert len(list((tmp_path / "records").glob("??/*.json"))) == 3
    assert not list((tmp_path / "records" / "claims").iterdir())


def test_trackers_are_told_each_epoch(run_here, tmp_path):
    overrides = [word for word in CURVE if word != "logger=none"]
    records = run_here(*overrides, "model=logistic_regression", "logger=csv")
    for r in records:
        name = f"fold{r['fold']}_fraction{r['fraction']}"
        with open(tmp_path / "run0" / "csv" / name / "metrics.csv") as f:
            rows = list(csv.DictReader(f))
        told = [float(row["validation_loss"]) for row in rows if row["validation_loss"]]
        np.testing.assert_allclose(told, [e["validation_loss"] for e in r["training"]["history"]])


def test_what_another_run_makes_is_left_to_it(run_here, tmp_path, monkeypatch):
    first = run_here(*CURVE, "model=logistic_regression", store="elsewhere")
    theirs = [r["key"] for r in first[:4]]
    claims = Claims(tmp_path / "records")
    held = [claims.taken(key) for key in theirs]
    for claim in held:
        assert claim.__enter__()
    made_while_they_made = []

    def done_by_them(claims, keys, until=None):
        assert sorted(keys) == sorted(theirs)
        made_while_they_made.append(len(list((tmp_path / "records").glob("??/*.json"))))
        for claim in held:
            claim.__exit__(None, None, None)

    monkeypatch.setattr(execute, "wait_for", done_by_them)
    assert len(run_here(*CURVE, "model=logistic_regression")) == 9
    assert made_while_they_made == [5]


def test_a_record_in_one_line():
    record = {
        "fold": 2,
        "held_out": "SRP1",
        "fraction": 0.5,
        "pretrained": True,
        "status": "done",
        "metrics": {"balanced_accuracy": 0.91234},
        "tuning": {"method": "tpe", "chosen": {"lr": 0.00123}},
        "training": {"epochs": 24},
        "provenance": {"seconds": 3.14159},
    }
    assert execute.in_one_line(record) == (
        "fold 2 (SRP1), fraction 0.5, pretrained: balanced accuracy 0.912, tuned lr 0.0012,"
        " 24 epochs, 3.1 s"
    )
    skipped = record | {"status": "skipped", "reason": "class 'B' is missing"}
    assert execute.in_one_line(skipped) == (
        "fold 2 (SRP1), fraction 0.5: skipped: class 'B' is missing"
    )
