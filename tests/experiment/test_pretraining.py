"""Pretraining: one initialisation, one pretrained model for all fractions, rows that are kept
apart."""

import numpy as np
import pytest

from beyondlinear.evaluation.audit.row_usage import RowUsageLog
from beyondlinear.models.network_model import NetworkModel
from beyondlinear.records.store import RecordStore
from beyondlinear.runtime.errors import ConfigError

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

    def watched(self, data, trainer, start=None, **more):
        starts.append((len(data.train), data.seeds.initialisation, start is not None))
        return real(self, data, trainer, start=start, **more)

    monkeypatch.setattr(NetworkModel, "fit", watched)
    records = run_here(
        *TINY,
        "model=three_layer",
        "split=pretrain",
        "split.only_folds=[1]",
        "split.fractions=[0.5,1.0]",
    )
    assert [(r["fraction"], r["pretrained"]) for r in records] == [
        (0.5, False),
        (0.5, True),
        (1.0, False),
        (1.0, True),
    ]
    # 150 samples: 60 pretrain (48 fit, 12 validation), 60 train, 30 validate; one pretraining
    # serves both fractions
    assert sorted(n for n, _, _ in starts) == [24, 24, 48, 48, 48]
    assert len({seed for _, seed, _ in starts}) == 1
    assert [begun for _, _, begun in starts] == [False, False, False, True, True]
    assert [r["counts"]["n_test"] for r in records] == [30] * 4


def test_a_pretrained_fit_says_what_it_saw(run_here, tmp_path):
    records = run_here(*TINY, "model=logistic_regression", "split=pretrain", "split.only_folds=[0]")
    store = RecordStore(tmp_path / "records")
    alone, pretrained = (RowUsageLog.from_arrays(store.predictions(r["key"]), 150) for r in records)
    assert len(pretrained.rows("part", "pretraining train")) == 48
    assert np.array_equal(
        pretrained.rows("step", "preparation"), pretrained.rows("part", "pretraining train")
    )
    # the twin differs in the pretraining alone: same scaling, other rows that its weights saw
    assert np.array_equal(alone.rows("step", "preparation"), pretrained.rows("step", "preparation"))
    assert len(pretrained.rows("step", "pretraining")) == 48
    assert "pretraining" not in alone.names("step")
    for row_usage in (alone, pretrained):
        assert np.array_equal(row_usage.rows("step", "weights"), row_usage.rows("part", "train"))
    assert [r["audit"] for r in records] == [[], []]


def test_pretraining_goes_with_removal_and_does_not_depend_on_the_list_of_fractions(run_here):
    overrides = [
        *TINY,
        "model=logistic_regression",
        "split=pretrain",
        "split.only_folds=[0]",
        "tuning=random",
    ]
    overrides += ["tuning.trials=2", "signal_removal=class_means"]
    several = run_here(*overrides, "split.fractions=[0.5,1.0]")
    alone = run_here(*overrides, "split.fractions=[1.0]", store="alone")
    assert [r["status"] for r in several] == ["done"] * 4
    assert [r["metrics"] for r in several[2:]] == [r["metrics"] for r in alone]


def test_a_forest_cannot_be_pretrained(run_here):
    with pytest.raises(ConfigError, match="model=random_forest cannot be pretrained"):
        run_here(*TINY, "model=random_forest", "split=pretrain")
