"""Fits of a run that train together are the fits that they are alone."""

import csv

import numpy as np
import pytest

from beyondlinear import pending, together
from beyondlinear.errors import ResultsError
from beyondlinear.results import Store
from beyondlinear.training import TrainingDiverged

CURVE = [
    *("dataset=simulated_mixed", "dataset.n_samples=150", "dataset.n_genes=40", "trainer.max_epochs=6"),
    *("split.folds=3", "split.fractions=[0.2,0.6,1.0]", "logger=none"),
]


@pytest.fixture
def groups(monkeypatch):
    """The sizes of the groups that trained together."""
    sizes, real = [], together.fit_together

    def watched(fits, training):
        sizes.append(len(fits))
        return real(fits, training)

    monkeypatch.setattr(pending, "fit_together", watched)
    return sizes


def what_counts(records, store):
    names = ("key", "metrics", "training", "tuning", "ledger", "audit", "counts")
    return [
        {n: r[n] for n in names}
        | {"optimum": r.get("optimum")}
        | {"scores": store.predictions(r["key"])["scores"].tobytes()}
        for r in records
    ]


@pytest.mark.parametrize(
    "more",
    [
        ["model=linear_svm"],
        ["model=logistic_regression", "signal_removal=split"],
        ["model=three_layer"],
        ["model=five_layer"],
    ],
)
def test_a_curve_is_the_same_together_and_one_by_one(run_here, tmp_path, monkeypatch, groups, more):
    first = run_here(*CURVE, *more)
    assert groups == [9]
    monkeypatch.setattr(pending, "BYTES", 0)
    assert what_counts(first, Store(tmp_path / "records")) == what_counts(
        run_here(*CURVE, *more, store="alone"), Store(tmp_path / "alone")
    )
    assert groups == [9]


def test_as_many_as_memory_allows(run_here, monkeypatch, groups):
    # 150 samples in three folds: 50 for validation and 20, 60 or 100 for training, 40 genes: 11, 18 and 24 kB
    monkeypatch.setattr(pending, "BYTES", 60_000)
    assert len(run_here(*CURVE, "model=logistic_regression")) == 9
    assert groups == [3, 3, 3]


@pytest.mark.parametrize(
    "more",
    [["model=three_layer", "dataset.n_genes=1400"], ["model=logistic_regression", "tuning=random", "tuning.trials=2"]],
)
def test_what_takes_long_is_made_one_by_one(run_here, groups, more):
    assert len(run_here(*CURVE, *more, "split.only_folds=[0]")) == 3
    assert groups == []


def test_one_that_diverges_costs_no_other(run_here, monkeypatch):
    real = together.fit_together

    def first_diverges(fits, training):
        return [TrainingDiverged("the loss is nan after the training"), *real(fits, training)[1:]]

    monkeypatch.setattr(pending, "fit_together", first_diverges)
    with pytest.raises(ResultsError, match="1 of 9 fits failed, the first with TrainingDiverged: the loss is nan"):
        run_here(*CURVE, "model=logistic_regression")
    monkeypatch.undo()
    assert [r["status"] for r in run_here(*CURVE, "model=logistic_regression")] == ["done"] * 9


def test_stopped_between_two_groups_nothing_done_is_lost(run_here, tmp_path, monkeypatch):
    monkeypatch.setattr(pending, "BYTES", 60_000)
    real, n = together.fit_together, iter(range(3))

    def interrupted(fits, training):
        if next(n) == 1:
            raise KeyboardInterrupt
        return real(fits, training)

    monkeypatch.setattr(pending, "fit_together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_here(*CURVE, "model=logistic_regression")
    assert len(list((tmp_path / "records").glob("*/*.json"))) == 3
    assert not list((tmp_path / "records" / "claims").iterdir())


def test_trackers_are_told_each_epoch(run_here, tmp_path):
    records = run_here(*[w for w in CURVE if w != "logger=none"], "model=logistic_regression", "logger=csv")
    for r in records:
        with open(tmp_path / "run0" / "csv" / f"fold{r['fold']}_fraction{r['fraction']}" / "metrics.csv") as f:
            rows = list(csv.DictReader(f))
        told = [float(row["tune_loss"]) for row in rows if row["tune_loss"]]
        np.testing.assert_allclose(told, [e["tune_loss"] for e in r["training"]["history"]])


def test_what_another_run_makes_is_left_to_it(run_here, tmp_path, monkeypatch, groups):
    from beyondlinear.sweeps.claims import Claims

    first = run_here(*CURVE, "model=logistic_regression", store="elsewhere")
    theirs = [r["key"] for r in first[:4]]
    real, held = Claims(tmp_path / "records").taken, []
    for key in theirs:
        held.append(real(key))
        assert held[-1].__enter__()

    def done_by_them(claims, keys, until=None):
        assert sorted(keys) == sorted(theirs)
        for each in held:
            each.__exit__(None, None, None)

    monkeypatch.setattr(pending, "wait_for", done_by_them)
    assert len(run_here(*CURVE, "model=logistic_regression")) == 9
    assert groups == [9, 5, 4]
