"""Configs, samples and benches made by hand; in a module of its own name, for more than one folder has a conftest."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import beyondlinear.config  # noqa: F401  (registers the schema that configs compose with)
from beyondlinear.tasks import Samples, Task

ROOT = Path(__file__).parent.parent


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The config that `python train.py OVERRIDES` composes."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=hydra)


def mean_accuracy(records: list[dict]) -> float:
    return float(np.mean([r["metrics"]["balanced_accuracy"] for r in records]))


def make_samples(
    labels: list[str], groups: list | np.ndarray | None = None, x: np.ndarray | None = None, **obs: list
) -> Samples:
    """Samples of a task, as small as a test needs them."""
    n = len(labels)
    if x is None:
        x = np.zeros((n, 2), dtype=np.float32)
    frame = pd.DataFrame({"label": labels, **obs}, index=[f"s{i}" for i in range(n)])
    numbers = np.arange(n) if groups is None else pd.factorize(np.asarray(groups))[0]
    return Task("label").select(ad.AnnData(x, obs=frame), numbers.astype(np.int64))


def make_bench(cfg, directory: Path = Path()):
    """What the fits of a run share, without the run."""
    from beyondlinear.config import build
    from beyondlinear.parts import Bench
    from beyondlinear.results import Store

    config = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    splitter, adata = build(cfg.split), build(cfg.dataset)
    samples = build(cfg.task).select(adata, splitter.groups(adata.obs))
    removal, model, tuning, training = (build(cfg[g]) for g in ("signal_removal", "model", "tuning", "trainer"))
    store = Store(directory / "records")
    return Bench(cfg, config, samples, "data", splitter, removal, model, tuning, training, store, directory)
