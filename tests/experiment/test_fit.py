"""One fit: pretraining, the comparison with the optimum, and what its row usage log says."""

import pytest

from beyondlinear.runtime.errors import ConfigError

TINY = [
    "dataset=simulated_mixed",
    "dataset.n_samples=150",
    "dataset.n_genes=20",
    "trainer.max_epochs=3",
    "trainer.threads=1",
    "logger=none",
]


def test_a_search_or_comparison_that_cannot_be_is_refused(run_here):
    with pytest.raises(
        ConfigError,
        match="model.search.learning_rate: the optimizer has no such value.*Allowed: lr",
    ):
        run_here(*TINY, "model=logistic_regression", "+model.search.learning_rate=[1e-5,1e-2]")
    with pytest.raises(ConfigError, match="model.report_optimum compares linear networks"):
        run_here(*TINY, "model=three_layer", "+model.report_optimum=1e9")


@pytest.mark.parametrize("removal", ["none", "class_means"])
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
    (record,) = run_here(
        *TINY, "split.only_folds=[0]", "model=logistic_regression", "model.report_optimum=1000"
    )
    # 96 train samples × 20 genes × 1 score vector
    assert record["optimum"] == {
        "reason": (
            "not solved: its size, 1.9e+03, is above model.report_optimum; model=ridge_logistic or"
            " ridge_svm solve it"
        )
    }


def test_removal_over_the_whole_training_part_is_a_caution(run_here):
    overrides = [
        "model=ridge_logistic",
        "protocol=paper",
        "signal_removal=class_means",
        "split.only_folds=[0]",
    ]
    (record,) = run_here(*TINY, *overrides)
    (removal,) = [f for f in record["audit"] if f["evidence"].startswith("removal saw")]
    assert (removal["severity"], removal["check"]) == ("caution", "fitted outside the train part")
    assert "removal saw 24 validation samples" in removal["evidence"]

    (unscaled,) = run_here(
        *TINY, "model=ridge_logistic", "protocol=paper", "scale=none", "split.only_folds=[0]"
    )
    assert unscaled["audit"] == []  # nothing was selected or scaled, so nothing saw test


def test_without_a_validation_part_the_gap_is_still_that_of_the_best_penalty(run_here):
    (record,) = run_here(
        *TINY, "model=logistic_regression", "split.only_folds=[0]", "split.fractions=[0.1]"
    )
    assert record["counts"]["n_validation"] == 0
    assert (
        0
        <= record["optimum"]["objective_gap"]
        <= record["training"]["history"][-1]["train_loss"] + 0.05
    )


def test_clean_runs_have_no_finding_and_a_planted_leak_has(run_here):
    assert [r["audit"] for r in run_here(*TINY, "model=ridge_logistic")] == [[]] * 5
    (split,) = run_here(
        *TINY, "model=ridge_logistic", "signal_removal=class_means", "split.only_folds=[0]"
    )
    assert [(f["severity"], f["check"]) for f in split["audit"]] == [
        ("note", "removal=class_means")
    ]
    (paper,) = run_here(*TINY, "model=ridge_logistic", "protocol=paper", "split.only_folds=[0]")
    (finding,) = paper["audit"]
    assert (finding["severity"], finding["check"]) == ("leak", "fitted outside the train part")
    assert "preparation saw 30 of 30 test samples" in finding["evidence"]
    assert "protocol=paper" in finding["evidence"]
