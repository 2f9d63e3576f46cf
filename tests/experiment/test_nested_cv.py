"""Nested choice of hyperparameters, end to end: what the inner folds hold, what the record says,
that it resumes."""

import json

import numpy as np
import pytest
from made_up import make_context

from beyondlinear.experiment import nested_cv
from beyondlinear.experiment.nested_cv import choose_hyperparameters
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.runtime.errors import ConfigError, SplitError

TINY = [
    "dataset=simulated_linear",
    "dataset.n_samples=120",
    "dataset.n_genes=30",
    "trainer.max_epochs=3",
    "trainer.threads=1",
    "logger=none",
    "split.only_folds=[0]",
    "tuning.trials=4",
]


@pytest.mark.parametrize("method", ["random", "tpe", "grid"])
def test_the_record_holds_rule_trials_and_choice(run_here, method):
    (record,) = run_here(*TINY, "model=logistic_regression", f"tuning={method}")
    tuning = record["tuning"]
    trials = tuning["trials"]
    assert len(trials) == 4
    assert {t["state"] for t in trials} <= {"complete", "pruned"}
    complete = [t for t in trials if t["state"] == "complete"]
    assert all(len(t["losses"]) == 4 for t in complete)
    best = min(complete, key=lambda t: (t["value"], t["number"]))
    assert tuning["chosen"] == best["parameters"]
    assert best["value"] == pytest.approx(np.mean(best["losses"]))
    assert (
        "smallest mean over the inner folds of the weighted inner-validation loss" in tuning["rule"]
    )
    assert (tuning["method"], tuning["signal_removal"], tuning["fraction"]) == (method, "none", 1.0)
    # lr is meant for 5,000 genes; the fit used the chosen one, grown for 30 genes to at most 0.03
    # (or as it is, if larger)
    lr = tuning["chosen"]["lr"]
    assert record["hyperparameters"]["lr"] == pytest.approx(min(lr * 5000 / 30, max(lr, 0.03)))
    assert record["hyperparameters"]["weight_decay"] == tuning["chosen"]["weight_decay"]
    if (
        method != "grid"
    ):  # the model's defaults come first, so that tuning cannot end with a worse inner loss
        assert trials[0]["parameters"] == {"lr": 7e-4, "weight_decay": 0.0}
        assert best["value"] <= trials[0]["value"]


def test_a_study_that_was_interrupted_continues_to_the_same_fit(run_here, tmp_path, monkeypatch):
    overrides = [*TINY, "model=logistic_regression", "tuning=tpe"]
    (undisturbed,) = run_here(*overrides, store="undisturbed")
    real, calls = NetworkModel.weighted_loss, []

    def stops(self, *arguments):
        calls.append(1)
        if (
            len(calls) == 20
        ):  # each fit also asks for the constant's loss: this is in the third trial
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(NetworkModel, "weighted_loss", stops)
    with pytest.raises(KeyboardInterrupt):
        run_here(*overrides)
    (study,) = (tmp_path / "records" / "studies").glob("*.json")
    saved = json.loads(study.read_text())["trials"]
    assert 1 <= len(saved) < 4
    monkeypatch.setattr(NetworkModel, "weighted_loss", real)
    (record,) = run_here(*overrides)
    for t in (*record["tuning"]["trials"], *undisturbed["tuning"]["trials"]):
        t["seconds"] = None
    assert record["tuning"]["trials"] == undisturbed["tuning"]["trials"]
    assert record["metrics"] == undisturbed["metrics"]


def inner_parts(cfg, fraction: float, monkeypatch):
    """(rows, removal) of every inner preparation that tuning asks for."""
    seen = []
    real = nested_cv.prepare

    def watched(context, rows, whole, removal, preparation=None):
        seen.append((rows, removal))
        return real(context, rows, whole, removal, preparation)

    monkeypatch.setattr(nested_cv, "prepare", watched)
    context = make_context(cfg)
    fold = context.splitter.outer(context.samples, 0)[0]
    tuned = choose_hyperparameters(context, fold, fraction, None)
    return context, fold, seen, tuned


@pytest.mark.parametrize("model", ["ridge_logistic", "linear_svm"])
def test_inner_folds_lie_in_the_kept_training_rows_and_are_removed_alike(
    compose_config, monkeypatch, tmp_path, model
):
    monkeypatch.chdir(tmp_path)
    cfg = compose_config(
        *TINY, f"model={model}", "tuning=random", "tuning.trials=1", "signal_removal=class_means"
    )
    context, fold, seen, tuned = inner_parts(cfg, 0.5, monkeypatch)
    kept = context.splitter.rows_of_fraction(context.samples, fold, 0.5, 0)
    assert len(kept) == 48
    assert set(tuned.rows_used) == set(kept)
    assert len(seen) == 4
    for rows, removal in seen:
        assert type(removal).__name__ == "ClassMeansRemoval"
        held = [set(rows.train), set(rows.validation), set(rows.test)]
        assert held[0] | held[1] | held[2] == set(kept)
        assert not held[0] & held[1]
        assert not (held[0] | held[1]) & held[2]
        assert not held[2] & set(fold.test)
    assert (tuned.record["signal_removal"], tuned.record["fraction"]) == ("class_means", 0.5)


