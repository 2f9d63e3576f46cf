"""What every simulation promises: its container, its reproducibility, its shipped config."""

import inspect
from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import pytest
from made_up import ROOT
from omegaconf import OmegaConf

from beyondlinear.data.simulated import gaussian
from beyondlinear.data.simulated.gaussian import simulated_linear, simulated_mixed, simulated_noise
from beyondlinear.data.simulated.tilted import (
    simulated_bernoulli,
    simulated_clusters,
    simulated_counts,
    simulated_zero_inflated,
)
from beyondlinear.runtime.config import build

Simulate = Callable[..., ad.AnnData]
ALL: list[Simulate] = [
    simulated_mixed,
    simulated_linear,
    simulated_noise,
    simulated_bernoulli,
    simulated_zero_inflated,
    simulated_counts,
    simulated_clusters,
]
CONF = ROOT / "conf" / "dataset"
every_simulation = pytest.mark.parametrize("simulate", ALL, ids=lambda f: f.__name__)


@every_simulation
def test_container(simulate: Simulate) -> None:
    dataset = simulate(n_samples=101, n_genes=7, seed=3)
    assert dataset.shape == (101, 7)
    assert dataset.X.dtype == np.float32
    assert dataset.X.flags.c_contiguous
    assert np.isfinite(dataset.X).all()
    assert dataset.obs_names[0] == "sample_0000"
    assert dataset.obs_names.is_unique
    assert dataset.var_names.is_unique
    assert set(dataset.obs["label"]) == {"class_0", "class_1"}
    assert isinstance(dataset.uns["bayes_accuracy"], float)


@every_simulation
def test_one_seed_one_dataset(simulate: Simulate) -> None:
    first, again, other = (simulate(n_samples=60, n_genes=8, seed=s) for s in (1, 1, 2))
    assert first.X.tobytes() == again.X.tobytes()
    assert list(first.obs["label"]) == list(again.obs["label"])
    assert first.uns["bayes_accuracy"] == again.uns["bayes_accuracy"]
    assert first.X.tobytes() != other.X.tobytes()
    assert list(first.obs["label"]) != list(other.obs["label"])


@every_simulation
def test_block_size_changes_nothing(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    in_one_block = simulate(n_samples=40, n_genes=20, seed=0)
    monkeypatch.setattr(gaussian, "GENES_A_BLOCK", 3)
    assert simulate(n_samples=40, n_genes=20, seed=0).X.tobytes() == in_one_block.X.tobytes()


@every_simulation
def test_shipped_config_calls_the_function(simulate: Simulate) -> None:
    group = OmegaConf.load(CONF / f"{simulate.__name__}.yaml")
    assert group.name == simulate.__name__
    config = OmegaConf.create({"dataset": group, "seed": 5})
    config.dataset.update({"n_samples": 30, "n_genes": 10})
    assert (
        build(config.dataset).X.tobytes() == simulate(n_samples=30, n_genes=10, seed=5).X.tobytes()
    )


@every_simulation
def test_shipped_config_shows_every_default(simulate: Simulate) -> None:
    group: Any = OmegaConf.load(CONF / f"{simulate.__name__}.yaml")
    shown = {key: group[key] for key in group if key not in ("_target_", "name", "seed")}
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(simulate).parameters.items()
    }
    assert shown | {"seed": 0} == defaults
