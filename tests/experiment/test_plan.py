"""The fits of a run: their order and names, the run's list, what a found record may lack."""

import json

import numpy as np
from made_up import make_context

from beyondlinear.experiment.plan import Fit, list_fits, plan_fits
from beyondlinear.tasks.splits import Fold

TINY = ["dataset=simulated_mixed", "dataset.n_samples=60", "dataset.n_genes=8"]


def test_a_fit_is_named_by_fold_fraction_and_pretraining():
    rows = np.arange(3)
    assert Fit(Fold(2, rows, rows), 0.5, "k").name == "fold2_fraction0.5"
    assert Fit(Fold(0, rows, rows), 1.0, "k", True).name == "fold0_fraction1.0_pretrained_true"


def test_folds_come_in_order_and_small_fractions_first(compose_config, tmp_path):
    context = make_context(
        compose_config(*TINY, "split.folds=2", "split.fractions=[1.0,0.5,1.0]"), tmp_path
    )
    fits = plan_fits(context)
    assert [(f.fold.number, f.fraction) for f in fits] == [(0, 0.5), (0, 1.0), (1, 0.5), (1, 1.0)]
    assert len({f.key for f in fits}) == 4


def test_pretraining_makes_every_fit_twice(compose_config, tmp_path):
    context = make_context(
        compose_config(*TINY, "split=pretrain", "split.only_folds=[0]"), tmp_path
    )
    assert [f.pretrained for f in plan_fits(context)] == [False, True]


def test_the_list_says_what_belongs_to_the_run(compose_config, tmp_path):
    context = make_context(compose_config(*TINY, "split.folds=2"), tmp_path)
    fits = plan_fits(context)
    list_fits(context, fits, tmp_path)
    (path,) = tmp_path.glob("fits_*.json")
    listing = json.loads(path.read_text())
    assert listing["store"] == str(tmp_path / "records")
    assert listing["names"]["dataset"] == "simulated_mixed"
    assert [f["key"] for f in listing["fits"]] == [f.key for f in fits]


def test_a_found_record_without_the_model_that_is_asked_for_is_made_again(run_here, caplog):
    caplog.set_level("INFO")
    overrides = [*TINY, "model=ridge_logistic", "split.folds=2", "logger=none"]
    first = run_here(*overrides)
    kept = run_here(*overrides, "results.keep_model=true")
    assert "2 of 2 fits are made again: their records lack the kept model" in caplog.text
    assert [r["key"] for r in first] == [r["key"] for r in kept]
    assert [r["metrics"] for r in first] == [r["metrics"] for r in kept]
    found = run_here(*overrides, "results.keep_model=true")
    assert [r["provenance"] for r in found] == [r["provenance"] for r in kept]
    assert [r["provenance"] for r in first] != [r["provenance"] for r in kept]