def test_protocol_paper_tunes_once_at_full_size_with_the_signal(
    compose_config, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    settings = [
        *TINY,
        "model=logistic_regression",
        "tuning=random",
        "tuning.trials=1",
        "signal_removal=class_means",
    ]
    cfg = compose_config(*settings, "protocol=paper")
    context, fold, seen, tuned = inner_parts(cfg, 0.5, monkeypatch)
    assert set(tuned.rows_used) == set(fold.train)
    assert {type(removal).__name__ for _, removal in seen} == {"NoRemoval"}
    assert (tuned.record["signal_removal"], tuned.record["fraction"]) == ("none", 1.0)
    study = tuned.record["study"]
    # another fraction is served by the same study, without a further inner fit
    monkeypatch.setattr(NetworkModel, "fit", None)
    assert choose_hyperparameters(context, fold, 0.1, None).record["study"] == study
    # and so is the run with the signal present
    context = make_context(compose_config(*settings, "protocol=paper", "signal_removal=none"))
    assert choose_hyperparameters(context, fold, 1.0, None).record["study"] == study


def test_a_search_space_with_zero_is_refused_before_any_fit(run_here):
    with pytest.raises(
        ConfigError, match=r"model.search.lr: \[0, 0.1\] is not allowed.*0 < low ≤ high"
    ):
        run_here(*TINY, "model=logistic_regression", "tuning=random", "model.search.lr=[0,0.1]")


def test_a_forest_has_nothing_to_tune(run_here):
    (record,) = run_here(
        *TINY, "model=random_forest", "tuning=random", "+model.estimator.max_depth=2"
    )
    assert record["tuning"] == {"method": "none", "note": "random_forest has nothing to tune"}


def test_inner_folds_that_hold_validation_rows_are_found_by_the_audit(run_here, monkeypatch):
    from beyondlinear.tasks.splits import Fold, Splitter

    real = Splitter.inner_folds

    def leaking(self, samples, rows, *arguments):
        outside = np.setdiff1d(np.arange(len(samples.codes)), rows)
        return [Fold(f.number, f.train, outside) for f in real(self, samples, rows, *arguments)]

    monkeypatch.setattr(Splitter, "inner_folds", leaking)
    (record,) = run_here(*TINY, "model=ridge_logistic", "tuning=grid")
    assert [(f["severity"], f["check"]) for f in record["audit"]] == [("leak", "selection on test")]


def test_all_trials_failing_is_a_recorded_skip(run_here, monkeypatch):
    monkeypatch.setattr(NetworkModel, "weighted_loss", lambda *a: float("nan"))
    with pytest.raises(ValueError, match="none of 4 trials has a finite loss"):
        run_here(*TINY, "model=logistic_regression", "tuning=random")


def test_the_penalty_of_a_ridge_is_chosen_by_one_path_an_inner_fold(run_here):
    (record,) = run_here(*TINY, "model=ridge_logistic", "tuning=tpe")
    tuning = record["tuning"]
    assert len(tuning["trials"]) == 25
    complete = [t for t in tuning["trials"] if t["state"] == "complete"]
    best = min(complete, key=lambda t: t["value"])
    assert all(len(t["losses"]) == 4 for t in complete)
    assert tuning["chosen"] == best["parameters"]
    assert record["hyperparameters"]["relative_penalty"] == pytest.approx(
        best["parameters"]["relative_penalty"]
    )
    assert record["training"]["relative_gradient"] <= 1e-6


def test_shared_inner_products_choose_as_the_genes_do(run_here):
    """Without scaling every fit prepares its genes alike, and one matrix of inner products serves
    all of them."""
    data = [
        "dataset=simulated_mixed",
        "dataset.n_samples=60",
        "dataset.n_genes=80",
        "scale=none",
        *TINY[3:],
    ]
    for removal in ("none", "class_means"):
        (shared,) = run_here(
            *data, "model=ridge_logistic", "tuning=grid", f"signal_removal={removal}"
        )
        (own,) = run_here(
            *data,
            "model=ridge_logistic",
            "tuning=grid",
            f"signal_removal={removal}",
            "model.keep_coefficients=true",
        )
        assert shared["training"]["certified_on"] == "inner products"
        assert own["training"]["certified_on"] == "genes"
        assert shared["tuning"]["chosen"] == own["tuning"]["chosen"]
        assert shared["metrics"]["log_loss"] == pytest.approx(own["metrics"]["log_loss"], abs=1e-4)


def test_inner_folds_that_are_not_possible_are_left_out_and_named(
    compose_config, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    cfg = compose_config(*TINY, "model=logistic_regression", "tuning=random", "tuning.trials=1")
    context = make_context(cfg)
    fold = context.splitter.outer(context.samples, 0)[0]
    real, calls = type(context.splitter).train_and_validation, []

    def first_two_fail(self, samples, rows, seed, *keys):
        calls.append(keys)
        if "inner" in keys and keys[-1] < 2:
            raise SplitError(f"class 'C' is missing from inner fold {keys[-1]}")
        return real(self, samples, rows, seed, *keys)

    monkeypatch.setattr(type(context.splitter), "train_and_validation", first_two_fail)
    record = choose_hyperparameters(context, fold, 1.0, None).record
    assert record["inner_folds"] == 2
    assert record["left_out"] == [
        f"inner fold {j}: class 'C' is missing from inner fold {j}" for j in (0, 1)
    ]
    assert len(record["trials"][0]["losses"]) == 2
