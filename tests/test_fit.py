"""One fit: pretraining, the comparison with the optimum, and what its ledger says."""

import numpy as np
import pytest

from beyondlinear.classifier import NetworkModel
from beyondlinear.errors import ConfigError
from beyondlinear.ledger import Ledger
from beyondlinear.results import Store

TINY = [
    "dataset=simulated_mixed",
    "dataset.n_samples=150",
    "dataset.n_genes=20",
    "trainer.max_epochs=3",
    "trainer.threads=1",
    "logger=none",
]


def test_pretrained_and_not_start_from_one_initialisation(run_here, monkeypatch):
    real, starts = NetworkModel.fit, []

    def watched(self, data, training, logger=False, on_epoch=None, start=None, **more):
        starts.append((len(data.fit), data.seed("initialisation"), start is not None))
        return real(self, data, training, logger, on_epoch, start, **more)

    monkeypatch.setattr(NetworkModel, "fit", watched)
    records = run_here(
        *TINY, "model=three_layer", "split=pretrain", "split.only_folds=[1]", "split.fractions=[0.5,1.0]"
    )
    assert [(r["fraction"], r["pretrained"]) for r in records] == [(0.5, False), (0.5, True), (1.0, False), (1.0, True)]
    # 150 samples: 60 pretrain (48 fit, 12 tune), 60 train, 30 validate; one pretraining serves both fractions
    assert sorted(n for n, _, _ in starts) == [24, 24, 48, 48, 48]
    assert len({seed for _, seed, _ in starts}) == 1
    assert [begun for _, _, begun in starts] == [False, False, False, True, True]
    assert [r["counts"]["n_validation"] for r in records] == [30] * 4


def test_a_pretrained_fit_says_what_it_saw(run_here, tmp_path):
    records = run_here(*TINY, "model=logistic_regression", "split=pretrain", "split.only_folds=[0]")
    store = Store(tmp_path / "records")
    alone, pretrained = (Ledger.from_arrays(store.predictions(r["key"]), 150) for r in records)
    assert len(pretrained.rows("part", "pretraining fit")) == 48
    assert np.array_equal(pretrained.rows("step", "preparation"), pretrained.rows("part", "pretraining fit"))
    # the twin differs in the pretraining alone: same scaling, other rows that its weights saw
    assert np.array_equal(alone.rows("step", "preparation"), pretrained.rows("step", "preparation"))
    assert len(pretrained.rows("step", "pretraining")) == 48
    assert "pretraining" not in alone.names("step")
    for ledger in (alone, pretrained):
        assert np.array_equal(ledger.rows("step", "weights"), ledger.rows("part", "fit"))
    assert [r["audit"] for r in records] == [[], []]


def test_pretraining_goes_with_removal_and_does_not_depend_on_the_list_of_fractions(run_here):
    overrides = [*TINY, "model=logistic_regression", "split=pretrain", "split.only_folds=[0]", "tuning=random"]
    overrides += ["tuning.trials=2", "signal_removal=split"]
    several = run_here(*overrides, "split.fractions=[0.5,1.0]")
    alone = run_here(*overrides, "split.fractions=[1.0]", store="alone")
    assert [r["status"] for r in several] == ["done"] * 4
    assert [r["metrics"] for r in several[2:]] == [r["metrics"] for r in alone]


def test_a_search_or_comparison_that_cannot_be_is_refused(run_here):
    with pytest.raises(ConfigError, match="model.search.learning_rate: the optimizer has no such value.*Allowed: lr"):
        run_here(*TINY, "model=logistic_regression", "+model.search.learning_rate=[1e-5,1e-2]")
    with pytest.raises(ConfigError, match="model.report_optimum compares linear networks"):
        run_here(*TINY, "model=three_layer", "+model.report_optimum=1e9")


def test_a_forest_cannot_be_pretrained(run_here):
    with pytest.raises(ConfigError, match="model=random_forest cannot be pretrained"):
        run_here(*TINY, "model=random_forest", "split=pretrain")


@pytest.mark.parametrize("removal", ["none", "split"])
def test_linear_models_report_the_certified_optimum_beside_them(run_here, removal):
    overrides = [*TINY, f"signal_removal={removal}", "split.only_folds=[0]"]
    (logistic,) = run_here(*overrides, "model=logistic_regression")
    (svm,) = run_here(*overrides, "model=linear_svm")
    (net,) = run_here(*overrides, "model=three_layer")
    (ridge,) = run_here(*overrides, "model=ridge_logistic")
    assert logistic["optimum"]["objective_gap"] > 0
    assert logistic["optimum"]["relative_gradient"] <= 1e-6
    # the model that is compared with is ridge_logistic itself
    assert logistic["optimum"]["metrics"] == pytest.approx(ridge["metrics"], rel=1e-6)
    assert svm["optimum"]["model"] == "ridge_svm"
    assert "objective_gap" not in svm["optimum"]
    assert "optimum" not in net


def test_an_optimum_too_large_to_report_beside_is_named(run_here):
    (record,) = run_here(*TINY, "split.only_folds=[0]", "model=logistic_regression", "model.report_optimum=1000")
    # 96 fit samples × 20 genes × 1 score vector
    assert record["optimum"] == {
        "reason": "not solved: its size, 1.9e+03, is above model.report_optimum; model=ridge_logistic or ridge_svm solve it"
    }


def test_removal_over_the_whole_training_part_is_a_caution(run_here):
    overrides = ["model=ridge_logistic", "protocol=paper", "signal_removal=split", "split.only_folds=[0]"]
    (record,) = run_here(*TINY, *overrides)
    (removal,) = [f for f in record["audit"] if f["evidence"].startswith("removal saw")]
    assert (removal["severity"], removal["check"]) == ("caution", "fitted outside the fit part")
    assert "removal saw 24 tune samples" in removal["evidence"]

    (unscaled,) = run_here(*TINY, "model=ridge_logistic", "protocol=paper", "scale=none", "split.only_folds=[0]")
    assert unscaled["audit"] == []  # nothing was selected or scaled, so nothing saw validation


def test_without_a_tune_part_the_gap_is_still_that_of_the_best_penalty(run_here):
    (record,) = run_here(*TINY, "model=logistic_regression", "split.only_folds=[0]", "split.fractions=[0.1]")
    assert record["counts"]["n_tune"] == 0
    assert 0 <= record["optimum"]["objective_gap"] <= record["training"]["history"][-1]["train_loss"] + 0.05


def test_clean_runs_have_no_finding_and_a_planted_leak_has(run_here):
    assert [r["audit"] for r in run_here(*TINY, "model=ridge_logistic")] == [[]] * 5
    (split,) = run_here(*TINY, "model=ridge_logistic", "signal_removal=split", "split.only_folds=[0]")
    assert [(f["severity"], f["check"]) for f in split["audit"]] == [("note", "removal=split")]
    (paper,) = run_here(*TINY, "model=ridge_logistic", "protocol=paper", "split.only_folds=[0]")
    (finding,) = paper["audit"]
    assert (finding["severity"], finding["check"]) == ("leak", "fitted outside the fit part")
    assert "preparation saw 30 of 30 validation samples" in finding["evidence"]
    assert "protocol=paper" in finding["evidence"]
