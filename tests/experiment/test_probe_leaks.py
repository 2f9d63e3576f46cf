"""The leak probes of a fit are read once for all models that share its parts."""

import numpy as np
import pytest
from made_up import make_context

from beyondlinear.experiment import probe_leaks as module
from beyondlinear.experiment.plan import plan_fits
from beyondlinear.experiment.prepare import prepare

SMALL = ["dataset=simulated_mixed", "dataset.n_samples=60", "dataset.n_genes=8", "split.folds=2"]


def probed(compose_config, tmp_path, *overrides):
    context = make_context(compose_config(*SMALL, *overrides), tmp_path)
    fit = plan_fits(context)[0]
    rows = context.splitter.inner(context.samples, fit.fold, 1.0, 0)
    parts = prepare(context, rows, fit.fold.train, context.removal).parts
    return module.probe_leaks(context, fit, parts)


def test_a_forest_is_grown_after_removal_only_and_once_for_all_models(
    compose_config, tmp_path, monkeypatch
):
    grown = []
    monkeypatch.setattr(module, "forest_accuracy", lambda *a: grown.append(a) or 0.75)
    assert set(probed(compose_config, tmp_path)) == {"norm_auc"}
    removed = [*("signal_removal=class_means", "leak_probes.trees=5")]
    for model in ("ridge_logistic", "five_layer"):
        probes = probed(compose_config, tmp_path, *removed, f"model={model}")
        assert probes["forest"] == 0.75
        assert 0 <= probes["norm_auc"] <= 1
    assert len(grown) == 1
    probed(compose_config, tmp_path, "signal_removal=class_means", "leak_probes.trees=6")
    assert len(grown) == 2
    assert set(
        probed(compose_config, tmp_path, "signal_removal=class_means", "leak_probes.trees=0")
    ) == {"norm_auc"}


def test_a_damaged_note_is_read_again(compose_config, tmp_path, monkeypatch):
    removed = ["signal_removal=class_means", "leak_probes.trees=3"]
    first = probed(compose_config, tmp_path, *removed)
    (note,) = (tmp_path / "records" / "leak_probes").glob("*.json")
    note.write_text("{")
    assert probed(compose_config, tmp_path, *removed) == pytest.approx(first)
    assert np.isfinite(first["forest"])
